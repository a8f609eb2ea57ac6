"""
Parcel: calls with attachments. | a7 | flags 1 | id 4 | size 4 | service | attachments | body |, size of what follows.

A string is | n 1 | bytes |; attachments are | count 1 | key, value, ... |, of requests and of answers without the ERROR
flag. Servers send GOODBYE before they close.
"""

import struct

from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.plugins import Declaration

HEAD = struct.Struct(">BBII")
MAGIC = 0xA7
REQUEST, ONEWAY, HEARTBEAT, ERROR, GOODBYE = 1, 2, 4, 8, 16


class Parcel(Codec):
    name = "parcel"
    max_id = (1 << 32) - 1
    mutable = ""
    keys = {"service": "the service that is called", "<attachment>": "the value of each attachment"}

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        return Connection(side, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        return packed(ERROR, request.id, text.encode())

    def probe(self) -> Message:
        return Message(Kind.HEARTBEAT, packed(REQUEST | HEARTBEAT, 1), 1)

    def alive(self, answer: Message) -> bool:
        return answer.kind is Kind.HEARTBEAT

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        frame = message.frame
        flags = frame[1]
        if flags & (HEARTBEAT | ERROR | GOODBYE):
            return frame  # these have no place for attachments
        start = service_of(frame)[1]
        pairs, stop = attachments(frame, start)
        kept = {key: value for key, value in pairs.items() if key not in mutation.remove}
        kept.update(mutation.set)
        if len(kept) > 255:
            raise FrameError(f"{len(kept)} attachments; a frame has at most 255")
        listed = bytes([len(kept)]) + b"".join(string(key) + string(value) for key, value in kept.items())
        rest = frame[HEAD.size : start] + listed + frame[stop:]
        return frame[:6] + struct.pack(">I", len(rest)) + rest


class Connection(LengthFramed):
    def __init__(self, side: Side, max_frame: int) -> None:
        super().__init__(HEAD.size, size, self.parse, max_frame, renumber)
        self.side = side

    def parse(self, frame: bytes) -> Message:
        _, flags, id, _ = HEAD.unpack_from(frame)
        if flags & GOODBYE and self.side is Side.SERVER:
            return Message(Kind.DRAIN, frame, id)
        if flags & HEARTBEAT:
            # One that asks is answered under its id; one that answers is not.
            answer = packed(HEARTBEAT, id) if flags & REQUEST else b""
            if self.side is Side.CLIENT:
                return Message(Kind.HEARTBEAT, frame, id, answer=answer)
            if answer:
                self.say(answer)
            return Message(Kind.HEARTBEAT, frame, id)
        if self.side is Side.SERVER:
            return Message(Kind.ERROR, frame, id) if flags & ERROR else Message(Kind.RESPONSE, frame, id, more=more)
        if not flags & REQUEST:
            raise FrameError(f"flags {flags:02x} are no request's")
        return Message(Kind.ONEWAY if flags & ONEWAY else Kind.REQUEST, frame, id, more=more)

    def drain(self) -> bytes:
        """The message of a server, sent to clients only."""
        return packed(GOODBYE, 0) if self.side is Side.CLIENT else b""


def size(data: bytes, offset: int) -> int:
    magic, _, _, length = HEAD.unpack_from(data, offset)
    if magic != MAGIC:
        raise FrameError(f"a7 expected, {magic:02x} read")
    return HEAD.size + length


def renumber(frame: bytes, id: int) -> bytes:
    return frame[:2] + struct.pack(">I", id) + frame[6:]


def packed(flags: int, id: int, rest: bytes = b"") -> bytes:
    return HEAD.pack(MAGIC, flags, id, len(rest)) + rest


def string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > 0xFFFF:
        raise FrameError(f"an attachment of {len(data)} bytes; at most 65535 fit")
    return struct.pack(">H", len(data)) + data


def read_string(frame: bytes, at: int) -> tuple[str, int]:
    """A string, and where it ends."""
    start = at + 2
    if start > len(frame):
        raise FrameError(f"a string begins at {at}, in a frame of {len(frame)} bytes")
    stop = start + int.from_bytes(frame[at:start], "big")
    if stop > len(frame):
        raise FrameError(f"a string at {at} ends at {stop}, in a frame of {len(frame)} bytes")
    return frame[start:stop].decode("utf-8", "surrogateescape"), stop


def service_of(frame: bytes) -> tuple[str, int]:
    """The service, which answers leave out, and where the attachments begin."""
    return read_string(frame, HEAD.size) if frame[1] & REQUEST else ("", HEAD.size)


def attachments(frame: bytes, at: int) -> tuple[dict[str, str], int]:
    """The attachments, and where the body begins."""
    if at >= len(frame):
        raise FrameError(f"no attachments at {at}, in a frame of {len(frame)} bytes")
    left, at = frame[at], at + 1
    pairs: dict[str, str] = {}
    while left:
        key, at = read_string(frame, at)
        pairs[key], at = read_string(frame, at)
        left -= 1
    return pairs, at


def more(message: Message) -> None:
    """Fills in the metadata, which is only done when somebody asks for them."""
    service, at = service_of(message.frame)
    pairs, _ = attachments(message.frame, at)
    found = {key.lower(): value for key, value in pairs.items()} | pairs
    found.pop("kind", None)  # a client must not choose what it is
    message.metadata = {**found, "service": service} if service else found


parcel = Declaration(ICodec, "parcel", Parcel)
