"""The order in which a client gets what."""

from __future__ import annotations

import pytest
from control_client import ALL, Client, Silent, cluster, endpoints, listener, publish, routes
from google.protobuf.message import Message
from twisted.internet.task import Clock

from metaproxy.control.resource_types import CLUSTERS, ENDPOINTS, LISTENERS, ROUTES
from metaproxy.control.server import Control
from metaproxy.control.stream import HELD, LINGER, Refused, endpoints_of

World = dict[str, dict[str, Message]]


def world(*clusters: str, target: str = "", value: int = 0) -> World:
    return {
        CLUSTERS.url: {name: cluster(name, value) for name in clusters},
        ENDPOINTS.url: {name: endpoints(name) for name in clusters},
        LISTENERS.url: {"r": listener("r", value)},
        ROUTES.url: {"r": routes("r", cluster=target or clusters[0])},
    }


class Fleet:
    """A server and one client that asks as Envoy does."""

    def __init__(self, delta: bool = False, first: World | None = None) -> None:
        self.clock = Clock()
        self.control = Control(self.clock, Silent())
        publish(self.control, first or world("a"))
        self.client = Client(delta, follows=True)
        self.client.want(CLUSTERS, [ALL])
        self.client.want(ENDPOINTS, [])
        self.client.want(LISTENERS, [ALL])
        self.client.want(ROUTES, [])
        self.client.connect(self.control)

    def publish(self, messages: World) -> list[tuple[str, list[str], list[str]]]:
        """Publish, let everything arrive. Return the responses in their order."""
        del self.client.log[:]
        publish(self.control, messages)
        self.client.settle()
        return list(self.client.log)


@pytest.fixture(params=[False, True], ids=["state of the world", "delta"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    made = Fleet(request.param)
    made.client.settle()
    return made


def kinds(log: list[tuple[str, list[str], list[str]]]) -> list[str]:
    return [kind for kind, _, _ in log]


def test_clusters_go_before_their_endpoints_and_both_before_listeners_and_routes(fleet: Fleet) -> None:
    log = fleet.publish(world("a", "b", target="b", value=1))
    order = kinds(log)
    assert order.index("clusters") < order.index("endpoints") < order.index("listeners") < order.index("routes")


def test_a_cluster_that_no_route_names_any_more_is_removed_last_and_later(fleet: Fleet) -> None:
    fleet.publish(world("a", "b"))
    log = fleet.publish(world("b"))
    assert "routes" in kinds(log)
    assert fleet.client.has[CLUSTERS.url].keys() == {"a", "b"}
    del fleet.client.log[:]
    fleet.clock.advance(LINGER)
    fleet.client.settle()
    assert fleet.client.has[CLUSTERS.url].keys() == {"b"}
    assert "routes" not in kinds(fleet.client.log)


def test_a_cluster_stays_as_long_as_the_client_refuses_the_routes_without_it() -> None:
    clock = Clock()
    control = Control(clock, Silent())
    refused = routes("r", 1, "b")
    client = Client(False, lambda one: one == refused, follows=True)
    client.want(CLUSTERS, [ALL])
    client.want(ROUTES, ["r"])
    client.connect(control)
    publish(control, {CLUSTERS.url: {"a": cluster("a", eds=False)}, ROUTES.url: {"r": routes("r", 0, "a")}})
    client.settle()
    publish(control, {CLUSTERS.url: {"b": cluster("b", eds=False)}, ROUTES.url: {"r": refused}})
    client.settle()
    clock.advance(1000)
    client.settle()
    assert client.has[CLUSTERS.url].keys() == {"a", "b"}
    publish(control, {CLUSTERS.url: {"b": cluster("b", eds=False)}, ROUTES.url: {"r": routes("r", 2, "b")}})
    client.settle()
    clock.advance(LINGER)
    client.settle()
    assert client.has[CLUSTERS.url].keys() == {"b"}


def test_endpoints_of_a_cluster_that_changed_are_sent_again_for_it_waits_for_them(fleet: Fleet) -> None:
    changed = world("a", "b")
    fleet.publish(changed)
    log = fleet.publish({**changed, CLUSTERS.url: {"a": cluster("a", 1), "b": cluster("b")}})
    assert ("endpoints", ["a"], []) in log


def test_a_change_of_endpoints_sends_these_and_nothing_else(fleet: Fleet) -> None:
    before = world("a", "b")
    fleet.publish(before)
    log = fleet.publish({**before, ENDPOINTS.url: {"a": endpoints("a"), "b": endpoints("b", 1)}})
    assert log == [("endpoints", ["b"], [])]


def test_a_client_that_does_not_answer_for_clusters_gets_its_routes_after_a_while() -> None:
    clock = Clock()
    control = Control(clock, Silent())
    publish(control, world("a"))
    client = Client(False)  # asks for clusters, and never for their endpoints
    client.want(CLUSTERS, [ALL])
    client.want(ROUTES, ["r"])
    client.connect(control)
    client.settle()
    assert ROUTES.url not in client.has
    clock.advance(HELD)
    client.settle()
    assert client.has[ROUTES.url].keys() == {"r"}


def test_a_client_that_asks_for_listeners_first_gets_them_at_once() -> None:
    fleet = Fleet()
    client = Client(False)
    client.want(LISTENERS, [ALL])
    client.connect(fleet.control)
    client.settle()
    assert client.has[LISTENERS.url].keys() == {"r"}


@pytest.mark.parametrize("delta", [False, True])
def test_a_stream_of_one_type_gets_that_type(delta: bool) -> None:
    control = Control(Clock(), Silent())
    publish(control, world("a"))
    client = Client(delta, only=ROUTES)
    client.want(ROUTES, ["r"])
    client.connect(control)
    client.settle()
    assert client.has.keys() == {ROUTES.url}


def test_endpoints_on_a_stream_of_their_own_are_sent_again_when_they_are_asked_for_in_the_same_words() -> None:
    control = Control(Clock(), Silent())
    publish(control, world("a"))
    client = Client(False, only=ENDPOINTS)
    client.want(ENDPOINTS, ["a"])
    client.connect(control)
    client.settle()
    client.want(ENDPOINTS, ["a"])
    client.settle()
    assert client.responses == 2


def test_another_type_on_a_stream_of_one_type_ends_it() -> None:
    control = Control(Clock(), Silent())
    client = Client(False, only=ROUTES)
    client.want(CLUSTERS, [ALL])
    client.connect(control)
    with pytest.raises(Refused, match="Cluster"):
        client.settle()


def test_a_type_that_is_not_known_is_noted_and_the_rest_goes_on() -> None:
    from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

    control = Control(Clock(), Silent())
    stream = control.connect(lambda _: None)
    request = DiscoveryRequest(type_url="type.googleapis.com/istio.networking.nds.v1.NameTable")
    request.node.id = "a"
    control.receive(stream, request.SerializeToString())
    assert stream.unknown == {request.type_url}


def test_a_cluster_asks_for_endpoints_by_its_service_name_else_by_its_own() -> None:
    assert endpoints_of(cluster("a")) == "a"
    assert endpoints_of(cluster("a", eds=False)) is None
    assert endpoints_of(listener("l")) is None
