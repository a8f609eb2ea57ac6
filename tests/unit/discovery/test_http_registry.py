from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted_calls import ScriptedCalls
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from metaproxy.clients.http import Answer
from metaproxy.discovery.http_registry import LAST, RegistryError, Rounds, Servers, basic, json_of, urls_of

ONE, TWO = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
def calls() -> ScriptedCalls:
    return ScriptedCalls()


def errors(asked: Deferred[Answer]) -> list[str]:
    found: list[str] = []
    asked.addErrback(lambda why: found.append(why.getErrorMessage()))
    return found


def test_a_server_is_asked_with_the_headers_of_the_registry(calls: ScriptedCalls) -> None:
    servers = Servers("demo", [ONE], calls, [("x-token", "t")])
    asked = servers.ask("GET", "/a", headers=[("x-more", "m")])
    assert calls.last.url == f"{ONE}/a"
    assert calls.last.headers == {"accept": "application/json", "x-token": "t", "x-more": "m"}
    calls.last.answer({"a": 1})
    assert json_of(asked.result) == {"a": 1}  # type: ignore[arg-type]


def test_after_a_failure_the_next_server_is_asked(calls: ScriptedCalls) -> None:
    servers = Servers("demo", [ONE, TWO], calls)
    found = errors(servers.ask("GET", "/a"))
    calls.last.fail("connection refused")
    assert found == [f"demo {ONE}: connection refused"]
    servers.ask("GET", "/a")
    assert calls.last.url == f"{TWO}/a"
    calls.last.answer({})
    servers.ask("GET", "/a")
    assert calls.last.url == f"{TWO}/a"


@pytest.mark.parametrize("status", [0, 503])
def test_of_many_calls_that_fail_together_one_changes_the_server(calls: ScriptedCalls, status: int) -> None:
    servers = Servers("demo", [ONE, TWO], calls)
    for asked in [servers.ask("GET", "/a") for _ in range(2)]:
        errors(asked)
    for request in calls.waiting:
        if status:
            request.answer({}, status)
        else:
            request.fail()
    assert servers.current == TWO


def test_a_status_that_is_no_success_is_an_error_with_what_the_server_says(calls: ScriptedCalls) -> None:
    servers = Servers("demo", [ONE, TWO], calls)
    found = errors(servers.ask("GET", "/a"))
    calls.last.answer(b"no such\n thing", 404)
    assert found == [f"demo {ONE}: status 404 no such thing"]
    assert servers.current == ONE
    found = errors(servers.ask("GET", "/a"))
    calls.last.answer(b"No cluster leader", 500)
    assert servers.current == TWO


def test_an_answer_that_is_no_json_is_an_error() -> None:
    with pytest.raises(RegistryError, match="no JSON"):
        json_of(Answer(200, [], b"<html>"))


def test_one_url_or_several_are_written() -> None:
    assert urls_of(f"{ONE}/", None) == (ONE,)
    assert urls_of("", [ONE, TWO]) == (ONE, TWO)
    for server, servers in ((ONE, [TWO]), ("", None), ("", [])):
        with pytest.raises(ValueError, match="write either server: URL or servers"):
            urls_of(server, servers)
    with pytest.raises(ValueError, match="is not a URL"):
        urls_of("127.0.0.1:8500", None)


def test_basic_authentication_is_a_header() -> None:
    assert basic("Aladdin", "open sesame") == [("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]
    assert basic("", "") == []


# -- rounds


class Turning:
    def __init__(self) -> None:
        self.clock = Clock()
        self.asked = 0
        self.next: Callable[[], Deferred[float]] = lambda: succeed(5.0)
        self.failures: list[str] = []
        self.rounds = Rounds(self.clock, self._once, self.failures.append)

    def _once(self) -> Deferred[float]:
        self.asked += 1
        return self.next()


def test_a_round_says_when_the_next_one_is() -> None:
    turning = Turning()
    turning.rounds.start()
    turning.clock.pump([4.9, 0.2, 5])
    assert turning.asked == 3


def test_after_failures_it_waits_longer_and_each_is_reported() -> None:
    turning = Turning()
    turning.next = lambda: fail(RegistryError("gone"))
    turning.rounds.start()
    waits = []
    for _ in range(12):
        (call,) = turning.clock.getDelayedCalls()
        waits.append(call.getTime() - turning.clock.seconds())
        turning.clock.advance(waits[-1])
    assert turning.failures == ["gone"] * 13
    assert waits[0] <= 0.5
    assert all(LAST / 2 <= one <= LAST for one in waits[-4:])


def test_after_a_success_it_waits_as_at_first() -> None:
    turning = Turning()
    turning.rounds.start()
    turning.next = lambda: fail(RegistryError("gone"))
    for _ in range(8):
        turning.clock.advance(LAST)
    turning.next = lambda: succeed(5.0)
    turning.clock.advance(LAST)
    turning.next = lambda: fail(RegistryError("gone"))
    turning.clock.advance(5)
    (call,) = turning.clock.getDelayedCalls()
    assert call.getTime() - turning.clock.seconds() <= 0.5


def test_an_error_of_an_unknown_kind_is_a_failure_too_and_logged() -> None:
    turning = Turning()
    turning.next = lambda: fail(KeyError("x"))
    turning.rounds.start()
    assert turning.failures == ["KeyError: 'x'"]
    assert len(turning.clock.getDelayedCalls()) == 1


def test_stopping_ends_what_is_under_way() -> None:
    turning = Turning()
    ended: list[object] = []
    turning.next = lambda: Deferred(ended.append)
    turning.rounds.start()
    turning.rounds.stop()
    assert len(ended) == 1
    assert turning.failures == []
    assert turning.clock.getDelayedCalls() == []


def test_stopping_ends_the_wait() -> None:
    turning = Turning()
    turning.rounds.start()
    turning.rounds.stop()
    turning.rounds.stop()
    assert turning.clock.getDelayedCalls() == []
