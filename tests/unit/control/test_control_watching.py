"""Rollouts are watched, and ended when they harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from control_plane import NOON, Planted, cluster_text

from metaproxy.control.nodes import Node
from metaproxy.control.rates import Counts
from metaproxy.control.rollout_spec import shown_moment
from metaproxy.control.scraping import Scraped
from metaproxy.control.settings import read_settings
from metaproxy.control.watching import Watching


class Counters:
    """What nodes have counted. errors: how many of 100 requests a round fail, by the version that a node has."""

    def __init__(self) -> None:
        self.counts: dict[str, Counts] = {}
        self.errors: dict[str, float] = {}
        self.version: Callable[[Node], str] = lambda _: ""
        self.silent: set[str] = set()
        self.asked = 0

    def ask(self, nodes: Sequence[Node], found: Callable[[Scraped], None]) -> None:
        self.asked += len(nodes)
        for node in nodes:
            if node.id in self.silent:
                found(Scraped(node, None, "its admin API answers 401"))
                continue
            before = self.counts.get(node.id, Counts(0, 0))
            made = Counts(before.requests + 100, before.errors + self.errors.get(self.version(node), 0))
            self.counts[node.id] = made
            found(Scraped(node, made, ""))

    def close(self) -> None:
        pass


def rollout(more: str = "") -> str:
    start = shown_moment(NOON)
    return (
        f'rollout: {{version: v2, before: v1, start: "{start}", steps: [{{percent: 50, hold: 10m}}], '
        f"return_when: {{errors: 5, requests: 500{more}}}}}"
    )


class Stand:
    def __init__(self, text: str, refuses: str = "never") -> None:
        self.planted = Planted(versions__v1__a=cluster_text("one"), versions__v2__a=cluster_text("two"), rollout=text)
        planted = self.planted
        self.counters = Counters()
        reactor: Any = planted.clock
        settings = read_settings("scrape: {every: 5s}", "control.yaml", {}).scrape
        self.watching = Watching(planted.fleet, planted.plane, settings, reactor, self.counters)
        planted.start()
        self.watching.startService()
        assert planted.plane.plan is not None
        self.counters.version = lambda node: planted.plane.plan.version(node) if planted.plane.plan else ""
        for number in range(20):
            planted.client(f"n{number}", refuses)

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.planted.clock.advance(5)
            self.planted.settle()

    @property
    def ended(self) -> str | None:
        plan = self.planted.plane.plan
        assert plan is not None
        returned = plan.rollouts[""].returned
        return returned.reason if returned is not None else None


def test_a_version_whose_requests_fail_is_taken_back_from_all_nodes() -> None:
    stand = Stand(rollout())
    stand.counters.errors = {"v2": 20}
    stand.rounds(4)
    assert stand.ended is not None
    assert "20.00 %" in stand.ended
    assert set(map(str, stand.planted.stats().values())) == {"['one']"}


def test_what_fails_as_often_without_it_is_no_fault_of_the_version() -> None:
    stand = Stand(rollout())
    stand.counters.errors = {"v1": 20, "v2": 22}
    stand.rounds(20)
    assert stand.ended is None


def test_a_few_requests_are_not_judged() -> None:
    stand = Stand(rollout(", window: 1s").replace("requests: 500", "requests: 100000"))
    stand.counters.errors = {"v2": 100}
    stand.rounds(10)
    assert stand.ended is None


def test_a_node_that_refuses_the_new_version_ends_the_rollout() -> None:
    stand = Stand(rollout(), refuses="two")
    stand.rounds(1)
    assert stand.ended is not None
    assert "refuses a of clusters: refused by the test" in stand.ended
    assert set(map(str, stand.planted.stats().values())) <= {"['one']", "[]"}


def test_unless_that_is_said_otherwise() -> None:
    stand = Stand(rollout(", refused: false"), refuses="two")
    stand.rounds(1)
    assert stand.ended is None


def test_what_a_node_refuses_in_both_versions_ends_nothing() -> None:
    stand = Stand(rollout(), refuses="two")
    stand.planted.source.set(versions__v1__a=cluster_text("two"))
    stand.rounds(2)
    assert stand.ended is None


def test_nodes_without_counters_are_shown_with_the_reason() -> None:
    stand = Stand(rollout())
    stand.counters.silent = {"n3"}
    stand.rounds(1)
    assert stand.planted.plane.plan is not None
    shown = stand.watching.shown(stand.planted.plane.plan.rollouts[""])
    assert shown["without_counters"] == {"n3": "its admin API answers 401"}


def test_no_node_is_asked_when_nothing_is_rolled_out() -> None:
    stand = Stand("rollout: {version: v2}")
    stand.rounds(5)
    assert stand.counters.asked == 0
