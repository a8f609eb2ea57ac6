"""Independent picks by weight."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

from metaproxy.balancers.random import Random
from metaproxy.testing import FakeEndpoint, check_balancer


def test_random_keeps_the_contract() -> None:
    check_balancer(lambda endpoints: Random(endpoints, seed=1))


def test_picks_follow_the_weights() -> None:
    endpoints = [FakeEndpoint(str(weight), weight) for weight in (1, 9, 30, 60)]
    balancer = Random(endpoints, seed=2)
    counts = Counter(balancer.pick(0) for _ in range(50_000))
    for endpoint in endpoints:
        share = endpoint.weight / 100
        # 4.9 standard deviations: one seed in a million fails.
        assert abs(counts[endpoint] - 50_000 * share) < 4.9 * math.sqrt(50_000 * share * (1 - share)), endpoint


def test_picks_do_not_depend_on_the_one_before() -> None:
    endpoints = [FakeEndpoint("a"), FakeEndpoint("b")]
    balancer = Random(endpoints, seed=3)
    picked = [balancer.pick(0) for _ in range(20_001)]
    same = sum(one is next for one, next in pairwise(picked))
    assert abs(same - 10_000) < 4.9 * math.sqrt(20_000 * 0.25)


def test_a_seed_makes_the_picks_reproducible() -> None:
    endpoints = [FakeEndpoint(str(i)) for i in range(10)]
    one, other = Random(endpoints, seed=4), Random(endpoints, seed=4)
    assert [one.pick(0) for _ in range(50)] == [other.pick(0) for _ in range(50)]
