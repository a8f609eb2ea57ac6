"""AMQP: the contract, what messages are made of frames, which answer belongs to what, and the whole path."""

from __future__ import annotations

import itertools
import struct

import pytest
from amqp_words import (
    GET_EMPTY,
    HEADER,
    MAX,
    OPEN_OK,
    START,
    Connected,
    asked,
    channel_close,
    channel_open_ok,
    connection_close,
    consume,
    declare_ok,
    delivered,
    exchange_declare,
    get,
    got,
    headers,
    method,
    open_vhost,
    opened,
    published,
    queue_bind,
    queue_declare,
    read,
    returned,
    start_ok,
    tune,
    tune_ok,
    unframed,
)

from metaproxy.codecs.amqp import Amqp
from metaproxy.codecs.amqp.wire import BEAT
from metaproxy.codecs.framing import Session
from metaproxy.interfaces import ISession
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Mutation, Side
from metaproxy.testing import check_codec, check_relay

CHANNEL_OPEN = method("channel.open", 1, b"\0")
PREPARED = (
    queue_declare(channel=1), get(channel=2), consume(channel=3), get(channel=4),
    method("channel.close", 5, b"\0\xc8\0\0\0\0\0"),
)  # fmt: skip
"""What is due as the contract reads a server's frames."""


SOME = headers({"tenant": "t1", "n": 5, "on": True})
TWICE = [f"headers.{name}" for name in ("x-metaproxy-check", "x-metaproxy-absent", "x-b", "x-metaproxy-mixed")]
"""What the contract's headers are called besides."""


class OnceOpen(Amqp):
    """Without the probe, which is how a connection begins."""

    def probe(self) -> None:  # type: ignore[override]
        return None


class BeforeThat(Amqp):
    mutable = "a connection begins without contents"


def prepare(session: ISession, side: Side) -> None:
    if side is Side.CLIENT:
        session.receive(HEADER + start_ok() + tune_ok() + open_vhost())
    else:
        for id, message in enumerate(opened().receive(b"".join(PREPARED)), 101):
            session.send(message, id)


def test_it_keeps_the_contract() -> None:
    client = [
        CHANNEL_OPEN, exchange_declare("orders"), queue_bind("q", "orders", "#", 1), published(properties=SOME),
        published(b"", properties=SOME), method("tx.commit"), method("basic.cancel", 1, b"\4ctag\0"),
        published(b"a" * 3000, frame_max=1000, properties=headers({"tenant": "t1"})), BEAT,
        method("basic.ack", 1, struct.pack(">QB", 1, 0)), method("channel.close-ok", 1),
    ]  # fmt: skip
    server = [
        declare_ok(), got(channel=2, properties=SOME), method("basic.consume-ok", 3, b"\4ctag"),
        delivered(properties=SOME), returned(properties=SOME), method("basic.ack", 1, struct.pack(">QB", 1, 0)),
        method("basic.get-empty", 4, b"\0"), channel_close(about="queue.declare"), BEAT,
        connection_close(about="basic.get"), method("connection.blocked", 0, b"\3low"), method("channel.close-ok", 5),
    ]  # fmt: skip
    check_codec(OnceOpen(), client, server, prepare=prepare, ids=False, own=TWICE)


def test_it_keeps_the_contract_before_anybody_has_logged_in() -> None:

    def ask(session: ISession, side: Side) -> None:
        if side is Side.SERVER:
            session.send(Message(Kind.REQUEST, HEADER), 1)

    check_codec(BeforeThat(), client=[HEADER], server=[START], prepare=ask, ids=False)


def test_a_conversation_passes_however_it_is_cut() -> None:
    large = delivered(b"x" * 9000)
    conversation = [
        (Side.CLIENT, HEADER), (Side.SERVER, START), (Side.CLIENT, start_ok()), (Side.SERVER, tune()),
        (Side.CLIENT, tune_ok() + open_vhost()), (Side.SERVER, OPEN_OK), (Side.CLIENT, CHANNEL_OPEN),
        (Side.SERVER, channel_open_ok()), (Side.CLIENT, queue_declare() + consume()), (Side.SERVER, declare_ok()),
        (Side.SERVER, method("basic.consume-ok", 1, b"\4ctag") + delivered()),
        (Side.CLIENT, published() + published(b"y" * 9000) + get()), (Side.SERVER, large + GET_EMPTY),
        (Side.CLIENT, method("connection.close", 0, b"\0\xc8\0\0\0\0\0")),
        (Side.SERVER, method("connection.close-ok", 0)),
    ]  # fmt: skip
    check_relay(Amqp(stream_over=4096), conversation, normal=unframed)  # type: ignore[arg-type]


# -- what messages are


def kinds(messages: list[Message]) -> list[Kind]:
    return [message.kind for message in messages]


def test_methods_that_want_an_answer_are_requests_and_others_are_not() -> None:
    messages = read(opened(), queue_declare() + queue_declare(bits=16) + consume(bits=8) + published() + get())
    assert kinds(messages) == [Kind.REQUEST, Kind.ONEWAY, Kind.ONEWAY, Kind.ONEWAY, Kind.REQUEST]


def test_a_message_with_its_content_is_one_message() -> None:
    whole = published(b"x" * 5000, frame_max=1000)
    (message,) = read(opened(), whole)
    assert message.frame == whole


def test_a_large_content_comes_in_pieces() -> None:
    head, *chunks = read(opened(), published(b"x" * 200_000))
    assert (head.kind, head.oneway) == (Kind.STREAM_OPEN, True)
    assert b"".join(chunk.frame for chunk in chunks) == b"x" * 200_000
    assert kinds(chunks)[-1] is Kind.STREAM_CLOSE
    assert max(len(chunk.frame) for chunk in chunks) <= 65536


def test_contents_of_several_channels_may_stand_between_each_other() -> None:
    frame = 1000
    first, second = (published(bytes((48 + channel,)) * 1500, channel=channel, frame_max=frame) for channel in (1, 2))
    cuts = [0, *(at for at in range(len(first)) if first[at : at + 3] in (b"\x02\0\1", b"\x03\0\1")), len(first)]
    pieces = [(first[a:b], second[a:b]) for a, b in itertools.pairwise(cuts)]
    messages = read(opened(), b"".join(one + other for one, other in pieces))
    heads = [message for message in messages if message.kind is Kind.STREAM_OPEN]
    bodies = {
        head.frame[2]: b"".join(chunk.frame for chunk in messages if isinstance(chunk, Chunk) and chunk.id == head.id)
        for head in heads
    }
    assert bodies == {1: b"1" * 1500, 2: b"2" * 1500}


def test_a_heartbeat_within_a_content_is_no_error() -> None:
    whole = published(b"x" * 1500, frame_max=1000)
    at = whole.index(b"\x03\0\1")
    messages = read(opened(), whole[:at] + BEAT + whole[at:])
    assert kinds(messages) == [Kind.STREAM_OPEN, Kind.HEARTBEAT, Kind.STREAM_DATA, Kind.STREAM_CLOSE]


def test_answers_find_their_requests_on_their_channel() -> None:
    server = asked(queue_declare(channel=1), get(channel=2), queue_declare("r", channel=1))
    messages = read(server, got(channel=2) + declare_ok(channel=1) + declare_ok("r", channel=1))
    assert [(message.kind, message.id) for message in messages] == [
        (Kind.RESPONSE, 2), (Kind.RESPONSE, 1), (Kind.RESPONSE, 3)
    ]  # fmt: skip


def test_a_large_answer_and_a_large_delivery_are_streams_of_their_own() -> None:
    server = asked(get(channel=2))
    messages = read(server, got(b"x" * 100_000, channel=2) + delivered(b"y" * 100_000, channel=1))
    heads = [(message.kind, message.id) for message in messages if not isinstance(message, Chunk)]
    assert heads == [(Kind.STREAM_OPEN, 1), (Kind.EVENT_OPEN, -1)]


def test_deliveries_returns_and_confirms_are_pushes() -> None:
    confirm = method("basic.ack", 1, struct.pack(">QB", 1, 0))
    assert kinds(read(asked(), delivered() + returned() + confirm)) == [Kind.EVENT] * 3


def test_an_answer_to_something_else_than_what_is_due_ends_the_connection() -> None:
    server = asked(queue_declare())
    assert server.receive(GET_EMPTY) == []
    assert "where queue.declare is due" in str(server.error)


def test_a_close_answers_what_it_is_about_and_nothing_else_on_its_channel_is_answered() -> None:
    server = asked(get(), queue_declare(), queue_declare("other", channel=2))
    messages = read(server, channel_close(404, "NOT_FOUND", "queue.declare"))
    assert [(message.kind, message.id) for message in messages] == [(Kind.ERROR, 2), (Kind.SILENCE, 1)]


def test_a_close_of_the_connection_that_is_about_nothing_is_a_push() -> None:
    messages = read(asked(get()), connection_close())
    assert [(message.kind, message.id) for message in messages] == [(Kind.EVENT, 0), (Kind.SILENCE, 1)]


def test_what_follows_a_close_of_the_server_on_its_channel_is_dropped_until_the_client_knows() -> None:
    client = opened()
    client.send(Message(Kind.EVENT, channel_close()), 0)
    messages = read(client, published() + published(b"x" * 100_000) + get() + published(channel=2))
    assert [message.frame[2] for message in messages] == [2]
    messages = read(client, method("channel.close-ok", 1) + CHANNEL_OPEN + get())
    assert kinds(messages) == [Kind.ONEWAY, Kind.REQUEST, Kind.REQUEST]


# -- the handshake


def test_tune_is_bounded_by_the_proxys_own_limits() -> None:
    client = opened(Amqp(channel_max=10, frame_max=8192), HEADER)  # type: ignore[arg-type]
    assert client.send(Message(Kind.RESPONSE, tune(0, 0)), 1) == tune(10, 8192)
    assert client.send(Message(Kind.RESPONSE, tune(5, 4096)), 1) == tune(5, 4096)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        (start_ok() + tune_ok(0), "tune-ok with channel_max 0; allowed are 1 to 2047"),
        (start_ok() + tune_ok(frame_max=1 << 30), "tune-ok with frame_max 1073741824; allowed are 1 to 131072"),
        (tune_ok(), "connection.tune-ok where it is not due"),
        (CHANNEL_OPEN, "channel.open before connection.open"),
        (start_ok() + tune_ok(10) + open_vhost() + method("channel.open", 11, b"\0"), "channel 11; agreed were 10"),
        (start_ok() + tune_ok() + open_vhost() + method("channel.open", 0, b"\0"), "channel.open on channel 0"),
        (start_ok() + tune_ok() + open_vhost() + method("connection.open", 3, b"\0"), "connection.open on channel 3"),
        (start_ok() + tune_ok() + open_vhost() + method("basic.deliver"), "no method that a client sends"),
        (start_ok() + tune_ok() + open_vhost() + b"\x07\0\1\0\0\0\0\xce", "a frame of type 7"),
        (start_ok() + tune_ok() + open_vhost() + b"\1\0\1\0\0\0\4\0\x14\0\x0a\0", "ends with 0x0"),
        (start_ok() + tune_ok() + open_vhost() + b"\1\0\1\x7f\0\0\4", "a frame of 2130706444 bytes"),
        (start_ok() + tune_ok() + open_vhost() + published()[:-13] + get(), "within the content of channel 1"),
        (start_ok() + tune_ok() + open_vhost() + b"\3\0\1\0\0\0\1a\xce", "a frame of type 3 on channel 1"),
        (start_ok() + tune_ok() + open_vhost() + method("queue.declare", 1, b"\0\0\5a"), "end before arguments does"),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection_with_the_reason(frames: bytes, text: str) -> None:
    client = opened(handshake=HEADER)
    client.receive(frames)
    assert text in str(client.error)
    (close,) = read(asked(), client.owed())
    assert close.frame[11:13] in (struct.pack(">H", code) for code in range(501, 531))


@pytest.mark.parametrize("header", [b"AMQP\0\1\0\0", b"AMQP\3\1\0\0"])
def test_a_client_of_amqp_1_0_is_answered_with_the_version_that_is_spoken(header: bytes) -> None:
    client = Amqp().session(Side.CLIENT, MAX)
    assert client.receive(header) == []
    assert "AMQP 1.0; this listener speaks AMQP 0-9-1" in str(client.error)
    assert client.owed() == HEADER


def test_a_server_that_speaks_another_version_answers_the_header_with_its_own() -> None:
    server = Amqp().session(Side.SERVER, MAX)
    server.send(Amqp().session(Side.CLIENT, MAX).receive(HEADER)[0], 1)
    (answer,) = read(server, b"AMQP\0\1\0\0")
    assert (answer.kind, answer.id, Amqp().alive(answer)) == (Kind.ERROR, 1, False)


# -- heartbeats


def beaten(session: Session, seconds: int) -> bytes:
    said = b""
    for now in range(100, 100 + seconds):
        session.beat(float(now))
        said += session.owed() if session.owes else b""
    return said


@pytest.mark.parametrize("seconds", [1, 2])
def test_a_peer_with_a_short_interval_hears_something_each_time_that_there_is_a_look_at_it(seconds: int) -> None:
    client = opened(handshake=HEADER + start_ok() + tune_ok(heartbeat=seconds))
    client.owed()
    for now in (1.0, 2.0):
        client.beat(now)
        assert client.owed() == BEAT


def test_either_side_gets_heartbeats_when_nothing_else_is_said() -> None:
    client = opened(handshake=HEADER + start_ok() + tune_ok(heartbeat=10))
    assert beaten(client, 5) == BEAT
    server = Amqp().session(Side.SERVER, MAX)
    server.send(Message(Kind.ONEWAY, tune_ok(heartbeat=10)), 1)
    assert beaten(server, 12) == BEAT * 2


def test_a_peer_that_is_silent_for_two_intervals_is_gone_unless_it_is_not_read() -> None:
    silent, unread = (opened(handshake=HEADER + start_ok() + tune_ok(heartbeat=10)) for _ in range(2))
    beaten(silent, 20)
    assert silent.error is None
    beaten(silent, 22)
    assert "no heartbeat within 20 s" in str(silent.error)
    unread.unread = True
    beaten(unread, 100)
    assert unread.error is None


def test_a_client_that_is_held_back_hears_of_it_if_it_understands_that() -> None:
    client = opened()
    client.unread = True
    assert beaten(client, 3) == method("connection.blocked", 0, b"\x24the proxy holds this connection back")
    client.unread = False
    assert beaten(client, 3) == method("connection.unblocked", 0)
    other = opened(handshake=HEADER + start_ok(blocked=False) + tune_ok() + open_vhost())
    other.unread = True
    assert beaten(other, 3) == b""


# -- the whole path


def test_messages_pass_both_ways_and_are_counted() -> None:
    room = Connected()
    room.say(published() + published(b"x" * 100_000) + queue_declare())
    assert unframed(room.sent()) == unframed(published() + published(b"x" * 100_000) + queue_declare())
    room.hear(declare_ok() + delivered() + delivered(b"y" * 100_000))
    assert unframed(room.got()) == unframed(declare_ok() + delivered() + delivered(b"y" * 100_000))
    outcomes = room.stage.route.targets[0].counts.outcomes
    assert (outcomes["oneway"], outcomes["event"]) == (5 - 2, 2)


def test_a_server_that_ends_is_a_connection_that_is_forced_to_close() -> None:
    room = Connected()
    room.server.end()
    (close,) = read(asked(), room.got())
    assert close.frame[11:13] == struct.pack(">H", 320)


def test_a_header_can_be_set_and_removed_and_the_rest_stays() -> None:
    codec = Amqp()
    before = published(properties=headers({"tenant": "t1", "Trace": "a", "n": 5}))
    (message,) = read(opened(codec), before)
    after = codec.mutate(message, Mutation({"headers.zone": "eu", "traceparent": "00-1"}, ("headers.trace",)))
    expected = headers({"tenant": "t1", "n": 5, "zone": "eu", "traceparent": "00-1"})
    assert after == published(properties=expected)


def test_a_message_without_headers_gets_some() -> None:
    codec = Amqp()
    (message,) = read(opened(codec), published(properties=b"\x90\0" + b"\4text" + b"\2"))
    after = codec.mutate(message, Mutation({"headers.zone": "eu"}))
    expected = b"\xb0\0" + b"\4text" + headers({"zone": "eu"})[2:] + b"\2"
    assert after == published(properties=expected)


def test_what_has_no_headers_stays_as_it_is() -> None:
    codec = Amqp()
    (message,) = read(opened(codec), queue_bind("q", "orders", "#"))
    assert codec.mutate(message, Mutation({"headers.zone": "eu"})) == message.frame


def test_only_a_login_is_confidential() -> None:
    codec = Amqp()
    messages = read(codec.session(Side.CLIENT, MAX), HEADER + start_ok() + tune_ok())
    assert [codec.confidential(message) for message in messages] == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "code"), [(ErrorKind.DENIED, 403), (ErrorKind.NOT_FOUND, 530), (ErrorKind.CONNECT, 320)]
)
def test_what_is_refused_while_a_connection_opens_closes_it(kind: ErrorKind, code: int) -> None:
    codec = Amqp()
    (message,) = read(codec.session(Side.CLIENT, MAX), HEADER)
    reply = codec.reply(message, kind, "no")
    assert isinstance(reply, bytes)
    assert reply[11:13] == struct.pack(">H", code)
