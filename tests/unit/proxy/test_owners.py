"""What a codec may ask about endpoints: whose a key is, which there are, where a client is bound."""

from __future__ import annotations

from typing import Any, cast

from harness import LineCodec, Stage

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.proxy.owners import Owners


def stage() -> Stage:
    return Stage(codec=LineCodec(), endpoints=3, balancer=lambda endpoints: RingHash(endpoints, key="key"))


def test_a_keys_owner_is_where_the_cluster_sends_it() -> None:
    one = stage()
    owners = Owners(one.cluster, None, None)
    assert owners("k1") is one.cluster.owner("k1")
    assert owners.bound is None


def test_everyone_is_all_endpoints_or_nobody_while_one_is_not_usable() -> None:
    one = stage()
    assert Owners(one.cluster, None, None).everyone() == one.endpoints
    one.cluster.eject(one.endpoints[2])
    assert Owners(one.cluster, None, None).everyone() == []


def test_a_subset_has_its_own() -> None:
    one = stage()
    one.endpoints[0].metadata["zone"] = "a"
    one.cluster.eject(one.endpoints[2])
    assert Owners(one.cluster, {"zone": "a"}, None).everyone() == one.endpoints[:1]


def test_a_client_is_bound_to_the_endpoint_of_its_own_connection() -> None:
    one = stage()
    client = one.client()
    one.say(client, b"begin k\n")
    pin = one.downstream(client).session_pin
    assert pin is not None
    assert Owners(one.cluster, None, cast(Any, pin)).bound is one.cluster.owner("k")
