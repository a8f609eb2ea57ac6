"""HTTP/2 on the data path: what many streams, windows and ends of connections are to it."""

from __future__ import annotations

from typing import Any

from http2_stand import (
    GET,
    OK,
    POST,
    SETTINGS,
    raw_frame,
    raw_headers,
    resets,
    split,
)

from metaproxy.codecs.http import Http
from metaproxy.codecs.http.http2 import PREFACE
from metaproxy.proxy.pool import pool_of
from metaproxy.testing import Stage
from metaproxy.units import Seconds


class Wires:
    """A client of HTTP/2 and a server of HTTP/2, both as bytes, with the data path between them."""

    def __init__(self, http: dict[str, Any] | None = None, **settings: Any) -> None:
        self.stage = Stage(Http(version=2, **(http or {})), **settings)
        self.client = self.stage.client()
        self.stage.say(self.client, PREFACE + SETTINGS)
        self.client.take()

    def ask(self, data: bytes) -> bytes:
        """What the server sees of it. It has said its SETTINGS before."""
        self.stage.say(self.client, data)
        for wire in self.stage.network.upstreams:
            if wire.written.startswith(PREFACE):
                wire.take()
                self.stage.say(wire, SETTINGS)
        return self.stage.network.upstreams[-1].take() if self.stage.network.upstreams else b""


def test_requests_of_all_clients_share_a_connection() -> None:
    wires = Wires()
    other = wires.stage.client()
    wires.stage.say(other, PREFACE + SETTINGS)
    seen = wires.ask(raw_headers(1, GET) + raw_headers(3, GET))
    wires.stage.say(other, raw_headers(1, GET))
    seen += wires.stage.server.take()
    assert [stream for kind, _, stream, _ in split(seen) if kind == 1] == [1, 3, 5]
    wires.stage.say(wires.stage.server, raw_headers(5, OK) + raw_headers(1, OK))
    assert [stream for kind, _, stream, _ in split(other.take()) if kind == 1] == [1]
    assert [stream for kind, _, stream, _ in split(wires.client.take()) if kind == 1] == [1]


def test_requests_wait_for_the_settings_of_their_server() -> None:
    wires = Wires()
    wires.stage.say(wires.client, raw_headers(1, GET))
    (server,) = wires.stage.network.upstreams
    greeting = server.take()
    assert greeting.startswith(PREFACE)
    assert [kind for kind, *_ in split(greeting[len(PREFACE) :])] == [4, 8]
    wires.stage.say(server, SETTINGS)
    assert [kind for kind, *_ in split(server.take())] == [4, 1]


def test_what_is_over_the_streams_that_a_server_takes_waits() -> None:
    wires = Wires()
    wires.stage.say(wires.client, raw_headers(1, GET) + raw_headers(3, GET))
    (server,) = wires.stage.network.upstreams
    server.take()
    wires.stage.say(server, raw_frame(4, 0, 0, bytes.fromhex("0003 00000001")))
    assert [stream for kind, _, stream, _ in split(server.take()) if kind == 1] == [1]


def test_the_bytes_of_an_answer_are_those_that_wait_for_a_window_too() -> None:
    seen: list[int] = []
    wires = Wires(hooks={"on_complete": (lambda exchange: seen.append(exchange.response_bytes),)})
    wires.ask(raw_headers(1, GET))
    server = wires.stage.server
    wires.stage.say(server, raw_headers(1, OK, 4))
    for number in range(10):
        wires.stage.say(server, raw_frame(0, number == 9, 1, bytes(16000)))
    widened = b"".join(raw_frame(8, 0, stream, (1 << 20).to_bytes(4, "big")) for stream in (0, 1))
    wires.stage.say(wires.client, widened)
    assert sum(len(payload) for kind, _, _, payload in split(wires.client.take()) if kind == 0) == 160_000
    assert 160_000 < seen[0] < 161_000


def test_a_server_of_http_1_is_told_apart() -> None:
    wires = Wires()
    wires.stage.say(wires.client, raw_headers(1, GET))
    (server,) = wires.stage.network.upstreams
    wires.stage.say(server, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    wires.stage.clock.advance(0)
    answer = b"".join(payload for _, _, _, payload in split(wires.client.take()))
    assert b"503" in answer
    assert b"version: 1" in answer


def test_a_time_out_is_an_answer_and_the_end_of_the_stream_to_the_server() -> None:
    wires = Wires(request_timeout=1.0)
    wires.ask(raw_headers(1, GET))
    wires.stage.clock.advance(1.1)
    assert b"504" in wires.client.take()
    assert resets(wires.stage.server.take()) == {1: 8}


def test_a_client_that_is_gone_ends_its_streams_to_servers() -> None:
    wires = Wires()
    wires.ask(raw_headers(1, GET) + raw_headers(3, POST, 4))
    wires.client.end()
    wires.stage.clock.advance(0)
    assert resets(wires.stage.server.take()) == {1: 8, 3: 8}


def test_a_client_that_sends_no_more_ends_the_streams_that_wait_for_its_windows() -> None:
    wires = Wires()
    wires.ask(raw_headers(1, GET) + raw_headers(3, GET) + raw_headers(5, POST, 4))
    wires.stage.say(wires.stage.server, raw_headers(1, OK, 4) + raw_headers(3, OK, 4))
    for _ in range(5):
        wires.stage.say(wires.stage.server, raw_frame(0, 0, 1, bytes(16000)))
    wires.stage.server.take()
    wires.stage.finish(wires.client)
    wires.stage.clock.advance(0)
    assert set(resets(wires.stage.server.take())) == {1, 5}


def test_an_idle_client_is_told_before_its_connection_ends() -> None:
    wires = Wires(idle_timeout=10.0)
    wires.ask(raw_headers(1, GET))
    wires.stage.say(wires.stage.server, raw_headers(1, OK))
    wires.client.take()
    wires.stage.clock.advance(11)
    wires.stage.network.turn.refresh()
    wires.stage.listener.sweep(wires.stage.clock.seconds())
    wires.stage.clock.advance(0)
    ((kind, _, _, payload),) = split(wires.client.take())
    assert (kind, payload[:8]) == (7, b"\0\0\0\1" + bytes(4))
    assert wires.client.closed


def test_a_client_of_max_age_is_asked_to_come_again_and_its_requests_are_answered() -> None:
    wires = Wires({"max_age": Seconds(60)})
    sweep = wires.stage.listener.sweep
    sweep(0.0)
    wires.ask(raw_headers(1, GET))
    sweep(61.0)
    wires.stage.clock.advance(0)
    goaway, ping = split(wires.client.take())
    wires.ask(raw_headers(3, GET))
    wires.stage.say(wires.client, raw_frame(6, 1, 0, ping[3]))
    ((kind, _, _, payload),) = split(wires.client.take())
    assert (goaway[3][:4], kind, payload[:4]) == (b"\x7f\xff\xff\xff", 7, b"\0\0\0\3")
    wires.stage.say(wires.stage.server, raw_headers(1, OK) + raw_headers(3, OK))
    assert [stream for kind, _, stream, _ in split(wires.client.take()) if kind == 1] == [1, 3]
    assert wires.client.closed


def test_what_servers_did_not_look_at_is_sent_over_five_other_connections_and_no_more() -> None:
    wires = Wires()
    wires.stage.say(wires.client, raw_headers(1, GET))
    for _ in range(6):
        assert wires.client.take() == b""
        server = wires.stage.network.upstreams[-1]
        wires.stage.say(server, SETTINGS)
        assert [stream for kind, _, stream, _ in split(server.take()[len(PREFACE) :]) if kind == 1] == [1]
        wires.stage.say(server, raw_frame(7, 0, 0, bytes(8)))
        wires.stage.clock.advance(0)
    assert len(wires.stage.network.upstreams) == 6
    assert b"503" in b"".join(payload for *_, payload in split(wires.client.take()))


def test_a_silent_server_is_asked_and_given_up() -> None:
    wires = Wires({"ping_interval": Seconds(10), "ping_timeout": Seconds(5)})
    wires.ask(raw_headers(1, GET))
    pool = pool_of(wires.stage.endpoints[0], wires.stage.cluster, wires.stage.network)
    for now in (0.0, 10.0):
        pool.sweep(now)
    wires.stage.clock.advance(0)
    assert [kind for kind, *_ in split(wires.stage.server.take())] == [6]
    pool.sweep(15.0)
    wires.stage.clock.advance(0)
    assert b"502" in wires.client.take()
    assert wires.stage.server.closed


def test_a_slow_client_lets_its_server_send_a_window_and_no_more() -> None:
    wires = Wires({"window": 65536})
    wires.ask(raw_headers(1, GET))
    server = wires.stage.server
    wires.stage.say(server, raw_headers(1, OK, 4))
    for _ in range(4):
        wires.stage.say(server, raw_frame(0, 0, 1, bytes(16384)))
    # The client's window is 65535: one byte waits, and so what it is a part of was not credited.
    credited = sum(
        int.from_bytes(payload, "big") for kind, _, stream, payload in split(server.take()) if (kind, stream) == (8, 1)
    )
    assert credited < 65536
    got = sum(len(payload) for kind, _, _, payload in split(wires.client.take()) if kind == 0)
    assert got == 65535
    wires.stage.say(wires.client, raw_frame(8, 0, 1, b"\0\1\0\0") + raw_frame(8, 0, 0, b"\0\1\0\0"))
    assert sum(len(payload) for kind, _, _, payload in split(wires.client.take()) if kind == 0) == 1
