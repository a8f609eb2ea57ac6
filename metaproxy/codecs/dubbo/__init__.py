"""Dubbo's own protocol: `codec` has the frame and the codec, `body` the serializations, the others their values."""

from metaproxy.codecs.dubbo.codec import Dubbo

__all__ = ["Dubbo"]
