"""
bRPC: what the proxy asks of a codec.

Lives here: options, error answers, mutations. docs/reference/codecs/brpc.md describes the codec for users. Does not:
frames (`session`, `frame`), metadata (`metadata`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.client import ClientSession
from metaproxy.codecs.brpc.frame import HEAD, error_frame, meta_end, meta_fields, spliced
from metaproxy.codecs.brpc.metadata import KEYS, PREFIX
from metaproxy.codecs.brpc.server import ServerSession
from metaproxy.codecs.brpc.session import BrpcSession, Limits
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.protobuf_wire import Field, changed_map, fields, without, write, write_number
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side
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

_TEXTS: Final = {"request_id": tags.REQUEST_ID, "x-request-id": tags.REQUEST_ID}
_NUMBERS: Final = {"timeout_ms": tags.TIMEOUT_MS, "log_id": tags.LOG_ID}
_EDITABLE: Final = {**_TEXTS, **_NUMBERS}
"""Keys of a request that are fields of their own, and can be changed."""
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
                "Write `compress_type: 0` into requests whose client left it out, which means the same: starlight's "
                "servers never answer without."
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
    ) -> None:
        self._write_compress_type = write_compress_type
        self._max_streams = max_streams
        self._stream_window = stream_window
        self._stream_buffer = stream_buffer

    def session(self, side: Side, max_frame: int) -> BrpcSession:
        limits = Limits(
            max_frame=max_frame,
            max_streams=self._max_streams,
            stream_window=self._stream_window,
            stream_buffer=self._stream_buffer,
        )
        return ServerSession(limits, self._write_compress_type) if side is Side.SERVER else ClientSession(limits)

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
        frame = message.frame
        if not (mutation.set or mutation.remove):
            return frame
        found = meta_fields(frame)
        requests = [field for field in found if field[0] == tags.REQUEST]
        editable = _EDITABLE if requests else {}
        edits = {editable[key]: b"" for key in mutation.remove if key in editable}
        edits.update((editable[key], _written(key, value)) for key, value in mutation.set.items() if key in editable)
        if edits:
            frame = _with_request(frame, requests, edits)
            found = meta_fields(frame)
        # A user field that has the name of another key is shown with a prefix.
        put = {key.removeprefix(PREFIX): value for key, value in mutation.set.items() if key not in editable}
        removed = [key.removeprefix(PREFIX) for key in mutation.remove if key not in editable]
        meta = b"".join(changed_map(frame, found, tags.USER_FIELDS, put, removed))
        end = meta_end(frame)
        return frame if meta == frame[HEAD:end] else spliced(frame, HEAD, end, meta)


def _written(key: str, value: str) -> bytes:
    """A field of the request's own meta. Raises FrameError for what is no number."""
    if key in _TEXTS:
        return write(_TEXTS[key], value.encode("utf-8", "replace"))
    if not re.fullmatch("-?[0-9]{1,18}", value):
        raise FrameError(f"{key}: {value[:40]!r} is no number, which it must be in bRPC")
    return write_number(_NUMBERS[key], int(value))


def _with_request(frame: bytes, requests: Sequence[Field], edits: dict[int, bytes]) -> bytes:
    """The frame with fields of its request meta taken out and put in; of several the last one counts."""
    for field in reversed(requests):  # from the end, so that places before it stay
        kept = without(frame, fields(frame, field[2], field[3]), edits.keys())
        if field is requests[-1]:
            kept += edits.values()
        frame = spliced(frame, field[1], field[3], write(tags.REQUEST, b"".join(kept)))
    return frame
