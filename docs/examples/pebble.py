"""Pebble: numbered calls behind a varint. | size varint | id varint | kind 1 | method up to a 0 byte | body |."""

from metaproxy.codecs.framing import Codec, VarintFramed, read_varint, write_varint
from metaproxy.interfaces import ICodec
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.plugins import Declaration

KINDS = {0: Kind.REQUEST, 1: Kind.ONEWAY, 2: Kind.RESPONSE, 3: Kind.ERROR}


class Pebble(Codec):
    name = "pebble"
    keys = {"method": "the method that is called"}
    max_id = (1 << 32) - 1

    def session(self, side: Side, max_frame: int) -> VarintFramed:
        return VarintFramed(self.parse, max_frame, self.renumber)

    def parse(self, frame: bytes) -> Message:
        id, at = self.id_of(frame)
        kind = KINDS.get(frame[at]) if at < len(frame) else None
        if kind is None:
            raise FrameError(f"no kind of message begins {frame[:16].hex()}")
        if kind in (Kind.RESPONSE, Kind.ERROR):
            return Message(kind, frame, id)
        method, zero, _ = frame[at + 1 :].partition(b"\0")
        if not zero:
            raise FrameError("a method's name without its end")
        return Message(kind, frame, id, {"method": method.decode("latin-1")})

    def id_of(self, frame: bytes) -> tuple[int, int]:
        """The id, and where what follows it begins."""
        id, at = read_varint(frame, read_varint(frame, 0)[1])
        if not at or id > self.max_id:
            raise FrameError(f"no id in {frame[:16].hex()}")
        return id, at

    def renumber(self, frame: bytes, id: int) -> bytes:
        return self.frame(id, frame[self.id_of(frame)[1] :])

    def frame(self, id: int, rest: bytes) -> bytes:
        inside = write_varint(id) + rest
        return write_varint(len(inside)) + inside

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b"" if request.kind is Kind.ONEWAY else self.frame(request.id, b"\3" + text.encode())


pebble = Declaration(ICodec, "pebble", Pebble)
