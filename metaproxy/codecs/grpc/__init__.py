"""
gRPC, gRPC-Web and Triple on the connections of `metaproxy.codecs.http`: `codec` for what the proxy asks, `client` and
`server` for connections, `status` for how calls end, `messages` for where messages do, `web` for browsers.
"""

from metaproxy.codecs.grpc.codec import Grpc
from metaproxy.codecs.grpc.triple import Triple

__all__ = ["Grpc", "Triple"]
