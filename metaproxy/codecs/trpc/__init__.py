"""tRPC's own protocol: `codec`, `session` and `frame` for all of it, `metadata` for what it tells."""

from metaproxy.codecs.trpc.codec import Trpc

__all__ = ["Trpc"]
