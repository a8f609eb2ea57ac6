"""
Requests as the protocol's messages have them, and responses as bytes.

Lives here: reading a DiscoveryRequest and a DeltaDiscoveryRequest, writing their responses. Does not: what is answered
(`subscription`), streams (`stream`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, TypeAlias

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from metaproxy.control.resource_types import ResourceType
from metaproxy.control.subscription import Batch, Request

AnyRequest: TypeAlias = "DiscoveryRequest | DeltaDiscoveryRequest"

MAX_ERROR = 4096
"""Characters of a client's reason that are kept."""


class Write(Protocol):
    """Writes a response."""

    def __call__(self, kind: ResourceType, batch: Batch, server: str) -> bytes: ...


def parse(data: bytes, delta: bool) -> AnyRequest:
    """Raises ValueError."""
    request = DeltaDiscoveryRequest() if delta else DiscoveryRequest()
    try:
        request.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, which is of the implementation
        raise ValueError(f"not a {request.DESCRIPTOR.name}: {error}") from None
    return request


def read(request: AnyRequest, names: Collection[str] | None = None) -> Request:
    """Return what a request asks. names: those of a request that was split from them."""
    error = request.error_detail.message[:MAX_ERROR] if request.HasField("error_detail") else None
    if isinstance(request, DiscoveryRequest):
        asked = request.resource_names if names is None else names
        return Request(request.response_nonce, asked, version=request.version_info, error=error)
    return Request(
        request.response_nonce,
        request.resource_names_subscribe,
        request.resource_names_unsubscribe,
        request.initial_resource_versions,
        error=error,
    )


def state_of_the_world(kind: ResourceType, batch: Batch, server: str) -> bytes:
    head = DiscoveryResponse(version_info=batch.version, type_url=kind.url, nonce=batch.nonce)
    head.control_plane.identifier = server
    return b"".join([head.SerializeToString(), *(one.state_of_the_world for one in batch.resources)])


def delta(kind: ResourceType, batch: Batch, server: str) -> bytes:
    head = DeltaDiscoveryResponse(
        system_version_info=batch.version, type_url=kind.url, nonce=batch.nonce, removed_resources=batch.removed
    )
    head.control_plane.identifier = server
    return b"".join([head.SerializeToString(), *(one.delta for one in batch.resources)])
