"""Endpoints that a discovery found, read as those of a file are, and only those that have changed."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.codecs.framing import Codec
from metaproxy.config.found_endpoints import FoundEndpoints


def test_what_was_found_is_read_as_endpoints_are() -> None:
    written: list[Any] = [
        "127.0.0.1:1",
        {"address": "127.0.0.1:2", "weight": 3, "zone": "b", "priority": 1, "metadata": {"v": 2}},
    ]
    bare, whole = FoundEndpoints()(written)
    assert (bare.address, bare.configured_weight) == ("127.0.0.1:1", 1)
    assert (whole.configured_weight, whole.zone, whole.priority, whole.metadata) == (3, "b", 1, {"v": "2"})
    assert FoundEndpoints()([]) == []


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["nowhere"], "endpoints\\[0\\]: 'nowhere' is not an address"),
        ([{"address": "a:1", "wieght": 2}], "did you mean 'weight'"),
        ([{}], "address is missing"),
        (["a:1", "a:1"], "twice"),
        ([["a:1"]], "is not"),
        (["${HOME}:1"], "is not an address"),
    ],
)
def test_what_is_no_endpoint_is_told(items: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FoundEndpoints()(items)


A = {"address": "a:1"}


def test_what_is_no_plain_data_is_taken_by_its_text() -> None:
    (found,) = FoundEndpoints()([{"address": "127.0.0.1:1", "metadata": {"host": ip_address("127.0.0.1")}}])
    assert found.metadata == {"host": "127.0.0.1"}


def test_an_endpoint_that_comes_again_as_it_was_is_the_same_object() -> None:
    read = FoundEndpoints()
    one, two = read([{"address": "a:1"}, {"address": "b:1"}])
    same, other, new = read([{"address": "b:1"}, {"address": "a:1", "weight": 2}, {"address": "c:1"}])
    assert same is two
    assert other is not one and other.configured_weight == 2
    assert new.address == "c:1"


def test_one_that_was_gone_between_is_another_object_for_the_one_before_is_leaving() -> None:
    read = FoundEndpoints()
    (before,) = read([A])
    assert read([]) == []
    assert read([A])[0] is not before


def test_an_answer_that_is_refused_changes_nothing_of_what_is_known() -> None:
    read = FoundEndpoints()
    (before,) = read([A])
    with pytest.raises(ValueError, match=re.escape("endpoints[1].address: 'nowhere' is not an address")):
        read([A, {"address": "nowhere"}])
    assert read([A])[0] is before


ITEMS = st.fixed_dictionaries(
    {"address": st.sampled_from(["a:1", "b:1", "c:1", "unix:/d"])},
    optional={"weight": st.integers(1, 3), "zone": st.sampled_from(["x", "y"]), "priority": st.integers(0, 1)},
)


@given(st.lists(st.lists(ITEMS, max_size=4, unique_by=lambda one: str(one["address"])), max_size=8))
def test_a_cluster_that_follows_the_changes_has_the_endpoints_of_the_last_answer(answers: list[Any]) -> None:
    read, cluster = FoundEndpoints(), Cluster("demo", Codec(), [], RoundRobin)
    for items in answers:
        before = {one.address: one for one in cluster.endpoints}
        cluster.update(read(items))
        assert [one.configured()[1:] for one in cluster.endpoints] == [
            one.configured()[1:] for one in FoundEndpoints()(items)
        ]
        assert all(before.get(one.address, one) is one for one in cluster.endpoints)
        assert not {id(one) for one in cluster.endpoints} & {id(one) for one in cluster.leaving}
