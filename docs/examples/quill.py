"""Quill: numbered calls of a named service. | size 4 | id 8 | n 1 | service n | body |, size counts what follows it."""

import struct

from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.plugins import Declaration

HEAD = struct.Struct(">IQB")


class Quill(Codec):
    name = "quill"
    keys = {"service": "the service that is called"}

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        return LengthFramed(
            13, lambda data, at: 4 + HEAD.unpack_from(data, at)[0], self.parse, max_frame, self.renumber
        )

    def parse(self, frame: bytes) -> Message:
        _, id, n = HEAD.unpack_from(frame)
        if n >= 0x80 or not n:  # an answer: 0, or 0x80 and more for an error
            return Message(Kind.ERROR if n else Kind.RESPONSE, frame, id)
        if len(frame) < 13 + n:
            raise FrameError(f"service of {n} bytes in a frame of {len(frame)}")
        return Message(Kind.REQUEST, frame, id, {"service": frame[13 : 13 + n].decode("latin-1")})

    def renumber(self, frame: bytes, id: int) -> bytes:
        return frame[:4] + id.to_bytes(8, "big") + frame[12:]

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return HEAD.pack(9 + len(text.encode()), request.id, 0x80) + text.encode()


quill = Declaration(ICodec, "quill", Quill)
