"""
What is cut in C is what the codec's own loop makes of the same bytes: messages, errors and what is kept for later.

Where nothing is compiled there is nothing to compare; `make test-compiled` runs these.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaproxy.codecs.cutters import COMPILED
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.message import Message, Side

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


def command(draw: random.Random) -> bytes:
    words = [draw.choice((b"GET", b"set", b"MGET", b"PING", b"BLPOP", b"XYZ"))]
    if draw.random() < 0.1:  # what comes behind these has another profile
        words = draw.choice(([b"SELECT", b"1"], [b"HELLO", b"3"], [b"MULTI"], [b"EXEC"]))
    else:
        words += [draw.randbytes(draw.choice((0, 1, 9, 10, 99, 100, 3000))) for _ in range(draw.randrange(4))]
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


Kind = tuple[str, Callable[[], Codec], Side, Callable[[random.Random], bytes]]
KINDS: list[Kind] = [
    ("dubbo, requests", Dubbo, Side.CLIENT, dubbo),
    ("dubbo, answers", Dubbo, Side.SERVER, dubbo),
    ("redis, commands", Redis, Side.CLIENT, command),
    ("redis, replies", Redis, Side.SERVER, reply),
    ("thrift, calls", Thrift, Side.CLIENT, thrift),
    ("thrift, replies", Thrift, Side.SERVER, thrift),
]


def shown(session: Session, messages: list[Message]) -> list[Any]:
    """What a reader sees of messages; errors of metadata as text."""
    seen: list[Any] = []
    for one in messages:
        known = dict(one.known())
        seen.append((one.kind, one.id, one.frame, one.answer, one.hold, one.profile, known))
    return [seen, str(session.error), session.buffered, session.closing]


def opened(made: Session, side: Side) -> Session:
    if side is Side.SERVER:
        made.open(None, {})
    return made


@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 32),
    cuts=st.lists(st.integers(0, 1 << 14), max_size=4),
    harm=st.integers(0, 3),
)
@settings(max_examples=400)
def test_a_cutter_gives_what_the_loop_gives(kind: Kind, seed: int, cuts: list[int], harm: int) -> None:
    """harm: bytes that are changed, of every other stream."""
    _, codec, side, frame = kind
    draw = random.Random(seed)
    data = bytearray(b"".join(frame(draw) for _ in range(draw.randrange(1, 9))))
    for _ in range(harm if draw.random() < 0.5 else 0):
        data[draw.randrange(len(data))] = draw.randrange(256)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = [bytes(data[start:stop]) for start, stop in pairwise(places)]
    fast = opened(codec().session(side, MOST), side)
    slow = codec().session(side, MOST)
    assert fast.cutter is not None
    slow.cutter = None
    opened(slow, side)
    for part in parts:
        assert shown(fast, fast.receive(part)) == shown(slow, slow.receive(part))
    assert slow.cutter is None
