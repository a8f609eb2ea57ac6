"""Requests and responses as bytes."""

from __future__ import annotations

import pytest
from control_client import cluster
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from metaproxy.control import wire
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.snapshot import resource
from metaproxy.control.subscription import Batch

BATCH = Batch("7", [resource(CLUSTERS.url, "a", cluster("a", 1))], ("a",), ("b",), False, "v")


def test_a_response_of_the_state_of_the_world_has_version_nonce_type_and_resources() -> None:
    found = DiscoveryResponse.FromString(wire.state_of_the_world(CLUSTERS, BATCH, "me"))
    assert (found.version_info, found.nonce, found.type_url) == ("v", "7", CLUSTERS.url)
    assert found.control_plane.identifier == "me"
    assert [one.type_url for one in found.resources] == [CLUSTERS.url]


def test_a_delta_response_has_what_is_gone_besides() -> None:
    found = DeltaDiscoveryResponse.FromString(wire.delta(CLUSTERS, BATCH, "me"))
    assert (found.system_version_info, found.nonce, found.type_url) == ("v", "7", CLUSTERS.url)
    assert [one.name for one in found.resources] == ["a"]
    assert list(found.removed_resources) == ["b"]


def test_requests_of_both_kinds_are_read() -> None:
    whole = DiscoveryRequest(resource_names=["a"], response_nonce="1")
    assert list(wire.read(whole).names) == ["a"]
    assert wire.read(whole).error is None
    part = DeltaDiscoveryRequest(
        resource_names_subscribe=["a"], resource_names_unsubscribe=["b"], initial_resource_versions={"c": "1"}
    )
    part.error_detail.message = "no"
    read = wire.read(part)
    assert (list(read.names), list(read.dropped), dict(read.known or {}), read.error) == (
        ["a"],
        ["b"],
        {"c": "1"},
        "no",
    )


def test_a_reason_is_kept_up_to_a_bound() -> None:
    request = DiscoveryRequest()
    request.error_detail.message = "x" * 100_000
    assert len(wire.read(request).error or "") == wire.MAX_ERROR


@pytest.mark.parametrize("delta", [False, True])
def test_bytes_that_are_no_request_are_refused(delta: bool) -> None:
    with pytest.raises(ValueError, match="not a"):
        wire.parse(b"\xff\xff", delta)
