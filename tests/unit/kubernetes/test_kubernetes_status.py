"""When a status is written, and when it is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes_api import THINGS, thing
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.kubernetes import status
from metaproxy.kubernetes.api import ApiError
from metaproxy.kubernetes.resources import Key, Object, Resource
from metaproxy.kubernetes.status import Statuses, Verdict

GOOD, BAD = Verdict(True, "Accepted", "all well"), Verdict(False, "Refused", "spec.hosts: missing")
BEGIN = 1_800_000_000


class Server:
    """Keeps what is written; each write waits for `answer`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.statuses = Statuses(self, self.clock, lambda: BEGIN + self.clock.seconds(), chance=lambda: 1.0)
        self.written: list[tuple[str, Mapping[str, Any]]] = []
        self.waiting: Deferred[Object] | None = None

    def apply_status(self, resource: Resource, key: Key, status: Mapping[str, Any], manager: str) -> Deferred[Object]:
        assert resource == THINGS and manager == "metaproxy"
        self.written.append((key.name, status))
        self.waiting = Deferred()
        return self.waiting

    def answer(self, refusal: int | None = None, wait: float = 0.0) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        if refusal is None:
            waiting.callback({})
        else:
            waiting.errback(ApiError("no", refusal, wait))

    def report(self, name: str, verdict: Verdict, generation: int = 1, said: object = None, uid: str = "u") -> None:
        found = thing(name, 1)
        found["metadata"] = {**found["metadata"], "generation": generation, "uid": uid}  # type: ignore[dict-item]
        if said is not None:
            found["status"] = {"conditions": [{"type": "Other"}, said]}
        self.statuses.report(THINGS, found, verdict)

    def names(self) -> list[str]:
        return [name for name, _ in self.written]


def condition(verdict: Verdict, generation: int = 1, when: str = "2026-01-01T00:00:00Z") -> dict[str, object]:
    return {
        "type": "Accepted", "status": str(verdict.accepted), "reason": verdict.reason, "message": verdict.message,
        "observedGeneration": generation, "lastTransitionTime": when,
    }  # fmt: skip


@pytest.fixture
def server() -> Server:
    return Server()


def test_what_became_of_an_object_is_written_with_the_generation_that_was_judged(server: Server) -> None:
    server.report("a", BAD, 3)
    server.clock.advance(status.WITHIN)
    assert server.written == [
        ("a", {"observedGeneration": 3, "conditions": [condition(BAD, 3, "2027-01-15T08:00:02Z")]})
    ]


def test_a_status_that_says_it_already_is_left_alone(server: Server) -> None:
    server.report("a", GOOD, said=condition(GOOD))
    assert not server.clock.getDelayedCalls()


def test_the_time_changes_only_when_the_outcome_does(server: Server) -> None:
    server.report("a", BAD, 2, said=condition(BAD._replace(message="other"), 1))
    server.clock.advance(status.WITHIN)
    assert server.written[0][1]["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    server.answer()
    server.report("b", GOOD, 2, said=condition(BAD, 1))
    server.clock.advance(status.WITHIN)
    assert server.written[1][1]["conditions"][0]["lastTransitionTime"].startswith("2027-01-15T08:00:")


def test_one_that_another_proxy_has_written_meanwhile_is_not_written_again(server: Server) -> None:
    server.report("a", GOOD)
    server.report("a", GOOD, said=condition(GOOD))
    server.clock.advance(status.WITHIN)
    assert server.written == []


def test_it_is_not_written_again_because_another_disagrees(server: Server) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.answer()
    server.report("a", GOOD, said=condition(GOOD))
    server.report("a", GOOD, said=condition(BAD))
    server.clock.advance(10)
    assert server.names() == ["a"]


@pytest.mark.parametrize("change", [{"generation": 2}, {"verdict": BAD}, {"uid": "another"}])
def test_another_version_or_another_outcome_is_written(server: Server, change: dict[str, Any]) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.answer()
    server.report("a", **{"verdict": GOOD, **change})
    server.clock.advance(status.WITHIN)
    assert server.names() == ["a", "a"]


def test_they_are_written_one_after_the_other_with_a_pause(server: Server) -> None:
    for name in "abc":
        server.report(name, GOOD)
    server.clock.advance(status.WITHIN)
    server.clock.advance(10)
    assert server.names() == ["a"]
    server.answer()
    assert server.names() == ["a"]
    server.clock.advance(status.PAUSE)
    assert server.names() == ["a", "b"]


@pytest.mark.parametrize("refusal", [400, 409, 422])
def test_what_the_server_does_not_want_is_given_up_until_the_object_changes(server: Server, refusal: int) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.answer(refusal)
    server.report("a", GOOD)
    server.clock.advance(100)
    assert server.names() == ["a"] and server.statuses.refused == 1
    server.report("a", GOOD, 2)
    server.clock.advance(status.WITHIN)
    assert server.names() == ["a", "a"]


@pytest.mark.parametrize("refusal", [0, 401, 429, 500])
def test_what_could_not_be_written_is_tried_again_later(server: Server, refusal: int) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.answer(refusal, wait=7.0)
    server.clock.advance(6.9)
    assert server.names() == ["a"]
    server.clock.advance(0.2)
    assert server.names() == ["a", "a"]
    server.answer()
    assert server.statuses.written == 1


@pytest.mark.parametrize("refusal", [403, 404])
def test_what_may_be_the_word_of_a_server_that_has_only_just_started_is_given_up_later(
    server: Server, refusal: int
) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    for _ in range(status.TRIES):
        server.answer(refusal)
        server.clock.advance(status.AGAIN)
    server.answer(refusal)
    server.clock.advance(100)
    assert len(server.written) == status.TRIES + 1 and server.statuses.refused == 1


def test_a_newer_outcome_goes_before_one_that_is_tried_again(server: Server) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.report("a", BAD, 2)
    server.answer(500)
    server.clock.advance(status.AGAIN)
    assert [one["observedGeneration"] for _, one in server.written] == [1, 2]


def test_nothing_is_written_about_an_object_that_is_gone(server: Server) -> None:
    server.report("a", GOOD)
    server.statuses.forget(THINGS, Key("shop", "a"))
    server.clock.advance(10)
    assert server.written == []


def test_a_message_may_have_so_many_characters(server: Server) -> None:
    server.report("a", BAD._replace(message="x" * 100_000))
    server.clock.advance(status.WITHIN)
    assert len(server.written[0][1]["conditions"][0]["message"]) == status.MESSAGE


def test_after_the_stop_nothing_is_written(server: Server) -> None:
    server.report("a", GOOD)
    server.clock.advance(status.WITHIN)
    server.report("b", GOOD)
    server.statuses.stop()
    assert server.waiting is not None and server.waiting.called
    server.report("c", GOOD)
    server.clock.advance(100)
    assert server.names() == ["a"] and not server.clock.getDelayedCalls()
