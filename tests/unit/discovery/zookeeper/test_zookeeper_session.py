from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from twisted.internet.task import Clock
from zookeeper_tree import Ensemble

from metaproxy.discovery.zookeeper.session import AT_A_TIME, FIRST, LAST, PAUSE, REPORT, Session


class Watching:
    """A session and what its watches found, by path."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ensemble = Ensemble(self.clock)
        self.session = Session(self.clock, self.ensemble.client, "zk:2181")
        self.found: dict[str, list[object]] = {}
        self.failures: list[str] = []
        self.away: list[str] = []
        self.session.join(self, self.away.append)
        self.turn()

    def turn(self) -> None:
        for _ in range(4):
            self.clock.advance(0)

    def _take(self, path: str) -> Callable[[object], None]:
        return self.found.setdefault(path, []).append

    def data(self, path: str) -> object:
        watch = self.session.data(path, self._take(path), self.failures.append)
        self.turn()
        return watch

    def children(self, path: str) -> None:
        self.session.children(path, self._take(path), self.failures.append)
        self.turn()


@pytest.fixture
def at() -> Iterator[Watching]:
    yield Watching()


def test_a_node_is_read_and_again_whenever_it_changes(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.data("/a")
    at.ensemble.put("/a", b"2")
    at.clock.pump([PAUSE, 0])
    at.ensemble.put("/a", b"3")
    at.clock.pump([0, PAUSE, 0, 0])
    assert at.found["/a"] == [b"1", b"2", b"3"]


def test_a_node_that_is_not_there_is_found_when_it_comes(at: Watching) -> None:
    at.children("/a")
    at.ensemble.put("/a/b")
    at.clock.pump([0, PAUSE, 0, 0])
    assert at.found["/a"] == [None, ["b"]]


def test_many_changes_in_a_moment_cost_one_reading(at: Watching) -> None:
    at.ensemble.put("/a")
    at.children("/a")
    for n in range(100):
        at.ensemble.put(f"/a/{n}")
        at.clock.advance(0.0001)
    at.clock.pump([PAUSE, 0, 0])
    assert at.ensemble.reads == ["/a", "/a"]
    assert len(at.found["/a"][-1]) == 100  # type: ignore[arg-type]


def test_only_so_many_questions_wait_for_an_answer(at: Watching) -> None:
    for n in range(200):
        at.session.data(f"/{n}", lambda _: None, at.failures.append)
    assert len(at.ensemble.reads) == AT_A_TIME
    at.turn()
    assert len(at.ensemble.reads) == 200


def test_after_the_connection_was_lost_everything_is_read_again(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.data("/a")
    at.children("/b")
    at.ensemble.crash()
    at.ensemble.put("/a", b"2")
    at.ensemble.put("/b/c")
    at.clock.advance(5)
    at.ensemble.come_back()
    at.turn()
    assert at.found == {"/a": [b"1", b"2"], "/b": [None, ["c"]]}


def test_questions_that_were_lost_with_the_connection_are_asked_again_and_are_no_failure(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.session.data("/a", at.found.setdefault("/a", []).append, at.failures.append)
    at.ensemble.crash()
    at.turn()
    assert at.found["/a"] == [] and at.failures == []
    at.ensemble.come_back()
    at.turn()
    assert at.found["/a"] == [b"1"]


def test_a_lost_session_is_reported_at_once_and_from_time_to_time(at: Watching) -> None:
    at.ensemble.crash("the session has ended")
    assert at.away == ["zookeeper zk:2181: the session has ended"]
    at.clock.advance(REPORT)
    at.clock.advance(REPORT)
    assert len(at.away) == 3
    at.ensemble.come_back()
    at.clock.advance(10 * REPORT)
    assert len(at.away) == 3


def test_servers_that_never_answered_are_reported_after_a_few_seconds_and_the_client_goes_on() -> None:
    clock = Clock()
    ensemble = Ensemble(clock)
    ensemble.up = False
    session = Session(clock, ensemble.client, "zk:2181")
    away: list[str] = []
    session.join("x", away.append)
    clock.advance(2.9)
    assert away == []
    clock.advance(0.1)
    assert away == ["zookeeper zk:2181: no connection"]
    assert ensemble.opened == 1


def test_a_client_that_does_not_come_back_by_itself_is_replaced(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.data("/a")
    at.ensemble.crash()
    (before,) = at.ensemble.clients
    at.ensemble.put("/a", b"2")
    at.ensemble.up = True
    at.clock.advance(REPORT)
    at.turn()
    (now,) = at.ensemble.clients
    assert now is not before
    assert at.found["/a"] == [b"1", b"2"]
    before.lost("late")
    assert at.session.connected


def test_what_the_server_refuses_is_reported_and_asked_again(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.ensemble.refused.add("/a")
    at.data("/a")
    assert at.failures == ["/a: NoAuth"]
    at.ensemble.refused.clear()
    at.clock.pump([1.0, 0])
    assert at.found["/a"] == [b"1"]


def test_after_an_answer_the_wait_begins_from_the_first_again(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    at.ensemble.refused.add("/a")
    at.data("/a")
    for _ in range(5):
        at.clock.advance(LAST)
        at.turn()
    at.ensemble.refused.clear()
    at.clock.advance(LAST)
    at.turn()
    at.ensemble.refused.add("/a")
    at.ensemble.put("/a", b"2")
    at.clock.pump([0, PAUSE, 0, 0])
    at.ensemble.refused.clear()
    at.clock.pump([FIRST, 0, 0])
    assert at.found["/a"] == [b"1", b"2"]


def test_a_watch_that_was_stopped_is_silent(at: Watching) -> None:
    at.ensemble.put("/a", b"1")
    watch = at.session.data("/a", at.found.setdefault("/a", []).append, at.failures.append)
    watch.stop()
    at.turn()
    at.ensemble.put("/a", b"2")
    at.clock.pump([PAUSE, PAUSE])
    at.ensemble.crash()
    at.ensemble.come_back()
    at.turn()
    assert at.found["/a"] == []


def test_nothing_waits_once_it_is_closed(at: Watching) -> None:
    at.data("/a")
    at.ensemble.crash()
    at.session.close()
    at.turn()
    assert at.clock.getDelayedCalls() == []
    assert at.ensemble.clients == []
