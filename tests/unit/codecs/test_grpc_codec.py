"""The codecs of gRPC and Triple: options, errors, what may be repeated, health checks, cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import hpack
import pytest
from grpc_calls import CALL, OK, answer, call, framed
from http2_stand import literal_block, raw_frame, split

from metaproxy.codecs.grpc import Grpc, Triple
from metaproxy.codecs.http import model
from metaproxy.codecs.protobuf_wire import write_number
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Mutation, Side
from metaproxy.testing import check_relay
from metaproxy.units import Bytes


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_is_an_answer_with_a_status_and_the_text(kind: ErrorKind) -> None:
    reply = Grpc().reply(call(), kind, "why: ü")
    assert (reply.kind, reply.get("status"), reply.get("message")) == (Kind.ERROR, "200", "why: ü")
    assert reply.get("code") not in (None, "OK")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.NOT_FOUND, "UNIMPLEMENTED"), (ErrorKind.NO_ENDPOINT, "UNAVAILABLE"),
        (ErrorKind.CONNECT, "UNAVAILABLE"), (ErrorKind.RESET, "UNAVAILABLE"), (ErrorKind.TIMEOUT, "DEADLINE_EXCEEDED"),
        (ErrorKind.OVERLOAD, "UNAVAILABLE"), (ErrorKind.LIMITED, "RESOURCE_EXHAUSTED"),
        (ErrorKind.DENIED, "PERMISSION_DENIED"), (ErrorKind.BAD_REQUEST, "INTERNAL"),
        (ErrorKind.UNSUPPORTED, "UNIMPLEMENTED"), (ErrorKind.INTERNAL, "INTERNAL"),
    ],
)  # fmt: skip
def test_an_error_has_the_code_that_says_it(kind: ErrorKind, code: str) -> None:
    assert Grpc().reply(call(), kind, "").get("code") == code


def test_a_name_is_a_code_and_fields_can_be_put_into_it() -> None:
    codec = Grpc()
    assert codec.knows("UNAUTHENTICATED")
    assert not any(map(codec.knows, ("NO_SUCH_CODE", "unauthenticated", "16", "")))
    reply = codec.reply(call(), ErrorKind.DENIED, "who?", "UNAUTHENTICATED")
    assert reply.get("code") == "UNAUTHENTICATED"
    frame = codec.mutate(reply, Mutation({"x-why": "so"}))
    assert model.head_of(reply.with_frame(frame)).value(b"x-why") == b"so"


def test_what_is_no_call_gets_an_error_of_http() -> None:
    request = model.whole(model.request_head(b"OPTIONS", b"/a.B/C", b"a", []), b"", 1, Grpc.made_of.read)
    assert Grpc().reply(request, ErrorKind.DENIED, "no").get("status") == "403"
    assert Grpc().reply(request, ErrorKind.DENIED, "", "204").get("status") == "204"


def test_only_what_the_option_names_may_be_executed_twice() -> None:
    codec = Grpc(safe=["a.B/Get", "c.D"])
    paths = (b"/a.B/Get", b"/a.B/Put", b"/c.D/Any", b"/c.D2/Any")
    assert [codec.safe(call(path)) for path in paths] == [True, False, True, False]
    assert not Grpc().safe(call())


@pytest.mark.parametrize(
    "options",
    [
        {"failures": ["OK"]}, {"failures": ["unavailable"]}, {"failures": ["14"]}, {"safe": ["/a.B/C"]},
        {"safe": ["a b"]}, {"safe": ["a/b/c"]}, {"via": "a b"}, {"probe_host": "a/b"},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_can_not_be_meant_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Grpc(**options)  # type: ignore[arg-type]


def test_servers_speak_http2_and_streams_share_connections() -> None:
    for codec in (Grpc(), Triple()):
        assert (codec.connections, codec.flow, codec.alpn_upstream) == ("multiplex", "stream", ("h2",))


# Health


def health(status: int, *trailers: tuple[bytes, bytes]) -> Message:
    return answer(framed(write_number(0x08, status)), *(trailers or ((b"grpc-status", b"0"),)))


def test_a_health_check_asks_for_the_service_of_the_option() -> None:
    probe = Grpc(probe="a.B", probe_host="h.example").probe()
    head, body, _ = model.parts(probe)
    assert (head.path, head.authority, body) == (b"/grpc.health.v1.Health/Check", b"h.example", framed(b"\x0a\x03a.B"))
    assert model.parts(Grpc().probe())[1] == framed(b"")


def test_serving_alone_means_health() -> None:
    codec = Grpc()
    assert [codec.alive(health(status)) for status in (0, 1, 2, 3)] == [False, True, False, False]
    assert not codec.alive(answer(b"", (b"grpc-status", b"5")))
    assert not codec.alive(answer(framed(b"")))
    assert not codec.alive(answer(framed(b"\xff\xff")))
    failed = health(1, (b"grpc-status", b"14"))
    failed.kind = Kind.ERROR
    assert not codec.alive(failed)


# Cuts


def headers(stream: int, fields: Sequence[tuple[str, str]], flags: int = 4) -> bytes:
    return raw_frame(1, flags, stream, literal_block(fields))


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return raw_frame(0, flags, stream, payload)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = raw_frame(4, 0, 0)
STREAMS = {
    Side.CLIENT: PREFACE + SETTINGS
    + headers(1, CALL) + data(1, framed(b"hi"), 1) + headers(3, CALL) + data(3, framed(b""), 1),
    Side.SERVER: SETTINGS
    + headers(1, OK) + data(1, framed(b"hi")) + headers(1, [("grpc-status", "0")], 5)
    + headers(3, [*OK, ("grpc-status", "5"), ("grpc-message", "no")], 5)
    + headers(5, OK) + data(5, framed(b"", b"two")) + headers(5, [("grpc-status", "14"), ("x-why", "so")], 5)
    + headers(7, OK) + data(7, framed(b"a"), 1)
    + headers(9, [(":status", "503"), ("content-length", "2")]) + data(9, b"no", 1),
}  # fmt: skip


def joined(codec: Grpc, side: Side, pieces: Iterable[bytes]) -> dict[int, tuple[bool, bytes, str | None]]:
    """Of each exchange whether it failed, its bytes, its status."""
    session = codec.session(side, 1 << 20)
    session.open(None, {})
    bodies: dict[int, bytes] = {}
    heads: dict[int, Message] = {}
    failed: dict[int, bool] = {}
    fed = iter(pieces)
    if side is Side.SERVER:
        session.receive(next(fed))
        for id in range(1, 6):
            session.send(call(body=framed(b"hi"), id=id), id)
    for piece in fed:
        for message in session.receive(piece):
            if isinstance(message, Chunk):
                bodies[message.id] += message.frame
                failed[message.id] |= message.failed
                continue
            heads[message.id] = message
            bodies[message.id] = model.parts(message)[1] if message.kind is not Kind.STREAM_OPEN else b""
            failed[message.id] = message.kind is Kind.ERROR
    assert session.error is None
    return {id: (failed[id], bodies[id], head.get("code")) for id, head in heads.items()}


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    "codec", [Grpc(), Triple(max_message=Bytes(4096), whole_messages=Bytes(100))], ids=lambda codec: codec.name
)
def test_calls_and_answers_mean_the_same_however_they_are_cut(codec: Grpc, side: Side) -> None:
    stream, first = STREAMS[side], len(SETTINGS)
    whole = joined(codec, side, [stream[:first], stream[first:]])
    if side is Side.SERVER:
        assert [whole[id][2] for id in range(1, 6)] == ["OK", "NOT_FOUND", "UNAVAILABLE", "UNKNOWN", "UNAVAILABLE"]
    assert joined(codec, side, [stream[:first], *(stream[at : at + 1] for at in range(first, len(stream)))]) == whole
    for at in range(first, len(stream)):
        assert joined(codec, side, [stream[:first], stream[first:at], stream[at:]]) == whole


@pytest.mark.parametrize("side", Side)
def test_no_bytes_of_a_peer_raise_and_all_metadata_can_be_read_or_are_refused(side: Side) -> None:
    draw = Random(1)
    codec = Triple(max_message=Bytes(4096), whole_messages=Bytes(100))
    lines = b"Host: a\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 12\r\n"
    web = b"POST /a.B/C HTTP/1.1\r\n" + lines + b"\r\nAAAAAAJoaQ=="
    for _ in range(1500):
        session = codec.session(side, 1 << 16)
        session.open(None, {})
        stream = bytearray(web if side is Side.CLIENT and draw.random() < 0.4 else STREAMS[side])
        if side is Side.SERVER:
            session.receive(SETTINGS)
            for id in range(1, 6):
                session.send(call(body=framed(b"hi"), id=id), id)
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(stream))
            stream[at : at + draw.choice((0, 1, 1, 2))] = draw.choice((b"", b"\0", b"\xff", b"=", draw.randbytes(2)))
        place = draw.randrange(len(stream))
        for message in (*session.receive(bytes(stream[:place])), *session.receive(bytes(stream[place:]))):
            if not isinstance(message, Chunk):
                message.known()
                codec.reply(message, ErrorKind.TIMEOUT, "x")
        session.owed()


# Conversations through the real path


def read_frames(written: bytes) -> object:
    """What HTTP/2 says of each stream: fields, data, ends; however it is cut into frames."""
    decoder = hpack.Decoder()
    streams: dict[int, tuple[list[object], bytearray, list[int]]] = {}
    for kind, flags, stream, payload in split(written.removeprefix(PREFACE)):
        fields, body, ends = streams.setdefault(stream, ([], bytearray(), []))
        if kind == 1:
            fields.append(decoder.decode(payload))
        elif kind == 0:
            body += payload
        elif kind == 3:
            ends.append(int.from_bytes(payload, "big"))
        if kind in (0, 1) and flags & 1:
            ends.append(-1)
    return {number: said for number, said in streams.items() if number}


CONVERSATION = [
    (Side.CLIENT, PREFACE + SETTINGS + headers(1, CALL) + data(1, framed(b"hi"), 1)),
    (Side.SERVER, SETTINGS),
    (Side.CLIENT, headers(3, [*CALL, ("x-a", "1")]) + data(3, framed(b"one"))),
    (Side.SERVER, headers(1, OK) + data(1, framed(b"ho")) + headers(1, [("grpc-status", "0")], 5)),
    (Side.SERVER, headers(3, OK) + data(3, framed(b"uno", b"due"))),
    (Side.CLIENT, data(3, framed(b"two" * 100)) + headers(5, CALL, 5)),
    (Side.CLIENT, data(3, framed(b"three"), 1)),
    (Side.SERVER, headers(5, [*OK, ("grpc-status", "12")], 5) + data(3, framed(b"tre"))),
    (Side.SERVER, headers(3, [("grpc-status", "5"), ("grpc-message", "no")], 5)),
]


@pytest.mark.parametrize(
    "codec", [Grpc(), Triple(max_message=Bytes(4096), whole_messages=Bytes(100))], ids=lambda codec: codec.name
)
def test_a_conversation_passes_however_it_is_cut_and_leaves_nothing_behind(codec: Grpc) -> None:
    check_relay(codec, CONVERSATION, normal=read_frames)
