"""Single frames of HTTP/2: what we write, byte for byte, and what a peer may not write (RFC 9113, 4 to 6)."""

from __future__ import annotations

import pytest
from http2_stand import GET, SETTINGS, connected_client, connected_server, ending, raw_frame, raw_headers, resets, split

from metaproxy.codecs.http.http2 import PREFACE, Http2Client, Http2Server, Options
from metaproxy.codecs.http.http2.frames import Code
from metaproxy.message import Kind

PROTOCOL, FLOW, CLOSED, SIZE = Code.PROTOCOL_ERROR, Code.FLOW_CONTROL_ERROR, Code.STREAM_CLOSED, Code.FRAME_SIZE_ERROR

# What a connection begins with


def test_a_client_is_greeted_with_settings_and_a_window_for_all_streams() -> None:
    said = Http2Client(Options(window=65536, streams=100), 1 << 20).open(None, {})
    assert said.hex(" ") == (
        "00 00 18 04 00 00 00 00 00  00 03 00 00 00 64  00 08 00 00 00 01  00 04 00 01 00 00  "
        "00 06 00 01 00 00  00 00 04 08 00 00 00 00 00  00 63 00 01"
    ).replace("  ", " ")


def test_a_server_is_greeted_with_the_preface_and_settings_that_allow_no_push() -> None:
    said = Http2Server(Options(), 1 << 20).open(None, {})
    assert said.startswith(PREFACE)
    (kind, flags, stream, payload), _ = split(said[len(PREFACE) :])
    assert (kind, flags, stream) == (4, 0, 0)
    assert bytes.fromhex("0002 00000000") in payload


def test_requests_wait_for_the_settings_of_the_server() -> None:
    session = Http2Server(Options(), 1 << 20)
    session.open(None, {})
    assert not session.ready
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0003 00000007")))
    assert (session.ready, session.capacity) == (True, 7)


def test_settings_are_acknowledged() -> None:
    session = connected_client()
    session.receive(SETTINGS)
    assert (session.owes, session.owed()) == (True, bytes.fromhex("000000 04 01 00000000"))
    assert not session.owes


def test_a_ping_is_answered_with_its_own_bytes() -> None:
    session = connected_client()
    session.receive(raw_frame(6, 0, 0, b"12345678"))
    assert session.owed() == raw_frame(6, 1, 0, b"12345678")


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"])
def test_other_bytes_than_the_preface_end_the_connection(first: bytes) -> None:
    session = Http2Client(Options(), 1 << 20)
    assert session.receive(first) == []
    assert ending(session) == (PROTOCOL, 0)


def test_a_preface_may_come_byte_by_byte() -> None:
    session = Http2Client(Options(), 1 << 20)
    for at in range(len(PREFACE)):
        assert session.receive(PREFACE[at : at + 1]) == []
    session.receive(SETTINGS)
    assert session.error is None
    assert [message.kind for message in session.receive(raw_headers(1, GET))] == [Kind.REQUEST]


# What ends the connection

WRONG: dict[str, tuple[bytes, Code]] = {
    "DATA on stream 0": (raw_frame(0, 0, 0, b"x"), PROTOCOL),
    "HEADERS on stream 0": (raw_frame(1, 5, 0, b"\x82"), PROTOCOL),
    "PRIORITY on stream 0": (raw_frame(2, 0, 0, bytes(5)), PROTOCOL),
    "RST_STREAM on stream 0": (raw_frame(3, 0, 0, bytes(4)), PROTOCOL),
    "RST_STREAM on an idle stream": (raw_frame(3, 0, 1, bytes(4)), PROTOCOL),
    "RST_STREAM of 3 bytes": (raw_headers(1, GET, 4) + raw_frame(3, 0, 1, bytes(3)), SIZE),
    "SETTINGS on a stream": (raw_frame(4, 0, 1), PROTOCOL),
    "SETTINGS of 7 bytes": (raw_frame(4, 0, 0, bytes(7)), SIZE),
    "an acknowledgement with settings": (raw_frame(4, 1, 0, bytes(6)), SIZE),
    "ENABLE_PUSH of 2": (raw_frame(4, 0, 0, bytes.fromhex("0002 00000002")), PROTOCOL),
    "a window of 2 GiB": (raw_frame(4, 0, 0, bytes.fromhex("0004 80000000")), FLOW),
    "frames of 16383 bytes": (raw_frame(4, 0, 0, bytes.fromhex("0005 00003fff")), PROTOCOL),
    "frames of 16 MiB": (raw_frame(4, 0, 0, bytes.fromhex("0005 01000000")), PROTOCOL),
    "ENABLE_CONNECT_PROTOCOL of 2": (raw_frame(4, 0, 0, bytes.fromhex("0008 00000002")), PROTOCOL),
    "ENABLE_CONNECT_PROTOCOL taken back": (
        raw_frame(4, 0, 0, bytes.fromhex("0008 00000001 0008 00000000")),
        PROTOCOL,
    ),
    "65 parameters": (raw_frame(4, 0, 0, bytes(65 * 6)), Code.ENHANCE_YOUR_CALM),
    "PUSH_PROMISE": (raw_headers(1, GET, 4) + raw_frame(5, 4, 1, bytes(5)), PROTOCOL),
    "PING on a stream": (raw_frame(6, 0, 1, bytes(8)), PROTOCOL),
    "PING of 6 bytes": (raw_frame(6, 0, 0, bytes(6)), SIZE),
    "GOAWAY on a stream": (raw_frame(7, 0, 1, bytes(8)), PROTOCOL),
    "GOAWAY of 7 bytes": (raw_frame(7, 0, 0, bytes(7)), SIZE),
    "WINDOW_UPDATE of 3 bytes": (raw_frame(8, 0, 0, bytes(3)), SIZE),
    "WINDOW_UPDATE by 0": (raw_frame(8, 0, 0, bytes(4)), PROTOCOL),
    "WINDOW_UPDATE on an idle stream": (raw_frame(8, 0, 1, b"\0\0\0\1"), PROTOCOL),
    "WINDOW_UPDATE beyond 2 GiB": (raw_frame(8, 0, 0, b"\x7f\xff\xff\xff"), FLOW),
    "CONTINUATION of nothing": (raw_frame(9, 4, 1, b"\x82"), PROTOCOL),
    "another frame inside a block": (raw_frame(1, 1, 1, b"\x82") + raw_frame(6, 0, 0, bytes(8)), PROTOCOL),
    "an unknown frame inside a block": (raw_frame(1, 1, 1, b"\x82") + raw_frame(99, 0, 0), PROTOCOL),
    "CONTINUATION of another stream": (raw_frame(1, 1, 1, b"\x82") + raw_frame(9, 4, 3), PROTOCOL),
    "padding as long as the frame": (raw_headers(1, GET, 4) + raw_frame(0, 8, 1, b"\x05abcd"), PROTOCOL),
    "padding without its length": (raw_headers(1, GET, 4) + raw_frame(0, 8, 1), PROTOCOL),
    "HEADERS with too much padding": (raw_frame(1, 0xD, 1, b"\x05abcd"), PROTOCOL),
    "HEADERS with half a priority": (raw_frame(1, 0x25, 1, b"\0\0\0"), SIZE),
    "a frame over the bound": (raw_frame(0, 0, 1, bytes(16385)), SIZE),
    "a stream with an even number": (raw_headers(2, GET), PROTOCOL),
    "a stream that was passed over": (raw_headers(5, GET) + raw_headers(3, GET), PROTOCOL),
    "DATA on an idle stream": (raw_frame(0, 0, 1, b"x"), PROTOCOL),
    "HEADERS on a stream that the client reset": (
        raw_headers(1, GET, 4) + raw_frame(3, 0, 1, bytes(4)) + raw_headers(1, GET),
        CLOSED,
    ),
}


@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG)
def test_a_frame_that_breaks_a_rule_of_the_connection_ends_it(data: bytes, code: Code) -> None:
    whole = connected_client()
    whole.receive(data)
    assert ending(whole)[0] == code
    bytewise = connected_client()
    for at in range(len(data)):
        bytewise.receive(data[at : at + 1])
    assert ending(bytewise)[0] == code


def test_the_first_frame_is_settings() -> None:
    session = Http2Client(Options(), 1 << 20)
    session.receive(PREFACE + raw_frame(6, 0, 0, bytes(8)))
    assert ending(session)[0] == PROTOCOL


def test_nothing_is_read_behind_a_frame_that_ended_the_connection() -> None:
    session = connected_client()
    found = session.receive(raw_headers(1, GET) + raw_frame(6, 0, 0, bytes(6)) + raw_headers(3, GET))
    # It was asked, and its answer reaches no client any more.
    assert [(message.kind, message.id) for message in found] == [(Kind.REQUEST, 1), (Kind.STREAM_RESET, 1)]
    assert ending(session) == (SIZE, 1)
    assert session.receive(raw_headers(5, GET)) == []


# What ends a stream

WRONG_ON_STREAM: dict[str, tuple[bytes, Code]] = {
    "PRIORITY of 4 bytes": (raw_frame(2, 0, 1, bytes(4)), SIZE),
    "a stream that depends on itself": (raw_frame(2, 0, 1, b"\0\0\0\1\0"), PROTOCOL),
    "WINDOW_UPDATE by 0 on a stream": (raw_frame(8, 0, 1, bytes(4)), PROTOCOL),
    "WINDOW_UPDATE beyond 2 GiB on a stream": (raw_frame(8, 0, 1, b"\x7f\xff\xff\xff"), FLOW),
    "trailers that do not end the stream": (raw_headers(1, [("x-one", "1")], 4), PROTOCOL),
    "trailers with a pseudo field": (raw_headers(1, GET), PROTOCOL),
}


@pytest.mark.parametrize(("data", "code"), WRONG_ON_STREAM.values(), ids=WRONG_ON_STREAM)
def test_a_frame_that_breaks_a_rule_of_its_stream_ends_that_and_no_other(data: bytes, code: Code) -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET, 4) + raw_headers(3, GET, 4))
    (end,) = session.receive(data)
    assert (end.kind, end.id) == (Kind.STREAM_RESET, 1)
    assert session.error is None
    assert resets(session.owed()) == {1: code}
    (close,) = session.receive(raw_frame(0, 1, 3, b"x"))
    assert (close.kind, close.id, close.frame) == (Kind.STREAM_CLOSE, 3, b"x")


def test_data_behind_the_end_of_a_request_end_the_stream() -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET))
    (end,) = session.receive(raw_frame(0, 0, 1, b"x"))
    assert end.kind is Kind.STREAM_RESET
    assert resets(session.owed()) == {1: CLOSED}


def test_a_new_stream_that_depends_on_itself_is_refused() -> None:
    session = connected_client()
    assert session.receive(raw_frame(1, 0x25, 1, b"\0\0\0\1\0\x82\x86\x84\x01\x01a")) == []
    assert (session.error, resets(session.owed())) == (None, {1: PROTOCOL})


# What is let through


@pytest.mark.parametrize(
    "data",
    [
        raw_frame(99, 0xFF, 0, b"x"),
        raw_frame(99, 0, 7, b"x"),
        raw_frame(4, 0, 0, bytes.fromhex("00ff 12345678")),
        raw_frame(2, 0, 9, bytes(5)),
        raw_frame(6, 0x80, 0, bytes(8)),
    ],
    ids=["unknown type", "unknown type on an idle stream", "unknown setting", "PRIORITY", "unknown flag"],
)
def test_what_has_no_meaning_is_ignored(data: bytes) -> None:
    session = connected_client()
    (request,) = session.receive(data + raw_headers(1, GET))
    assert (request.kind, session.error) == (Kind.REQUEST, None)


def test_padding_is_no_data() -> None:
    session = connected_client()
    padded = b"\x03" + raw_headers(1, GET)[9:] + b"\0\0\0"
    (request,) = session.receive(raw_frame(1, 0xC, 1, padded) + raw_frame(0, 9, 1, b"\x04bodyXXXX"))
    assert request.frame.endswith(b"\r\n\r\nbody")


def test_a_reserved_bit_of_the_stream_is_ignored() -> None:
    session = connected_client()
    data = bytearray(raw_headers(1, GET))
    data[5] |= 0x80
    assert [message.id for message in session.receive(bytes(data))] == [1]


def test_a_server_may_open_no_stream() -> None:
    session = connected_server()
    session.receive(raw_headers(2, [(":status", "200")]))
    assert ending(session)[0] == PROTOCOL
