from __future__ import annotations

import pytest
from envoy.service.cluster.v3 import cds_pb2
from envoy.service.endpoint.v3 import eds_pb2
from envoy.service.extension.v3 import config_discovery_pb2
from envoy.service.listener.v3 import lds_pb2
from envoy.service.route.v3 import rds_pb2
from envoy.service.secret.v3 import sds_pb2

from metaproxy.xds.resource_types import BY_NAME, TYPES, ResourceType

FILES = {
    "clusters": cds_pb2,
    "endpoints": eds_pb2,
    "listeners": lds_pb2,
    "routes": rds_pb2,
    "secrets": sds_pb2,
    "extensions": config_discovery_pb2,
}


@pytest.mark.parametrize("kind", TYPES, ids=lambda one: one.name)
def test_its_methods_are_those_of_the_services_descriptor(kind: ResourceType) -> None:
    service = FILES[kind.name].DESCRIPTOR.services_by_name[kind.service.rpartition(".")[2]]
    assert service.full_name == kind.service
    for delta in (False, True):
        name = kind.path(delta).rpartition("/")[2]
        assert name in {method.name for method in service.methods}


@pytest.mark.parametrize("kind", TYPES, ids=lambda one: one.name)
def test_its_type_and_the_field_of_its_name_are_those_of_the_message(kind: ResourceType) -> None:
    message = kind.message.FromString(b"")
    assert kind.url == f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
    assert kind.key in message.DESCRIPTOR.fields_by_name


def test_clusters_and_their_endpoints_come_before_listeners_and_their_routes() -> None:
    assert list(BY_NAME)[:4] == ["clusters", "endpoints", "listeners", "routes"]
