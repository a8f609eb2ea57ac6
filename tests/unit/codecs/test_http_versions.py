"""Clients of one version of HTTP with servers of the other, both sessions of the codec between them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from http2_relay import Relay
from http2_stand import GET, POST, Fields

from metaproxy.codecs.http import Http
from metaproxy.message import Side

MAX_FRAME = 1 << 20
HOST = b"Host: a.example\r\n"


class OldToNew:
    """A client of HTTP/1.1, as bytes, and h2 as the server."""

    def __init__(self, tunnels: bool = False) -> None:
        codec = Http(version=2, via="")
        client, server = codec.session(Side.CLIENT, MAX_FRAME), codec.session(Side.SERVER, MAX_FRAME)
        client.open(None, {})
        self.server = H2Connection(H2Configuration(client_side=False))
        self.server.initiate_connection()
        if tunnels:
            self.server.update_settings({SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        self.server.receive_data(server.open(None, {}))
        self.relay = Relay(client, server)
        self.events: list[Event] = []
        self.move()

    def move(self) -> None:
        """Until neither the server nor the proxy has more for the other."""
        while (data := self.server.data_to_send()) or self.relay.to_server:
            self.relay.from_server(data)
            said, self.relay.to_server = self.relay.to_server, b""
            self.events += self.server.receive_data(said)
            for event in self.events:
                if isinstance(event, DataReceived) and event.flow_controlled_length:
                    self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    event.flow_controlled_length = 0

    def ask(self, data: bytes) -> list[Event]:
        """What the server sees of these bytes."""
        self.relay.from_client(data)
        self.move()
        seen, self.events = self.events, []
        return seen

    def answer(self) -> bytes:
        """What the client gets of what the server said."""
        self.move()
        data, self.relay.to_client = self.relay.to_client, b""
        return data


class NewToOld:
    """h2 as the client, and a server of HTTP/1.1, as bytes."""

    def __init__(self) -> None:
        codec = Http(via="")
        client, server = codec.session(Side.CLIENT, MAX_FRAME), codec.session(Side.SERVER, MAX_FRAME)
        client.open(None, {})
        self.client = H2Connection(H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.relay = Relay(client, server)
        self.events: list[Event] = []
        self.move()

    def move(self) -> None:
        """Until neither the client nor the proxy has more for the other."""
        while (data := self.client.data_to_send()) or self.relay.to_client:
            self.relay.from_client(data)
            said, self.relay.to_client = self.relay.to_client, b""
            self.events += self.client.receive_data(said)

    def asked(self) -> bytes:
        """What the server sees of what the client said."""
        self.move()
        data, self.relay.to_server = self.relay.to_server, b""
        return data

    def say(self, data: bytes) -> list[Event]:
        """What the client gets of these bytes."""
        self.relay.from_server(data)
        self.move()
        seen, self.events = self.events, []
        return seen


def fields(events: list[Event], of: type[Event] = RequestReceived) -> dict[bytes, bytes]:
    (event,) = [each for each in events if isinstance(each, of)]
    assert isinstance(event, RequestReceived | ResponseReceived | TrailersReceived | InformationalResponseReceived)
    return {bytes(name): bytes(value) for name, value in event.headers}


def body(events: list[Event]) -> bytes:
    return b"".join(bytes(event.data) for event in events if isinstance(event, DataReceived))


# HTTP/1.1 to HTTP/2


def test_a_request_of_http_1_reaches_a_server_of_http_2() -> None:
    stand = OldToNew()
    events = stand.ask(b"GET /a?b HTTP/1.1\r\n" + HOST + b"X-One: 1\r\nConnection: x-two\r\nX-Two: 2\r\n\r\n")
    found = fields(events)
    assert [found[name] for name in (b":method", b":path", b":authority", b":scheme", b"x-one")] == [
        b"GET", b"/a?b", b"a.example", b"http", b"1",
    ]  # fmt: skip
    assert not found.keys() & {b"host", b"connection", b"x-two"}
    assert any(isinstance(event, StreamEnded) for event in events)
    stand.server.send_headers(1, [(":status", "200"), ("x-two", "2")])
    stand.server.send_data(1, b"hello", end_stream=True)
    head, _, rest = stand.answer().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-two: 2" in head
    assert b"content-length: 5" in head
    assert rest == b"hello"


def test_a_chunked_body_with_trailers_passes_both_ways() -> None:
    stand = OldToNew()
    events = stand.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTE: trailers\r\n"
                       b"Connection: TE\r\n\r\n3\r\none\r\n")  # fmt: skip
    events += stand.ask(b"3\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n")
    assert (body(events), fields(events, TrailersReceived)) == (b"onetwo", {b"x-sum": b"6"})
    stand.server.send_headers(1, [(":status", "200")])
    stand.server.send_data(1, b"three")
    first = stand.answer()
    stand.server.send_headers(1, [("x-sum", "5")], end_stream=True)
    assert b"transfer-encoding: chunked" in first
    assert (first + stand.answer()).endswith(b"5\r\nthree\r\n0\r\nx-sum: 5\r\n\r\n")


def test_an_interim_answer_and_the_final_one_reach_a_client_of_http_1() -> None:
    stand = OldToNew()
    stand.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    stand.server.send_headers(1, [(":status", "100")])
    assert stand.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert body(stand.ask(b"hi")) == b"hi"
    stand.server.send_headers(1, [(":status", "204")], end_stream=True)
    assert stand.answer().startswith(b"HTTP/1.1 204 No Content\r\n")


def test_large_bodies_pass_windows_both_ways() -> None:
    stand = OldToNew()
    sent = bytes(range(256)) * 4000
    events = stand.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(sent))
    for at in range(0, len(sent), 65536):
        events += stand.ask(sent[at : at + 65536])
    assert body(events) == sent
    stand.server.send_headers(1, [(":status", "200"), ("content-length", str(len(sent)))])
    got = b""
    left = sent
    while left:
        size = min(len(left), stand.server.local_flow_control_window(1), 16384)
        stand.server.send_data(1, left[:size], end_stream=size == len(left))
        left = left[size:]
        got += stand.answer()
    assert got.partition(b"\r\n\r\n")[2] == sent


def test_head_of_http_1_has_the_length_and_no_body() -> None:
    stand = OldToNew()
    assert fields(stand.ask(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n"))[b":method"] == b"HEAD"
    stand.server.send_headers(1, [(":status", "200"), ("content-length", "1000")], end_stream=True)
    assert stand.answer().endswith(b"content-length: 1000\r\n\r\n")


KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    b"GET /chat HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % KEY
)


def test_a_websocket_of_http_1_opens_a_stream_of_http_2() -> None:
    stand = OldToNew(tunnels=True)
    found = fields(stand.ask(UPGRADE))
    assert (found[b":method"], found[b":protocol"], found[b":path"]) == (b"CONNECT", b"websocket", b"/chat")
    stand.server.send_headers(1, [(":status", "200")])
    head = stand.answer()
    accept = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: %b\r\n" % accept in head
    assert b"upgrade: websocket\r\n" in head
    assert body(stand.ask(b"to the server")) == b"to the server"
    stand.server.send_data(1, b"to the client")
    assert stand.answer() == b"to the client"
    stand.server.end_stream(1)
    stand.answer()
    assert body(stand.ask(b"goes on")) == b"goes on"


def test_a_websocket_that_a_server_refuses_is_answered_so() -> None:
    stand = OldToNew(tunnels=True)
    stand.ask(UPGRADE)
    stand.server.send_headers(1, [(":status", "403")], end_stream=True)
    assert stand.answer().startswith(b"HTTP/1.1 403 ")
    assert stand.relay.exchanges[0].ended == "whole"


# HTTP/2 to HTTP/1.1


def test_a_request_of_http_2_reaches_a_server_of_http_1() -> None:
    stand = NewToOld()
    stand.client.send_headers(1, [*GET, ("x-one", "1")], end_stream=True)
    asked = stand.asked()
    assert asked.startswith(b"GET /one?x=1 HTTP/1.1\r\nhost: a.example\r\n")
    assert b"x-one: 1\r\n" in asked
    events = stand.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: 2\r\nKeep-Alive: 5\r\n\r\nhello")
    found = fields(events, ResponseReceived)
    assert (found[b":status"], found[b"x-two"], body(events)) == (b"200", b"2", b"hello")
    assert b"keep-alive" not in found


def test_a_body_without_a_length_is_chunked_for_a_server_of_http_1() -> None:
    stand = NewToOld()
    stand.client.send_headers(1, POST)
    asked = stand.asked()
    stand.client.send_data(1, b"hello")
    asked += stand.asked()
    stand.client.send_headers(1, [("x-sum", "5")], end_stream=True)
    asked += stand.asked()
    assert b"transfer-encoding: chunked\r\n" in asked
    assert asked.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n")


def test_a_chunked_answer_of_http_1_is_a_stream_of_http_2() -> None:
    stand = NewToOld()
    stand.client.send_headers(1, GET, end_stream=True)
    stand.asked()
    events = stand.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert fields(events, InformationalResponseReceived)[b":status"] == b"103"
    events = stand.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert (b"transfer-encoding" in fields(events, ResponseReceived), body(events)) == (False, b"hello")
    events = stand.say(b"0\r\nX-Sum: 5\r\n\r\n")
    assert fields(events, TrailersReceived) == {b"x-sum": b"5"}
    assert any(isinstance(event, StreamEnded) for event in events)


def test_an_extended_connect_is_an_upgrade_for_a_server_of_http_1() -> None:
    stand = NewToOld()
    ask: Fields = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a.example"),
        (":path", "/chat"), ("sec-websocket-version", "13"),
    ]  # fmt: skip
    stand.client.send_headers(1, ask)
    asked = stand.asked()
    assert asked.startswith(b"GET /chat HTTP/1.1\r\n")
    assert b"upgrade: websocket\r\n" in asked
    (key,) = [line[19:] for line in asked.split(b"\r\n") if line.startswith(b"sec-websocket-key: ")]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    events = stand.say(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\nfirst" % accept
    )
    assert (fields(events, ResponseReceived)[b":status"], body(events)) == (b"200", b"first")
    stand.client.send_data(1, b"second", end_stream=True)
    assert stand.asked() == b"second"
    assert body(stand.say(b"third")) == b"third"


@pytest.mark.parametrize("code", [0, 8])
def test_a_client_of_http_2_that_gives_up_costs_the_connection_of_http_1(code: int) -> None:
    stand = NewToOld()
    stand.client.send_headers(1, GET, end_stream=True)
    stand.asked()
    stand.client.reset_stream(1, code)
    stand.asked()
    assert stand.relay.exchanges[0].ended == "reset by the client"
    assert stand.relay.server.reset(1, None, "") is None


def test_an_answer_that_a_server_of_http_1_breaks_off_resets_the_stream() -> None:
    stand = NewToOld()
    stand.client.send_headers(1, GET, end_stream=True)
    stand.asked()
    stand.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    stand.relay.give_up(stand.relay.exchanges[0])
    stand.move()
    (event,) = [each for each in stand.events if isinstance(each, StreamReset)]
    assert event.error_code == 8
