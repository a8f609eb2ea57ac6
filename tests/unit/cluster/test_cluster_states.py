"""Endpoints that are taken out of service, and what their cluster makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from cluster_picks import made, picked
from cluster_pool import with_pool
from observing import observing

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.levels import Levels
from metaproxy.cluster.plan import Settings
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.message import Kind, Message

REQUEST = Message(Kind.REQUEST, b"", 1, {})


def cluster(*endpoints: Endpoint, **settings: Any) -> Cluster:
    return Cluster("demo", Codec(), endpoints, RoundRobin, settings=Settings(**settings))


def test_a_drained_endpoint_gets_nothing_and_its_connections_go_until_it_is_restored() -> None:
    one = cluster(*made("a:1", "b:1"))
    pool = with_pool(one.endpoints[0])
    one.drain(one.endpoints[0])
    assert picked(one) == {"Endpoint(b:1)"} and pool.retired
    one.restore(one.endpoints[0])
    assert picked(one) == {"Endpoint(a:1)", "Endpoint(b:1)"} and not pool.retired


def test_an_endpoint_that_logs_off_is_passed_over_for_ten_seconds() -> None:
    one = cluster(*made("a:1", "b:1"))
    first, second = one.endpoints
    pool = with_pool(first)
    one.log_off(first, 100.0)
    one.sweep(109.9)
    assert picked(one) == {"Endpoint(b:1)"} and not pool.retired and first.logged_off
    one.log_off(first, 105.0)
    one.sweep(110.0)
    assert picked(one) == {"Endpoint(b:1)"}, "it said so again"
    one.sweep(115.0)
    assert picked(one) == {"Endpoint(a:1)", "Endpoint(b:1)"} and not first.logged_off
    one.log_off(first, 200.0)
    one.log_off(second, 200.0)
    assert picked(one) == {"Endpoint(a:1)", "Endpoint(b:1)"}, "nobody else is there"
    one.restore(first)
    assert picked(one) == {"Endpoint(a:1)"}


def test_the_last_endpoint_can_be_drained_but_not_ejected() -> None:
    one = cluster(*made("a:1"))
    one.eject(one.endpoints[0])
    assert picked(one) == {"Endpoint(a:1)"}, "a panic"
    one.drain(one.endpoints[0])
    assert picked(one) == {"None"}
    one.restore(one.endpoints[0])
    assert picked(one) == {"Endpoint(a:1)"} and not one.endpoints[0].ejected


def test_an_ejected_endpoint_keeps_its_connections() -> None:
    one = cluster(*made("a:1", "b:1"))
    pool = with_pool(one.endpoints[0])
    one.eject(one.endpoints[0])
    assert picked(one) == {"Endpoint(b:1)"} and not pool.retired


def test_a_subset_is_planned_like_the_whole() -> None:
    version = {"version": "v2"}
    one = cluster(
        Endpoint("a:1", metadata=version), Endpoint("b:1", metadata=version), Endpoint("c:1"), panic_threshold=0
    )
    assert one.pick(REQUEST, (), version) is not None
    one.drain(one.endpoints[0])
    assert {str(one.pick(REQUEST, (), version)) for _ in range(6)} == {"Endpoint(b:1)"}
    one.eject(one.endpoints[1])
    assert one.pick(REQUEST, (), version) is None
    one.restore(one.endpoints[1])
    assert str(one.pick(REQUEST, (), version)) == "Endpoint(b:1)"


def test_a_balancer_goes_on_as_it_is_where_the_plan_comes_out_the_same() -> None:
    version = {"version": "v2"}
    built: list[list[str]] = []

    def balancer(endpoints: Sequence[IEndpoint]) -> RoundRobin:
        built.append([endpoint.address for endpoint in endpoints])
        return RoundRobin(endpoints)

    endpoints = [Endpoint("a:1", metadata=version), Endpoint("b:1"), Endpoint("c:1")]
    one = Cluster("demo", Codec(), endpoints, balancer)
    one.pick(REQUEST, (), version)
    assert built == [["a:1", "b:1", "c:1"], ["a:1"]]
    one.refresh()
    one.pick(REQUEST, (), version)
    assert len(built) == 2
    one.drain(one.endpoints[1])
    one.pick(REQUEST, (), version)
    assert built[2:] == [["a:1", "c:1"]], "nobody of the subset changed"


def test_a_level_keeps_its_balancer_when_only_the_shares_change() -> None:
    one = cluster(*(Endpoint(f"a:{number}") for number in range(4)), Endpoint("b:1", priority=1))
    endpoints = one.endpoints
    one.eject(endpoints[0])
    assert len(one.levels) == 1, "three of four can take it all"
    one.eject(endpoints[1])
    assert isinstance(one.balancer, Levels)
    second = one.balancer.balancers[1]
    one.eject(endpoints[2])
    assert isinstance(one.balancer, Levels)
    assert one.balancer.balancers[1] is second
    assert [round(level.share, 2) for level in one.levels] == [0.35, 0.65]


def test_levels_are_used_in_their_shares() -> None:
    one = cluster(*made("a:1", "a:2"), Endpoint("b:1", priority=1))
    one.eject(one.endpoints[0])
    found = Counter(str(one.pick(REQUEST, (), None)) for _ in range(10_000))
    assert set(found) == {"Endpoint(a:2)", "Endpoint(b:1)"}
    assert abs(found["Endpoint(a:2)"] / 10_000 - 0.7) < 0.025  # five standard deviations


def test_a_cluster_that_hashes_goes_on_to_know_its_key_while_nobody_can_be_picked() -> None:
    one = Cluster("demo", Codec(), made("a:1", "b:1"), lambda endpoints: RingHash(endpoints, key="user"))
    for endpoint in one.endpoints:
        one.drain(endpoint)
    assert one.pick(REQUEST, (), None) is None
    assert one.uses_hash and one.hash_keys == ("user",)


class Picky(RoundRobin):
    """Can't be built over one endpoint."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        if len(endpoints) < 2:
            raise ValueError("too few for me")
        super().__init__(endpoints)


def picky(endpoints: Sequence[Endpoint]) -> ILoadBalancer:
    return Picky(list(endpoints))


def test_a_balancer_that_fails_is_refused_at_first_and_later_the_one_before_goes_on() -> None:
    with pytest.raises(ValueError, match="too few"):
        Cluster("demo", Codec(), made("a:1"), picky)
    one = Cluster("demo", Codec(), made("a:1", "b:1"), picky)
    before = one.balancer
    told: list[object] = []
    with observing(told.append):
        one.drain(one.endpoints[0])
    assert one.balancer is before and len(told) == 1
