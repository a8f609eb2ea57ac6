"""
Packets: a length of three bytes, a sequence number, a payload; and the small values that payloads are made of.

A payload of 16 MiB - 1 bytes or more goes on in the next packet, until one is shorter.

Lives here: heads, integers and texts of both kinds, OK, EOF and ERR packets. Does not: what a packet means where it
stands (`answers`, `handshake`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from metaproxy.message import FrameError

HEAD = 4
"""Bytes of a packet's head."""
FULL = 0xFFFFFF
"""The length of a packet whose payload goes on in the next one."""
LONGEST_LOGIN = 1 << 16
"""Bytes of each packet of a login, and of a greeting, whatever else is bounded."""
OK, EOF, ERR, INFILE, MORE = 0x00, 0xFE, 0xFF, 0xFB, 0x01
"""First bytes of payloads. EOF is also that of a request for another way to log in, MORE of what a login goes on by."""

IN_TRANSACTION, AUTOCOMMIT, MORE_RESULTS, CURSOR, LAST_ROW_SENT = 0x1, 0x2, 0x8, 0x40, 0x80
"""Flags of a server's status."""

_HEAD = struct.Struct("<I")
_EOF = struct.Struct("<xHH")
_STATUS = struct.Struct("<HH")
_LONG = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def head_of(data: bytes, at: int) -> tuple[int, int]:
    """Length of the payload and sequence number of the packet whose head begins at `at`."""
    word: int = _HEAD.unpack_from(data, at)[0]
    return word & FULL, word >> 24


def packet(payload: bytes, sequence: int) -> bytes:
    """One payload as packets, the first with that sequence number."""
    if len(payload) < FULL:
        return _HEAD.pack(len(payload) | (sequence & 0xFF) << 24) + payload
    pieces = []
    for at in range(0, len(payload) + 1, FULL):
        piece = payload[at : at + FULL]
        pieces.append(_HEAD.pack(len(piece) | (sequence & 0xFF) << 24) + piece)
        sequence += 1
    return b"".join(pieces)


def numbered(frame: bytes, sequence: int) -> bytes:
    """A frame of one packet under another sequence number."""
    return frame[:3] + bytes((sequence & 0xFF,)) + frame[HEAD:]


def last_sequence(frame: bytes) -> int:
    """The sequence number of the last packet of a frame."""
    at = sequence = 0
    while at + HEAD <= len(frame):
        size, sequence = head_of(frame, at)
        at += HEAD + size
    return sequence


def payload_of(frame: bytes) -> bytes:
    """The payload of a frame: of all of its packets, joined."""
    size, _ = head_of(frame, 0)
    if size < FULL:
        return frame[HEAD : HEAD + size]
    pieces, at = [], 0
    while at + HEAD <= len(frame):
        size, _ = head_of(frame, at)
        pieces.append(frame[at + HEAD : at + HEAD + size])
        at += HEAD + size
    return b"".join(pieces)


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """An integer whose first byte tells its size, and where it ends. Raises FrameError where it is cut short."""
    if at >= len(data):
        raise FrameError("a packet ends where an integer was expected")
    first = data[at]
    size = _LONG.get(first)
    if size is None:
        if first > 0xFA:
            raise FrameError(f"a length that begins with {first:#x}; allowed are 0 to 0xfa, 0xfc, 0xfd, 0xfe")
        return first, at + 1
    stop = at + 1 + size
    if stop > len(data):
        raise FrameError("a packet ends within an integer")
    return int.from_bytes(data[at + 1 : stop], "little"), stop


def write_integer(value: int) -> bytes:
    """The shortest form of such an integer."""
    if value < 0xFB:
        return bytes((value,))
    for first, size in _LONG.items():
        if value < 1 << (8 * size):
            return bytes((first,)) + value.to_bytes(size, "little")
    raise FrameError(f"{value} has more than 64 bits")


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind their length, and where they end. Raises FrameError where they are cut short."""
    size, at = read_integer(data, at)
    if size > len(data) - at:
        raise FrameError(f"{size} bytes are announced where a packet has {len(data) - at}")
    return data[at : at + size], at + size


def write_bytes(value: bytes) -> bytes:
    return write_integer(len(value)) + value


def read_word(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes that end with a NUL, or with the packet, and where what follows begins."""
    stop = data.find(b"\0", at)
    return (data[at:], len(data)) if stop < 0 else (data[at:stop], stop + 1)


class End(NamedTuple):
    """What an OK or EOF packet says. insert_id: of the first row that was inserted, 0 for none."""

    status: int
    warnings: int = 0
    insert_id: int = 0


def read_ok(payload: bytes) -> End:
    """An OK packet, also one that begins as an EOF packet does. Raises FrameError."""
    _, at = read_integer(payload, 1)
    insert_id, at = read_integer(payload, at)
    if len(payload) < at + 4:
        raise FrameError("an OK packet ends before its status")
    status, warnings = _STATUS.unpack_from(payload, at)
    return End(status, warnings, insert_id)


def read_eof(payload: bytes) -> End:
    """An EOF packet of the older kind. Raises FrameError."""
    if len(payload) != 5:
        raise FrameError(f"an EOF packet of {len(payload)} bytes; it has 5")
    warnings, status = _EOF.unpack(payload)
    return End(status, warnings)


def ok_packet(sequence: int, status: int = AUTOCOMMIT, first: int = OK) -> bytes:
    return packet(bytes((first, 0, 0)) + _STATUS.pack(status, 0), sequence)


class ServerError(NamedTuple):
    """What an ERR packet says. state: the SQLSTATE, "" where it has none."""

    number: int
    state: str
    text: str


def read_error(payload: bytes) -> ServerError:
    """An ERR packet, with a state or without."""
    number = int.from_bytes(payload[1:3], "little")
    if payload[3:4] == b"#":
        return ServerError(number, payload[4:9].decode("latin-1"), payload[9:].decode("utf-8", "replace"))
    return ServerError(number, "", payload[3:].decode("utf-8", "replace"))


def error_packet(sequence: int, number: int, state: str, text: str) -> bytes:
    """state: "" for a client that has not logged in, which may not know of states."""
    mark = f"#{state}".encode("ascii") if state else b""
    return packet(b"\xff" + number.to_bytes(2, "little") + mark + text.encode("utf-8", "replace"), sequence)
