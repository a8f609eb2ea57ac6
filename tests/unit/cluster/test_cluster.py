from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from zope.interface import implementer

from metaproxy.balancers.hashing import hash_values
from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.message import FrameError, Kind, Message


class Tagged(Codec):
    """A codec that hashes the tag of a key where somebody asks for the key."""

    name = "tagged"
    hash_aliases = {"key": "tag"}


@implementer(ILoadBalancer)
class Noting:
    """Picks the first endpoint and notes the hash that it was given."""

    uses_hash = True
    keys: tuple[str, ...] = ("key",)
    made: list[list[IEndpoint]] = []

    def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
        self.endpoints = list(endpoints)
        self.hashes: list[int] = []
        Noting.made.append(self.endpoints)

    def pick(self, hash_value: int) -> IEndpoint:
        self.hashes.append(hash_value)
        return self.endpoints[0]


def endpoints(number: int = 4) -> list[Endpoint]:
    return [Endpoint(f"127.0.0.1:{port}", metadata={"version": f"v{port % 2}"}) for port in range(number)]


def request(**metadata: str) -> Message:
    return Message(Kind.REQUEST, b"", 1, metadata)


def ring(places: Sequence[IEndpoint]) -> RingHash:
    return RingHash(places, key="key")


def test_a_cluster_without_endpoints_has_nobody_to_pick() -> None:
    cluster = Cluster("empty", Codec(), [], RoundRobin)
    assert cluster.pick(request(), (), None) is None
    assert cluster.pick(request(), (), {"version": "v1"}) is None
    assert cluster.owner("a") is None
    assert not cluster.uses_hash and not cluster.splits


def test_no_hash_is_computed_for_a_balancer_that_looks_at_none() -> None:
    cluster = Cluster("demo", Codec(), endpoints(2), RoundRobin)

    def too_far(message: Message) -> None:
        raise FrameError("nobody needs that")

    undecoded = Message(Kind.REQUEST, b"", more=too_far)
    assert {str(cluster.pick(undecoded, ("key",), None)) for _ in range(4)} == {str(one) for one in cluster.endpoints}


def hashes_of(cluster: Cluster) -> list[Any]:
    """What its Noting was asked with."""
    assert isinstance(cluster.balancer, Noting)
    return cluster.balancer.hashes


def test_the_balancers_key_is_hashed_by_its_alias() -> None:
    cluster = Cluster("demo", Tagged(), endpoints(), Noting)
    assert cluster.hash_keys == ("tag",)
    cluster.pick(request(tag="a", key="{a}1"), (), None)
    assert hashes_of(cluster) == [hash_values(["a"])]


def test_a_routes_keys_win_over_the_balancers() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), Noting)
    cluster.pick(request(key="a", user="b"), ("user",), None)
    assert hashes_of(cluster) == [hash_values(["b"])]


def test_requests_without_the_key_spread_over_the_endpoints_b5() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), ring)
    picked = Counter(str(cluster.pick(request(), (), None)) for _ in range(400))
    assert len(picked) == 4
    assert max(picked.values()) < 250


def test_an_empty_key_is_a_key() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), ring)
    assert len({str(cluster.pick(request(key=""), (), None)) for _ in range(20)}) == 1


def test_a_key_that_cannot_be_decoded_is_told() -> None:
    def broken(message: Message) -> None:
        raise FrameError("too short")

    with pytest.raises(FrameError, match="too short"):
        Cluster("demo", Codec(), endpoints(), ring).pick(Message(Kind.REQUEST, b"", more=broken), (), None)


def test_an_owner_is_who_a_request_with_that_key_goes_to() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), ring)
    for key in map(str, range(50)):
        assert cluster.owner(key) is cluster.pick(request(key=key), (), None)
        subset = {"version": "v1"}
        assert cluster.owner(key, subset) is cluster.pick(request(key=key), (), subset)


def test_a_subset_is_only_endpoints_whose_metadata_agree() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), RoundRobin)
    picked = {str(cluster.pick(request(), (), {"version": "v1"})) for _ in range(8)}
    assert picked == {"Endpoint(127.0.0.1:1)", "Endpoint(127.0.0.1:3)"}


def test_a_subset_that_nobody_is_in_has_nobody_to_pick() -> None:
    cluster = Cluster("demo", Codec(), endpoints(), RoundRobin)
    assert cluster.pick(request(), (), {"version": "v1", "zone": "a"}) is None
    assert cluster.owner("a", {"version": "v9"}) is None


def test_a_subsets_balancer_is_made_once() -> None:
    Noting.made.clear()
    cluster = Cluster("demo", Codec(), endpoints(), Noting)
    for wanted in ({"version": "v1"}, {"version": "v1"}, {"version": "v0"}):
        cluster.pick(request(key="a"), (), wanted)
    assert [len(made) for made in Noting.made] == [4, 2, 2]


def test_an_empty_subset_is_every_endpoint() -> None:
    cluster = Cluster("demo", Codec(), endpoints(2), RoundRobin)
    assert {str(cluster.pick(request(), (), {})) for _ in range(4)} == {str(one) for one in cluster.endpoints}


@pytest.mark.parametrize(("number", "make", "splits"), [(1, ring, False), (2, ring, True), (2, RoundRobin, False)])
def test_requests_are_split_only_where_keys_have_different_owners(number: int, make: type, splits: bool) -> None:
    assert Cluster("demo", Codec(), endpoints(number), make).splits is splits


def test_what_it_was_given_is_its_own() -> None:
    given, credentials = endpoints(2), {"password": "x"}
    cluster = Cluster("demo", Codec(), given, RoundRobin, credentials=credentials)
    given.clear()
    credentials.clear()
    assert len(cluster.endpoints) == 2
    assert cluster.credentials == {"password": "x"}


def test_defaults_are_those_of_a_multiplexed_cluster() -> None:
    cluster = Cluster("demo", Codec(), endpoints(1), RoundRobin)
    settings = cluster.connections
    assert (settings.mode, settings.per_endpoint, settings.max_age, settings.max_requests) == ("multiplex", 1, 0.0, 0)
    assert isinstance(settings, ConnectionSettings)
    assert cluster.breaker.requests == 0
    assert cluster.request_timeout == 15.0
    assert not cluster.retired
