from __future__ import annotations

from typing import Any

import pytest
from harness import Stage, answer, call

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster import original_destination
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.original_destination import FACT, OriginalDestinationCluster
from metaproxy.cluster.routes import Route, Target
from metaproxy.message import Kind, Message
from metaproxy.routing.hash_keys import hash_keys

REQUEST = Message(Kind.REQUEST, b"", 1, {"source.address": "forged"})


def cluster(**more: Any) -> OriginalDestinationCluster:
    stage = Stage()
    return OriginalDestinationCluster("meant", stage.codec, [], RoundRobin, **more)


def pick(one: Cluster, address: str | None) -> Any:
    return one.pick(REQUEST, (), None, {} if address is None else {FACT: address})


def test_a_request_goes_to_the_address_that_its_connection_was_meant_for() -> None:
    one = cluster()
    first, again, other = pick(one, "10.0.0.1:80"), pick(one, "10.0.0.1:80"), pick(one, "[fd00::1]:80")
    assert first is again and first.address == "10.0.0.1:80" and other.address == "[fd00::1]:80"
    assert [endpoint.address for endpoint in one.endpoints] == ["10.0.0.1:80", "[fd00::1]:80"]


def test_a_connection_that_was_not_redirected_has_no_endpoint() -> None:
    assert pick(cluster(), None) is None


def test_an_endpoint_that_is_ejected_or_drained_is_not_used_and_not_forgotten() -> None:
    one = cluster()
    endpoint = pick(one, "10.0.0.1:80")
    one.eject(endpoint)
    one.forget()
    assert pick(one, "10.0.0.1:80") is None
    one.restore(endpoint)
    assert pick(one, "10.0.0.1:80") is endpoint


def test_endpoints_without_a_connection_are_forgotten_from_time_to_time() -> None:
    one = cluster()
    idle, busy = pick(one, "10.0.0.1:80"), pick(one, "10.0.0.2:80")
    busy.active = 1
    one.forget()
    assert one.endpoints == [busy]
    assert pick(one, "10.0.0.1:80") is not idle


def test_a_client_that_scans_addresses_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(original_destination, "MOST", 10)
    one = cluster()
    for number in range(25):
        endpoint = pick(one, f"10.0.0.{number}:80")
        if number < 10:
            endpoint.active = 1
    assert len(one.endpoints) == 10 and endpoint is None


def test_outlier_detection_and_checks_are_told_of_endpoints_that_come() -> None:
    told: list[str] = []

    class ClusterMonitor:
        def start(self, cluster: Cluster, network: Any) -> None: ...
        def stop(self) -> None: ...
        def changed(self) -> None:
            told.append("changed")

    one = cluster(monitors=[ClusterMonitor()])
    one.start(Stage().network)
    pick(one, "10.0.0.1:80")
    pick(one, "10.0.0.1:80")
    assert told == ["changed"]


def test_exchanges_of_one_client_reach_the_servers_that_their_connections_were_meant_for() -> None:
    stage = Stage()
    meant = OriginalDestinationCluster("meant", stage.codec, [], RoundRobin)
    stage.route.targets[0].cluster = meant
    for address in ("10.0.0.1:80", "10.0.0.2:80"):
        client = stage.client()
        stage.downstream(client).facts[FACT] = address
        stage.say(client, call(7))
        wire = stage.network.upstreams[-1]
        assert wire.peer == address
        stage.say(wire, answer(1))
        assert client.take() == answer(7)
    direct = stage.client()
    stage.say(direct, call(7))
    assert b"no usable endpoint" in direct.take()


def test_without_a_redirect_a_cluster_of_fallback_takes_it() -> None:
    stage = Stage()
    meant = OriginalDestinationCluster("meant", stage.codec, [], RoundRobin)
    target = stage.route.targets[0]
    stage.route.targets = (Target(meant, fallback=Target(target.cluster)),)
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)


def test_the_source_address_can_be_hashed_by_route_and_by_balancer() -> None:
    def served(route_keys: list[str], balancer_keys: list[str]) -> list[set[str]]:
        stage = Stage(endpoints=8, balancer=lambda endpoints: RingHash(endpoints, key=balancer_keys or None))
        stage.route.hash_keys = hash_keys(route_keys, {})
        found = []
        for host in range(12):
            facts = {"source.address": f"10.0.0.{host}"}
            picks = [stage.cluster.pick(REQUEST, stage.route.hash_keys, None, facts) for _ in range(8)]
            found.append({one.address for one in picks if one is not None})
        return found

    for addresses in (served(["source.address"], []), served([], ["source.address"])):
        assert all(len(one) == 1 for one in addresses), "a caller stays at its endpoint"
        assert len(set.union(*addresses)) > 3, "and not all callers at one"
    assert isinstance(Route("r", targets=[Target(cluster())], hash_keys=["a"]).hash_keys, tuple)
