"""Streams of tRPC: INIT both ways, DATA in windows, FEEDBACK, half-close, CLOSE and RESET, refusals."""

import struct

import pytest
from protobuf_writing import blob, num, pair
from stream_relay import Relay

from metaproxy.codecs.trpc import Trpc
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.units import Bytes

MAX = 1 << 20
INIT, DATA, FEEDBACK, CLOSE = 1, 2, 3, 4
WINDOW = 65536

# The golden frames of the protocol's description, fields apart.
GOLDEN_INIT = bytes.fromhex(
    "0930 01 01 00000047 0000 00000064 00 00 0a310a01631212747270632e6170702e6563686f2e4563686f1a182f747270632e6170702e"
    "6563686f2e4563686f2f4368617418ffff03"
)
GOLDEN_ANSWER = bytes.fromhex("0930 01 01 00000016 0000 00000064 00 00 120018ffff03")
GOLDEN_DATA = bytes.fromhex("0930 01 02 00000012 0000 00000064 00 00 6869")
GOLDEN_FEEDBACK = bytes.fromhex("0930 01 03 00000013 0000 00000064 00 00 088008")
GOLDEN_CLOSE = bytes.fromhex("0930 01 04 00000010 0000 00000064 00 00")
GOLDEN_RESET = bytes.fromhex("0930 01 04 00000017 0000 00000064 00 00 0801101f1a0178")
GOLDEN_REFUSAL = bytes.fromhex("0930 01 01 0000001e 0000 00000064 00 00 120c080b12086e6f20726f757465")

REQUEST_META = blob(1, "c") + blob(2, "trpc.app.echo.Echo") + blob(3, "/trpc.app.echo.Echo/Chat")


def frame(type: int, id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HBBIHIH", 0x0930, 1, type, 16 + len(payload), 0, id, 0) + payload


def init(id: int = 100, window: int = 65535, meta: bytes = b"", more: bytes = b"") -> bytes:
    return frame(INIT, id, blob(1, REQUEST_META + meta) + more + (num(3, window) if window else b""))


def accepted(id: int = 101, window: int = 65535) -> bytes:
    return frame(INIT, id, blob(2, b"") + (num(3, window) if window else b""))


def data(id: int, payload: bytes) -> bytes:
    return frame(DATA, id, payload)


def feedback(id: int, size: int) -> bytes:
    return frame(FEEDBACK, id, num(1, size))


def reset(id: int, ret: int, text: str = "") -> bytes:
    return frame(CLOSE, id, num(1, 1) + num(2, ret) + (blob(3, text) if text else b""))


def opened(codec: Trpc | None = None, client_window: int = 65535, server_window: int = 65535) -> Relay:
    """A relay with one stream: 100 of the client, 101 towards the server."""
    relay = Relay(codec or Trpc())
    relay.from_client(init(window=client_window))
    relay.from_server(accepted(window=server_window))
    relay.take(Side.CLIENT), relay.take(Side.SERVER)
    return relay


def kinds(relay: Relay) -> list[tuple[str, str]]:
    return [(side.value, message.kind.name) for side, message in relay.seen]


# -- opening


def test_an_init_opens_a_stream_under_the_proxys_id_and_with_its_window() -> None:
    relay = Relay(Trpc())
    relay.from_client(GOLDEN_INIT)
    assert relay.take(Side.SERVER) == init(101, WINDOW)
    relay.from_server(accepted())
    assert relay.take(Side.CLIENT) == frame(INIT, 100, blob(2, b"") + num(3, WINDOW))
    assert kinds(relay) == [("client", "STREAM_OPEN"), ("server", "STREAM_OPEN")]


def test_the_golden_answer_is_read() -> None:
    relay = Relay(Trpc())
    session = relay.server
    (head,) = relay.client.receive(GOLDEN_INIT)
    for id in range(1, 100):
        session.send(head, id)
    assert session.receive(GOLDEN_ANSWER) == []  # 100 is no stream of ours
    (message,) = session.receive(accepted(199))
    assert (message.kind, message.id, message.get("ret")) == (Kind.STREAM_OPEN, 99, "0")


def test_an_init_tells_what_a_request_does() -> None:
    (message,) = (
        Trpc().session(Side.CLIENT, MAX).receive(init(meta=pair(5, "Tenant", "t1"), more=num(4, 2) + num(5, 1)))
    )
    assert dict(message.known()) == {
        "kind": "stream_open",
        "service": "trpc.app.echo.Echo",
        "method": "Chat",
        "operation": "trpc.app.echo.Echo/Chat",
        "func": "/trpc.app.echo.Echo/Chat",
        "caller": "c",
        "callee": "trpc.app.echo.Echo",
        "content_type": "json",
        "content_encoding": "gzip",
        "Tenant": "t1",
        "tenant": "t1",
    }


def test_a_stream_and_a_call_may_have_the_same_id() -> None:
    relay = Relay(Trpc())
    call = struct.pack(">HBBIHIH", 0x0930, 0, 0, 20, 4, 100, 0) + num(3, 100) + blob(7, "")
    relay.from_client(init() + call)
    stream, unary = (message for _, message in relay.seen)
    assert stream.id != unary.id == 100


def test_c32_the_trans_info_of_an_init_can_be_changed() -> None:
    codec = Trpc()
    (message,) = codec.session(Side.CLIENT, MAX).receive(init(meta=pair(5, "a", "1")))
    changed = codec.mutate(message, Mutation({"b": "2"}, ("a",)))
    assert changed == init(meta=pair(5, "b", "2"))
    assert codec.mutate(message, Mutation({}, ("absent",))) == message.frame


def test_the_answer_to_an_init_has_no_place_for_metadata() -> None:
    relay = opened()
    head = relay.seen[1][1]
    assert Trpc().mutate(head, Mutation({"a": "1"})) == head.frame


def test_a_refusal_by_the_server_is_a_whole_answer() -> None:
    relay = Relay(Trpc())
    relay.from_client(GOLDEN_INIT)
    relay.take(Side.SERVER)
    relay.from_server(frame(INIT, 101, blob(2, num(1, 11) + blob(2, "no route"))))
    message = relay.seen[-1][1]
    assert (message.kind, message.get("ret"), message.get("error_msg")) == (Kind.ERROR, "11", "no route")
    assert relay.take(Side.CLIENT) == GOLDEN_REFUSAL
    relay.from_client(data(100, b"late") + init(100))
    assert kinds(relay)[2:] == [("client", "STREAM_CLOSE"), ("client", "STREAM_OPEN")]


def test_c33_the_proxys_own_refusal_is_the_golden_one_and_frees_the_stream() -> None:
    relay = Relay(Trpc())
    relay.from_client(GOLDEN_INIT)
    (call,) = relay.calls.values()
    relay.fail(call, ErrorKind.NOT_FOUND, "no route")
    assert relay.take(Side.CLIENT) == GOLDEN_REFUSAL
    relay.from_client(GOLDEN_INIT)  # C34
    assert kinds(relay)[1:] == [("client", "STREAM_CLOSE"), ("client", "STREAM_OPEN")]


def test_a_server_that_closes_instead_of_answering_has_refused() -> None:
    relay = Relay(Trpc())
    relay.from_client(init())
    relay.from_server(reset(101, 31, "busy"))
    assert kinds(relay)[-1] == ("server", "ERROR")
    assert relay.take(Side.CLIENT) == frame(INIT, 100, blob(2, num(1, 31) + blob(2, "busy")))


def test_a_unary_answer_to_a_stream_is_a_refusal() -> None:
    relay = Relay(Trpc())
    relay.from_client(init())
    relay.from_server(struct.pack(">HBBIHIH", 0x0930, 0, 0, 18, 2, 1, 0) + num(3, 1))
    text = "a unary answer to a stream"
    assert relay.take(Side.CLIENT) == frame(INIT, 100, blob(2, num(1, 122) + blob(2, text)))


def test_more_streams_than_allowed_are_answered_and_others_go_on() -> None:
    relay = opened(Trpc(max_streams=1))
    relay.from_client(init(102) + data(100, b"x"))
    text = "more than 1 streams on a connection (max_streams)"
    assert relay.take(Side.CLIENT) == frame(INIT, 102, blob(2, num(1, 22) + blob(2, text)))
    assert relay.take(Side.SERVER) == data(101, b"x")


def test_an_init_of_an_open_stream_closes_the_connection() -> None:
    session = Trpc().session(Side.CLIENT, MAX)
    session.receive(init() + init())
    assert str(session.error) == "INIT of stream 100, which is open"


# -- data and windows


def test_data_passes_both_ways_frame_by_frame() -> None:
    relay = opened()
    relay.from_client(GOLDEN_DATA + data(100, b""))
    relay.from_server(data(101, b"down") + data(101, b"x" * 70000))
    assert relay.take(Side.SERVER) == data(101, b"hi") + data(101, b"") + feedback(101, 70004)
    assert relay.take(Side.CLIENT) == data(100, b"down") + data(100, b"x" * 70000)


def test_what_comes_before_the_server_has_answered_waits_for_it() -> None:
    relay = Relay(Trpc())
    relay.from_client(init() + data(100, b"early") + frame(CLOSE, 100))
    assert relay.take(Side.SERVER) == init(101, WINDOW)
    assert relay.server.unsent_bytes(1) == 5
    relay.from_server(data(101, b"ignored") + accepted())
    assert relay.take(Side.SERVER) == data(101, b"early") + frame(CLOSE, 101)
    assert kinds(relay)[-1] == ("server", "STREAM_OPEN")


def test_the_proxy_sends_within_the_windows_that_each_side_gave() -> None:
    relay = opened(client_window=10, server_window=5)
    relay.from_client(b"".join(data(100, bytes(4)) for _ in range(4)))
    assert relay.take(Side.SERVER) == data(101, bytes(4)) * 2
    assert relay.server.unsent_bytes(1) == 8
    relay.from_server(feedback(101, 3))
    assert relay.take(Side.SERVER) == b""
    relay.from_server(feedback(101, 1))
    assert relay.take(Side.SERVER) == data(101, bytes(4))
    relay.from_server(b"".join(data(101, bytes(6)) for _ in range(3)))
    assert relay.take(Side.CLIENT) == data(100, bytes(6)) * 2
    relay.from_client(feedback(100, 3))
    assert relay.take(Side.CLIENT) == data(100, bytes(6))


def test_the_golden_feedback_opens_a_window() -> None:
    relay = opened(client_window=1)
    relay.from_server(data(101, bytes(1024)) + data(101, b"more"))
    assert relay.take(Side.CLIENT) == data(100, bytes(1024))
    relay.from_client(GOLDEN_FEEDBACK)
    assert relay.take(Side.CLIENT) == data(100, b"more")


def test_what_has_left_opens_its_senders_window_a_quarter_at_a_time() -> None:
    relay = opened()
    relay.from_client(data(100, bytes(16000)))
    assert relay.take(Side.CLIENT) == b""
    relay.from_client(data(100, bytes(384)))
    assert relay.take(Side.CLIENT) == feedback(100, 16384)


def test_windows_are_not_opened_while_the_other_side_takes_nothing() -> None:
    relay = opened(server_window=1)
    relay.from_client(data(100, bytes(1)) + data(100, bytes(60000)))
    assert relay.take(Side.CLIENT) == b""
    relay.from_server(feedback(101, 1))
    assert relay.take(Side.CLIENT) == feedback(100, 60001)


@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER])
def test_a_peer_without_flow_control_is_sent_all_and_gets_no_feedback(side: Side) -> None:
    relay = opened(client_window=0) if side is Side.CLIENT else opened(server_window=0)
    send, id = (relay.from_client, 100) if side is Side.CLIENT else (relay.from_server, 101)
    send(data(id, bytes(200000)))
    other, its = (relay.from_server, 101) if side is Side.CLIENT else (relay.from_client, 100)
    for _ in range(3):
        other(data(its, bytes(50000)))
    written = relay.take(side)
    assert written == data(id, bytes(50000)) * 3


def test_a_client_without_flow_control_is_answered_without_a_window() -> None:
    relay = Relay(Trpc())
    relay.from_client(init(window=0))
    assert relay.take(Side.SERVER) == init(101, WINDOW)
    relay.from_server(accepted())
    assert relay.take(Side.CLIENT) == frame(INIT, 100, blob(2, b""))


def test_it_may_not_send_more_than_the_buffer() -> None:
    relay = opened(Trpc(stream_buffer=Bytes(100)), client_window=0)
    relay.holding.add(Side.CLIENT)
    relay.from_client(data(100, bytes(100)))
    relay.take(Side.SERVER)
    relay.from_client(data(100, b"x"))
    text = "more than the window came before the other side took any of it"
    assert relay.take(Side.CLIENT) == reset(100, 211, text)
    assert relay.take(Side.SERVER) == reset(101, 161, "its client has left")


def test_a_server_that_sends_far_over_its_window_loses_the_stream_and_no_other() -> None:
    relay = opened()
    relay.from_client(init(103))
    relay.from_server(accepted(102))
    relay.take(Side.CLIENT), relay.take(Side.SERVER)
    relay.holding.add(Side.SERVER)
    relay.from_server(data(101, bytes(2 * WINDOW)) + data(101, b"x") + data(102, b"y"))
    text = "more than the window came before the other side took any of it"
    assert relay.take(Side.SERVER) == reset(101, 311, text)
    assert relay.take(Side.CLIENT) == data(100, bytes(2 * WINDOW)) + reset(100, 201, text) + data(103, b"y")


def test_a_message_over_max_frame_loses_its_stream_and_no_other() -> None:
    relay = opened()
    big = data(101, bytes(MAX))
    for at in range(0, len(big), 1 << 16):
        relay.from_server(big[at : at + (1 << 16)])
    relay.from_server(struct.pack(">HBBIHIH", 0x0930, 0, 0, 18, 2, 9, 0) + num(3, 9))
    text = f"a message of {MAX} bytes is over max_frame"
    assert relay.take(Side.SERVER) == reset(101, 311, text)
    assert relay.take(Side.CLIENT) == reset(100, 201, text)
    assert kinds(relay)[-1] == ("server", "RESPONSE")
    assert relay.server.buffered == 0


# -- ends


def test_the_clients_close_ends_its_half_only() -> None:
    relay = opened()
    relay.from_client(GOLDEN_CLOSE)
    assert relay.take(Side.SERVER) == frame(CLOSE, 101)
    relay.from_client(data(100, b"ignored"))
    relay.from_server(data(101, bytes(70000)))
    relay.from_client(feedback(100, 70000))
    relay.from_server(data(101, b"on"))
    assert relay.take(Side.CLIENT) == data(100, bytes(70000)) + data(100, b"on")
    relay.from_server(frame(CLOSE, 101))
    assert relay.take(Side.CLIENT) == frame(CLOSE, 100)
    assert relay.calls == {}


def test_the_servers_close_ends_the_stream_and_says_how() -> None:
    relay = opened()
    payload = num(2, 0) + num(6, 4711) + blob(3, "biz no") + pair(5, "back", "b")
    relay.from_server(frame(CLOSE, 101, payload))
    end = relay.seen[-1][1]
    assert isinstance(end, Chunk)
    assert (end.kind, end.failed, end.final) == (Kind.STREAM_CLOSE, True, True)
    assert (end.get("func_ret"), end.get("error_msg")) == ("4711", "biz no")
    assert relay.take(Side.CLIENT) == frame(CLOSE, 100, payload)
    assert relay.take(Side.SERVER) == b""
    relay.from_client(data(100, b"late"))
    assert kinds(relay)[-1] == ("client", "STREAM_CLOSE")  # its half is over as well


def test_a_close_without_an_error_is_a_success() -> None:
    relay = opened()
    relay.from_server(frame(CLOSE, 101))
    assert getattr(relay.seen[-1][1], "failed", None) is False


def test_the_servers_reset_reaches_the_client_as_it_was_said() -> None:
    relay = opened()
    relay.from_server(reset(101, 31, "x"))
    end = relay.seen[-1][1]
    assert (end.kind, getattr(end, "failed", None)) == (Kind.STREAM_CLOSE, True)
    assert relay.take(Side.CLIENT) == GOLDEN_RESET


def test_the_clients_reset_gives_the_stream_up() -> None:
    relay = opened()
    relay.from_client(GOLDEN_RESET)
    assert kinds(relay)[-1] == ("client", "STREAM_RESET")
    assert relay.take(Side.SERVER) == reset(101, 161, "its client has left")


def test_a_client_may_reset_what_it_has_half_closed() -> None:
    relay = opened()
    relay.from_client(GOLDEN_CLOSE + GOLDEN_RESET)
    assert kinds(relay)[-2:] == [("client", "STREAM_CLOSE"), ("client", "STREAM_RESET")]


@pytest.mark.parametrize(("kind", "ret"), [(ErrorKind.TIMEOUT, 254), (ErrorKind.RESET, 201), (ErrorKind.INTERNAL, 201)])
def test_a_stream_that_the_proxy_ends_is_reset_at_both_sides(kind: ErrorKind, ret: int) -> None:
    relay = opened()
    (call,) = relay.calls.values()
    relay.fail(call, kind, "why")
    assert relay.take(Side.CLIENT) == reset(100, ret, "why")
    assert relay.take(Side.SERVER) == reset(101, 161, "its client has left")
    relay.from_server(data(101, b"late") + frame(CLOSE, 101))
    assert relay.take(Side.CLIENT) == b""


def test_a_close_waits_behind_data_that_waits() -> None:
    relay = opened(client_window=1)
    relay.from_server(data(101, b"one") + data(101, b"two") + frame(CLOSE, 101))
    assert relay.take(Side.CLIENT) == data(100, b"one")
    relay.from_client(feedback(100, 3))
    assert relay.take(Side.CLIENT) == data(100, b"two") + frame(CLOSE, 100)


def test_what_is_said_of_no_open_stream_is_passed_over() -> None:
    relay = opened()
    relay.from_client(data(7, b"x") + feedback(7, 1) + frame(CLOSE, 7))
    relay.from_server(data(7, b"x") + accepted(7) + feedback(7, 1) + frame(CLOSE, 7) + accepted(101))
    assert len(relay.seen) == 2
    assert Trpc().session(Side.CLIENT, MAX).reset(5, ErrorKind.TIMEOUT, "") == b""
    assert Trpc().session(Side.CLIENT, MAX).send(Chunk(Kind.STREAM_DATA, b"x", 5), 5) == b""


# -- bad frames


@pytest.mark.parametrize(
    "bad", [frame(INIT, 102, b"\x0a\x7f"), frame(FEEDBACK, 100, b"\x08"), frame(CLOSE, 100, b"\x0b")]
)
def test_a_frame_that_is_no_protobuf_closes_the_connection(bad: bytes) -> None:
    relay = opened()
    (chunk,) = relay.client.receive(data(100, b"x") + bad)
    assert chunk.frame == b"x"
    assert "protobuf: " in str(relay.client.error)


def test_an_init_without_func_can_be_answered() -> None:
    (message,) = Trpc().session(Side.CLIENT, MAX).receive(frame(INIT, 100, b""))
    with pytest.raises(FrameError, match="without func"):
        message.get("func")


def test_messages_are_the_same_however_the_stream_is_cut() -> None:
    call = struct.pack(">HBBIHIH", 0x0930, 0, 0, 18, 2, 9, 0) + num(3, 9)
    whole = init() + data(100, b"abc") + data(100, b"") + call + feedback(100, 9) + frame(CLOSE, 100) + init(104)

    def read(pieces: list[bytes]) -> list[Message]:
        session = Trpc().session(Side.CLIENT, MAX)
        found = [message for piece in pieces for message in session.receive(piece)]
        assert (session.error, session.buffered) == (None, 0)
        return found

    alone = read([whole])
    assert len(alone) == 6
    for at in range(len(whole)):
        assert read([whole[:at], whole[at:]]) == alone
    assert read([bytes([byte]) for byte in whole]) == alone
