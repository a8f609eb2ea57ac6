"""
Dubbo: what the proxy asks of a codec.

Lives here: error answers and mutations. docs/reference/codecs/dubbo.md describes the codec for users. Does not: frames
(`frame`), metadata (`metadata`), bodies (`body`, `hessian2` ...).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.dubbo.body import HEAD
from metaproxy.codecs.dubbo.frame import EVENT, HEADER, HESSIAN2, MAGIC, REQUEST, TWO_WAY, DubboSession
from metaproxy.codecs.dubbo.metadata import BODIES, KEYS, OK, SERIALIZATION, STATUSES, head_of
from metaproxy.codecs.framing import Codec, begins
from metaproxy.message import ErrorKind, Kind, Message, Mutation, Side

ERRORS: Final = {
    ErrorKind.NOT_FOUND: 60, ErrorKind.NO_CLUSTER: 60, ErrorKind.NO_ENDPOINT: 80, ErrorKind.CONNECT: 80,
    ErrorKind.RESET: 80, ErrorKind.TIMEOUT: 31, ErrorKind.OVERLOAD: 100, ErrorKind.LIMITED: 100,
    ErrorKind.DENIED: 70, ErrorKind.BAD_REQUEST: 40, ErrorKind.BAD_RESPONSE: 50, ErrorKind.UNSUPPORTED: 70,
    ErrorKind.DRAINING: 80, ErrorKind.INTERNAL: 80,
}  # fmt: skip
"""The status of each error of the proxy's own."""
NAMED: Final = {name: status for status, name in STATUSES.items() if status != OK} | {"timeout": 31}
"""The statuses by the names that a Reply may give."""

_SIZE = struct.Struct(">I")


class Dubbo(Codec):
    """Apache Dubbo's own protocol, dubbo://, as 2.x and 3.x speak it."""

    name = "dubbo"
    mutable = ""
    literal = True
    keys = KEYS
    open_keys = True

    def detect(self, data: bytes) -> bool | None:
        return begins(data, b"\xda\xbb")

    def session(self, side: Side, max_frame: int) -> DubboSession:
        return DubboSession(side, max_frame)

    def probe(self) -> Message:
        """A heartbeat, in hessian2, which every server reads."""
        return Message(Kind.HEARTBEAT, HEADER.pack(MAGIC, REQUEST | TWO_WAY | EVENT | HESSIAN2, 0, 1, 1) + b"N", 1)

    def alive(self, answer: Message) -> bool:
        return answer.kind is Kind.HEARTBEAT and answer.frame[3] == OK

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        number = request.frame[2] & SERIALIZATION
        body = BODIES.get(number)
        # In the request's own serialization, as Java refuses any other. Where its strings can't be written there is no
        # message: Java then makes a client error of it, with a text of its own, and its caller need not wait.
        message = b"" if body is None else body.string(text)
        return HEADER.pack(MAGIC, number, NAMED.get(name) or ERRORS[kind], request.id, len(message)) + message

    def knows(self, name: str) -> bool:
        return name in NAMED

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """
        The frame with attachments set and removed. What has no place for them stays as it is: serializations that can't
        be read, events, errors, and answers of the types 0 to 2, which are for clients that expect no attachments.
        """
        frame = message.frame
        flags = frame[2]
        number = flags & SERIALIZATION
        body = BODIES.get(number)
        if body is None or flags & EVENT or not (mutation.set or mutation.remove):
            return frame
        if flags & REQUEST:
            head = head_of(number, frame)
            start, changed, end = body.mutated(frame, head.end, head.arguments(), mutation)
        else:
            if frame[3] != OK:
                return frame
            result, at = body.result(frame)
            if result is None or not 3 <= result <= 5:
                return frame
            start, changed, end = body.mutated(frame, at, result != 5, mutation)
        size = _SIZE.pack(len(frame) - HEAD - (end - start) + len(changed))
        return b"".join((frame[:12], size, frame[16:start], changed, frame[end:]))
