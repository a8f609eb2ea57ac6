"""
bRPC: what the proxy asks of a codec.

Lives here: options, error answers. docs/reference/codecs/brpc.md describes the codec for users. Does not: frames
(`session`, `frame`), metadata (`metadata`), mutations (`mutation`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.client import ClientSession
from metaproxy.codecs.brpc.frame import error_frame, meta_fields
from metaproxy.codecs.brpc.metadata import KEYS
from metaproxy.codecs.brpc.mutation import mutated
from metaproxy.codecs.brpc.server import ServerSession
from metaproxy.codecs.brpc.session import BrpcSession, Limits
from metaproxy.codecs.framing import Codec, begins
from metaproxy.message import ErrorKind, Kind, Message, Mutation, Side
from metaproxy.units import Bytes, Option

CODES: Final = {
    "ENOSERVICE": 1001, "ENOMETHOD": 1002, "EREQUEST": 1003, "ERPCAUTH": 1004, "ETOOMANYFAILS": 1005,
    "EPCHANFINISH": 1006, "EBACKUPREQUEST": 1007, "ERPCTIMEDOUT": 1008, "EFAILEDSOCKET": 1009, "EHTTP": 1010,
    "EOVERCROWDED": 1011, "EINTERNAL": 2001, "ERESPONSE": 2002, "ELOGOFF": 2003, "ELIMIT": 2004, "ECLOSE": 2005,
    "EITP": 2006, "EHOSTDOWN": 112,
}  # fmt: skip
"""bRPC's errors (src/brpc/errno.proto), and the one of Linux that its channels give where no server is left."""

ERRORS: Final = {
    ErrorKind.NOT_FOUND: CODES["ENOSERVICE"], ErrorKind.NO_CLUSTER: CODES["ENOSERVICE"],
    ErrorKind.NO_ENDPOINT: CODES["EHOSTDOWN"], ErrorKind.CONNECT: CODES["EFAILEDSOCKET"],
    ErrorKind.RESET: CODES["EFAILEDSOCKET"], ErrorKind.TIMEOUT: CODES["ERPCTIMEDOUT"],
    ErrorKind.OVERLOAD: CODES["EOVERCROWDED"], ErrorKind.LIMITED: CODES["ELIMIT"],
    ErrorKind.DENIED: CODES["ERPCAUTH"], ErrorKind.BAD_REQUEST: CODES["EREQUEST"],
    ErrorKind.BAD_RESPONSE: CODES["ERESPONSE"], ErrorKind.UNSUPPORTED: CODES["EINTERNAL"],
    ErrorKind.DRAINING: CODES["ELOGOFF"], ErrorKind.INTERNAL: CODES["EINTERNAL"],
}  # fmt: skip
"""The error_code of each error of the proxy's own."""

_WINDOW: Final = Bytes(64 << 10)
_BUFFER: Final = Bytes(4 << 20)


class Brpc(Codec):
    """Apache bRPC's own protocol, baidu_std."""

    name = "brpc"
    mutable = ""
    keys = KEYS
    open_keys = True
    stateful = True
    flow = "stream"

    def __init__(
        self,
        write_compress_type: Annotated[
            bool,
            Option(
                "Write `compress_type: 0` into requests and answers that leave it out, which means the same: Starlight "
                "reads none of these."
            ),
        ] = False,
        max_streams: Annotated[
            int, Option("Streams that a client may have open on a connection; one more is refused.", least=1)
        ] = 1024,
        stream_window: Annotated[
            Bytes,
            Option(
                "Bytes of a stream that are sent on before the receiver has said that it consumed what came before.",
                least=1,
            ),
        ] = _WINDOW,
        stream_buffer: Annotated[
            Bytes,
            Option(
                "Bytes of a stream that may wait for its receiver. Its sender stops at a bound of its own, 2 MiB by "
                "default; a stream whose sender goes beyond this one is reset.",
                least=1,
            ),
        ] = _BUFFER,
        dialect: Annotated[
            Literal["auto", "cpp", "java"],
            Option(
                "Where a mutation puts pairs into requests: see [Java's pairs](#javas-pairs). `auto`: as `java` if the "
                "request has such pairs, else as `cpp`."
            ),
        ] = "auto",
    ) -> None:
        self._dialect = dialect
        self._write_compress_type = write_compress_type
        self._max_streams = max_streams
        self._stream_window = stream_window
        self._stream_buffer = stream_buffer

    def detect(self, data: bytes) -> bool | None:
        return begins(data, b"PRPC", b"STRM")

    def session(self, side: Side, max_frame: int) -> BrpcSession:
        limits = Limits(
            max_frame=max_frame,
            max_streams=self._max_streams,
            stream_window=self._stream_window,
            stream_buffer=self._stream_buffer,
        )
        session = ServerSession if side is Side.SERVER else ClientSession
        return session(limits, self._write_compress_type)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        frame = error_frame(request.id, CODES.get(name) or ERRORS[kind], text)
        # Through the session, which has to know that the stream is not opened.
        return Message(Kind.ERROR, frame, request.id) if request.kind is Kind.STREAM_OPEN else frame

    def knows(self, name: str) -> bool:
        return name in CODES

    def confidential(self, request: Message) -> bool:
        return any(field[0] == tags.AUTHENTICATION_DATA for field in meta_fields(request.frame))

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """The frame with user_fields set and removed; of a request also request_id, timeout_ms and log_id."""
        if not (mutation.set or mutation.remove):
            return message.frame
        return mutated(message.frame, mutation, self._dialect)
