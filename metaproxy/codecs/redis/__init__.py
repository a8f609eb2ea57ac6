"""Redis: `codec` what the proxy asks, `client` and `server` what their connections remember, `resp` framing."""

from metaproxy.codecs.redis.codec import Redis

__all__ = ["Redis"]
