"""The work that a client or a server can make for the MongoDB codec: in proportion to the bytes that it sends."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from call_count import count_calls
from mongodb_words import MORE, answer, command, framed, op_msg, section, sequence

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Side

LARGE = 1 << 16


def session(side: Side, mode: str = "pinned") -> Session:
    return MongoDB(mode=mode, stream_over=LARGE).session(side, 1 << 22)  # type: ignore[arg-type]


def trickled(side: Side, data: bytes) -> Callable[[], object]:
    reader = session(side)
    return lambda: [reader.receive(data[at : at + 1]) for at in range(len(data))]


def read(fields: bytes) -> Callable[[], object]:
    """A command with many fields, all of whose metadata is asked for."""
    document = struct.pack("<i", len(fields) + 5) + fields + b"\0"
    data = op_msg(1, b"\0" + document)
    return lambda: [message.known() for message in session(Side.CLIENT, "shared").receive(data)]


def hellos(many: int) -> Callable[[], object]:
    """Asked and answered by many members."""
    hosts: list[bson.Value] = ["a:1"] * many
    data = answer(1, {"hosts": hosts, "setName": "rs0", "isWritablePrimary": True, "ok": 1.0})

    def work() -> None:
        client = MongoDB(hosts={"a:1": "b:1"}).session(Side.CLIENT, 1 << 22)
        client.receive(command(1, {"hello": 1, "$db": "admin"}))
        (message,) = session(Side.SERVER).receive(data)
        client.send(message, 1)

    return work


def repeated(many: int) -> Callable[[], object]:
    data = b"".join(answer(9 + number, id=10 + number, flags=MORE) for number in range(many))
    return lambda: session(Side.SERVER, "shared").receive(data)


WORK: dict[str, Callable[[int], Callable[[], object]]] = {
    "a command that trickles in": lambda n: trickled(Side.CLIENT, command(1, {"find": "x" * n})),
    "a large command that trickles in": lambda n: trickled(
        Side.CLIENT, command(1, {"insert": "a"}, sequence("documents", {"a": "x" * (LARGE + n)}))[: LARGE // 8 + n]
    ),
    "an answer that trickles in": lambda n: trickled(Side.SERVER, answer(1, {"a": "x" * n, "ok": 1.0})),
    "a command with many fields": lambda n: read(b"\x10find\0\1\0\0\0" + b"\x0ax\0" * n),
    "a command of empty documents": lambda n: read(b"\x10find\0\1\0\0\0" + b"\x03x\0\5\0\0\0\0" * n),
    "many members": hellos,
    "an answer without end": repeated,
    "many commands": lambda n: lambda: session(Side.CLIENT, "shared").receive(command(1, {"find": "a"}) * n),
    "sections of nothing": lambda n: (
        lambda: session(Side.CLIENT).receive(
            framed(1, 0, 2013, bytes(4) + section({"find": "a", "$db": "b"}) + sequence("x") * n)
        )
    ),
}


@pytest.mark.parametrize("kind", WORK)
def test_twice_the_bytes_take_at_most_about_twice_the_work(kind: str) -> None:
    one, two = (count_calls(WORK[kind](many)) for many in (1000, 2000))
    assert two <= 2.5 * one + 50
