"""
How PostgreSQL writes its messages: a type, a length that counts itself, a body.

Lives here: building and reading single messages, and errors. Does not: where messages of a connection end (`client`,
`server`), what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from metaproxy.message import FrameError

HEAD = Struct(">BI")
"""A type and a length. The first messages of a client have no type."""
HEAD_SIZE = 5
LENGTH = Struct(">I")
CANCEL, SSL, GSSENC = 80877102, 80877103, 80877104
"""What stands in place of a version: three requests that are no login."""
MAX_STARTUP = 10000
"""Bytes of a client's first message, as PostgreSQL bounds them."""
READY_SIZE = 6
READY_HEAD = b"Z\0\0\0\5"
_KEY = ord("K")
FATAL = frozenset((b"FATAL", b"PANIC"))
_AUTHENTICATION = ord("R")
_SASL = b"\0\0\0\x0a"
"""What an authentication message begins with that offers ways to prove a password."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + LENGTH.pack(len(body) + 4) + body


def ready(state: bytes) -> bytes:
    """ReadyForQuery. state: I, T or E."""
    return READY_HEAD + state


def error(severity: str, code: str, text: str) -> bytes:
    """An ErrorResponse. A text can't hold what ends it."""
    written = (text or "no reason given").replace("\0", " ").encode("utf-8", "replace")
    name = severity.encode()
    return message(b"E", b"S%b\0V%b\0C%b\0M%b\0\0" % (name, name, code.encode(), written))


def error_fields(body: bytes) -> dict[str, bytes]:
    """What an ErrorResponse or a NoticeResponse says, by the letter of the field."""
    return {chr(field[0]): field[1:] for field in body.split(b"\0") if field}


def state_of(frame: bytes) -> bytes:
    """The state that the ReadyForQuery at the end of an answer tells; b"" where there is none."""
    return frame[-1:] if frame[-READY_SIZE:-1] == READY_HEAD else b""


def startup(parameters: Mapping[str, str], version: int = 3 << 16) -> bytes:
    """A StartupMessage."""
    pairs = b"".join(b"%b\0%b\0" % (key.encode(), value.encode()) for key, value in parameters.items())
    body = LENGTH.pack(version) + pairs + b"\0"
    return LENGTH.pack(len(body) + 4) + body


def startup_parameters(frame: bytes) -> dict[str, str]:
    """What a StartupMessage says: user, database and settings. May raise FrameError."""
    words = frame[8:].split(b"\0")
    if len(words) < 2 or words[-1] or words[-2] or len(words) % 2:
        raise FrameError("a StartupMessage whose parameters are not pairs that end with a zero byte")
    texts = [word.decode("utf-8", "replace") for word in words[:-2]]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def text_at(frame: bytes | bytearray, at: int, stop: int) -> tuple[bytes, int]:
    """A text that a zero byte ends, and where the next thing begins. May raise FrameError."""
    end = frame.find(b"\0", at, stop)
    if end < 0:
        raise FrameError("a text without the zero byte that ends it")
    return bytes(frame[at:end]), end + 1


def key_in(data: bytes) -> bytes:
    """The body of the BackendKeyData among whole messages; b"" if there is none."""
    at, end = 0, len(data)
    while end - at >= HEAD_SIZE:
        kind, size = HEAD.unpack_from(data, at)
        stop = at + 1 + size
        if kind == _KEY:
            return data[at + HEAD_SIZE : stop]
        at = stop
    return b""


def with_key(data: bytes, key: bytes) -> bytes:
    """Whole messages with another key in their BackendKeyData, if there is one."""
    at, end = 0, len(data)
    while end - at >= HEAD_SIZE:
        kind, size = HEAD.unpack_from(data, at)
        stop = at + 1 + size
        if kind == _KEY:
            return data[:at] + message(b"K", key) + data[stop:]
        at = stop
    return data


def without_binding(data: bytes) -> bytes:
    """Whole messages of a login without the offer of a proof that is bound to TLS (SCRAM-SHA-256-PLUS)."""
    at, end = 0, len(data)
    while end - at >= HEAD_SIZE:
        kind, size = HEAD.unpack_from(data, at)
        stop = at + 1 + size
        body = at + HEAD_SIZE
        if kind == _AUTHENTICATION and data[body : body + 4] == _SASL:
            names = data[body + 4 : stop].split(b"\0")
            kept = b"\0".join(name for name in names if not name.endswith(b"-PLUS"))
            return data[:at] + message(b"R", _SASL + kept) + data[stop:]
        at = stop
    return data


def columns(row: bytes) -> list[bytes | None]:
    """The values of a DataRow's body. May raise FrameError."""
    found: list[bytes | None] = []
    at = 2
    for _ in range(int.from_bytes(row[:2], "big")):
        size = int.from_bytes(row[at : at + 4], "big", signed=True)
        at += 4
        if at > len(row) or size > len(row) - at:
            raise FrameError("a row of an answer that is cut off")
        found.append(None if size < 0 else row[at : at + size])
        at += max(0, size)
    return found
