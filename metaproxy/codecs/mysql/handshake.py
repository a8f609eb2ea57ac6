"""
The first packets of a connection: the server's greeting and what the client answers.

Capabilities are flags that the server offers and the client picks from; MariaDB has more of them in a field of their
own, here the bits from 32 on, where the flag MYSQL is not set.

Lives here: `Capability`, `Greeting`, `Login`. Does not: how a password is proved (`passwords`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntFlag

from metaproxy.codecs.mysql.packets import read_bytes, read_word, write_bytes
from metaproxy.message import FrameError


class Capability(IntFlag):
    """What both sides can do. Those of MariaDB alone begin at 32."""

    MYSQL = 1
    FOUND_ROWS = 1 << 1
    CONNECT_WITH_DB = 1 << 3
    COMPRESS = 1 << 5
    LOCAL_FILES = 1 << 7
    PROTOCOL_41 = 1 << 9
    INTERACTIVE = 1 << 10
    SSL = 1 << 11
    TRANSACTIONS = 1 << 13
    SECURE_CONNECTION = 1 << 15
    MULTI_STATEMENTS = 1 << 16
    MULTI_RESULTS = 1 << 17
    PS_MULTI_RESULTS = 1 << 18
    PLUGIN_AUTH = 1 << 19
    CONNECT_ATTRS = 1 << 20
    LENENC_AUTH_DATA = 1 << 21
    EXPIRED_PASSWORDS = 1 << 22
    SESSION_TRACK = 1 << 23
    DEPRECATE_EOF = 1 << 24
    OPTIONAL_METADATA = 1 << 25
    ZSTD_COMPRESSION = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27
    PROGRESS = 1 << 32
    COM_MULTI = 1 << 33
    STMT_BULK = 1 << 34
    EXTENDED_METADATA = 1 << 35
    CACHE_METADATA = 1 << 36
    BULK_UNIT_RESULTS = 1 << 37


C = Capability
COMPRESSION = C.COMPRESS | C.ZSTD_COMPRESSION | C.COM_MULTI
"""What changes how packets are framed."""
_REST = struct.Struct("<HBHHB6sI")
_LOGIN = struct.Struct("<IIB19sI")
_MOST = 1 << 16
"""Bytes of a name, an answer to a challenge or all attributes."""


@dataclass(frozen=True)
class Greeting:
    """A server's first packet. challenge: 20 bytes. plugin: the way to log in that it asks for first."""

    version: bytes
    thread: int
    challenge: bytes
    capabilities: int
    charset: int
    status: int
    plugin: bytes

    @classmethod
    def read(cls, payload: bytes) -> Greeting:
        """Raises FrameError when it is not that of protocol 10."""
        if payload[:1] != b"\x0a":
            raise FrameError(f"a greeting of protocol {payload[0] if payload else 'nothing'}; only 10 is known")
        version, at = read_word(payload, 1)
        if len(payload) < at + 31:
            raise FrameError(f"a greeting of {len(payload)} bytes; protocol 10 has more")
        thread = int.from_bytes(payload[at : at + 4], "little")
        challenge = payload[at + 4 : at + 12]
        low, charset, status, high, size, _, more = _REST.unpack_from(payload, at + 13)
        at += 13 + _REST.size
        capabilities = low | high << 16
        if not capabilities & C.MYSQL:
            capabilities |= more << 32
        second = max(12, size - 9)
        challenge += payload[at : at + second]
        plugin, _ = read_word(payload, at + second + 1)
        return cls(version, thread, challenge, capabilities, charset, status, plugin)

    def write(self) -> bytes:
        flags = self.capabilities
        rest = _REST.pack(
            flags & 0xFFFF, self.charset, self.status, flags >> 16 & 0xFFFF, len(self.challenge) + 1, b"", flags >> 32
        )
        challenge = self.challenge
        return b"".join(
            (
                b"\x0a", self.version, b"\0", self.thread.to_bytes(4, "little"), challenge[:8], b"\0", rest,
                challenge[8:], b"\0", self.plugin, b"\0",
            )
        )  # fmt: skip

    def without(self, flags: int, but_with: int = 0) -> Greeting:
        return replace(self, capabilities=self.capabilities & ~flags | but_with)


@dataclass(frozen=True)
class Login:
    """What a client answers. collation: also the character set of what it sends. answer: to the challenge."""

    capabilities: int
    most: int
    charset: int
    user: bytes
    answer: bytes
    database: bytes
    plugin: bytes
    attributes: bytes

    @classmethod
    def read(cls, payload: bytes) -> Login:
        """Raises FrameError when it is not one of protocol 4.1."""
        if len(payload) < _LOGIN.size:
            raise FrameError(f"a login of {len(payload)} bytes; it has at least {_LOGIN.size}")
        flags, most, charset, _, more = _LOGIN.unpack_from(payload)
        if not flags & C.PROTOCOL_41:
            raise FrameError("a login of the protocol before MySQL 4.1")
        if not flags & C.MYSQL:
            flags |= more << 32
        user, at = read_word(payload, _LOGIN.size)
        answer, at = _read_answer(payload, at, flags)
        database = plugin = attributes = b""
        if flags & C.CONNECT_WITH_DB:
            database, at = read_word(payload, at)
        if flags & C.PLUGIN_AUTH:
            plugin, at = read_word(payload, at)
        if flags & C.CONNECT_ATTRS and at < len(payload):
            attributes, at = read_bytes(payload, at)
        if max(map(len, (user, answer, database, plugin, attributes))) > _MOST:
            raise FrameError(f"a login with a text of more than {_MOST} bytes")
        return cls(flags, most, charset, user, answer, database, plugin, attributes)

    def write(self) -> bytes:
        flags = self.capabilities
        parts = [_LOGIN.pack(flags & 0xFFFFFFFF, self.most, self.charset, b"", flags >> 32), self.user, b"\0"]
        if flags & C.LENENC_AUTH_DATA:
            parts.append(write_bytes(self.answer))
        elif flags & C.SECURE_CONNECTION:
            parts += [bytes((len(self.answer),)), self.answer]
        else:
            parts += [self.answer, b"\0"]
        if flags & C.CONNECT_WITH_DB:
            parts += [self.database, b"\0"]
        if flags & C.PLUGIN_AUTH:
            parts += [self.plugin, b"\0"]
        if flags & C.CONNECT_ATTRS:
            parts.append(write_bytes(self.attributes))
        return b"".join(parts)


def _read_answer(payload: bytes, at: int, flags: int) -> tuple[bytes, int]:
    if flags & C.LENENC_AUTH_DATA:
        return read_bytes(payload, at)
    if flags & C.SECURE_CONNECTION:
        if at >= len(payload):
            raise FrameError("a login ends before the answer to the challenge")
        stop = at + 1 + payload[at]
        if stop > len(payload):
            raise FrameError("a login ends within the answer to the challenge")
        return payload[at + 1 : stop], stop
    return read_word(payload, at)


def read_attributes(data: bytes) -> dict[str, str]:
    """The attributes that a client gives of itself (program_name ...). What is cut short is left out."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            key, at = read_bytes(data, at)
            value, at = read_bytes(data, at)
            found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    except FrameError:
        return found
    return found


def write_attributes(values: dict[str, str]) -> bytes:
    return b"".join(write_bytes(text.encode()) for pair in values.items() for text in pair)


def is_tls_request(payload: bytes) -> bool:
    """Whether a client's first packet asks for TLS: the head of a login, and no more."""
    return len(payload) == _LOGIN.size and bool(int.from_bytes(payload[:4], "little") & C.SSL)


def tls_request(flags: int, most: int) -> bytes:
    """A client's packet behind which TLS begins."""
    return _LOGIN.pack(flags & 0xFFFFFFFF, most, 45, b"", flags >> 32)


@dataclass(frozen=True)
class Switch:
    """A server asks for another way to log in."""

    plugin: bytes
    challenge: bytes

    @classmethod
    def read(cls, payload: bytes) -> Switch:
        plugin, at = read_word(payload, 1)
        return cls(plugin or b"mysql_old_password", payload[at:].removesuffix(b"\0"))

    def write(self) -> bytes:
        return b"\xfe" + self.plugin + b"\0" + self.challenge + b"\0"


@dataclass(frozen=True)
class ChangeUser:
    """COM_CHANGE_USER. charset: 0 where it has none."""

    user: bytes
    answer: bytes
    database: bytes
    charset: int
    plugin: bytes

    @classmethod
    def read(cls, payload: bytes, flags: int) -> ChangeUser:
        """Raises FrameError."""
        user, at = read_word(payload, 1)
        answer, at = _read_answer(payload, at, flags & ~C.LENENC_AUTH_DATA)
        database, at = read_word(payload, at)
        charset, plugin = 0, b""
        if at + 2 <= len(payload):
            charset = int.from_bytes(payload[at : at + 2], "little")
            at += 2
            if flags & C.PLUGIN_AUTH:
                plugin, at = read_word(payload, at)
        return cls(user, answer, database, charset, plugin)
