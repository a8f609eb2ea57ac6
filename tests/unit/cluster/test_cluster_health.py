from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster_network import Network
from twisted.internet.task import Clock

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import AT_ONCE, HealthChecks, Settings
from metaproxy.codecs.framing import Codec


class Works:
    """Checks whose answers a test gives. well: addresses that are; slow: those that don't answer by themselves."""

    def __init__(self, number: int = 3, uniform: float = 0.0, **settings: Any) -> None:
        self.clock = Clock()
        self.well = {f"a:{port}" for port in range(1, number + 1)}
        self.slow: dict[str, Callable[[bool, str], None]] = {}
        self.hang: set[str] = set()
        self.asked: list[tuple[float, str]] = []
        self.cancelled: list[str] = []
        self.checks = HealthChecks(Settings(**settings), self.probe, self.clock, lambda: uniform)
        self.endpoints = [Endpoint(f"a:{port}") for port in range(1, number + 1)]
        self.cluster = Cluster("demo", Codec(), self.endpoints, RoundRobin, monitors=[self.checks])

    def start(self) -> Works:
        self.cluster.start(Network(self.clock))
        self.clock.advance(0)
        return self

    def probe(self, cluster: Cluster, endpoint: Endpoint, network: Any, timeout: float, done: Any) -> Any:
        address = endpoint.address
        self.asked.append((self.clock.seconds(), address))
        if address in self.hang:
            self.slow[address] = done
        else:
            self.clock.callLater(0, done, address in self.well, "it said so")
        return lambda: self.cancelled.append(address)

    def rounds(self, number: int = 1) -> None:
        for _ in range(number):
            self.clock.advance(self.checks.settings.interval)
            self.clock.advance(0)

    @property
    def used(self) -> set[str]:
        return {endpoint.address for level in self.cluster.levels for endpoint, _ in level.members}


def test_the_first_check_comes_at_once_and_decides_at_once() -> None:
    works = Works()
    works.well -= {"a:2"}
    assert works.used == {"a:1", "a:2", "a:3"}
    works.start()
    works.clock.advance(0)
    assert works.used == {"a:1", "a:3"}
    assert [endpoint.checked for endpoint in works.endpoints] == [True] * 3


def test_so_many_failures_in_a_row_take_out_and_so_many_passes_bring_back() -> None:
    works = Works(healthy=2, unhealthy=3).start()
    works.rounds()
    works.well -= {"a:1"}
    works.rounds(2)
    assert "a:1" in works.used
    works.rounds()
    assert works.used == {"a:2", "a:3"}
    works.well |= {"a:1"}
    works.rounds()
    assert "a:1" not in works.used
    works.rounds()
    assert works.used == {"a:1", "a:2", "a:3"}


def test_a_check_that_agrees_begins_the_row_anew() -> None:
    works = Works(unhealthy=2).start()
    for _ in range(3):
        works.well -= {"a:1"}
        works.rounds()
        works.well |= {"a:1"}
        works.rounds()
    assert "a:1" in works.used


def test_checks_are_counted() -> None:
    works = Works()
    works.well -= {"a:1"}
    works.start()
    works.rounds()
    assert (works.cluster.counts.checks, works.cluster.counts.check_failures) == (6, 2)


def test_checks_of_an_endpoint_follow_each_other_at_the_interval_and_its_jitter() -> None:
    works = Works(1, uniform=0.5, interval=10.0, jitter=20).start()
    for _ in range(40):
        works.clock.advance(1.0)
    assert [time for time, _ in works.asked] == [0, 11, 22, 33]


def test_the_next_check_waits_for_the_last() -> None:
    works = Works(1, interval=1.0)
    works.hang = {"a:1"}
    works.start()
    works.rounds(5)
    assert len(works.asked) == 1
    works.slow["a:1"](False, "late")
    works.rounds()
    assert len(works.asked) == 2


def test_only_so_many_checks_are_under_way_at_a_time() -> None:
    works = Works(AT_ONCE + 3)
    works.hang = set(works.well)
    works.start()
    assert len(works.asked) == AT_ONCE
    for index in range(AT_ONCE):
        works.slow[f"a:{index + 1}"](True, "")
    assert len(works.asked) == AT_ONCE + 3


def test_one_that_joins_later_is_used_when_its_first_check_has_passed() -> None:
    works = Works(2).start()
    works.rounds()
    works.well |= {"a:4"}
    works.cluster.update([Endpoint(f"a:{port}") for port in (1, 2, 4, 5)])
    assert works.used == {"a:1", "a:2"}
    works.clock.advance(0)
    works.clock.advance(0)
    assert works.used == {"a:1", "a:2", "a:4"}


def test_the_first_ones_of_an_empty_cluster_are_used_at_once() -> None:
    works = Works(0).start()
    works.cluster.update([Endpoint("a:1"), Endpoint("a:2")])
    assert works.used == {"a:1", "a:2"}


def test_what_was_known_before_the_cluster_was_replaced_is_revised_as_ever() -> None:
    works = Works(2, healthy=2)
    works.endpoints[0].checked, works.endpoints[0].healthy = True, False
    works.cluster.refresh()
    works.start()
    assert works.used == {"a:2"}
    works.rounds(2)
    assert works.used == {"a:1", "a:2"}


def test_who_leaves_is_checked_no_more() -> None:
    works = Works(2)
    works.hang = {"a:1"}
    works.start()
    works.cluster.update([Endpoint("a:2")])
    assert works.cancelled == ["a:1"]
    works.slow["a:1"](False, "too late")
    works.asked.clear()
    works.rounds(3)
    assert {address for _, address in works.asked} == {"a:2"}


def test_a_stop_ends_what_is_under_way_and_leaves_no_timer() -> None:
    works = Works(AT_ONCE + 2)
    works.hang = set(works.well)
    works.start()
    works.cluster.stop()
    assert sorted(works.cancelled) == sorted(address for _, address in works.asked)
    assert works.clock.getDelayedCalls() == []
