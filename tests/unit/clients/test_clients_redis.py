from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from metaproxy.clients.redis import MOST, Redis, RedisFailed, pipeline


class Pipe(StringTransport):
    """What a connection writes to."""

    protocol: Any = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.nodelay = enabled

    def take(self) -> bytes:
        data: bytes = self.value()
        self.clear()
        return data

    def end(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def loseConnection(self) -> None:
        super().loseConnection()
        self.end()

    def abortConnection(self) -> None:
        super().loseConnection()
        self.end()


class Bench:
    """A client, the reactor that it runs in, and the server at the other end, which is the test."""

    def __init__(self, target: str = "127.0.0.1:6379", **options: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.redis = Redis(target, self.reactor, 0.02, **options)
        self.results: list[Any] = []

    def call(self, *commands: bytes) -> None:
        """Calls; what comes of it is put into `results`: the answers, or the text of the failure."""
        words = [command.split() for command in commands or (b"PING",)]
        self.redis.call(words).addCallbacks(self.results.append, self._failed)

    def _failed(self, failure: Failure) -> None:
        failure.trap(RedisFailed)
        self.results.append(failure.getErrorMessage())

    @property
    def dialled(self) -> int:
        return len(self.reactor.tcpClients)

    def accept(self) -> Pipe:
        factory, pipe = self.reactor.tcpClients[-1][2], Pipe()
        pipe.protocol = factory.buildProtocol(None)
        pipe.protocol.makeConnection(pipe)
        return pipe

    def refuse(self) -> None:
        connector: Any = None
        self.reactor.tcpClients[-1][2].clientConnectionFailed(connector, Failure(ConnectionRefusedError()))


def test_commands_are_written_as_arrays_of_words() -> None:
    assert pipeline([[b"INCRBY", b"a b", b"1"], [b"PING"]]) == (
        b"*3\r\n$6\r\nINCRBY\r\n$3\r\na b\r\n$1\r\n1\r\n*1\r\n$4\r\nPING\r\n"
    )


def test_it_connects_with_the_first_call_and_answers_in_order() -> None:
    bench = Bench()
    assert bench.dialled == 0
    bench.call(b"INCRBY a 1", b"EXPIRE a 60")
    bench.call(b"PING")
    pipe = bench.accept()
    assert pipe.take() == pipeline([[b"INCRBY", b"a", b"1"], [b"EXPIRE", b"a", b"60"], [b"PING"]])
    for byte in b":7\r\n:1\r\n+PONG\r\n":
        pipe.protocol.dataReceived(bytes([byte]))
    assert bench.results == [[7, 1], ["PONG"]]
    assert (bench.dialled, pipe.nodelay) == (1, True)


@pytest.mark.parametrize(
    ("options", "greeting"),
    [
        ({"password": "pw"}, [[b"AUTH", b"pw"]]),
        ({"user": "me", "password": "pw", "database": 2}, [[b"AUTH", b"me", b"pw"], [b"SELECT", b"2"]]),
    ],
)
def test_it_logs_in_before_anything_else(options: dict[str, Any], greeting: list[list[bytes]]) -> None:
    bench = Bench(**options)
    bench.call(b"PING")
    pipe = bench.accept()
    assert pipe.take() == pipeline([*greeting, [b"PING"]])
    pipe.protocol.dataReceived(b"+OK\r\n" * len(greeting) + b"+PONG\r\n")
    assert bench.results == [["PONG"]]


def test_a_refused_login_fails_the_calls_with_the_servers_words_and_is_not_repeated_at_once() -> None:
    bench = Bench(password="pw")
    bench.call()
    bench.accept().protocol.dataReceived(b"-WRONGPASS invalid\r\n")
    assert bench.results == ["login refused: WRONGPASS invalid"]
    bench.call()
    assert (bench.results[1:], bench.dialled) == (["login refused: WRONGPASS invalid"], 1)
    bench.reactor.advance(0.11)
    bench.call()
    assert bench.dialled == 2


def test_an_error_fails_its_call_and_no_other() -> None:
    bench = Bench()
    bench.call(b"INCRBY a x", b"EXPIRE a 60")
    bench.call()
    bench.accept().protocol.dataReceived(b"-ERR not an integer\r\n:1\r\n+PONG\r\n")
    assert bench.results == ["ERR not an integer", ["PONG"]]


def test_a_call_without_an_answer_fails_in_time_and_its_late_answer_is_dropped() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    bench.reactor.advance(0.01)
    bench.call()
    bench.reactor.advance(0.0101)
    assert bench.results == ["127.0.0.1:6379: no answer within 0.02 s"]
    pipe.protocol.dataReceived(b"+LATE\r\n+PONG\r\n")
    assert bench.results[1:] == [["PONG"]]
    bench.reactor.advance(5)
    assert bench.reactor.getDelayedCalls() == []


def test_calls_time_out_while_the_connection_is_being_made_and_later_ones_use_it() -> None:
    bench = Bench()
    bench.call()
    bench.reactor.advance(0.021)
    assert bench.results == ["127.0.0.1:6379: no answer within 0.02 s"]
    bench.call()
    assert bench.dialled == 1
    pipe = bench.accept()
    assert pipe.take() == pipeline([[b"PING"]]), "what timed out is not sent any more"


def test_a_server_that_is_away_fails_calls_at_once_and_is_tried_again_after_growing_waits() -> None:
    bench = Bench()
    waits = []
    for _ in range(8):
        bench.call()
        bench.refuse()
        dialled, waited = bench.dialled, 0.0
        while bench.dialled == dialled:
            waited += 0.05
            bench.reactor.advance(0.05)
            bench.call()
        waits.append(round(waited, 2))
        bench.refuse()
        bench.reactor.advance(10)
    assert all(isinstance(result, str) for result in bench.results)
    assert waits[0] == pytest.approx(0.1, abs=0.06)
    assert waits == sorted(waits)
    assert 4.9 <= waits[-1] <= 5.2


def test_a_lost_connection_fails_what_is_under_way_and_the_next_call_connects_again() -> None:
    bench = Bench()
    bench.call()
    bench.accept().end()
    assert bench.results == ["127.0.0.1:6379: connection lost"]
    bench.reactor.advance(0.2)
    bench.call()
    bench.accept().protocol.dataReceived(b"+PONG\r\n")
    assert bench.results[1:] == [["PONG"]]


def test_a_connection_that_the_server_closed_while_it_was_idle_is_opened_again_at_once() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    pipe.protocol.dataReceived(b"+PONG\r\n")
    pipe.end()
    bench.call()
    bench.accept().protocol.dataReceived(b"+AGAIN\r\n")
    assert bench.results == [["PONG"], ["AGAIN"]]


def test_a_server_that_stalls_loses_the_connection() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    for _ in range(60):
        bench.reactor.advance(0.021)
        bench.call()
    assert pipe.disconnecting
    assert "no answer for 1 s" in " ".join(map(str, bench.results))


def test_an_answer_of_another_kind_ends_the_connection() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    pipe.protocol.dataReceived(b"$5\r\nhello\r\n")
    assert pipe.disconnecting
    assert bench.results == ["127.0.0.1:6379: connection lost"]


def test_what_waits_is_bounded() -> None:
    bench = Bench()
    for _ in range(MOST + 1):
        bench.call()
    assert bench.results == [f"{MOST} calls wait for a connection"]
    bench.accept()
    bench.call()
    assert bench.results[1:] == [f"{MOST} calls wait for an answer"]


def test_after_close_what_is_under_way_is_answered_then_the_connection_ends() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    bench.redis.close()
    bench.call()
    pipe.protocol.dataReceived(b"+PONG\r\n")
    assert not pipe.disconnecting
    pipe.protocol.dataReceived(b"+PONG\r\n")
    assert pipe.disconnecting
    assert bench.results == [["PONG"], ["PONG"]]


def test_a_call_that_comes_after_close_has_a_connection_for_itself() -> None:
    bench = Bench()
    bench.redis.close()
    bench.call()
    pipe = bench.accept()
    pipe.protocol.dataReceived(b"+LATE\r\n")
    assert bench.results == [["LATE"]]
    assert pipe.disconnecting


def test_an_idle_connection_ends_with_close() -> None:
    bench = Bench()
    bench.call()
    pipe = bench.accept()
    pipe.protocol.dataReceived(b"+PONG\r\n")
    bench.redis.close()
    assert pipe.disconnecting


def test_a_client_that_never_called_closes_without_ado() -> None:
    bench = Bench()
    bench.redis.close()
    assert bench.dialled == 0
