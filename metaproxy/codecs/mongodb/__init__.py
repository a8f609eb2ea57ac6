"""MongoDB's wire protocol: `codec` for all of it, `client` and `server` for a connection, `bson` for documents."""

from metaproxy.codecs.mongodb.codec import MongoDB

__all__ = ["MongoDB"]
