from __future__ import annotations

from typing import Any

from harness import Quill

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, Kind, Message
from metaproxy.proxy.attempt import Attempt, AttemptOwner


class Wants(AttemptOwner):
    """Notes how it is called."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def answered(self, attempt: Attempt, response: Message) -> None:
        self.told.append(("answered", response))

    def sent(self, attempt: Attempt) -> None:
        self.told.append(("sent",))

    def failed(self, attempt: Attempt, kind: ErrorKind, text: str) -> None:
        self.told.append(("failed", kind, text))


class Connection:
    """Notes which attempts were given up."""

    def __init__(self) -> None:
        self.given_up: list[Attempt] = []

    def cancelled(self, attempt: Attempt) -> None:
        assert attempt.done, "it is over before its connection hears of it"
        self.given_up.append(attempt)


def made() -> tuple[Attempt, Wants]:
    endpoint = Endpoint("127.0.0.1:1")
    owner: Any = Wants()
    cluster = Cluster("demo", Quill(), [endpoint], RoundRobin)
    return Attempt(owner, Message(Kind.REQUEST, b""), cluster, endpoint), owner


def under_way(attempt: Attempt) -> tuple[int, int]:
    return attempt.cluster.breaker.requests, attempt.endpoint.active


def test_it_counts_from_its_beginning_to_its_end() -> None:
    attempt, _ = made()
    assert under_way(attempt) == (1, 1)
    attempt.finish()
    assert under_way(attempt) == (0, 0)
    assert attempt.done


def test_its_owner_is_told_of_a_failure_once() -> None:
    attempt, owner = made()
    attempt.fail(ErrorKind.RESET, "gone")
    attempt.fail(ErrorKind.TIMEOUT, "too late")
    assert owner.told == [("failed", ErrorKind.RESET, "gone")]
    assert under_way(attempt) == (0, 0)


def test_an_owner_that_gave_it_up_is_told_nothing() -> None:
    attempt, owner = made()
    attempt.cancel()
    attempt.fail(ErrorKind.RESET, "gone")
    assert owner.told == []
    assert under_way(attempt) == (0, 0)


def test_the_connection_hears_once_that_nobody_wants_the_answer() -> None:
    attempt, _ = made()
    connection: Any = Connection()
    attempt.connection = connection
    attempt.cancel()
    attempt.cancel()
    assert connection.given_up == [attempt]
    assert attempt.connections() == (connection,)


def test_a_connection_hears_nothing_of_what_is_over() -> None:
    attempt, _ = made()
    connection: Any = Connection()
    attempt.connection = connection
    attempt.finish()
    attempt.cancel()
    assert connection.given_up == []


def test_without_a_connection_it_is_under_way_on_none() -> None:
    attempt, _ = made()
    assert attempt.connections() == ()
    attempt.cancel()
    assert attempt.done
