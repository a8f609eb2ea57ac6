from __future__ import annotations

from collections.abc import Hashable, Mapping

from harness import LineCodec, Lines, Quill, Stage, answer, call

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.message import FrameError, Message, Side


class LoginSession(Lines):
    """Logs in with a line, and is ready when the server says so."""

    ready = False

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return b"login\n"

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        if not self.ready and messages:
            first = messages.pop(0)
            if first.frame == b"welcome\n":
                self.ready = True
            else:
                self.error = FrameError("login refused")
        return messages


class Login(LineCodec):
    def session(self, side: Side, max_frame: int) -> Lines:
        return LoginSession(side) if side is Side.SERVER else Lines(side)


def test_requests_wait_until_the_connection_is_logged_in() -> None:
    stage = Stage(codec=Login())
    client = stage.client()
    stage.say(client, b"get a\n")
    assert stage.server.take() == b"login\n"
    assert stage.cluster.breaker.pending == 1
    stage.say(stage.server, b"welcome\n")
    assert stage.server.take() == b"get a\n"
    assert stage.cluster.breaker.pending == 0


def test_a_refused_login_fails_who_waits_and_the_connection() -> None:
    stage = Stage(codec=Login())
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"no\n")
    assert b"fail connect" in client.take() and b"login refused" not in client.take()
    assert stage.server.closed


def test_no_id_is_used_twice_on_a_connection_that_is_not_needed_for_order() -> None:
    codec = Quill()
    codec.max_id = 3
    stage = Stage(codec=codec)
    client = stage.client()
    stage.say(client, call(10) + call(11) + call(12))
    first = stage.server
    assert first.take() == call(1) + call(2) + call(3)
    stage.say(client, call(13))
    second = stage.network.upstreams[1]
    assert (first.take(), second.take()) == (b"", call(1))
    stage.say(first, answer(3) + answer(2) + answer(1))
    assert first.closed, "its last answer is there, and it can take no request more"
    stage.say(second, answer(1))
    assert client.take() == answer(12) + answer(11) + answer(10) + answer(13)


def test_a_server_that_half_closes_owes_nothing_any_more() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.finish(stage.server)
    assert b"closed the connection" in client.take()
    assert stage.endpoints[0].counts.resets == 1


def test_bytes_are_counted_both_ways() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    counts = stage.endpoints[0].counts
    assert (counts.bytes_sent, counts.bytes_received) == (len(call(1)), len(answer(1)))
    assert (counts.requests, counts.successes, counts.connections) == (1, 1, 1)


def test_what_is_submitted_while_those_who_waited_are_sent_does_not_overtake_them() -> None:
    stage = Stage(codec=Login())
    client = stage.client()
    lines = [f"subscribe {number}\n".encode() for number in range(200)]
    stage.say(client, b"".join(lines))
    assert stage.server.take() == b"login\n"
    stage.say(stage.server, b"welcome\n")
    assert stage.server.take() == b"".join(lines)


def test_thousands_of_one_ways_that_bind_their_client_are_sent_in_their_order() -> None:
    stage = Stage(codec=Login())
    client = stage.client()
    lines = [f"subscribe {number}\n".encode() for number in range(5000)]
    stage.say(client, b"".join(lines[:1]))
    stage.say(stage.server, b"welcome\n")
    stage.server.take()
    stage.say(client, b"".join(lines[1:]))
    assert stage.server.take() == b"".join(lines[1:])
    assert client.take() == b""


def test_a_server_that_never_lets_in_costs_no_more_than_connect_timeout() -> None:
    stage = Stage(codec=Login(), connections=ConnectionSettings(connect_timeout=2.0), request_timeout=60.0)
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.clock.advance(1.9)
    assert client.take() == b"" and not stage.server.closed
    stage.clock.advance(0.2)
    assert b"not ready within 2 s" in client.take()
    assert stage.server.closed and stage.endpoints[0].counts.connect_timeouts == 1
