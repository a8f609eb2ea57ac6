"""Envoy resources of a mesh as sections of our own configuration."""

from __future__ import annotations

from mesh_stand import ENTRY, HOST, RULE, Stand
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.values import Context
from metaproxy.envoy.resources import Resources
from metaproxy.mesh.sections import Outcome, Sections
from metaproxy.plugins import Registry

WHOLE = f"outbound|20880||{HOST}"


def context() -> Context:
    return Context("crds", Registry(), {"clock": Clock(), "node": model.Node(), "clusters": None, "xds": None})


def of(stand: Stand) -> Outcome:
    return Sections().of(stand.resources, context())


def test_a_service_is_a_listener_with_its_routes_and_clusters_with_their_endpoints() -> None:
    found = of(Stand().hello())
    assert found.refused == []
    (listener,) = found.listeners.values()
    assert (listener.name, listener.listen, listener.protocol.name) == (
        "127.0.10.1_20880", ("127.0.10.1:20880",), "dubbo",
    )  # fmt: skip
    assert [route.cluster for route in listener.routes] == [WHOLE]
    assert [one.address for one in found.clusters[WHOLE].endpoints] == ["127.0.0.11:20880", "127.0.0.12:20880"]


def test_what_has_not_changed_is_the_same_section() -> None:
    stand, sections, reading = Stand().hello(), Sections(), context()
    before = sections.of(stand.resources, reading)
    stand.put("DestinationRule", "hello", RULE.replace("version: v2", "version: v3"))
    after = sections.of(stand.resources, reading)
    same = {name for name, section in after.clusters.items() if section is before.clusters[name]}
    assert same == {WHOLE, f"outbound|20880|v1|{HOST}"}
    assert after.listeners["127.0.10.1_20880"] is before.listeners["127.0.10.1_20880"]


def test_changed_routes_make_their_listener_anew() -> None:
    stand, sections, reading = Stand().hello(), Sections(), context()
    before = sections.of(stand.resources, reading)
    router = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}]}}"
    after = sections.of(stand.put("MetaRouter", "hello", router).resources, reading)
    (listener,) = after.listeners.values()
    assert listener != before.listeners[listener.name]
    assert [route.cluster for route in listener.routes] == [f"outbound|20880|v1|{HOST}"]


def test_a_cluster_that_is_not_there_is_one_without_endpoints() -> None:
    router = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: not.there}}}}]}}]}}"
    found = of(Stand().hello().put("MetaRouter", "hello", router))
    assert found.clusters["outbound|20880||not.there"].endpoints == ()
    assert found.refused == []


def test_a_listener_that_can_not_be_is_refused_and_costs_no_other() -> None:
    stand = Stand().hello()
    stand.put("ApplicationProtocol", "house", "{protocol: house, codec: not.there}")
    entry = ENTRY.replace(HOST, "house.x").replace("127.0.10.1", "127.0.10.2").replace("-dubbo", "-house")
    found = of(stand.put("ServiceEntry", "house", entry))
    assert list(found.listeners) == ["127.0.10.1_20880"]
    assert any("no codec 'not.there'" in text for text in found.refused)


def test_nothing_is_nothing() -> None:
    assert Sections().of(Resources(), context()) == Outcome()
