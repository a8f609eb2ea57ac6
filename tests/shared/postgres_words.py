"""PostgreSQL's messages, written by hand for tests; and captures of real peers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from struct import pack

from metaproxy.message import Chunk, Kind, Message, Side

GOLDEN = Path(__file__).parents[1] / "golden" / "postgres"
MAX = 1 << 24


def said(kind: str, body: bytes = b"") -> bytes:
    """A message with a type."""
    return kind.encode() + pack(">I", len(body) + 4) + body


def startup(**parameters: str) -> bytes:
    pairs = b"".join(b"%b\0%b\0" % (key.encode(), value.encode()) for key, value in parameters.items())
    return pack(">II", len(pairs) + 9, 3 << 16) + pairs + b"\0"


def asked_for(code: int) -> bytes:
    """SSLRequest, GSSENCRequest."""
    return pack(">II", 8, code)


def query(text: str) -> bytes:
    return said("Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return said("P", name.encode() + b"\0" + text.encode() + b"\0\0\0")


def bind(statement: str = "", value: bytes = b"") -> bytes:
    return said("B", b"\0" + statement.encode() + b"\0\0\0\0\1" + pack(">I", len(value)) + value + b"\0\0")


EXECUTE, SYNC, FLUSH, BYE = said("E", b"\0\0\0\0\0"), said("S"), said("H"), said("X")
PARSED, BOUND, DONE, COPY_IN = said("1"), said("2"), said("C", b"SELECT 1\0"), said("G", b"\0\0\0")
ROW = said("D", b"\0\1\0\0\0\1x")
LOGGED_IN = said("R", b"\0\0\0\0") + said("S", b"server_version\x0015\0") + said("K", b"\0\0\0\1\0\0\0\2")
MD5 = said("R", b"\0\0\0\5salt")


HELLO = startup(user="ann", database="shop", application_name="test")


def ready(state: str = "I") -> bytes:
    return said("Z", state.encode())


def error(code: str = "42601", text: str = "syntax", severity: str = "ERROR") -> bytes:
    return said("E", f"S{severity}\0V{severity}\0C{code}\0M{text}\0\0".encode())


def errors(data: bytes) -> list[str]:
    """The SQLSTATE of each ErrorResponse in an answer."""
    return [body.split(b"\0C", 1)[1][:5].decode() for kind, body in messages(data) if kind == "E"]


def messages(data: bytes) -> list[tuple[str, bytes]]:
    """The messages of an answer: type and body."""
    found, at = [], 0
    while at < len(data):
        stop = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        found.append((data[at : at + 1].decode(), data[at + 5 : stop]))
        at = stop
    return found


def kinds(data: bytes) -> str:
    """The types of the messages of an answer."""
    return "".join(kind for kind, _ in messages(data))


def conversations() -> dict[str, list[tuple[Side, bytes]]]:
    """The captures of real peers, by name: who said what."""
    return {
        f"{path.stem}: {exchange['what']}": [
            (Side(frame["from"]), bytes.fromhex(frame["hex"])) for frame in exchange["frames"]
        ]
        for path in sorted(GOLDEN.glob("*.json"))
        for exchange in json.loads(path.read_text())["exchanges"]
    }


def without_keys(data: bytes) -> bytes:
    """What was said, with no key in it by which a request could be cancelled: the proxy gives its own, by chance."""
    return re.sub(rb"K\0\0\0\x0c.{8}", b"K", data, flags=re.DOTALL)


def join(head: Message, chunks: Sequence[Chunk]) -> Message:
    """The whole request or answer that came in pieces."""
    last = chunks[-1]
    kind = Kind.REQUEST if head.id else Kind.ERROR if last.failed else Kind.RESPONSE
    frame = head.frame + b"".join(chunk.frame for chunk in chunks)
    return Message(kind, frame, head.id, last.metadata, hold=last.hold)
