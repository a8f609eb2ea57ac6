"""Dubbo's own protocol: `codec`, `frame` and `metadata` for all of it, `body` and the others for its serializations."""

from metaproxy.codecs.dubbo.codec import Dubbo

__all__ = ["Dubbo"]
