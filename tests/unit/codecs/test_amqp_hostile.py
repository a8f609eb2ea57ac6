"""AMQP: peers that break the protocol, or keep to it in ways that would cost more than they are worth."""

from __future__ import annotations

import struct

import pytest
from amqp_words import (
    HEADER,
    Connected,
    asked,
    channel_open_ok,
    connection_close,
    declare_ok,
    delivered,
    get,
    got,
    method,
    open_vhost,
    opened,
    published,
    queue_declare,
    read,
    start_ok,
    tune,
    tune_ok,
)

from metaproxy.codecs.amqp import Amqp, wire
from metaproxy.codecs.amqp.lanes import MOST_WAITING, Lanes
from metaproxy.message import Chunk, ErrorKind, FinalFrame, FrameError, Kind, Message, Side


def publish_method(channel: int) -> bytes:
    whole = published(b"", channel=channel)
    return whole[: int.from_bytes(whole[3:7], "big") + 8]


def body(channel: int, data: bytes) -> bytes:
    return b"\3" + struct.pack(">HI", channel, len(data)) + data + b"\xce"


# -- clients


def test_heads_that_wait_on_many_channels_are_bounded_by_max_frame() -> None:
    session = Amqp(channel_max=65535).session(Side.CLIENT, 1 << 16)
    session.receive(HEADER + start_ok() + tune_ok(65535) + open_vhost())
    for channel in range(1, 60_000):
        session.receive(publish_method(channel))
        assert session.buffered <= 1 << 16
        if session.error is not None:
            break
    assert "more than 65536 bytes of messages that are not whole" in str(session.error)


def test_a_method_with_a_content_is_short() -> None:
    session = opened()
    session.receive(method("basic.publish", 1, bytes(2000)))
    assert "basic.publish of 2004 bytes" in str(session.error)


def test_frames_without_a_body_are_no_messages_and_take_no_room() -> None:
    session = opened()
    assert len(read(session, published(b"x" * 100_000)[:-50_000])) > 0
    session = opened()
    whole = published(b"x" * 10, frame_max=18)
    cut = whole.index(b"\3\0\1")
    read(session, whole[:cut] + method("channel.open", 2, b"\0"))  # from here on it comes in pieces
    for _ in range(1000):
        assert read(session, body(1, b"")) == []
        assert session.buffered == 0


def test_a_body_that_is_longer_than_it_was_said_to_be_ends_the_connection() -> None:
    for size in (10, 100_000):
        session = opened()
        session.receive(published(b"x" * size)[: -size - 8] + body(1, b"x" * 5) + body(1, b"y" * size))
        assert "longer than its header says" in str(session.error)


def test_what_was_begun_in_pieces_ends_with_the_connection() -> None:
    session = opened()
    messages = session.receive(published(b"x" * 100_000)[:-50_000] + method("basic.get", 2) + b"\xff" * 20)
    assert messages[-1].kind is not Kind.STREAM_RESET
    broken = opened()
    whole = published(b"x" * 10, frame_max=18)
    cut = whole.index(b"\3\0\1")
    messages = broken.receive(whole[:cut] + method("channel.open", 2, b"\0") + b"\x09" * 20)
    assert [message.kind for message in messages] == [Kind.STREAM_OPEN, Kind.REQUEST, Kind.STREAM_RESET]


def test_frames_keep_to_what_was_agreed_on() -> None:
    session = opened(handshake=HEADER + start_ok() + tune_ok(frame_max=4096) + open_vhost())
    assert len(read(session, published(b"x" * 4088, frame_max=4096))) == 1
    session.receive(published(b"x" * 4089, frame_max=1 << 20))
    assert "a frame of 4097 bytes; allowed are 4096" in str(session.error)


def test_frames_go_out_in_the_size_that_was_agreed_on() -> None:
    there = Connected()
    there.say(published(b"x" * 100_000))
    sent = there.sent()
    sizes, at = [], 0
    while at < len(sent):
        sizes.append(int.from_bytes(sent[at + 3 : at + 7], "big") + 8)
        at += sizes[-1]
    assert max(sizes) <= 131072


def test_nothing_is_read_behind_a_close_of_the_connection() -> None:
    session = opened()
    messages = session.receive(method("connection.close", 0, b"\0\xc8\0\0\0\0\0") + get() + b"\xff" * 100)
    assert [message.kind for message in messages] == [Kind.REQUEST]
    assert (session.error, session.closing, session.receive(get())) == (None, True, [])


@pytest.mark.parametrize(("type", "code"), [(3, 505), (8, 505), (9, 501)])
def test_what_is_wrong_with_a_frame_is_said_to_the_client(type: int, code: int) -> None:
    there = Connected()
    there.say(queue_declare() + bytes((type,)) + b"\0\1\0\0\0\0\xce")
    assert there.sent() == queue_declare()
    there.hear(declare_ok())
    said = there.got()
    assert said.startswith(declare_ok())
    assert said[len(declare_ok()) :][11:13] == struct.pack(">H", code)
    assert there.client.closed


def test_a_client_that_leaves_within_a_large_message_leaves_nothing_behind() -> None:
    there = Connected()
    there.say(published(b"x" * 500_000)[:-100_000])
    there.client.end()
    assert there.server.closed
    assert (there.stage.cluster.breaker.requests, there.stage.endpoints[0].active) == (0, 0)


# -- servers


@pytest.mark.parametrize(
    "frame",
    [
        method("connection.tune", 0, b"\0"), method("queue.declare-ok", 1, b"\xff"), method("channel.close", 1, b"\1"),
        method("connection.close", 0, b"\1\1\xff"), b"\1\0\1\0\0\0\1a\xce", b"\5\0\1\0\0\0\0\xce", body(1, b"x"),
        delivered()[:-13] + got(), b"HTTP/1.1", b"AMQX\0\0\x09\x01",
    ],
)  # fmt: skip
def test_a_server_that_breaks_the_protocol_loses_its_connection(frame: bytes) -> None:
    session = asked(get())
    session.receive(frame)
    assert isinstance(session.error, FrameError)
    there = Connected()
    there.hear(frame)
    assert there.server.closed
    assert there.got()[11:13] == struct.pack(">H", 320)


def test_answers_to_nothing_pass_as_pushes() -> None:
    messages = read(asked(), declare_ok() + tune() + channel_open_ok())
    assert {message.kind for message in messages} == {Kind.EVENT}


def test_a_server_that_ends_a_connection_ends_all_that_is_due_on_it() -> None:
    there = Connected()
    there.say(queue_declare() + get() + queue_declare("other"))
    there.hear(connection_close(404, "NOT_FOUND", "basic.get"))
    assert there.got() == connection_close(404, "NOT_FOUND", "basic.get")
    there.say(method("connection.close-ok", 0))
    assert there.sent().endswith(method("connection.close-ok", 0))
    assert there.client.closed
    assert there.stage.cluster.breaker.requests == 0


def test_what_waits_for_the_end_of_a_content_is_bounded() -> None:
    lanes = Lanes()
    lanes.put(b"head", 1, 7)
    frame = bytes(1 << 16)
    with pytest.raises(FrameError, match="wait on channel 1 for the end of a content"):
        for _ in range(MOST_WAITING // len(frame) + 1):
            lanes.put(frame, 1)
    assert lanes.put(frame, 2) == frame


def test_what_waits_follows_in_its_order_with_contents_of_its_own() -> None:
    lanes = Lanes()
    lanes.put(b"A", 1, 1)
    waiting = [lanes.put(b"b", 1), lanes.put(b"C", 1, 2), lanes.put(b"d", 1), lanes.put(b"E", 1, 3), lanes.put(b"f", 1)]
    waiting.append(lanes.chunk(Chunk(Kind.STREAM_CLOSE, b"", 2), 2))
    assert waiting == [b""] * 6
    assert lanes.chunk(Chunk(Kind.STREAM_CLOSE, b"", 1), 1) == b"bCdE"
    assert lanes.active
    assert lanes.chunk(Chunk(Kind.STREAM_CLOSE, b"", 3), 3) == b"f"
    assert not lanes.active
    assert lanes.chunk(Chunk(Kind.STREAM_DATA, b"late", 3), 3) == b""


# -- the proxy itself leaves


def test_a_client_is_asked_to_leave_when_the_proxy_does() -> None:
    there = Connected()
    there.client.protocol.drain()
    there.stage.clock.advance(0)
    assert there.got()[11:13] == struct.pack(">H", 320)
    there.say(published())
    assert there.sent() == b""
    there.say(method("connection.close-ok", 0))
    assert (there.sent(), there.client.closed) == (b"", True)


def test_a_client_that_leaves_at_the_same_time_is_answered() -> None:
    there = Connected()
    there.client.protocol.drain()
    there.stage.clock.advance(0)
    there.got()
    there.say(method("connection.close", 0, b"\0\xc8\0\0\0\0\0"))
    assert (there.got(), there.client.closed) == (method("connection.close-ok", 0), True)


def test_a_push_in_pieces_that_is_cut_off_ends_the_client() -> None:
    session = opened()
    session.send(Message(Kind.EVENT_OPEN, delivered(b"x" * 100)[:60], -1), -1)
    last_word = session.reset(-1, ErrorKind.DENIED, "not this")
    assert last_word == connection_close(403, "ACCESS_REFUSED - not this")
    assert isinstance(last_word, FinalFrame)


def test_a_server_has_no_more_contents_under_way_than_channels_were_agreed_on() -> None:
    codec = Amqp()
    client, server = codec.session(Side.CLIENT, 1 << 20), codec.session(Side.SERVER, 1 << 20)
    for message in client.receive(HEADER + start_ok() + tune_ok(100) + open_vhost()):
        server.send(message, message.id)
    whole = [delivered(bytes(200_000), channel=channel) for channel in range(1, 102)]
    heads = [one[: wire.frame_end(one, wire.frame_end(one))] for one in whole]
    begun = [server.receive(head)[0].kind for head in heads[:100]]
    assert begun == [Kind.EVENT_OPEN] * 100
    server.receive(heads[100])
    assert str(server.error) == "channel 101; agreed were 100 at most"
