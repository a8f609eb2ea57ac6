"""
Triple: Dubbo's calls as gRPC has them, with fields of Dubbo's own.

Lives here: their keys. docs/reference/codecs/triple.md describes the codec for users. Does not: anything else: all that
is gRPC's (`codec`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.grpc import metadata
from metaproxy.codecs.grpc.codec import Grpc
from metaproxy.codecs.grpc.metadata import Metadata

FIELDS: Final = {
    "version": "tri-service-version", "group": "tri-service-group", "application": "tri-consumer-appname",
    "request_id": "tri-req-id",
}  # fmt: skip
"""The fields behind keys."""


class Triple(Grpc):
    """Triple, over HTTP/2, and over HTTP/1.1 from clients."""

    name = "triple"
    keys = {
        **metadata.KEYS,
        "timeout": "of requests: milliseconds, where the client gives a limit (grpc-timeout, or tri-service-timeout)",
        "version": "of requests: the version of the service (tri-service-version)",
        "group": "of requests: its group (tri-service-group)",
        "application": "of requests: the consumer's application (tri-consumer-appname)",
        "request_id": "of requests: tri-req-id",
    }
    made_of = Metadata(FIELDS, ("tri-service-timeout",))
