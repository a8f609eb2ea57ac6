"""Apache Thrift: `Thrift`, its codec. The other modules are its parts: encodings, walk, header, frames, session."""

from metaproxy.codecs.thrift.codec import Thrift

__all__ = ["Thrift"]
