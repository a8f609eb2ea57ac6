"""MongoDB's messages for tests: commands, answers, and what is recorded of real ones (tests/golden/mongodb)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from metaproxy.codecs.mongodb import bson, compressed

GOLDEN = Path(__file__).parents[1] / "golden" / "mongodb"
MORE = 2
EXHAUST = 1 << 16


def framed(id: int, to: int, code: int, rest: bytes) -> bytes:
    return struct.pack("<iiii", 16 + len(rest), id, to, code) + rest


def sequence(name: str, *documents: Mapping[str, bson.Value]) -> bytes:
    """A section of kind 1."""
    body = name.encode() + b"\0" + b"".join(map(bson.document, documents))
    return b"\1" + struct.pack("<i", 4 + len(body)) + body


def section(fields: Mapping[str, bson.Value]) -> bytes:
    """A section of kind 0."""
    return b"\0" + bson.document(fields)


def op_msg(id: int, *sections: bytes, flags: int = 0, to: int = 0) -> bytes:
    return framed(id, to, 2013, struct.pack("<I", flags) + b"".join(sections))


def command(id: int, fields: Mapping[str, bson.Value], *sequences: bytes, flags: int = 0) -> bytes:
    """A command of a client. Its database is shop, unless it says another."""
    return op_msg(id, section({**fields, "$db": fields.get("$db", "shop")}), *sequences, flags=flags)


def answer(to: int, fields: Mapping[str, bson.Value] | None = None, id: int = 900, flags: int = 0) -> bytes:
    return op_msg(id, section({"n": 1, "ok": 1.0} if fields is None else fields), flags=flags, to=to)


def op_query(id: int, fields: Mapping[str, bson.Value], collection: str = "admin.$cmd") -> bytes:
    rest = struct.pack("<i", 4) + collection.encode() + b"\0" + struct.pack("<ii", 0, -1) + bson.document(fields)
    return framed(id, 0, 2004, rest)


def op_reply(to: int, fields: Mapping[str, bson.Value], id: int = 900) -> bytes:
    return framed(id, to, 1, struct.pack("<iqii", 8, 0, 0, 1) + bson.document(fields))


def document(frame: bytes) -> dict[str, object]:
    """The fields of a message's document, as far as tests look at them: texts, numbers, lists of texts, documents."""
    at = 36 if struct.unpack_from("<i", frame, 12)[0] == 1 else 21
    return _fields(frame, at)


def _fields(data: bytes, at: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in bson.elements(data, at, len(data)):
        value: object = bson.text(data, one)
        if value is None:
            value = bson.number(data, one)
        if one.type in (bson.DOCUMENT, bson.ARRAY):
            inner = _fields(data, one.at)
            value = inner if one.type == bson.DOCUMENT else list(inner.values())
        found[one.name.decode()] = data[one.at : one.stop] if value is None else value
    return found


def recorded() -> list[tuple[str, list[tuple[str, bytes]]]]:
    """What each connection is, and who said what on it."""
    return [
        (exchange["what"], [(frame["from"], bytes.fromhex(frame["hex"])) for frame in exchange["frames"]])
        for path in sorted(GOLDEN.glob("*.json"))
        for exchange in json.loads(path.read_text())["exchanges"]
    ]


def packed(frame: bytes, name: str) -> bytes:
    """A message compressed by zlib, zstd or snappy."""
    return compressed.pack(frame, compressed.IDS[name])
