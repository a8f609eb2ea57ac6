"""
The head of an answer as HTTP/1.1 has it, made a canonical one.

Lives here: `read`. What two recipients could take for different answers is refused. Does not: bodies (`bodies`), which
request is answered (`server`).
"""

from __future__ import annotations

import re
from typing import Final

from metaproxy.codecs.http.heads import HeadError, Pair, read_answer
from metaproxy.codecs.http.model import Head
from metaproxy.codecs.http.requests import name_of, tokens

CHUNKED: Final = 1
"""The body is in chunked form."""
CLOSE: Final = 2
"""The server closes the connection behind it."""

_TAKEN = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te"))
_TAKEN_LINES = re.compile(rb"(?im)^(?:connection|keep-alive|proxy-connection|transfer-encoding|upgrade|te):[^\r]*\r\n")
_LENGTH_LINE = re.compile(rb"(?im)^content-length:[^\r]*\r\n")
_USUAL = (b"connection", b"keep-alive")
_USUAL_LINE = b"\r\nConnection: keep-alive\r\n"
"""What nginx says with every answer."""


def read(block: bytes, max_fields: int) -> tuple[Head, int]:
    """The canonical head of the bytes of one, its empty line included, and its flags. Raises HeadError."""
    status, minor, pairs, special = read_answer(block)
    if len(pairs) + len(special) > max_fields:
        raise HeadError(f"more than {max_fields} fields")
    if minor == b"1" and status >= 200 and status != 204:
        if _USUAL in special and _USUAL_LINE in block:
            special.remove(_USUAL)
            block = block.replace(_USUAL_LINE, b"\r\n", 1)
        if not special:
            return Head(block, pairs, status), 0
        if len(special) == 1 and special[0][0] == b"content-length":
            pairs.append(special[0])
            return Head(block, pairs, status, length=_length(special[0][1])), 0
    return _unusual(block, status, minor, pairs, special)


def _length(value: bytes) -> int:
    if not value.isdigit():
        raise HeadError(f"{value[:40]!r} is no Content-Length")
    return int(value)


def _unusual(block: bytes, status: int, minor: bytes, pairs: list[Pair], special: list[Pair]) -> tuple[Head, int]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in special:
        values.setdefault(name, []).append(value)
    options = frozenset(tokens(values.get(b"connection", [])))
    flags = CLOSE if b"close" in options or (minor == b"0" and b"keep-alive" not in options) else 0
    codings, lengths = values.get(b"transfer-encoding", []), values.get(b"content-length", [])
    length = -1
    if codings:
        if minor == b"0" or lengths or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise HeadError("a Transfer-Encoding other than chunked alone, in HTTP/1.1")
        flags |= CHUNKED
    elif len(lengths) > 1:
        raise HeadError("more than one Content-Length")
    elif lengths:
        length = _length(lengths[0])
    if named := options & {b"content-length", b"transfer-encoding", b"set-cookie"}:
        raise HeadError(f"Connection names {min(named).decode()}")
    pairs = [pair for pair in (*pairs, *special) if pair[0] not in _TAKEN and pair[0] not in options]
    start = block.index(b"\r\n") + 2
    lines = _TAKEN_LINES.sub(b"", block[start:-2])
    if options:
        lines = b"".join([line for line in lines.splitlines(True) if name_of(line) not in options])
    if status < 200 or status == 204:  # has no body, and so no length (RFC 9110, section 8.6)
        pairs = [pair for pair in pairs if pair[0] != b"content-length"]
        lines = _LENGTH_LINE.sub(b"", lines)
        length = -1
        flags &= ~CHUNKED
    protocol = b", ".join(values.get(b"upgrade", [])) if status == 101 else b""
    tunnel = b"connection: upgrade\r\nupgrade: %b\r\n" % protocol if protocol else b""
    frame = b"HTTP/1.1%b%b%b\r\n" % (block[8:start], lines, tunnel)
    return Head(frame, pairs, status, protocol=protocol, length=length), flags
