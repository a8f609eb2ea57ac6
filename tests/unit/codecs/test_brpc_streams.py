"""Streams of bRPC: settings, ids in both directions, feedback, CLOSE and RST; C27: a stream has one server."""

import struct

import pytest
from protobuf_writing import blob, num, pair
from stream_relay import Relay

from metaproxy.codecs.brpc import Brpc
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.testing import check_codec
from metaproxy.units import Bytes

MAX = 1 << 20
RST, CLOSE, DATA, FEEDBACK = 1, 2, 3, 4
NAMES = blob(1, "example.Streams") + blob(2, "Open")
GOLDEN = bytes.fromhex("5354524d 0000000a 00000008 0805 1009 1803 2000 6869")
"""DATA of the protocol's description: from stream 9 to stream 5."""


def frame(meta: bytes, rest: bytes = b"", magic: bytes = b"PRPC") -> bytes:
    return magic + struct.pack(">II", len(meta) + len(rest), len(meta)) + meta + rest


def settings(id: int, feedback: bool = True, more: bytes = b"") -> bytes:
    return blob(8, num(1, id) + num(2, feedback) + more)


def call(id: int = 7, stream: int = 50, feedback: bool = True, more: bytes = b"") -> bytes:
    return frame(blob(1, NAMES) + num(4, id) + settings(stream, feedback) + more, b"hi")


def answer(id: int = 1, stream: int = 900, feedback: bool = True) -> bytes:
    return frame(blob(2, b"") + num(4, id) + settings(stream, feedback))


def stream(to: int, source: int, type: int, data: bytes = b"", more: bytes = b"") -> bytes:
    return frame(num(1, to) + num(2, source) + num(3, type) + more, data, b"STRM")


def data(to: int, source: int, payload: bytes, continues: bool = False) -> bytes:
    return stream(to, source, DATA, payload, num(4, continues))


def feedback(to: int, source: int, consumed: int) -> bytes:
    return stream(to, source, FEEDBACK, b"", blob(5, num(1, consumed)))


def opened(codec: Brpc | None = None, feedback: bool = True, max_frame: int = MAX) -> Relay:
    """A relay with one stream: 50 of the client, 900 of the server; 1 at either side of the proxy."""
    relay = Relay(codec or Brpc(), max_frame)
    relay.from_client(call(feedback=feedback))
    relay.from_server(answer(feedback=feedback))
    relay.take(Side.CLIENT), relay.take(Side.SERVER)
    return relay


def kinds(relay: Relay) -> list[tuple[str, str]]:
    return [(side.value, message.kind.name) for side, message in relay.seen]


def test_it_keeps_the_contract_with_heads_of_streams() -> None:
    """Ids apart: a stream's head has two, which change together."""
    unary = frame(blob(1, NAMES) + num(4, 9))
    check_codec(Brpc(), client=[unary, call(), call(id=8, more=pair(9, "a", "1"))], server=[answer()], ids=False)


# -- opening


def test_a_call_with_settings_opens_a_stream_and_each_side_gets_ids_of_the_proxy() -> None:
    relay = Relay(Brpc())
    relay.from_client(call(more=blob(1000, "unknown")))
    settled = blob(8, num(1, 1) + num(2, 1))
    assert relay.take(Side.SERVER) == frame(blob(1, NAMES) + num(4, 1) + blob(1000, "unknown") + settled, b"hi")
    relay.from_server(answer())
    assert relay.take(Side.CLIENT) == frame(blob(2, b"") + num(4, 7) + settled)
    assert kinds(relay) == [("client", "STREAM_OPEN"), ("server", "STREAM_OPEN")]


def test_what_the_settings_say_besides_stays() -> None:
    relay = Relay(Brpc())
    relay.from_client(frame(blob(1, NAMES) + num(4, 7) + settings(50, False, num(3, 1) + blob(77, "x"))))
    sent = relay.take(Side.SERVER)
    assert sent.endswith(blob(8, num(1, 1) + num(2, 1) + num(3, 1) + blob(77, "x")))


def test_its_metadata_are_those_of_a_call() -> None:
    (message,) = Brpc().session(Side.CLIENT, MAX).receive(call())
    assert (message.kind, message.get("method"), message.get("stream")) == (Kind.STREAM_OPEN, "Open", "true")


def test_a_head_can_be_mutated() -> None:
    (message,) = Brpc().session(Side.CLIENT, MAX).receive(call())
    assert Brpc().mutate(message, Mutation({"a": "b"})) == call(more=pair(9, "a", "b"))


def test_an_answer_without_settings_is_a_whole_one_and_opens_nothing() -> None:
    relay = Relay(Brpc())
    relay.from_client(call())
    relay.from_server(frame(blob(2, b"") + num(4, 1), b"no"))
    assert relay.take(Side.CLIENT) == frame(blob(2, b"") + num(4, 7), b"no")
    relay.take(Side.SERVER)
    relay.from_client(data(1, 50, b"late") + call(id=8, stream=51))
    assert kinds(relay)[1:] == [("server", "RESPONSE"), ("client", "STREAM_CLOSE"), ("client", "STREAM_OPEN")]


def test_an_answer_with_an_error_opens_nothing() -> None:
    relay = Relay(Brpc())
    relay.from_client(call())
    relay.from_server(frame(blob(2, num(1, 1001)) + num(4, 1) + settings(900)))
    assert kinds(relay)[-1] == ("server", "ERROR")
    relay.from_server(data(1, 900, b"x"))
    assert len(relay.seen) == 2


def test_the_proxys_own_refusal_goes_through_the_session() -> None:
    relay = Relay(Brpc())
    relay.from_client(call())
    (one,) = relay.calls.values()
    relay.fail(one, ErrorKind.NOT_FOUND, "no route")
    assert relay.take(Side.CLIENT) == frame(blob(2, num(1, 1001) + blob(2, "no route")) + num(3, 0) + num(4, 7))
    relay.from_client(call())  # the id is free
    assert kinds(relay)[1:] == [("client", "STREAM_CLOSE"), ("client", "STREAM_OPEN")]


def test_several_streams_of_one_call_are_refused() -> None:
    session = Brpc().session(Side.CLIENT, MAX)
    (message,) = session.receive(frame(blob(1, NAMES) + num(4, 7) + settings(50, True, num(4, 51))))
    with pytest.raises(FrameError, match="extra_stream_ids"):
        Brpc().session(Side.SERVER, MAX).send(message, 1)


def test_more_streams_than_allowed_are_answered_and_others_go_on() -> None:
    relay = opened(Brpc(max_streams=1))
    relay.from_client(call(id=8, stream=51))
    text = "more than 1 streams on a connection (max_streams)"
    assert relay.take(Side.CLIENT) == frame(blob(2, num(1, 1011) + blob(2, text)) + num(3, 0) + num(4, 8))
    relay.from_client(data(1, 50, b"x"))
    assert relay.take(Side.SERVER) == data(900, 1, b"x")


def test_a_call_under_the_id_of_an_open_stream_closes_the_connection() -> None:
    session = Brpc().session(Side.CLIENT, MAX)
    session.receive(call() + call())
    assert str(session.error) == "correlation_id 7 of a call is that of an open stream"


# -- data


def test_the_golden_frame_is_read_and_written() -> None:
    relay = Relay(Brpc())
    for id, stream in ((70, 8), (71, 8), (72, 8), (73, 8), (74, 9)):
        relay.from_client(call(id=id, stream=stream))
    relay.from_server(answer(id=5, stream=3))
    relay.take(Side.SERVER)
    relay.from_client(GOLDEN)
    chunk = relay.seen[-1][1]
    assert (chunk.kind, chunk.id, chunk.frame) == (Kind.STREAM_DATA, 74, b"hi")
    assert relay.take(Side.SERVER) == data(3, 5, b"hi")


def test_data_passes_both_ways_with_the_ids_of_each_side() -> None:
    relay = opened()
    relay.from_client(data(1, 50, b"up") + data(1, 50, b""))
    assert relay.take(Side.SERVER) == data(900, 1, b"up") + data(900, 1, b"")
    relay.from_server(data(1, 900, b"down"))
    assert relay.take(Side.CLIENT).startswith(feedback(50, 1, 2) + data(50, 1, b"down"))


def test_c27_streams_of_two_clients_share_a_connection_under_ids_of_their_own() -> None:
    codec = Brpc()
    server = codec.session(Side.SERVER, MAX)
    clients = [codec.session(Side.CLIENT, MAX) for _ in range(2)]
    for p, client in enumerate(clients, 1):
        (head,) = client.receive(call(id=7, stream=50))
        server.send(head, p)
    for p, client in enumerate(clients, 1):
        (head,) = server.receive(answer(id=p, stream=900 + p))
        client.send(head, 7)
    for p, client in enumerate(clients, 1):
        (chunk,) = client.receive(data(1, 50, b"x"))
        assert server.send(chunk, p) == data(900 + p, p, b"x")
    assert [message.id for message in server.receive(data(2, 902, b"b") + data(1, 901, b"a"))] == [2, 1]


@pytest.mark.parametrize(("size", "blocks"), [(1, 20), (7, 300), (40, 300), (1 << 20, 300)])
def test_a_frame_of_any_size_comes_in_chunks_of_one_message(size: int, blocks: int) -> None:
    relay = opened(max_frame=1 << 12)
    payload = bytes(range(256)) * blocks
    whole = data(1, 50, payload) + data(1, 50, b"next")
    for at in range(0, len(whole), size):
        relay.from_client(whole[at : at + size])
    chunks = [message for _, message in relay.seen if message.kind is Kind.STREAM_DATA]
    assert max(len(chunk.frame) for chunk in chunks) <= 65536
    last = next(i for i, chunk in enumerate(chunks) if not chunk.metadata)
    assert b"".join(chunk.frame for chunk in chunks[: last + 1]) == payload
    assert b"".join(chunk.frame for chunk in chunks[last + 1 :]) == b"next"


def test_a_message_in_several_frames_stays_one() -> None:
    relay = opened()
    relay.from_client(data(1, 50, b"a", True) + data(1, 50, b"b"))
    assert relay.take(Side.SERVER) == data(900, 1, b"a", True) + data(900, 1, b"b")


def test_what_a_filter_puts_in_the_place_of_a_piece_is_still_a_piece() -> None:
    relay = opened()
    (chunk,) = relay.client.receive(data(1, 50, b"a", True))
    assert relay.server.send(chunk.with_frame(b"other"), 1) == data(900, 1, b"other", True)


def test_frames_of_no_open_stream_are_passed_over() -> None:
    relay = opened()
    relay.from_client(data(77, 50, bytes(1 << 18)) + stream(77, 50, CLOSE) + feedback(77, 1, 5) + call(8, 60))
    assert kinds(relay)[2:] == [("client", "STREAM_OPEN")]
    assert relay.take(Side.CLIENT) == b""


# -- feedback


def test_what_has_left_is_fed_back_to_its_sender_in_all() -> None:
    relay = opened()
    relay.from_client(data(1, 50, b"abc"))
    assert relay.take(Side.CLIENT) == feedback(50, 1, 3)
    relay.holding.add(Side.CLIENT)
    relay.from_client(data(1, 50, b"de") + data(1, 50, b"f"))
    assert relay.take(Side.CLIENT) == b""
    relay.holding.clear()
    relay.turn()
    assert relay.take(Side.CLIENT) == feedback(50, 1, 6)


def test_a_sender_that_wants_no_feedback_gets_none() -> None:
    relay = opened(feedback=False)
    relay.from_client(data(1, 50, b"abc"))
    assert relay.take(Side.CLIENT) == b""


def test_nothing_is_fed_back_where_nothing_came_or_before_the_stream_is_open() -> None:
    relay = opened()
    relay.client.credit(7, 0)
    assert not relay.client.owes
    relay = Relay(Brpc())
    relay.from_client(call())
    relay.client.credit(7, 5)
    assert not relay.client.owes


def test_the_proxy_sends_a_window_and_the_rest_once_the_receiver_has_consumed() -> None:
    relay = opened(Brpc(stream_window=Bytes(10)))
    relay.from_client(b"".join(data(1, 50, bytes(6)) for _ in range(4)))
    assert relay.take(Side.SERVER) == data(900, 1, bytes(6)) * 2
    assert relay.server.unsent_bytes(1) == 12
    assert relay.take(Side.CLIENT) == b""  # not credited, while it waits
    relay.from_server(feedback(1, 900, 2))
    assert relay.take(Side.SERVER) == b""
    relay.from_server(feedback(1, 900, 8))
    assert relay.take(Side.SERVER) == data(900, 1, bytes(6))
    relay.from_server(feedback(1, 900, 8))  # says nothing new
    relay.from_server(feedback(1, 900, 18))
    assert relay.take(Side.SERVER) == data(900, 1, bytes(6))
    assert relay.take(Side.CLIENT) == feedback(50, 1, 24)


def test_a_sender_beyond_the_buffer_is_reset_and_its_neighbours_go_on() -> None:
    relay = opened(Brpc(stream_buffer=Bytes(100)))
    relay.from_client(call(id=8, stream=51))
    relay.from_server(answer(id=2, stream=901))
    relay.take(Side.CLIENT), relay.take(Side.SERVER)
    relay.holding.add(Side.CLIENT)
    relay.from_client(data(1, 50, bytes(99)) + data(1, 50, bytes(5000)))
    assert relay.take(Side.CLIENT) == b""
    relay.from_client(data(1, 50, b"x") + data(2, 51, b"y"))
    assert relay.take(Side.CLIENT) == stream(50, 1, RST)
    assert relay.take(Side.SERVER) == data(900, 1, bytes(99)) + data(900, 1, bytes(5000)) + stream(900, 1, RST) + data(
        901, 2, b"y"
    )


def test_a_message_without_end_is_reset_too() -> None:
    relay = opened(Brpc(stream_buffer=Bytes(100)), max_frame=1000)
    relay.holding.add(Side.CLIENT)
    for _ in range(30):
        relay.from_client(data(1, 50, bytes(100), True))
    assert kinds(relay)[-1] == ("client", "STREAM_RESET")
    assert relay.greatest[Side.CLIENT] <= 1100


# -- ends


def test_the_servers_close_ends_both_directions_and_is_answered() -> None:
    relay = opened()
    relay.from_server(stream(1, 900, CLOSE))
    assert relay.take(Side.CLIENT) == stream(50, 1, CLOSE)
    assert relay.take(Side.SERVER) == stream(900, 1, CLOSE)
    relay.from_client(data(1, 50, b"late") + stream(1, 50, CLOSE))
    relay.from_server(data(1, 900, b"late"))
    assert (relay.take(Side.CLIENT), relay.take(Side.SERVER)) == (b"", b"")


def test_the_clients_close_reaches_the_server_whose_own_ends_the_stream() -> None:
    relay = opened()
    relay.from_client(stream(1, 50, CLOSE))
    assert relay.take(Side.SERVER) == stream(900, 1, CLOSE)
    relay.from_server(data(1, 900, b"late") + stream(1, 900, CLOSE))
    assert relay.take(Side.CLIENT) == stream(50, 1, CLOSE)
    assert relay.take(Side.SERVER) == b""
    assert not relay.calls


def test_a_close_waits_behind_data_that_waits() -> None:
    relay = opened(Brpc(stream_window=Bytes(1)))
    relay.from_server(data(1, 900, b"one") + data(1, 900, b"two") + stream(1, 900, CLOSE))
    assert relay.take(Side.CLIENT) == data(50, 1, b"one")
    relay.from_client(feedback(1, 50, 3))
    assert relay.take(Side.CLIENT) == data(50, 1, b"two") + stream(50, 1, CLOSE)


def test_a_client_that_closes_takes_nothing_any_more() -> None:
    relay = opened(Brpc(stream_window=Bytes(1)))
    relay.from_server(data(1, 900, b"one") + data(1, 900, b"two") + stream(1, 900, CLOSE))
    relay.take(Side.CLIENT)
    relay.from_client(stream(1, 50, CLOSE))
    assert relay.take(Side.CLIENT) == stream(50, 1, CLOSE)


def test_a_reset_of_either_side_reaches_the_other() -> None:
    relay = opened()
    relay.from_client(stream(1, 50, RST))
    assert relay.take(Side.SERVER) == stream(900, 1, RST)
    relay = opened()
    relay.from_server(stream(1, 900, RST))
    assert relay.take(Side.CLIENT) == stream(50, 1, RST)
    assert relay.take(Side.SERVER) == b""


def test_a_stream_that_the_proxy_ends_is_reset_at_both_sides() -> None:
    relay = opened()
    (one,) = relay.calls.values()
    relay.fail(one, ErrorKind.TIMEOUT)
    assert relay.take(Side.CLIENT) == stream(50, 1, RST)
    assert relay.take(Side.SERVER) == stream(900, 1, RST)


def test_one_that_is_given_up_before_its_answer_is_reset_with_it() -> None:
    relay = Relay(Brpc())
    relay.from_client(call())
    (one,) = relay.calls.values()
    relay.take(Side.SERVER)
    relay.abandon(one)
    assert relay.take(Side.SERVER) == b""
    relay.from_server(answer())
    assert relay.take(Side.SERVER) == stream(900, 1, RST)
    assert kinds(relay)[-1] == ("server", "RESPONSE")


def test_too_many_of_these_end_the_connection() -> None:
    server = Brpc().session(Side.SERVER, MAX)
    (head,) = Brpc().session(Side.CLIENT, MAX).receive(call())
    ends = []
    for id in range(1, 1026):
        server.send(head, id)
        ends.append(server.reset(id, ErrorKind.TIMEOUT, ""))
    assert ends == [b""] * 1024 + [None]


def test_what_is_left_of_a_frame_is_passed_over_when_its_stream_ends() -> None:
    relay = opened()
    big = data(1, 900, bytes(1000))
    relay.from_server(big[:500])
    (one,) = relay.calls.values()
    relay.fail(one, ErrorKind.TIMEOUT)
    relay.take(Side.CLIENT), relay.take(Side.SERVER)
    before = len(relay.seen)
    relay.from_server(big[500:] + frame(blob(2, b"") + num(4, 9)))
    assert kinds(relay)[before:] == [("server", "RESPONSE")]
    assert relay.take(Side.CLIENT) == b""


def test_a_reset_of_a_call_that_opened_nothing_says_nothing() -> None:
    assert Brpc().session(Side.SERVER, MAX).reset(5, ErrorKind.TIMEOUT, "") == b""
    assert Brpc().session(Side.CLIENT, MAX).reset(5, ErrorKind.TIMEOUT, "") == b""
    assert Brpc().session(Side.CLIENT, MAX).send(Chunk(Kind.STREAM_DATA, b"x", 5), 5) == b""


# -- bad frames


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (b"STRM" + struct.pack(">II", 4, 5), "meta of 5 bytes in a body of 4"),
        (b"STRM" + struct.pack(">II", 1 << 20, 4097), "meta of 4097 bytes in a stream's frame; allowed are 4096"),
        (stream(1, 50, 0), "stream frame type 0; known are 1 (RST) to 4 (FEEDBACK)"),
        (stream(1, 50, 5), "stream frame type 5"),
        (frame(b"\x08", magic=b"STRM"), "protobuf: "),
    ],
)
def test_a_bad_frame_closes_the_connection(bad: bytes, text: str) -> None:
    relay = opened()
    assert relay.client.receive(data(1, 50, b"x") + bad)[0].frame == b"x"
    assert text in str(relay.client.error)


def test_messages_are_the_same_however_the_stream_is_cut() -> None:
    def joined(messages: list[Message]) -> list[object]:
        found: list[list[object]] = []
        for message in messages:
            last = found[-1] if found else None
            if last and last[0] is message.kind is Kind.STREAM_DATA and last[2]:
                last[1], last[2] = last[1] + message.frame, bool(message.metadata)  # type: ignore[operator]
            else:
                data = message.kind is Kind.STREAM_DATA
                found.append([message.kind, message.frame, data and bool(message.metadata), message.id])
        return list(found)

    whole = call() + data(1, 50, b"abc") + data(1, 50, b"", True) + data(1, 50, b"de") + call(8) + stream(1, 50, CLOSE)

    def read(pieces: list[bytes]) -> list[object]:
        relay = Relay(Brpc())
        for piece in pieces:
            relay.from_client(piece)
            if len(relay.seen) == 1:
                relay.from_server(answer())
        return joined([message for side, message in relay.seen if side is Side.CLIENT])

    alone = read([call(), whole[len(call()) :]])
    assert len(alone) == 5
    for at in range(len(call()), len(whole)):
        assert read([call(), whole[len(call()) : at], whole[at:]]) == alone
    assert read([bytes([byte]) for byte in whole]) == alone
