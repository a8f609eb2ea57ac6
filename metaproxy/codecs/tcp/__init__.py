"""Raw TCP: bytes of any protocol, as they come. `codec` for all of it, `session` for a connection."""

from metaproxy.codecs.tcp.codec import Tcp

__all__ = ["Tcp"]
