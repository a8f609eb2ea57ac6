"""
What is cut in C is what the codec's own loop makes of the same bytes: messages, errors and what is kept for later.

Where nothing is compiled there is nothing to compare; `make test-compiled` runs these.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import mysql_words as my
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_words import LOGGED_IN, query, ready, said, startup
from protobuf_writing import blob, num

from metaproxy.codecs import cutters
from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.brpc import frame as brpc_frame
from metaproxy.codecs.cutters import COMPILED
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.postgres.pooled_client import Profile
from metaproxy.codecs.postgres.pooled_server import PooledServer
from metaproxy.codecs.postgres.server import ServerSession
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.thrift.frames import FRAMED_BINARY
from metaproxy.codecs.trpc import Trpc
from metaproxy.codecs.trpc import frame as trpc_frame
from metaproxy.message import Chunk, Kind, Message, Side
from metaproxy.units import Bytes

pytestmark = pytest.mark.skipif(not COMPILED, reason="the cutters are not compiled")
MOST = 4096


def dubbo(draw: random.Random) -> bytes:
    body = draw.randbytes(draw.choice((0, 1, 5, 40)))
    if draw.random() < 0.5:
        body = bytes([draw.choice((0x90, 0x91, 0x93, 0x94))]) + body
    flags = draw.choice((0xC2, 0x82, 0x02, 0x02, 0x22, 0xE2, 0xC6, 0x06, 0x00, draw.randrange(256)))
    status = draw.choice((20, 20, 30, 0))
    id = draw.choice((0, 1, draw.getrandbits(64)))
    return struct.pack(">HBBQI", 0xDABB, flags, status, id, len(body)) + body


STATE = (
    [b"SELECT", b"1"], [b"HELLO", b"3"], [b"MULTI"], [b"EXEC"], [b"WATCH", b"a"], [b"UNWATCH"], [b"SUBSCRIBE", b"a"],
    [b"UNSUBSCRIBE"], [b"RESET"], [b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"REPLY", b"ON"], [b"QUIT"],
)  # fmt: skip


def command(draw: random.Random) -> bytes:
    words = [draw.choice((b"GET", b"set", b"MGET", b"PING", b"BLPOP", b"XYZ"))]
    if draw.random() < 0.02:
        return draw.choice((b"PING\r\n", b"SET a *1\r\n", b"\r\n", b"*0\r\n"))
    if draw.random() < 0.1:  # what comes behind these has another profile, or needs a look
        words = draw.choice(STATE)
    else:
        words += [draw.randbytes(draw.choice((0, 1, 9, 10, 99, 100, 3000))) for _ in range(draw.randrange(4))]
        if draw.random() < 0.2:  # what is of a command looks like others, where a read may begin
            words.append(b"*1\r\n$4\r\nPING\r\n" * draw.choice((1, 2, 20)))
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def reply(draw: random.Random) -> bytes:
    value = draw.randbytes(draw.choice((0, 1, 20, 2047, 2048, 5000)))
    plain = (b"$%d\r\n%b\r\n" % (len(value), value), b"+OK\r\n", b"-ERR no\r\n", b":%d\r\n" % draw.getrandbits(40))
    odd = (
        b"$-1\r\n",
        b"$-2\r\n",
        b"$01\r\nx\r\n",
        b":%d\r\n" % 10**30,
        b"_\r\n",
        b"#t\r\n",
        b"*2\r\n:1\r\n$1\r\na\r\n",
    )
    return draw.choice((*plain, *odd, b"+a\rb\r\n", b"+\r\n", b"$3\r\nabcde", b"+a\nb\r\n"))


def thrift(draw: random.Random) -> bytes:
    name = draw.choice((b"echo", b"ping", b"", b"a:b"))
    type = draw.choice((1, 2, 2, 3, 4))
    body = draw.choice((b"\0", b"\x0b\0\0\0\0\0\1x\0", b"\x0c\0\1\0\0", b"\x08\0\0\0\0\0\1\0", b""))
    version = draw.choice((0x8001, 0x8001, 0x8002))
    payload = struct.pack(">HxBi", version, type, draw.choice((len(name),) * 9 + (-1,))) + name
    payload += struct.pack(">i", draw.choice((1, -1, 7))) + body
    return struct.pack(">i", len(payload)) + payload


def varint(value: int, longer: int) -> bytes:
    """longer: bytes that say nothing."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, *([value | 0x80, *([0x80] * (longer - 1)), 0] if longer else [value])])


def head(draw: random.Random, tag: int, before: bytes, behind: bytes) -> bytes:
    """Fields with an id among them: mostly those of the head before."""
    id = draw.choice((0, 1, 1, 2, 300, draw.getrandbits(31), draw.getrandbits(63), draw.getrandbits(70)))
    number = bytes([tag]) + varint(id, draw.choice((0,) * 9 + (1, 9)))
    return before + (number if draw.random() < 0.95 else b"") + behind


CALL = blob(1, blob(1, "example.Echo") + blob(2, "Echo"))
FAILED = blob(2, num(1, 1001) + blob(2, "no"))


def brpc(draw: random.Random) -> bytes:
    """Some frames with the same head."""
    common = ((CALL, b""), (CALL, b"\x18\0"), (blob(2, b""), b""), (b"", blob(2, b"")), (FAILED, b""))
    seldom = ((CALL, blob(7, b"secret")), (CALL, blob(8, num(1, 50) + num(2, 1))), (blob(2, num(1, 2003)), b""))
    if draw.random() < 0.05:
        meta = num(1, draw.choice((1, 50))) + num(2, 1) + num(3, draw.choice((1, 2, 3, 4)))
        return b"STRM" + struct.pack(">II", len(meta) + 5, len(meta)) + meta + b"piece"
    before, behind = draw.choice(common[:2] * 3 + common[2:3] * 6 + common + seldom)
    out = b""
    for _ in range(draw.randrange(1, 6)):
        meta, body = head(draw, 0x20, before, behind), draw.randbytes(draw.choice((0, 1, 40) * 10 + (4200,)))
        size = len(meta) + draw.choice((0,) * 60 + (1,))
        out += b"PRPC" + struct.pack(">II", len(meta) + len(body), size) + meta + body
    return out


def trpc(draw: random.Random) -> bytes:
    """Some frames with the same head."""
    called = blob(6, "trpc.app.echo.Echo") + blob(7, "/trpc.app.echo.Echo/Say")
    behind = draw.choice((called, called, called + num(2, 1), b"", b"", num(4, 11), num(5, 4711)))
    out = b""
    for _ in range(draw.randrange(1, 6)):
        header, body = head(draw, 0x18, b"", behind), draw.randbytes(draw.choice((0, 1, 40) * 10 + (4200,)))
        kind, type = draw.choice(((0, 0),) * 60 + ((1, 1), (1, 2), (1, 4), (0, 1), (2, 0)))
        total = 16 + len(header) + len(body) + draw.choice((0,) * 60 + (-1, 1))
        size = len(header) if kind == 0 else 0
        out += struct.pack(">HBBIHIBB", 0x0930, kind, type, total, size, draw.choice((1, 7)), 0, 0) + header + body
    return out


def postgres(draw: random.Random) -> bytes:
    """Some rows, and what else is in an answer."""
    out = b""
    for _ in range(draw.randrange(1, 6)):
        kind = draw.choice("DDDDDDddddTCHcNSAEGW1n" + "Q")
        body = draw.randbytes(draw.choice((0, 1, 14, 14, 40, 1000, 5000)))
        if kind == "C":
            body = b"SELECT 3\0"
        row = said(kind, body)
        size = draw.choice((0,) * 60 + (1, 3, 5, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        out += (row[:1] + struct.pack(">I", size) + row[5:] if size else row) * draw.choice((1, 1, 1, 5))
    return out + draw.choice((b"", said("C", b"SELECT 3\0") + ready()))


Renumber = Callable[[Message, int], bytes]
RENUMBER: dict[str, Renumber] = {"brpc": brpc_frame.renumbered, "trpc": trpc_frame.renumbered}
Case = tuple[str, Callable[[], Codec], Side, Callable[[random.Random], bytes]]
CASES: list[Case] = [
    ("dubbo, requests", Dubbo, Side.CLIENT, dubbo),
    ("dubbo, answers", Dubbo, Side.SERVER, dubbo),
    ("redis, commands", Redis, Side.CLIENT, command),
    ("redis, commands in pieces", lambda: Redis(stream_over=Bytes(100)), Side.CLIENT, command),
    ("redis, commands of pinned clients", lambda: Redis(mode="pinned"), Side.CLIENT, command),
    ("redis, replies", Redis, Side.SERVER, reply),
    ("bRPC, calls", Brpc, Side.CLIENT, brpc),
    ("bRPC, answers", Brpc, Side.SERVER, brpc),
    ("tRPC, calls", Trpc, Side.CLIENT, trpc),
    ("tRPC, answers", Trpc, Side.SERVER, trpc),
    ("PostgreSQL, answers", Postgres, Side.SERVER, postgres),
    ("PostgreSQL, lent", lambda: Postgres(users={"ann": "pencil"}, auth="trust"), Side.SERVER, postgres),
    ("thrift, calls", Thrift, Side.CLIENT, thrift),
    ("thrift, replies", Thrift, Side.SERVER, thrift),
]


def shown(session: Session, messages: list[Message], renumber: Renumber | None) -> list[Any]:
    """What a reader sees of messages; errors of metadata as text. renumber: by what the message knows of its id."""
    seen: list[Any] = []
    for one in messages:
        known = dict(one.known())
        sent = renumber(one, 77) if renumber is not None and one.frame.startswith((b"PRPC", b"\x09\x30\0")) else b""
        more = (one.trailers, one.final, one.failed) if isinstance(one, Chunk) else None
        seen.append((one.kind, one.id, one.frame, one.answer, one.hold, one.profile, known, sent, more))
    return [seen, str(session.error), session.buffered, session.closing]


def opened(made: Session, side: Side) -> Session:
    if side is Side.SERVER:
        made.open(Profile("ann", "shop", "", ()) if isinstance(made, PooledServer) else None, {"user": "ann"})
    if isinstance(made, ServerSession):
        client = Postgres().session(Side.CLIENT, MOST)
        for message in client.receive(startup(user="ann", database="shop") + query("select 1") * 9):
            made.send(message, 0)
            if message.id == 4:
                made.receive(LOGGED_IN + ready())
        assert made.ready
    return made


BEGINNING = re.compile(rb"\*1\r|\xda\xbb|\x80\x01")
"""Where a frame may begin, or looks so."""
ANSWERS = (
    lambda: Message(Kind.RESPONSE, b"+RESET\r\n"),
    lambda: Message(Kind.RESPONSE, b"+OK\r\n"),
    lambda: Message(Kind.EVENT, b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", metadata={"kind": "unsubscribe"}),
)
"""What may change the state of a client's session of Redis, between two reads."""


@given(
    case=st.sampled_from(CASES),
    seed=st.integers(0, 1 << 32),
    cuts=st.lists(st.integers(0, 1 << 14), max_size=8),
    harm=st.integers(0, 3),
    apart=st.booleans(),
)
@examples(400)
def test_a_cutter_gives_what_the_loop_gives(case: Case, seed: int, cuts: list[int], harm: int, apart: bool) -> None:
    """harm: bytes that are changed, of every other stream. apart: frames begin a read, where a cutter is called."""
    _, codec, side, frame = case
    renumber = RENUMBER.get(codec().name)
    draw = random.Random(seed)
    frames = [frame(draw) for _ in range(draw.randrange(1, 12))]
    data = bytearray(b"".join(frames))
    starts = {*accumulate(map(len, frames)), *(one.start() for one in BEGINNING.finditer(data))} if apart else ()
    for _ in range(harm if draw.random() < 0.5 else 0):
        data[draw.randrange(len(data))] = draw.randrange(256)
    places = sorted({0, len(data), *starts, *(cut % (len(data) + 1) for cut in cuts)})
    parts = [bytes(data[start:stop]) for start, stop in pairwise(places)]
    fast = opened(codec().session(side, MOST), side)
    slow = codec().session(side, MOST)
    assert fast.cutter is not None
    slow.cutter = None
    opened(slow, side)
    for part in parts:
        assert shown(fast, fast.receive(part), renumber) == shown(slow, slow.receive(part), renumber)
        if frame is command and draw.random() < 0.2:
            answer = draw.choice(ANSWERS)
            assert fast.send(answer(), 0) == slow.send(answer(), 0)
    assert slow.cutter is None
    assert fast.drain() == slow.drain()


def mysql(draw: random.Random) -> bytes:
    """The answer to a query."""
    columns = draw.choice((1, 1, 2, 5))
    texts = [
        ["x" * draw.choice((0, 1, 60, 250, 251, 3000)) for _ in range(columns)] for _ in range(draw.randrange(1, 9))
    ]
    return draw.choice((my.rows(texts), my.rows(texts), my.rows(texts), my.ok(), my.error()))


def asked_of_mysql() -> Session:
    pair = my.Pair()
    for _ in range(12):
        pair.says(my.query("select 1"))
    return pair.server


@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(0, 1 << 14), max_size=4), harm=st.integers(0, 3))
@settings(max_examples=100)
def test_rows_of_mysql_that_are_passed_over_in_c_are_those_of_the_loop(seed: int, cuts: list[int], harm: int) -> None:
    draw = random.Random(seed)
    data = bytearray(b"".join(mysql(draw) for _ in range(draw.randrange(1, 12))))
    for _ in range(harm if draw.random() < 0.5 else 0):
        data[draw.randrange(len(data))] = draw.choice((0, 0xFE, 0xFF, draw.randrange(256)))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    fast, slow = asked_of_mysql(), asked_of_mysql()
    for start, stop in pairwise(places):
        part = bytes(data[start:stop])
        ours = shown(fast, fast.receive(part), None)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(cutters, "mysql_rows", None)
            assert ours == shown(slow, slow.receive(part), None)


@settings(deadline=None)
@given(body=st.binary(max_size=60), before=st.integers(0, 2**64 - 1), id=st.integers(1, 2**64 - 1))
def test_a_frame_of_dubbo_is_sent_with_its_id_and_nothing_else_changed(body: bytes, before: int, id: int) -> None:
    frame = struct.pack(">HBBQI", 0xDABB, 0xC2, 0, before, len(body)) + body
    message = Message(Kind.REQUEST, frame, before)
    sent = Dubbo().session(Side.SERVER, MOST).send(message, id)
    assert sent == frame[:4] + id.to_bytes(8, "big") + frame[12:]
    assert (sent is frame) == (id == before) and message.frame is frame


@settings(deadline=None)
@given(
    name=st.binary(max_size=20),
    body=st.binary(max_size=60),
    before=st.integers(-(2**31), 2**31 - 1),
    id=st.integers(0, 2**31 - 1),
)
def test_a_frame_of_thrift_is_sent_with_its_number_and_nothing_else_changed(
    name: bytes, body: bytes, before: int, id: int
) -> None:
    inner = struct.pack(">HxBi", 0x8001, 1, len(name)) + name
    head = struct.pack(">i", len(inner) + 4 + len(body)) + inner
    frame = head + struct.pack(">i", before) + body
    message = Message(Kind.REQUEST, frame, before, profile=FRAMED_BINARY)
    sent = Thrift().session(Side.SERVER, MOST).send(message, id)
    assert sent == head + struct.pack(">i", id) + body
    assert (sent is frame) == (id == before) and message.frame is frame
