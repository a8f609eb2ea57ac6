from __future__ import annotations

from typing import Any

import pytest
from harness import Stage, answer, call
from reachable import reachable
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.ext_authz.authorization import Decision
from metaproxy.filters.ext_authz.filter import ExtAuthz
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind
from metaproxy.plugins import OptionError, Registry
from metaproxy.testing import check_filter

WHERE = {"grpc": "127.0.0.1:9"}


class Away(Exception):
    pass


class Service:
    """Answers when a test says so. asked: what it was asked, oldest first."""

    failures: tuple[type[Exception], ...] = (Away,)

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.waiting: list[Deferred[Decision]] = []
        self.stopped = 0

    def ask(self, asked: Any) -> Deferred[Decision]:
        self.asked.append(asked)
        waiting: Deferred[Decision] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def stop(self) -> None:
        self.stopped += 1


class Scene:
    """A stage whose requests a service decides on."""

    def __init__(self, **options: Any) -> None:
        self.stage = Stage()
        self.service = Service()
        self.filter = ExtAuthz(**{"service": WHERE, "clock": self.stage.clock, **options})
        self.filter.service.stop()
        self.filter.service = self.service
        for route in (self.stage.route, self.stage.no_route):
            route.on_request = (self.filter.on_request,)
        self.client = self.stage.client()
        self.number = 0

    def ask(self, service: str = "echo") -> None:
        self.number += 1
        self.stage.say(self.client, call(self.number, service))

    def decide(self, decision: Decision | Exception) -> None:
        waiting = self.service.waiting.pop(0)
        if isinstance(decision, Exception):
            waiting.errback(decision)
        else:
            waiting.callback(decision)
        self.stage.clock.advance(0)

    @property
    def forwarded(self) -> int:
        return sum(wire.written.count(b"echo") for wire in self.stage.network.upstreams)


def test_it_keeps_the_contract_and_is_known_by_its_name() -> None:
    built: Any = Registry().factory(IFilter, "ext_authz", {"service": WHERE}, {"clock": Clock()})()
    check_filter(built)
    built.stop()


def test_a_request_waits_for_the_decision_and_passes() -> None:
    scene = Scene()
    scene.ask()
    assert (scene.forwarded, scene.client.take()) == (0, b"")
    asked = scene.service.asked[0]
    assert (asked.source, asked.destination) == (("127.0.0.9", 4321), ("127.0.0.1", 80))
    assert asked.context == {"listener": "front", "route": "all"}
    scene.decide(Decision(True))
    assert scene.forwarded == 1
    scene.stage.say(scene.stage.server, answer(1))
    assert scene.client.take() == answer(1)
    assert scene.filter.counters["ok"] == 1


def test_a_request_that_is_refused_reaches_no_server_and_its_client_is_told() -> None:
    scene = Scene()
    scene.ask()
    scene.decide(Decision(False, ErrorKind.LIMITED, "not today"))
    assert b"ext_authz: not today" in scene.client.take()
    assert scene.stage.network.upstreams == []
    assert scene.filter.counters["denied"] == 1


def test_without_an_answer_it_is_closed_unless_it_is_told_to_be_open() -> None:
    closed, opened = Scene(), Scene(fail="open")
    for scene in (closed, opened):
        scene.ask()
        scene.decide(Away("nobody there"))
    assert b"can't be asked" in closed.client.take()
    assert (closed.forwarded, opened.forwarded) == (0, 1)
    assert (closed.filter.counters["error"], closed.filter.counters["failure_mode_allowed"]) == (1, 0)
    assert (opened.filter.counters["error"], opened.filter.counters["failure_mode_allowed"]) == (1, 1)


def test_a_failure_of_our_own_is_never_taken_for_a_service_that_is_away() -> None:
    scene = Scene(fail="open")
    told: list[Any] = []
    listener: Any = scene.stage.listener
    listener.filter_failed = lambda hook, failure: told.append(failure)
    scene.ask()
    scene.decide(KeyError("a mistake"))
    assert scene.forwarded == 0
    assert len(told) == 1


def test_only_what_matches_is_asked_about() -> None:
    scene = Scene(match={"service": {"prefix": "ec"}})
    scene.ask("other")
    assert scene.service.asked == []
    scene.ask("echo")
    assert len(scene.service.asked) == 1


def test_decisions_are_kept_for_their_time_by_the_values_of_their_keys() -> None:
    scene = Scene(cache={"key": ["service"], "ttl": "10s"})
    scene.ask("echo")
    scene.decide(Decision(True))
    scene.ask("echo")
    assert (len(scene.service.asked), scene.filter.counters["cached"], scene.forwarded) == (1, 1, 2)
    scene.ask("other")
    scene.decide(Decision(False, text="no"))
    scene.client.take()
    scene.ask("other")
    assert b"ext_authz: no" in scene.client.take()
    assert len(scene.service.asked) == 2
    scene.stage.clock.advance(10)
    scene.ask("echo")
    assert len(scene.service.asked) == 3


def test_a_failure_is_not_kept() -> None:
    scene = Scene(cache={"key": ["service"]})
    scene.ask()
    scene.decide(Away())
    scene.ask()
    assert len(scene.service.asked) == 2


def test_kept_decisions_are_bounded() -> None:
    scene = Scene(cache={"key": ["service"], "max": 2})
    for name in ("a", "b", "c", "b", "a"):
        scene.ask(name)
        if scene.service.waiting:
            scene.decide(Decision(True))
    assert [asked.metadata["service"] for asked in scene.service.asked] == ["a", "b", "c", "a"]
    assert sum(isinstance(one, Decision) for one in reachable(scene.filter)) == 2


def test_more_metadata_than_may_be_told_is_refused_without_asking() -> None:
    scene = Scene(max_metadata=10)
    scene.ask("x" * 20)
    assert b"more metadata" in scene.client.take()
    assert scene.service.asked == []


def test_a_client_that_leaves_meanwhile_is_no_matter() -> None:
    scene = Scene()
    scene.ask()
    scene.client.end()
    scene.decide(Decision(True))
    assert scene.stage.network.upstreams == []
    assert scene.filter.counters["ok"] == 0


def test_what_the_service_wants_changed_is_seen_by_later_filters() -> None:
    scene = Scene()
    seen: list[Any] = []
    later = type("Later", (), {"on_request": lambda self, exchange: seen.append(exchange.get("user"))})()
    scene.stage.route.on_request = (scene.filter.on_request, later.on_request)
    scene.ask()
    scene.decide(Decision(True, set={"user": "ann"}))
    assert seen == ["ann"]


def test_it_stops_with_its_service() -> None:
    scene = Scene()
    scene.filter.stop()
    assert scene.service.stopped == 1


@pytest.mark.parametrize(
    ("options", "option", "told"),
    [
        ({"service": {}}, "service", "write grpc: HOST:PORT, or http"),
        ({"service": {"grpc": "a:1", "http": "http://b"}}, "service", "one of them"),
        ({"service": {"grpc": "a"}}, "service", "is not an address"),
        ({"service": {"grpc": "a:1", "headers": {"a": "b"}}}, "service", "go with http"),
        ({"service": {"http": "b:80"}}, "service", "is not a URL"),
        ({"service": {"grcp": "a:1"}}, "service", "no option 'grcp'"),
        ({"timeout": 0.0}, "timeout", "greater than 0"),
        ({"cache": {"key": []}}, "cache", "an empty list; write at least 1"),
        ({"cache": {"ttl": "1s"}}, "cache", "option 'key' is missing"),
        ({"match": {"user": {"prefx": "a"}}}, "match", "prefx"),
    ],
)
def test_wrong_options_are_told_with_their_place(options: dict[str, Any], option: str, told: str) -> None:
    with pytest.raises(OptionError, match=told) as raised:
        Registry().factory(IFilter, "ext_authz", {"service": WHERE, **options}, {"clock": Clock()})()
    assert raised.value.option == option
