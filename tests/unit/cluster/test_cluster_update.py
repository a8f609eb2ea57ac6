"""Endpoints that change while the cluster stays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cluster_picks import made, picked
from cluster_pool import with_pool

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import IEndpoint
from metaproxy.message import Kind, Message


def test_who_stays_is_the_same_object_who_joins_is_picked_who_leaves_is_not() -> None:
    cluster = Cluster("demo", Codec(), made("a:1", "b:1"), RoundRobin)
    first = cluster.endpoints[0]
    first.counts.successes = 7
    cluster.update(made("a:1", "c:1"))
    assert cluster.endpoints[0] is first and first.counts.successes == 7
    assert picked(cluster) == {"Endpoint(a:1)", "Endpoint(c:1)"}


def test_who_leaves_lets_its_connections_go_and_is_known_until_they_are_gone() -> None:
    cluster = Cluster("demo", Codec(), made("a:1", "b:1"), RoundRobin)
    gone = cluster.endpoints[1]
    pool = with_pool(gone)
    pool.connections.add(1)
    cluster.update(made("a:1"))
    assert pool.retired and cluster.leaving == [gone]
    cluster.forget()
    assert cluster.leaving == [gone]
    pool.connections.clear()
    cluster.forget()
    assert cluster.leaving == []


def test_one_that_comes_back_before_it_was_gone_counts_on_with_new_connections() -> None:
    cluster = Cluster("demo", Codec(), made("a:1", "b:1"), RoundRobin)
    gone = cluster.endpoints[1]
    gone.active = 1
    cluster.update(made("a:1"))
    cluster.update(made("a:1", "b:1"))
    back = cluster.endpoints[1]
    assert back is not gone and back.pool is None
    assert back.counts is gone.counts


def test_the_same_list_leaves_the_balancer_where_it_stands() -> None:
    cluster = Cluster("demo", Codec(), made("a:1", "b:1"), RoundRobin)
    before = cluster.balancer
    cluster.update(made("a:1", "b:1"))
    assert cluster.balancer is before


@pytest.mark.parametrize("wanted", [made("a:1", "b:1", weight=2), made("b:1", "a:1"), made("a:1"), []], ids=str)
def test_another_list_or_weight_is_balanced_anew(wanted: list[Endpoint]) -> None:
    cluster = Cluster("demo", Codec(), [*made("a:1"), *made("b:1")], RoundRobin)
    before = cluster.balancer
    cluster.update(wanted)
    assert cluster.balancer is not before


def test_a_subset_follows_the_metadata() -> None:
    cluster = Cluster("demo", Codec(), made("a:1", "b:1"), RoundRobin)
    request = Message(Kind.REQUEST, b"", 1, {})
    assert cluster.pick(request, (), {"version": "v2"}) is None
    cluster.update([Endpoint("a:1"), Endpoint("b:1", metadata={"version": "v2"})])
    assert str(cluster.pick(request, (), {"version": "v2"})) == "Endpoint(b:1)"


def test_a_cluster_that_begins_empty_learns_what_its_balancer_looks_at() -> None:
    cluster = Cluster("demo", Codec(), [], lambda endpoints: RingHash(endpoints, key="user"))
    cluster.update(made("a:1", "b:1"))
    assert cluster.uses_hash and cluster.splits and cluster.hash_keys == ("user",)


@pytest.mark.parametrize("fault", [RuntimeError("x"), SystemExit(1)], ids=lambda fault: type(fault).__name__)
def test_a_balancer_that_raises_anything_when_it_is_built_again_leaves_the_one_before(fault: BaseException) -> None:
    built: list[int] = []

    def make(endpoints: Sequence[IEndpoint]) -> RoundRobin:
        built.append(len(endpoints))
        if len(built) > 1:
            raise fault
        return RoundRobin(endpoints)

    cluster = Cluster("demo", Codec(), made("a:1"), make)
    before = cluster.balancer
    cluster.update(made("a:1", "b:1"))
    assert built == [1, 2] and cluster.balancer is before


def test_an_observer_is_called_with_each_change_of_the_endpoints() -> None:
    seen: list[Cluster] = []
    cluster = Cluster("demo", Codec(), [Endpoint("a:1")], RoundRobin)
    cluster.observer = seen.append
    cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    assert seen and set(seen) == {cluster}
    before = len(seen)
    cluster.drain(cluster.endpoints[0])
    assert len(seen) > before
