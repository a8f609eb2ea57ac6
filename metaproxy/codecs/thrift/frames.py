"""
A whole message in whatever stands around it: nothing (unframed), a length (framed), THeader (header), TTHeader.

Lives here: the pairs of transport and encoding, and what is done to a frame of any pair: look at its first bytes, find
the message inside, give it another sequence number, answer it with an exception.
Does not: which pair a connection speaks (detection), streams (session), names and metadata.
"""

from __future__ import annotations

import struct
from types import ModuleType

from metaproxy.codecs.thrift import header, ttheader
from metaproxy.codecs.thrift.carrier import Carried, Unreadable, redo, undo, with_payload
from metaproxy.codecs.thrift.encodings import BINARY, ENCODINGS, OLD_BINARY, Encoding, signed
from metaproxy.codecs.thrift.heads import Data, check_size
from metaproxy.message import FrameError

AUTO, FRAMED, UNFRAMED, HEADER, TTHEADER = "auto", "framed", "unframed", "header", "ttheader"
TRANSPORTS = (FRAMED, UNFRAMED, HEADER, TTHEADER)

CARRIERS: dict[str, ModuleType] = {HEADER: header, TTHEADER: ttheader}
"""The transports that carry headers; both modules have the same functions."""

Profile = tuple[str, str]
"""Transport and protocol: what a client speaks, so what its upstream connection must speak."""

PROFILES: dict[Profile, Profile] = {
    (transport, name): (transport, name)
    for transport in TRANSPORTS
    for name in ENCODINGS
    if transport not in CARRIERS or name in CARRIERS[transport].PROTOCOLS.values()
}
"""Each to itself: the one object of each pair, so that the path can compare by identity."""

FRAMED_BINARY = PROFILES[FRAMED, "binary"]

UNBOUNDED = 1 << 62

_SIZE = struct.Struct(">i")
_OLD_HEAD = 9
"""Bytes of the head of an old binary message around its name, whose length comes first."""


def _name(data: Data, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def check(data: Data, at: int, profile: Profile, most: int) -> None:
    """
    Raises WrongByte for the first byte of the frame that begins at `at`, whole or not, which its head can't have.
    most: bytes allowed.
    """
    transport, encoding, end = profile[0], ENCODINGS[profile[1]], len(data)
    start: int | None = at
    if transport == FRAMED:
        size = check_size(data, at, end, 5, most)
        start, end = at + 4, end if size is None else min(end, at + 4 + size)
    elif transport in CARRIERS:
        carrier = CARRIERS[transport]
        start = carrier.check(data, at, end, most, encoding.header_id)
        if start is not None and start < end:
            start = carrier.start(data, start)
            end = min(end, at + 4 + int.from_bytes(data[at : at + 4], "big"))
    elif transport == UNFRAMED:
        end = min(end, at + most)  # what lies beyond is over the bound, whatever it is
        if end - at >= 4 and profile[1] == "binary" and data[at] < 0x80 and _OLD_HEAD + _name(data, at) > most:
            end = at + 4  # so does what is behind a name for which there is no room
    if start is not None:
        encoding.check(data, start, end)


def locate(frame: bytes, profile: Profile) -> tuple[Encoding, bytes, int]:
    """The message of a frame: its encoding, the bytes that end with it, and where in them it begins."""
    encoding = ENCODINGS[profile[1]]
    if profile[0] == FRAMED:
        return encoding, frame, 4
    if profile[0] == UNFRAMED:
        return encoding, frame, 0
    carrier = CARRIERS[profile[0]]
    _, _, transforms, _, end = carrier.read(frame)
    if not transforms:
        return encoding, frame, carrier.start(frame, end)
    if isinstance(frame, Carried):
        return encoding, frame.payload, carrier.start(frame.payload, 0)
    # Bounded: the session that received the frame inflated it within its bound before it let it pass.
    payload = undo(frame[end:], transforms, UNBOUNDED)
    return encoding, payload, carrier.start(payload, 0)


def join_ids(sequence: int, seqid: int) -> int:
    """
    One id for a request that has a sequence number in front (THeader, TTHeader) and the message's seqid.

    The seqid where both are equal (Python, C++, Kitex). Node leaves the first at 0, fbthrift the second, and all want
    both back: then more than 32 bits, of which `split_id` makes the two again.
    """
    if sequence == seqid:
        return seqid
    return ((sequence ^ seqid) & 0xFFFFFFFF) << 32 | seqid & 0xFFFFFFFF


def split_id(id: int) -> tuple[int, int]:
    """The sequence number in front and the message's seqid, of what `join_ids` made, or of a plain id."""
    if id == signed(id):
        return id, id
    return signed(id >> 32 ^ id), signed(id)


def renumber(frame: bytes, profile: Profile, id: int) -> bytes:
    """The frame under another id; lengths are corrected where its digits or its varint are more or fewer."""
    if profile[0] in CARRIERS:
        return _renumber_carried(frame, profile, id)
    encoding = ENCODINGS[profile[1]]
    _, _, _, start, stop, _ = encoding.head(frame, 4 if profile[0] == FRAMED else 0)
    seqid = encoding.seqid(signed(id))
    if profile[0] == FRAMED:
        size = len(frame) - 4 + len(seqid) - (stop - start)
        return b"".join((_SIZE.pack(size), frame[4:start], seqid, frame[stop:]))
    return frame[:start] + seqid + frame[stop:]


def _renumber_carried(frame: bytes, profile: Profile, id: int) -> bytes:
    sequence, seqid = split_id(id)
    _, _, transforms, _, end = CARRIERS[profile[0]].read(frame)
    encoding, source, at = locate(frame, profile)
    _, _, _, start, stop, _ = encoding.head(source, at)
    message = b"".join((source[at:start], encoding.seqid(seqid), source[stop:]))
    if at > (0 if transforms else end):  # a length of its own
        message = _SIZE.pack(len(message)) + message
    return with_payload(frame, end, sequence, redo(message, transforms))


def exception(frame: bytes, profile: Profile, id: int, number: int, text: str) -> bytes:
    """A TApplicationException in answer to the request `frame`; it has no name when the request's can't be read."""
    transport, encoding, name = profile[0], ENCODINGS[profile[1]], b""
    try:
        encoding, source, at = locate(frame, profile)
        name = encoding.head(source, at)[1]
        if encoding is BINARY and source[at] < 0x80:
            encoding = OLD_BINARY
    except (FrameError, Unreadable):
        pass
    sequence, seqid = split_id(id)
    return _framed(transport, encoding, sequence, encoding.exception(name, seqid, number, text), frame)


def call(profile: Profile, name: bytes, id: int) -> bytes:
    """A call without arguments."""
    encoding = ENCODINGS[profile[1]]
    return _framed(profile[0], encoding, id, encoding.call(name, id), b"")


def _framed(transport: str, encoding: Encoding, sequence: int, message: bytes, like: bytes) -> bytes:
    if transport in CARRIERS:
        made: bytes = CARRIERS[transport].build(sequence, encoding.header_id, message, like)
        return made
    return _SIZE.pack(len(message)) + message if transport == FRAMED else message
