"""What a watch makes of lists, events, and servers that go away or forget."""

from __future__ import annotations

import json

import pytest
from kubernetes_api import THINGS, FakeApi, Objects, thing
from twisted.internet.task import Clock

from metaproxy.kubernetes import watch
from metaproxy.kubernetes.resources import Key, Scope
from metaproxy.kubernetes.watch import Watch


class Watched:
    """A watch that was started, with chance 1: a wait is never shortened."""

    def __init__(self) -> None:
        self.api, self.sink, self.clock = FakeApi(), Objects(), Clock()
        self.watch = Watch(self.api, Scope(THINGS), self.sink, self.clock, chance=lambda: 1.0)
        self.watch.start()
        self.clock.advance(0)

    @property
    def names(self) -> list[str]:
        return sorted(key.name for key in self.sink.found)


@pytest.fixture
def one() -> Watched:
    return Watched()


@pytest.fixture
def listed(one: Watched) -> Watched:
    """With a and b, watched from version 10."""
    one.api.answer(10, thing("a", 1), thing("b", 2))
    assert one.api.asked == [("page", ""), ("watch", "10")]
    one.sink.events.clear()
    return one


def test_what_there_is_comes_first_page_by_page_and_is_then_watched(one: Watched) -> None:
    one.api.answer(10, thing("a", 1), rest="more")
    assert one.sink.events == ["put shop/a"]
    one.api.answer(10, thing("b", 2))
    assert one.sink.events == ["put shop/a", "put shop/b", "synced"]
    assert one.api.asked == [("page", ""), ("page", "more"), ("watch", "10")]


def test_an_empty_list_is_an_answer(one: Watched) -> None:
    one.api.answer(10)
    assert one.sink.events == ["synced"]


def test_events_put_and_remove_objects(listed: Watched) -> None:
    listed.api.event("ADDED", thing("c", 11))
    listed.api.event("MODIFIED", thing("a", 12, size=2))
    listed.api.event("DELETED", thing("b", 13))
    assert listed.sink.events == ["put shop/c", "put shop/a", "remove shop/b"]
    assert listed.sink.found[Key("shop", "a")]["spec"] == {"size": 2}


def test_events_may_come_in_any_pieces(listed: Watched) -> None:
    text = b"".join(
        json.dumps({"type": "ADDED", "object": thing(name, 20 + at)}).encode() + b"\n" for at, name in enumerate("cde")
    )
    for at in range(0, len(text), 7):
        listed.api.bytes(text[at : at + 7])
    assert listed.names == ["a", "b", "c", "d", "e"]


def test_a_watch_that_the_server_ends_goes_on_from_the_last_version_at_once(listed: Watched) -> None:
    listed.api.event("ADDED", thing("c", 11))
    listed.api.bookmark(40)
    listed.api.end()
    assert listed.api.asked[2:] == [("watch", "40")] and not listed.sink.failures


def test_a_server_that_goes_away_changes_nothing_and_is_asked_again_from_there(listed: Watched) -> None:
    listed.api.event("ADDED", thing("c", 11))
    listed.sink.events.clear()
    listed.api.refuse("connection refused")
    assert listed.sink.failures == ["things.test.dev: connection refused"] and not listed.sink.events
    assert len(listed.api.asked) == 2
    listed.clock.advance(watch.LEAST)
    assert listed.api.asked[2:] == [("watch", "11")]
    assert listed.names == ["a", "b", "c"]


def test_a_server_that_is_heard_again_has_all_there_is_known(listed: Watched) -> None:
    listed.api.refuse("connection refused")
    listed.clock.advance(watch.LEAST)
    listed.sink.events.clear()
    listed.api.bookmark(12)
    assert listed.sink.events == ["synced"]
    listed.api.bookmark(13)
    assert listed.sink.events == ["synced"]


def test_waits_double_up_to_the_most_and_begin_again_with_an_event(listed: Watched) -> None:
    waits = []
    for _ in range(7):
        listed.api.refuse()
        before, asked = listed.clock.seconds(), len(listed.api.asked)
        while len(listed.api.asked) == asked:
            listed.clock.advance(0.25)
        waits.append(listed.clock.seconds() - before)
    assert waits == [0.5, 1, 2, 4, 8, 10, 10]
    listed.api.bookmark(50)
    listed.api.refuse()
    asked = len(listed.api.asked)
    listed.clock.advance(watch.LEAST)
    assert len(listed.api.asked) == asked + 1


def test_a_server_that_asks_to_be_left_alone_is(listed: Watched) -> None:
    listed.api.refuse("too many requests", 429, 7.0)
    listed.clock.advance(6.9)
    assert len(listed.api.asked) == 2
    listed.clock.advance(0.2)
    assert len(listed.api.asked) == 3


@pytest.mark.parametrize("how", ["status", "event"])
def test_a_version_that_is_too_old_means_a_new_list_at_once(listed: Watched, how: str) -> None:
    if how == "status":
        listed.api.refuse("too old", 410)
    else:
        listed.api.event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    listed.clock.advance(0)
    assert listed.api.asked[2:] == [("page", "")] and not listed.sink.failures


def test_a_new_list_puts_what_differs_and_removes_what_is_gone(listed: Watched) -> None:
    listed.api.refuse("too old", 410)
    listed.clock.advance(0)
    listed.api.answer(90, thing("b", 2), rest="more")
    listed.api.answer(90, thing("c", 80))
    assert listed.sink.events == ["put shop/c", "remove shop/a", "synced"]


def test_a_list_that_breaks_off_removes_nothing(listed: Watched) -> None:
    listed.api.refuse("too old", 410)
    listed.clock.advance(0)
    listed.api.answer(90, thing("b", 2), rest="more")
    listed.api.refuse("away")
    assert listed.names == ["a", "b"]


def test_a_server_that_is_always_too_old_is_not_asked_without_a_pause(listed: Watched) -> None:
    listed.api.refuse("too old", 410)
    listed.clock.advance(0)
    listed.api.refuse("too old", 410)
    listed.clock.advance(0)
    assert len(listed.api.asked) == 3
    listed.clock.advance(watch.MOST)
    assert len(listed.api.asked) == 4


def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause(listed: Watched) -> None:
    listed.api.end()
    assert len(listed.api.asked) == 2 and "ended the watch at once" in listed.sink.failures[0]
    listed.clock.advance(watch.LEAST)
    assert len(listed.api.asked) == 3


RULE = "{apiGroups: [test.dev], resources: [things], verbs: [list, watch]}"
REFUSALS = {
    404: "the API server has no things.test.dev: is its CRD installed?",
    403: f"things.test.dev: forbidden; give its service account the RBAC rule {RULE}",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_kind_that_is_not_known_or_may_not_be_read_is_asked_for_more_and_more_seldom(
    one: Watched, status: int
) -> None:
    """A server that has only just started says the same of kinds that it has."""
    waits = []
    for _ in range(9):
        one.api.refuse("forbidden", status)
        before, asked = one.clock.seconds(), len(one.api.asked)
        while len(one.api.asked) == asked:
            one.clock.advance(0.25)
        waits.append(one.clock.seconds() - before)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30] and set(one.sink.failures) == {REFUSALS[status]}
    assert set(one.sink.events) == {"absent" if status == 404 else "forbidden"}


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type": "ADDED", "object": {}}\n', b"[" * 100 + b"]" * 100 + b"\n"])
def test_an_event_that_makes_no_sense_ends_the_watch_and_removes_nothing(listed: Watched, line: bytes) -> None:
    listed.api.bytes(line)
    assert len(listed.sink.failures) == 1 and listed.names == ["a", "b"]
    listed.clock.advance(watch.LEAST)
    assert listed.api.asked[2:] == [("watch", "10")]


def test_an_event_that_never_ends_ends_the_watch(listed: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        listed.api.bytes(b"x" * (1 << 20))
    assert listed.sink.failures == ["things.test.dev: an event of more than 4194304 bytes"]


def test_objects_may_have_so_many_bytes_in_all(listed: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BYTES", 1000)
    listed.api.event("ADDED", thing("c", 11, text="x" * 900))
    assert "name a namespace to watch fewer" in listed.sink.failures[0] and listed.names == ["a", "b"]
    listed.clock.advance(watch.LEAST)
    listed.api.event("DELETED", thing("a", 12))
    listed.api.event("ADDED", thing("c", 13, text="x" * 600))
    assert listed.names == ["b", "c"]


def test_after_the_stop_nothing_is_reported_and_what_waits_is_given_up(listed: Watched) -> None:
    listed.watch.stop()
    listed.api.event("ADDED", thing("c", 11))
    listed.clock.advance(0)
    assert listed.api.cancelled == 1 and not listed.sink.events and not listed.sink.failures
    assert not listed.clock.getDelayedCalls()


def test_it_may_be_stopped_by_what_it_reports(one: Watched) -> None:
    one.sink.put = lambda key, found: one.watch.stop()  # type: ignore[method-assign]
    one.api.answer(10, thing("a", 1), thing("b", 2))
    one.clock.advance(0)
    assert one.sink.events == [] and not one.clock.getDelayedCalls()


def test_a_sink_that_fails_is_given_all_again(listed: Watched) -> None:
    good = listed.sink.put

    def bad(key: Key, found: object) -> None:
        raise RuntimeError("a bug")

    listed.sink.put = bad  # type: ignore[method-assign]
    listed.api.event("ADDED", thing("c", 11))
    assert listed.sink.failures == ["things.test.dev: RuntimeError: a bug"]
    listed.sink.put = good  # type: ignore[method-assign]
    listed.clock.advance(watch.LEAST)
    listed.api.answer(12, thing("a", 1), thing("b", 2), thing("c", 11))
    assert listed.names == ["a", "b", "c"]
