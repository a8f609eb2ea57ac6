"""Turns by weight."""

from __future__ import annotations

from collections import Counter

import pytest

from metaproxy.balancers.round_robin import MAX_SCHEDULE, RoundRobin, schedule
from metaproxy.interfaces import IEndpoint
from metaproxy.testing import FakeEndpoint, check_balancer


def test_round_robin_keeps_the_contract() -> None:
    check_balancer(RoundRobin)


def test_endpoints_of_equal_weight_take_turns_in_their_order() -> None:
    endpoints: list[IEndpoint] = [FakeEndpoint(f"10.0.0.{i}:1", 4) for i in range(3)]
    balancer = RoundRobin(endpoints, seed=1)
    picked = [endpoints.index(balancer.pick(0)) for _ in range(9)]
    assert picked == [(picked[0] + i) % 3 for i in range(9)]


@pytest.mark.parametrize("weights", [[5, 1, 1], [1, 2, 3], [100, 1], [7, 7, 14], [3, 5, 7, 11]])
def test_in_each_round_everyone_has_exactly_the_turns_of_its_weight(weights: list[int]) -> None:
    endpoints = [FakeEndpoint(str(i), weight) for i, weight in enumerate(weights)]
    balancer = RoundRobin(endpoints, seed=2)
    for _ in range(3):
        counts = Counter(balancer.pick(0) for _ in range(sum(weights)))
        assert [counts[endpoint] for endpoint in endpoints] == weights


@pytest.mark.parametrize("weights", [[5, 1, 1], [1, 2, 3], [100, 1], [3, 5, 7, 11], [50] + [1] * 50])
def test_turns_are_spread_so_that_nobody_is_ahead_by_two(weights: list[int]) -> None:
    turns = schedule(weights)
    for index, weight in enumerate(weights):
        had = 0
        for turn, who in enumerate(turns, 1):
            had += who == index
            assert abs(had - weight * turn / len(turns)) < 2, (index, turn)


def test_a_heavy_endpoint_does_not_get_its_turns_in_a_row() -> None:
    assert schedule([5, 1, 1]) == [0, 1, 0, 0, 0, 2, 0]


def test_weights_are_reduced_by_what_they_have_in_common() -> None:
    assert schedule([200, 100]) == schedule([2, 1])
    assert len(schedule([200, 100])) == 3


def test_a_schedule_is_bounded_and_leaves_nobody_out() -> None:
    weights = [1_000_003, 999_983, 1]
    counts = Counter(schedule(weights))
    assert sum(counts.values()) <= MAX_SCHEDULE + len(weights)
    for index, weight in enumerate(weights):
        share = counts[index] / sum(counts.values())
        assert counts[index] >= 1
        assert abs(share - weight / sum(weights)) < 2 / MAX_SCHEDULE


def test_the_start_is_random_but_for_a_seed() -> None:
    endpoints = [FakeEndpoint(str(i)) for i in range(1000)]
    assert RoundRobin(endpoints, seed=3).pick(0) is RoundRobin(endpoints, seed=3).pick(0)
    assert len({RoundRobin(endpoints, seed=seed).pick(0).address for seed in range(20)}) > 10
