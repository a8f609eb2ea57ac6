from __future__ import annotations

from math import inf
from typing import Any

import pytest
from cluster_network import Network
from cluster_pool import with_pool
from leftovers import no_collector
from twisted.internet.task import Clock

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.outlier import EndpointMonitor, OutlierDetector, Settings, threshold
from metaproxy.codecs.framing import Codec


class Works:
    """A cluster of so many endpoints with an outlier detection."""

    def __init__(self, number: int = 4, **settings: Any) -> None:
        self.clock = Clock()
        self.outliers = OutlierDetector(Settings(**settings), self.clock)
        self.endpoints = [Endpoint(f"a:{port}") for port in range(1, number + 1)]
        self.cluster = Cluster("demo", Codec(), self.endpoints, RoundRobin, monitors=[self.outliers])
        self.cluster.start(Network(self.clock))

    def errors(self, number: int, of: int = 0) -> None:
        for _ in range(number):
            self.endpoints[of].answered(True)

    def losses(self, number: int, of: int = 0) -> None:
        for _ in range(number):
            self.endpoints[of].lost(False)

    def interval(self, *rates: tuple[int, int]) -> None:
        """An interval in which each endpoint has (successes, errors)."""
        for endpoint, (successes, errors) in zip(self.endpoints, rates, strict=False):
            endpoint.counts.successes += successes
            endpoint.counts.errors += errors
        self.clock.advance(self.outliers.settings.interval)

    @property
    def out(self) -> list[str]:
        return [endpoint.address for endpoint in self.endpoints if endpoint.ejected]

    @property
    def used(self) -> set[str]:
        return {endpoint.address for level in self.cluster.levels for endpoint, _ in level.members}


def test_so_many_errors_in_a_row_eject() -> None:
    works = Works(consecutive_errors=3)
    works.errors(2)
    assert works.out == []
    works.errors(1)
    assert works.out == ["a:1"] and works.used == {"a:2", "a:3", "a:4"}
    assert works.cluster.counts.ejections == {"consecutive_errors": 1}


def test_a_success_between_them_begins_anew() -> None:
    works = Works(consecutive_errors=3)
    works.errors(2)
    works.endpoints[0].counts.successes += 1  # as the path counts it, without telling anybody
    works.errors(2)
    assert works.out == []
    works.errors(1)
    assert works.out == ["a:1"]


def test_what_was_not_answered_counts_as_an_error_unless_they_are_split() -> None:
    works = Works(consecutive_errors=4)
    works.errors(2)
    works.losses(1)
    works.endpoints[0].timed_out()
    assert works.out == ["a:1"]


def test_split_counts_answers_and_the_lack_of_them_apart() -> None:
    works = Works(consecutive_errors=3, consecutive_local=2, split=True)
    works.errors(2)
    works.losses(1)
    assert works.out == []
    works.losses(1)
    assert works.out == ["a:1"]
    works = Works(consecutive_errors=3, consecutive_local=2, split=True)
    for _ in range(3):
        works.losses(1)
        works.errors(1)
    assert works.cluster.counts.ejections == {"consecutive_errors": 1}


def test_an_answer_ends_a_row_of_unanswered_requests_even_if_it_tells_of_failure() -> None:
    works = Works(consecutive_errors=0, consecutive_local=2, split=True)
    for _ in range(9):
        works.losses(1)
        works.errors(1)
    assert works.out == []


def test_zero_is_never() -> None:
    works = Works(consecutive_errors=0)
    works.errors(1000)
    assert works.out == []


def test_an_ejected_endpoint_comes_back_and_each_further_time_takes_longer() -> None:
    works = Works(consecutive_errors=1, ejection_time=30, max_ejection_time=70, interval=1000)
    for seconds in (30, 60, 70, 70):
        works.errors(1)
        assert works.out == ["a:1"]
        works.clock.advance(seconds - 0.1)
        assert works.out == ["a:1"]
        works.clock.advance(0.2)
        assert works.out == [] and "a:1" in works.used


def test_good_intervals_make_the_next_time_shorter_again() -> None:
    works = Works(consecutive_errors=1, ejection_time=10, interval=10)
    for _ in range(3):
        works.errors(1)
        works.clock.advance(works.endpoints[0].ejected_until - works.clock.seconds() + 0.01)
    before = works.endpoints[0].ejections
    works.interval()
    works.interval()
    assert works.endpoints[0].ejections == before - 2


def test_ejection_time_above_its_maximum_is_the_maximum() -> None:
    works = Works(consecutive_errors=1, ejection_time=100, max_ejection_time=50)
    works.errors(1)
    assert works.endpoints[0].ejected_until == 100


def test_no_more_are_ejected_at_a_time_than_allowed_and_that_is_counted() -> None:
    works = Works(consecutive_errors=1, max_ejected=50)
    for index in range(4):
        works.errors(1, index)
    assert works.out == ["a:1", "a:2"]
    assert works.cluster.counts.ejections_refused == 2


@pytest.mark.parametrize(("max_ejected", "out"), [(10, ["a:1"]), (0, [])])
def test_one_may_be_ejected_of_few_unless_none_may(max_ejected: int, out: list[str]) -> None:
    works = Works(consecutive_errors=1, max_ejected=max_ejected)
    works.errors(1, 0)
    works.errors(1, 1)
    assert works.out == out


def test_after_its_return_errors_of_before_do_not_count() -> None:
    works = Works(consecutive_errors=3, ejection_time=1)
    works.errors(30)
    works.clock.advance(1.1)
    works.errors(2)
    assert works.out == []


SIX = [(100, 0)] * 5


def test_a_success_rate_far_below_the_others_ejects() -> None:
    works = Works(6, consecutive_errors=0)
    works.interval(*SIX, (70, 30))
    assert works.out == ["a:6"]
    assert works.cluster.counts.ejections == {"success_rate": 1}


def test_a_success_rate_that_is_like_the_others_does_not() -> None:
    works = Works(6, consecutive_errors=0)
    works.interval((70, 30), (75, 25), (72, 28), (68, 32), (71, 29), (69, 31))
    assert works.out == []


@pytest.mark.parametrize(("hosts", "requests"), [(4, 100), (6, 99)])
def test_rates_need_enough_hosts_with_enough_requests(hosts: int, requests: int) -> None:
    works = Works(hosts, consecutive_errors=0)
    works.interval(*[(requests, 0)] * (hosts - 1), (0, requests))
    assert works.out == []


def test_only_what_came_in_the_last_interval_counts() -> None:
    works = Works(6, consecutive_errors=0, success_rate=0, failure_percent=50, max_ejected=100)
    works.interval(*SIX, (51, 49))
    works.interval(*SIX, (51, 49))
    assert works.out == []
    works.interval(*SIX, (50, 50))
    assert works.out == ["a:6"]
    assert works.cluster.counts.ejections == {"failure_percent": 1}


def test_losses_count_in_the_rates_or_in_rates_of_their_own() -> None:
    for split in (False, True):
        works = Works(6, consecutive_errors=0, consecutive_local=0, success_rate=0, failure_percent=30, split=split)
        works.losses(60, 5)
        works.interval(*[(100, 0)] * 6)
        assert works.out == ["a:6"]
        works = Works(6, consecutive_errors=0, consecutive_local=0, success_rate=0, failure_percent=30, split=split)
        works.losses(40, 5)
        works.interval(*SIX, (80, 20))
        assert works.out == ([] if split else ["a:6"])


def test_the_threshold_is_so_many_deviations_below_the_mean() -> None:
    assert threshold([100, 100, 100, 100, 50], 1.9) == pytest.approx(90 - 1.9 * 20)


def slow(endpoint: Endpoint, times: int, seconds: float) -> None:
    for _ in range(times):
        endpoint.counts.latency.add(seconds)


def test_an_endpoint_whose_requests_take_long_is_ejected_by_its_last_interval() -> None:
    works = Works(2, consecutive_errors=0, latency=0.5)
    for endpoint in works.endpoints:
        slow(endpoint, 100, 0.01)
    slow(works.endpoints[0], 2, 3.0)
    works.interval()
    assert works.out == ["a:1"] and works.cluster.counts.ejections == {"latency": 1}


def test_a_few_slow_requests_do_not_tell() -> None:
    works = Works(2, consecutive_errors=0, latency=0.5)
    slow(works.endpoints[0], 99, 3.0)
    works.interval()
    assert works.out == []


def test_an_operator_may_restore_and_may_eject_for_good() -> None:
    works = Works(consecutive_errors=2)
    works.errors(2)
    works.cluster.restore(works.endpoints[0])
    assert works.out == [] and works.endpoints[0].ejections == 0
    works.errors(1)
    assert works.out == [], "the row begins anew"
    works.cluster.eject(works.endpoints[1])
    works.clock.advance(10_000)
    assert works.endpoints[1].ejected_until == inf


def test_endpoints_that_join_are_watched_and_those_that_leave_are_not() -> None:
    works = Works(2, consecutive_errors=1)
    works.errors(1)
    gone = works.endpoints[0]
    with_pool(gone)
    works.cluster.update([Endpoint("a:2"), Endpoint("a:3")])
    assert works.cluster.endpoints[1].monitor is not None
    gone.answered(True)
    assert [one.address for one in works.cluster.endpoints if one.ejected] == []
    works.cluster.endpoints[1].answered(True)
    assert [one.address for one in works.cluster.endpoints if one.ejected] == ["a:3"]


def test_an_endpoint_that_left_knows_no_detection_any_more() -> None:
    works = Works(2)
    first, second = works.cluster.endpoints
    works.cluster.update([Endpoint(second.address)])
    assert first.monitor is None and second.monitor is not None
    with no_collector(EndpointMonitor) as left:
        works.cluster.update([Endpoint("a:3")])
        works.cluster.update([Endpoint("a:4")])
        assert left.count() == {"EndpointMonitor": 1}


def test_a_stopped_detection_has_no_timers_and_is_told_nothing() -> None:
    works = Works(consecutive_errors=1)
    works.errors(1)
    works.cluster.stop()
    assert works.clock.getDelayedCalls() == []
    assert all(endpoint.monitor is None for endpoint in works.endpoints)


def test_an_ejection_goes_on_when_the_cluster_is_replaced() -> None:
    works = Works(2, consecutive_errors=1, ejection_time=30)
    works.errors(1)
    works.clock.advance(10)
    works.cluster.stop()
    again = [Endpoint("a:1"), Endpoint("a:2")]
    for new, old in zip(again, works.endpoints, strict=True):
        new.inherit(old)
    cluster = Cluster("demo", Codec(), again, RoundRobin, monitors=[OutlierDetector(Settings(), works.clock)])
    cluster.start(Network(works.clock))
    assert again[0].ejected
    works.clock.advance(20.1)
    assert not again[0].ejected
