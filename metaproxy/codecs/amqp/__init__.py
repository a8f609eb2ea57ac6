"""AMQP 0-9-1: `codec` for all of it, `client` and `server` for a connection, `stream` for frames."""

from metaproxy.codecs.amqp.codec import Amqp

__all__ = ["Amqp"]
