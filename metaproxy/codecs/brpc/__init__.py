"""Apache bRPC's own protocol, baidu_std: `codec`, `session` and `frame` for all of it, `metadata` for what it tells."""

from metaproxy.codecs.brpc.codec import Brpc

__all__ = ["Brpc"]
