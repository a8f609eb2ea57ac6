"""Redis: `codec` what the proxy asks, `session` what a connection remembers, `resp` framing, `commands` tables."""

from metaproxy.codecs.redis.codec import Redis

__all__ = ["Redis"]
