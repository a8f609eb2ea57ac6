"""
Reads that begin like a plain frame and are none, by what was read or sent before: where sessions are compiled, their
reads go to C at once, and not these. Each row is read by a session as it is, and by one whose loop cuts all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.message import Kind, Message, Side
from metaproxy.units import Bytes

PING = b"*1\r\n$4\r\nPING\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
MOST = 8192


def words(*said: bytes) -> bytes:
    return b"*%d\r\n" % len(said) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in said)


def reset() -> Message:
    return Message(Kind.RESPONSE, b"+RESET\r\n")


def last_of_a_subscription() -> Message:
    said = b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
    return Message(Kind.EVENT, said, metadata={"kind": "unsubscribe"})


Step = bytes | Callable[[], Message]
"""What is read, or a message that is sent."""

COMMANDS: dict[str, Sequence[Step]] = {
    "behind a part of a command": [b"*2\r\n$3\r\nGET\r\n$%d\r\n" % len(PING), PING, b"\r\n", PING],
    "behind a part of an inline command": [b"GET ", PING, PING],
    "behind the beginning of a large command": [
        words(b"SET", b"a", PING * 40)[:60],
        PING * 30,
        PING * 10 + b"\r\n",
        PING,
    ],
    "behind the beginning of one that is too large": [b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000\r\n", PING * 40, PING],
    "behind QUIT": [words(b"QUIT"), PING],
    "behind what is no command": [b"*x\r\n", PING],
    "in a transaction": [words(b"MULTI"), GET, words(b"SELECT", b"1"), words(b"EXEC"), GET],
    "watching": [words(b"WATCH", b"a"), GET, words(b"UNWATCH"), GET],
    "subscribed": [words(b"SUBSCRIBE", b"a"), PING, last_of_a_subscription, PING, PING],
    "with another version and database": [words(b"HELLO", b"3"), GET, words(b"SELECT", b"2"), GET],
    "behind RESET": [words(b"SUBSCRIBE", b"a"), words(b"RESET"), PING, reset, PING],
    "without an answer": [words(b"CLIENT", b"REPLY", b"SKIP"), PING, PING, words(b"CLIENT", b"REPLY", b"OFF"), PING],
    "nothing": [b"", PING, b""],
}

CALL = bytes.fromhex("dabb c2 00 0000000000000007 00000002 4e4e")
OTHER = bytes.fromhex("dabb c6 00 0000000000000008 00000020")
"""The head of a request in another serialization."""
ECHO = bytes.fromhex("00000012 80010001 00000004 6563686f 00000001 0000")
BROKEN = bytes.fromhex("00000012 80010001 00000004 6563686f 00000001 0b00")
"""Its struct ends within a field."""
FRAMES: dict[str, tuple[Callable[[], Session], Sequence[Step]]] = {
    "dubbo, behind a part of a frame": (lambda: Dubbo().session(Side.CLIENT, MOST), [CALL[:17], b"N" + CALL, CALL]),
    "dubbo, a frame and a head behind it": (lambda: Dubbo().session(Side.CLIENT, MOST), [CALL[:9], CALL[9:] + OTHER]),
    "dubbo, behind what is no frame": (lambda: Dubbo().session(Side.CLIENT, MOST), [b"GET / HTTP/1.1\r\n", CALL]),
    "thrift, behind a part of a frame": (lambda: Thrift().session(Side.CLIENT, MOST), [ECHO, ECHO[:9], ECHO[9:], ECHO]),
    "thrift, what looks like one within": (
        lambda: Thrift().session(Side.CLIENT, MOST),
        [ECHO, bytes.fromhex("00000028") + ECHO[4:20], ECHO * 2, ECHO],
    ),
    "thrift, behind what is no frame": (lambda: Thrift().session(Side.CLIENT, MOST), [ECHO, b"\xff" * 8, ECHO]),
    "thrift, whose structs are walked": (
        lambda: Thrift(check_frames=True).session(Side.CLIENT, MOST),
        [ECHO, BROKEN, ECHO],
    ),
}


def outcome(session: Session, step: Step) -> object:
    """The messages and the state behind a step, or the bytes to send."""
    if not isinstance(step, bytes):
        return session.send(step(), 0)
    seen = [(one.kind, one.id, one.frame, one.answer, one.hold, one.profile) for one in session.receive(step)]
    return seen, str(session.error), session.buffered, session.closing


def compared(new: Callable[[], Session], steps: Sequence[Step]) -> None:
    fast, slow = new(), new()
    slow.cutter = None
    for step in steps:
        assert outcome(fast, step) == outcome(slow, step)
    assert fast.drain() == slow.drain()


CODECS: dict[str, Callable[[], Redis]] = {
    "pieces": lambda: Redis(stream_over=Bytes(100)),
    "whole": Redis,
    "pinned": lambda: Redis(mode="pinned"),
}


@pytest.mark.parametrize("row", COMMANDS)
@pytest.mark.parametrize("codec", CODECS)
def test_commands_of_redis(codec: str, row: str) -> None:
    compared(lambda: CODECS[codec]().session(Side.CLIENT, MOST), COMMANDS[row])


@pytest.mark.parametrize("row", FRAMES)
def test_frames(row: str) -> None:
    compared(*FRAMES[row])
