"""The table of types."""

from __future__ import annotations

from importlib import import_module

from metaproxy.control.grpc_server import METHODS
from metaproxy.control.resource_types import BY_URL, TYPES

MODULES = {
    "secrets": "sds",
    "clusters": "cds",
    "endpoints": "eds",
    "extensions": "config_discovery",
    "listeners": "lds",
    "routes": "rds",
}
"""Where Envoy's services are."""


def test_each_type_is_one_of_envoys_and_has_a_service_of_envoys() -> None:
    for kind in TYPES:
        package, _, service = kind.service.rpartition(".")
        module = import_module(f"{package}.{MODULES[kind.name]}_pb2")
        methods = module.DESCRIPTOR.services_by_name[service].methods_by_name
        assert f"Stream{kind.noun}" in methods
        assert f"Delta{kind.noun}" in methods
        assert METHODS[kind.service].keys() == {f"Stream{kind.noun}", f"Delta{kind.noun}"}


def test_a_type_is_found_by_its_url() -> None:
    assert all(BY_URL[kind.url] is kind for kind in TYPES)
