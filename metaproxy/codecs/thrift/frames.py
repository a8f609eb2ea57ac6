"""
A whole message in whatever stands around it: nothing (unframed), a length (framed), THeader (header).

Lives here: the pairs of transport and encoding, how they are told apart, and what is done to a frame of any pair: find
the message inside, give it another sequence number, answer it with an exception.
Does not: streams (session), names and metadata.
"""

from __future__ import annotations

import struct

from metaproxy.codecs.thrift import header
from metaproxy.codecs.thrift.encodings import BINARY, ENCODINGS, MAX_NAME, OLD_BINARY, Encoding, signed, varint
from metaproxy.message import FrameError, Message

AUTO, FRAMED, UNFRAMED, HEADER = "auto", "framed", "unframed", "header"
TRANSPORTS = (FRAMED, UNFRAMED, HEADER)

Profile = tuple[str, str]
"""Transport and protocol: what a client speaks, so what its upstream connection must speak."""

PROFILES: dict[Profile, Profile] = {
    (transport, name): (transport, name) for transport in TRANSPORTS for name in ENCODINGS
}
"""Each to itself: the one object of each pair, so that the path can compare by identity."""

FRAMED_BINARY = PROFILES[FRAMED, "binary"]

UNBOUNDED = 1 << 62

_SIZE = struct.Struct(">i")
_BY_HEADER_ID = {encoding.header_id: encoding.name for encoding in ENCODINGS.values()}


def detect(data: bytes, transport: str = AUTO, protocol: str = AUTO) -> Profile | None:
    """
    What the first bytes of a connection show; None: more are needed. transport, protocol: AUTO, or what it must be.

    Raises FrameError when it is not Thrift, or not as asked for.
    """
    if transport != AUTO and protocol != AUTO:
        return PROFILES[transport, protocol]
    found = _shown(data, transport)
    if found is None:
        return None
    if protocol not in (AUTO, found[1]) or transport not in (AUTO, found[0]):
        raise FrameError(f"{' '.join(found)} Thrift; this listener takes transport {transport}, protocol {protocol}")
    return PROFILES[found]


def spoken(message: Message) -> Profile:
    """The pair that a message came in; one that our sessions did not make shows it like the begin of a connection."""
    profile = message.profile
    if isinstance(profile, tuple) and profile in PROFILES:
        return PROFILES[profile]
    return detect(message.frame) or FRAMED_BINARY


def _shown(data: bytes, transport: str) -> Profile | None:
    if len(data) < 2:
        return None
    if transport in (AUTO, UNFRAMED):
        plain = _marked(data, 0)
        if plain or transport == UNFRAMED:
            return UNFRAMED, plain or _old(data, 0)
    if len(data) < 6:
        return None
    if data[4:6] == header.MAGIC:
        return _header_protocol(data)
    if _SIZE.unpack_from(data)[0] > 0:
        framed = _marked(data, 4)
        if framed or data[4] == 0 or transport != AUTO:
            return FRAMED, framed or _old(data, 4)
        return _unmarked(data)
    raise _not_thrift(data)


def _marked(data: bytes, at: int) -> str:
    """The encoding whose mark stands at `at`; "" where there is none."""
    first, second = data[at], data[at + 1]
    if first == 0x80 and second == 1:
        return "binary"
    if first == 0x82 and second & 0x1F == 1:
        return "compact"
    return "json" if first == 0x5B else ""


def _old(data: bytes, at: int) -> str:
    """Old binary has no mark, but begins with the high byte of a name's length."""
    if data[at]:
        raise _not_thrift(data, at + 2)
    return "binary"


def _header_protocol(data: bytes) -> Profile | None:
    number, after = varint(data, 14, min(len(data), 24))
    if after < 0:
        return None
    if number not in _BY_HEADER_ID:
        raise FrameError(f"THeader with protocol {number}; known are 0 binary, 1 JSON and 2 compact")
    return HEADER, _BY_HEADER_ID[number]


def _unmarked(data: bytes) -> Profile | None:
    """Unframed old binary: a name of printable ASCII, then a message type."""
    (length,) = _SIZE.unpack_from(data)
    if length > MAX_NAME:
        raise _not_thrift(data)
    stop = 4 + length
    if len(data) <= stop:
        return None
    name = data[4:stop]
    if not (1 <= data[stop] <= 4 and name.isascii() and name.decode("ascii").isprintable()):
        raise _not_thrift(data)
    return UNFRAMED, "binary"


def _not_thrift(data: bytes, seen: int = 6) -> FrameError:
    """seen: bytes that it took to find out; no more are shown, so that the text is the same however they came."""
    return FrameError(f"not Thrift: the first bytes are {data[:seen].hex(' ')}")


def locate(frame: bytes, profile: Profile) -> tuple[Encoding, bytes, int]:
    """The message of a frame: its encoding, the bytes that end with it, and where in them it begins."""
    encoding = ENCODINGS[profile[1]]
    if profile[0] == FRAMED:
        return encoding, frame, 4
    if profile[0] == UNFRAMED:
        return encoding, frame, 0
    _, _, transforms, _, end = header.read(frame)
    if not transforms:
        return encoding, frame, end
    # Bounded: the session that received the frame inflated it within its bound before it let it pass.
    return encoding, header.undo(frame[end:], transforms, UNBOUNDED), 0


def join_ids(sequence: int, seqid: int) -> int:
    """
    One id for a request that has THeader's sequence number and the message's seqid.

    The seqid where both are equal (Python, C++). Node leaves the first at 0, fbthrift the second, and all want both
    back: then more than 32 bits, of which `split_id` makes the two again.
    """
    if sequence == seqid:
        return seqid
    return ((sequence ^ seqid) & 0xFFFFFFFF) << 32 | seqid & 0xFFFFFFFF


def split_id(id: int) -> tuple[int, int]:
    """THeader's sequence number and the message's seqid, of what `join_ids` made, or of a plain id."""
    if id == signed(id):
        return id, id
    return signed(id >> 32 ^ id), signed(id)


def renumber(frame: bytes, profile: Profile, id: int) -> bytes:
    """The frame under another id; lengths are corrected where its digits or its varint are more or fewer."""
    if profile[0] == HEADER:
        return _renumber_header(frame, profile, id)
    encoding = ENCODINGS[profile[1]]
    _, _, _, start, stop, _ = encoding.head(frame, 4 if profile[0] == FRAMED else 0)
    seqid = encoding.seqid(signed(id))
    if profile[0] == FRAMED:
        size = len(frame) - 4 + len(seqid) - (stop - start)
        return b"".join((_SIZE.pack(size), frame[4:start], seqid, frame[stop:]))
    return frame[:start] + seqid + frame[stop:]


def _renumber_header(frame: bytes, profile: Profile, id: int) -> bytes:
    sequence, seqid = split_id(id)
    _, _, transforms, _, end = header.read(frame)
    encoding, source, at = ENCODINGS[profile[1]], frame, end
    if transforms:
        source, at = header.undo(frame[end:], transforms, UNBOUNDED), 0
    _, _, _, start, stop, _ = encoding.head(source, at)
    payload = source[at:start] + encoding.seqid(seqid) + source[stop:]
    return header.with_payload(frame, end, sequence, header.redo(payload, transforms) if transforms else payload)


def exception(frame: bytes, profile: Profile, id: int, number: int, text: str) -> bytes:
    """A TApplicationException in answer to the request `frame`; it has no name when the request's can't be read."""
    transport, encoding, name = profile[0], ENCODINGS[profile[1]], b""
    try:
        encoding, source, at = locate(frame, profile)
        name = encoding.head(source, at)[1]
        if encoding is BINARY and source[at] < 0x80:
            encoding = OLD_BINARY
    except (FrameError, header.Unreadable):
        pass
    sequence, seqid = split_id(id)
    return _framed(transport, encoding, sequence, encoding.exception(name, seqid, number, text))


def call(profile: Profile, name: bytes, id: int) -> bytes:
    """A call without arguments."""
    encoding = ENCODINGS[profile[1]]
    return _framed(profile[0], encoding, id, encoding.call(name, id))


def _framed(transport: str, encoding: Encoding, sequence: int, message: bytes) -> bytes:
    if transport == HEADER:
        return header.build(sequence, encoding.header_id, message)
    return _SIZE.pack(len(message)) + message if transport == FRAMED else message
