"""What holds of the balancers whatever the endpoints, weights and hashes are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from metaproxy.balancers.hashing import hash_values
from metaproxy.balancers.least_request import LeastRequest
from metaproxy.balancers.maglev import Maglev
from metaproxy.balancers.random import Random
from metaproxy.balancers.ring_hash import RingHash, ring
from metaproxy.balancers.round_robin import RoundRobin, schedule
from metaproxy.interfaces import ILoadBalancer
from metaproxy.testing import FakeEndpoint

weights = st.lists(st.integers(1, 1000), min_size=1, max_size=12)
hashes = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(max_codepoint=0x2FF), max_size=5)

MAKERS: list[Callable[[Sequence[FakeEndpoint]], ILoadBalancer]] = [
    lambda endpoints: RoundRobin(endpoints, seed=1),
    lambda endpoints: Random(endpoints, seed=1),
    lambda endpoints: LeastRequest(endpoints, seed=1),
    lambda endpoints: RingHash(endpoints, 64, 4096),
    lambda endpoints: Maglev(endpoints, 251),
]


def endpoints_of(weights: list[int]) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"10.0.0.{i}:20880", weight) for i, weight in enumerate(weights)]


@examples(100)
@given(st.sampled_from(MAKERS), weights, st.lists(hashes, min_size=1, max_size=20), st.lists(st.integers(0, 5)))
def test_every_pick_is_one_of_the_endpoints(make: Any, weights: Any, values: Any, active: Any) -> None:
    endpoints = endpoints_of(weights)
    for endpoint, number in zip(endpoints, active, strict=False):
        endpoint.active = number
    balancer = make(endpoints)
    assert all(balancer.pick(value) in endpoints for value in values)


@given(st.sampled_from(MAKERS[3:]), weights, hashes, st.integers())
def test_a_hash_gives_the_same_endpoint_in_whatever_order_they_are_reported(
    make: Any, weights: Any, value: Any, seed: Any
) -> None:
    endpoints = endpoints_of(weights)
    shuffled = random.Random(seed).sample(endpoints, len(endpoints))
    assert make(endpoints).pick(value) is make(shuffled).pick(value)


@given(weights, st.integers(1, 300))
def test_turns_are_as_many_as_the_weights_say_and_never_more_than_allowed(weights: Any, bound: Any) -> None:
    counts = Counter(schedule(weights, bound))
    assert all(counts[index] >= 1 for index in range(len(weights)))
    assert sum(counts.values()) <= bound + len(weights)
    if sum(weights) <= bound:
        total = sum(counts.values())
        assert all(counts[index] * sum(weights) == weight * total for index, weight in enumerate(weights))


@given(weights)
def test_turns_are_spread_over_the_round_as_evenly_as_weights_allow(weights: Any) -> None:
    """Everybody is within one turn of an even course; a turn's number is off by the sum of that at most."""
    turns = schedule(weights)
    had = Counter[int]()
    for turn, who in enumerate(turns, 1):
        had[who] += 1
        share = weights[who] / sum(weights)
        assert abs(had[who] - share * turn) <= 1 + share * (len(weights) - 2) + 1e-6


@example([77, 11, 11, 20], 1, 256)
@given(weights, st.integers(1, 256), st.integers(256, 1024))
def test_a_ring_has_a_place_for_each_endpoint_and_no_more_than_allowed(
    weights: Any, minimum: Any, maximum: Any
) -> None:
    endpoints = endpoints_of(weights)
    places = ring(endpoints, minimum, maximum)
    assert len(places) <= maximum + 1
    assert [place for place, _ in places] == sorted(place for place, _ in places)
    if sum(weights) / min(weights) * 2 <= maximum:
        assert {owner for _, owner in places} == set(endpoints)


@examples(25)
@given(st.lists(hashes, min_size=1, max_size=50), st.integers(2, 12), st.data())
def test_when_an_endpoint_leaves_a_ring_no_key_of_the_others_moves(values: Any, count: Any, data: Any) -> None:
    endpoints = endpoints_of([1] * count)
    gone = data.draw(st.sampled_from(endpoints))
    before = RingHash(endpoints, 100 * count)
    after = RingHash([endpoint for endpoint in endpoints if endpoint is not gone], 100 * (count - 1))
    for value in values:
        if before.pick(value) is not gone:
            assert after.pick(value) is before.pick(value)


@given(st.lists(st.none() | texts, max_size=4), st.randoms())
def test_the_order_of_keys_and_missing_ones_do_not_change_a_hash(values: Any, shuffling: Any) -> None:
    shuffled = list(values)
    shuffling.shuffle(shuffled)
    assert hash_values(shuffled) == hash_values(values)
    assert hash_values([*values, None]) == hash_values(values)


@given(texts)
def test_b5_a_value_is_hashed_whatever_it_holds_and_only_no_value_has_no_hash(value: Any) -> None:
    found = hash_values([value])
    assert found is not None and 0 <= found < 2**64
    assert hash_values([None]) is None
