"""Redis: `codec` what the proxy asks, `client` and `server` what a connection remembers, `resp` framing."""

from metaproxy.codecs.redis.codec import Redis

__all__ = ["Redis"]
