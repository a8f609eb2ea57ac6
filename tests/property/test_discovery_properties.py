"""Whatever a registry says: an entry is an instance that a cluster takes, or it is refused alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from hypothesis import example, given
from hypothesis import strategies as some
from twisted.internet.task import Clock

from metaproxy.config.found_endpoints import FoundEndpoints
from metaproxy.discovery import consul, eureka_registry, nacos
from metaproxy.discovery.endpoint_list import EndpointList
from metaproxy.discovery.instances import Instance, read_entry
from metaproxy.discovery.zookeeper.dubbo import is_url, read_provider, read_rule

KEYS = some.sampled_from(
    ["address", "host", "ip", "port", "weight", "metadata", "zone", "priority", "healthy", "enabled", "serviceEndpoint",
     "payload", "dubbo.endpoints", "Node", "Service", "Checks", "Address", "Port", "Tags", "Meta", "Weights", "Passing",
     "Status", "Locality", "Zone", "ipAddr", "hostName", "status", "$", "@enabled", "clusterName", "name", "protocol"]
)  # fmt: skip
LEAVES = (
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20)
    | some.sampled_from(["10.0.0.7", "10.0.0.7:80", "h", "::1", "UP", "passing", "10.0.0.256", "a b", "${HOME}", "80"])
)  # fmt: skip
VALUES = some.recursive(
    LEAVES,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(KEYS | some.text(max_size=5), inner, max_size=8),
    max_leaves=30,
)
OBJECTS = some.dictionaries(KEYS, VALUES, max_size=10)


def taken(read: Callable[[], list[Instance]]) -> None:
    """What is read is taken by a cluster; what is refused is so with ValueError."""
    try:
        instances = read()
    except ValueError:
        return
    reported: list[list[dict[str, object]]] = []
    listed = EndpointList(Clock())
    listed.start(lambda items: reported.append([dict(item) for item in items]), lambda text: None)
    listed.found(instances)
    FoundEndpoints()(reported[-1])


@given(OBJECTS)
@example({"address": "h", "port": 1, "weight": 10**400})
@example({"address": "h", "port": 1, "metadata": {"": "x", "a\nb": "c\0d", "x": "${HOME}"}})
@example({"address": "h", "port": 1, "zone": "a\nb"})
def test_an_entry_is_an_endpoint_or_refused(found: Mapping[str, object]) -> None:
    taken(lambda: read_entry(json.dumps(found).encode()))


@given(some.binary(max_size=200))
def test_bytes_are_an_endpoint_or_refused(data: bytes) -> None:
    taken(lambda: read_entry(data, "10.0.0.7:80"))


@given(OBJECTS, OBJECTS, VALUES)
@example({}, {}, [{"Status": []}])
@example({}, {"Meta": {" ": False}}, None)
def test_an_instance_of_consul_is_an_endpoint_or_refused(
    node: Mapping[str, object], service: Mapping[str, object], checks: object
) -> None:
    found = {"Node": node, "Service": {"Address": "h", "Port": 1, **service}, "Checks": checks}
    taken(lambda: [consul.read_instance(found)])


@given(OBJECTS)
@example({"ip": "h", "port": 1, "weight": float("inf")})
@example({"ip": "h", "port": 1, "weight": float("nan")})
@example({"ip": "h", "port": 1, "weight": 10**400})
def test_an_instance_of_nacos_is_an_endpoint_or_refused(found: Mapping[str, object]) -> None:
    taken(lambda: [nacos.read_instance(found)])


@given(OBJECTS)
def test_an_instance_of_eureka_is_an_endpoint_or_refused(found: Mapping[str, object]) -> None:
    taken(lambda: [eureka_registry.read_instance({"ipAddr": "h", "port": 1, **found})])


@given(some.text(max_size=60), some.text(max_size=60), some.sampled_from(["dubbo", "tri", "override", "empty"]))
def test_a_name_is_a_provider_or_refused(place: str, query: str, scheme: str) -> None:
    name = f"{scheme}%3A%2F%2F{place}/x?{query}"
    assert is_url(name)
    for read in (read_provider, read_rule):
        try:
            found = read(name)
        except ValueError:
            continue
        if found is not None and read is read_provider:
            taken(lambda one=found: [one.instance])  # type: ignore[misc]
