"""
What a client's first bytes say of TLS, before anything answers them: whether it is TLS, for which name, for what.

    record:     type 22 | version 2 | length 2 | fragment
    handshake:  type 1 | length 3 | version 2 | random 32 | session <1> | suites <2> | compressions <1> | extensions <2>
    extension:  type 2 | length 2 | data;  0: server_name, 16: application_layer_protocol_negotiation

Source: RFC 8446, 4.1.2 and 5.1; RFC 6066, 3; RFC 7301, 3.1. Lives here: `HelloReader`. Does not: TLS itself (`tls`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST = 16384
"""Bytes that a ClientHello may have; real ones have some hundreds, with post-quantum keys two thousand."""
_RECORD, _HANDSHAKE, _CLIENT_HELLO = 5, 22, 1
_SERVER_NAME, _ALPN = 0, 16
_NAME = 255
"""Bytes of a host's name, as DNS has them; a longer one names no host, and to look for its parts would take long."""


class Hello(NamedTuple):
    """encrypted: whether the client begins with TLS. name: asked for, lower case, '' for none. alpn: its offers."""

    encrypted: bool
    name: str = ""
    alpn: tuple[str, ...] = ()


PLAIN = Hello(False)
"""Of a client that does not begin with TLS."""


_LINE = 8192
"""Bytes of the first line of HTTP/1; a longer one is of no HTTP that anybody serves."""
_LOOK = 32
"""Bytes by which it is known whether that is a line that begins with a method."""
_METHOD = re.compile(rb"[A-Z-]{1,20}(?: .*)?", re.DOTALL)


def http_of(data: bytes) -> Hello | None:
    """
    What the first bytes of a client without TLS say of HTTP, as if it had offered it by ALPN: `http/1.1` or `h2c`.
    None: more are needed.
    """
    line, end, _ = data.partition(b"\n")
    if not _METHOD.fullmatch(line) or len(line) > _LINE:
        return PLAIN
    if not end:
        return None
    version = line.rstrip(b"\r").rpartition(b" ")[2]
    if line.startswith(b"PRI * HTTP/2"):
        return Hello(False, alpn=("h2c",))
    return Hello(False, alpn=("http/1.1",)) if version in (b"HTTP/1.0", b"HTTP/1.1") else PLAIN


class HelloReader:
    """
    Reads what comes, piece by piece. Each byte is looked at once, however they trickle in. http: whether it matters if
    a client without TLS speaks HTTP.
    """

    def __init__(self, http: bool = False) -> None:
        self._http = http
        self._rest = bytearray()  # of a record whose end is to come
        self._body = bytearray()  # of the handshake message

    def receive(self, data: bytes) -> Hello | None:
        """What the bytes so far say; None: more are needed. What is no whole ClientHello counts as plain."""
        rest, body = self._rest, self._body
        rest += data
        if bytes(rest[:1]) not in (b"", b"\x16"):
            if not self._http:
                return PLAIN
            if len(rest) - len(data) > _LOOK and len(rest) <= _LINE and b"\n" not in data:
                return None  # looked at before
            return http_of(bytes(rest))
        if bytes(rest[1:2]) not in (b"", b"\x03"):
            return PLAIN
        at = 0
        while len(rest) - at >= _RECORD:
            length = int.from_bytes(rest[at + 3 : at + _RECORD], "big")
            if rest[at] != _HANDSHAKE or not 0 < length <= MOST:
                return PLAIN
            if len(rest) - at < _RECORD + length:
                break
            body += rest[at + _RECORD : at + _RECORD + length]
            at += _RECORD + length
            if len(body) >= 4:
                size = 4 + int.from_bytes(body[1:4], "big")
                if body[0] != _CLIENT_HELLO or size > MOST:
                    return PLAIN
                if len(body) >= size:
                    return _hello(bytes(body[4:size]))
        del rest[:at]
        return None


def _hello(body: bytes) -> Hello:
    try:
        return _parsed(body)
    except (IndexError, ValueError):
        return PLAIN


def _parsed(body: bytes) -> Hello:
    """Raises IndexError or ValueError for what is no ClientHello."""
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(_exactly(body, at, 2), "big")
    at += 1 + body[at]
    name = ""
    alpn: tuple[str, ...] = ()
    extensions = _exactly(body, at + 2, int.from_bytes(body[at : at + 2], "big"))
    for kind, data in _extensions(extensions):
        if kind == _SERVER_NAME:
            name = _server_name(data)
        elif kind == _ALPN:
            alpn = tuple(_names(_exactly(data, 2, int.from_bytes(data[:2], "big"))))
    return Hello(True, name, alpn)


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = int.from_bytes(_exactly(data, at, 2), "big"), int.from_bytes(_exactly(data, at + 2, 2), "big")
        yield kind, _exactly(data, at + 4, length)
        at += 4 + length


def _server_name(data: bytes) -> str:
    """The first host name of the list."""
    if len(data) < 5 or data[2]:
        return ""
    name = _exactly(data, 5, int.from_bytes(data[3:5], "big"))
    return name.decode("ascii", "replace").lower() if len(name) <= _NAME else ""


def _names(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        yield _exactly(data, at + 1, data[at]).decode("ascii", "replace")
        at += 1 + data[at]


def _exactly(data: bytes, at: int, length: int) -> bytes:
    found = data[at : at + length]
    if len(found) < length:
        raise ValueError(f"{length} bytes at {at} of {len(data)}")
    return found
