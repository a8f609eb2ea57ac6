"""The less busy of a few."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from metaproxy.balancers.least_request import LeastRequest
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.plugins import OptionError, Registry
from metaproxy.testing import FakeEndpoint, check_balancer


def test_least_request_keeps_the_contract() -> None:
    check_balancer(lambda endpoints: LeastRequest(endpoints, seed=1))
    check_balancer(lambda endpoints: LeastRequest(endpoints, choices=5, seed=1))


def test_of_two_endpoints_the_less_busy_is_always_picked() -> None:
    busy, idle = FakeEndpoint("a", active=3), FakeEndpoint("b", active=2)
    balancer = LeastRequest([busy, idle], seed=2)
    assert {balancer.pick(0) for _ in range(200)} == {idle}


def test_what_is_under_way_counts_per_weight() -> None:
    heavy, light = FakeEndpoint("a", weight=10, active=9), FakeEndpoint("b", weight=1, active=1)
    balancer = LeastRequest([heavy, light], seed=3)
    assert {balancer.pick(0) for _ in range(200)} == {heavy}


def test_idle_endpoints_are_picked_by_weight() -> None:
    endpoints = [FakeEndpoint(str(weight), weight) for weight in (1, 9, 30, 60)]
    balancer = LeastRequest(endpoints, seed=4)
    counts = Counter(balancer.pick(0) for _ in range(50_000))
    for endpoint in endpoints:
        share = endpoint.weight / 100
        # 4.9 standard deviations: one seed in a million fails.
        assert abs(counts[endpoint] - 50_000 * share) < 4.9 * math.sqrt(50_000 * share * (1 - share)), endpoint


def test_a_slow_endpoint_is_relieved() -> None:
    """100 under way at any time; one of ten answers only every tenth time that it could."""
    endpoints = [FakeEndpoint(str(i)) for i in range(10)]
    balancer = LeastRequest(endpoints, seed=5)
    counts: Counter[IEndpoint] = Counter()
    for turn in range(20_000):
        picked = balancer.pick(0)
        picked.active += 1
        counts[picked] += 1
        for endpoint in endpoints:
            if endpoint.active and turn % 10 == 0 and (endpoint is not endpoints[0] or turn % 100 == 0):
                endpoint.active -= 1
    # By its share it would get 2000; two drawn at random are it and another in a fifth of all draws.
    assert counts[endpoints[0]] < 1000


def test_the_longest_queue_of_two_choices_is_far_shorter_than_of_one() -> None:
    """Azar et al. (1994): of n balls in n bins the fullest bin has about ln ln n / ln 2, not ln n / ln ln n."""
    endpoints = [FakeEndpoint(str(i)) for i in range(1000)]
    balancer = LeastRequest(endpoints, seed=6)
    for _ in endpoints:
        balancer.pick(0).active += 1
    assert max(endpoint.active for endpoint in endpoints) <= 4


@pytest.mark.parametrize("choices", [1, 0, -1])
def test_fewer_than_two_choices_are_refused(choices: int) -> None:
    with pytest.raises(OptionError, match=f"{choices} is less than 2"):
        Registry().factory(ILoadBalancer, "least_request", {"choices": choices})
