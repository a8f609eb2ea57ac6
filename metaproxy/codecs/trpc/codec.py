"""
tRPC: what the proxy asks of a codec.

Lives here: error answers and mutations. docs/reference/codecs/trpc.md describes the codec for users. Does not: frames
(`session`, `frame`), metadata (`metadata`).
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from metaproxy.codecs.framing import Codec, begins
from metaproxy.codecs.protobuf_wire import changed_map, fields, write, write_number
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc.client import ClientSession
from metaproxy.codecs.trpc.frame import HEAD, INIT, STREAM, error_frame, header_end, header_fields, spliced
from metaproxy.codecs.trpc.metadata import KEYS, PREFIX
from metaproxy.codecs.trpc.server import RESERVED, ServerSession
from metaproxy.codecs.trpc.session import Limits, TrpcSession
from metaproxy.codecs.trpc.stream import INIT_TRANS_INFO, REQUEST_META, RESPONSE_META, refusal, stream_frame
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.units import Bytes, Option

CODES: Final = {
    "server_decode": 1, "server_encode": 2, "server_noservice": 11, "server_nofunc": 12, "server_timeout": 21,
    "server_overload": 22, "server_limited": 23, "server_full_link_timeout": 24, "server_system": 31,
    "server_auth": 41, "server_validate": 51, "client_invoke_timeout": 101, "client_full_link_timeout": 102,
    "client_connect": 111, "client_encode": 121, "client_decode": 122, "client_limited": 123,
    "client_overload": 124, "client_router": 131, "client_network": 141, "client_validate": 151,
    "client_canceled": 161, "client_read_frame": 171, "invoke_unknown": 999,
}  # fmt: skip
"""TrpcRetCode of trpc.proto, without TRPC_ and _ERR."""

ERRORS: Final = {
    ErrorKind.NOT_FOUND: CODES["server_noservice"], ErrorKind.NO_CLUSTER: CODES["server_system"],
    ErrorKind.NO_ENDPOINT: CODES["client_router"], ErrorKind.CONNECT: CODES["client_connect"],
    ErrorKind.RESET: CODES["client_network"], ErrorKind.TIMEOUT: CODES["server_timeout"],
    ErrorKind.OVERLOAD: CODES["server_overload"], ErrorKind.LIMITED: CODES["server_limited"],
    ErrorKind.DENIED: CODES["server_auth"], ErrorKind.BAD_REQUEST: CODES["server_decode"],
    ErrorKind.BAD_RESPONSE: CODES["client_decode"], ErrorKind.UNSUPPORTED: CODES["server_system"],
    ErrorKind.DRAINING: CODES["server_system"], ErrorKind.INTERNAL: CODES["server_system"],
}  # fmt: skip
"""The ret of each error of the proxy's own."""
_WINDOW: Final = Bytes(64 << 10)
_BUFFER: Final = Bytes(4 << 20)


class Trpc(Codec):
    """tRPC, as trpc-go, trpc-cpp and trpc-java speak it."""

    name = "trpc"
    mutable = ""
    literal = True
    keys = KEYS
    open_keys = True
    stateful = True
    flow = "stream"
    max_id = (1 << 31) - 1 - RESERVED
    """Java's libraries have a signed number for the 32 bits."""

    def __init__(
        self,
        max_streams: Annotated[
            int, Option("Streams that a client may have open on a connection; one more is refused.", least=1)
        ] = 1024,
        stream_window: Annotated[
            Bytes,
            Option(
                "Bytes of a stream that its sender may send before the other side took any. Libraries take less than "
                "65,535 for that.",
                least=65535,
                most=1 << 30,
            ),
        ] = _WINDOW,
        stream_buffer: Annotated[
            Bytes,
            Option(
                "Bytes of a stream that may wait for its receiver, if its sender knows no flow control (no window "
                "in its INIT); beyond, the stream is reset.",
                least=1,
            ),
        ] = _BUFFER,
    ) -> None:
        self._max_streams = max_streams
        self._stream_window = stream_window
        self._stream_buffer = stream_buffer

    def detect(self, data: bytes) -> bool | None:
        return begins(data, b"\x09\x30\x00\x00", b"\x09\x30\x01\x01")

    def session(self, side: Side, max_frame: int) -> TrpcSession:
        limits = Limits(
            max_frame=max_frame,
            max_streams=self._max_streams,
            stream_window=self._stream_window,
            stream_buffer=self._stream_buffer,
        )
        return ServerSession(limits) if side is Side.SERVER else ClientSession(limits)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        if request.kind is Kind.ONEWAY:
            return b""
        ret = CODES.get(name) or ERRORS[kind]
        if request.kind is Kind.STREAM_OPEN:
            # Through the session, which has to know that the stream is not opened.
            frame = refusal(request.id & 0xFFFFFFFF, ret, text.encode("utf-8", "replace"))
            return Message(Kind.ERROR, frame, request.id)
        return error_frame(request.id, ret, text)

    def knows(self, name: str) -> bool:
        return name in CODES

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """The frame with trans_info set and removed; of a request also its timeout."""
        frame = message.frame
        if not (mutation.set or mutation.remove):
            return frame
        if frame[2] == STREAM:
            return _mutated_init(frame, mutation)
        request = message.kind is Kind.REQUEST or message.kind is Kind.ONEWAY
        found = header_fields(frame)
        own = ("timeout",) if request else ()
        written = b""
        if request and ("timeout" in mutation.set or "timeout" in mutation.remove):
            found = [field for field in found if field[0] != tags.TIMEOUT]
            written = _timeout(mutation.set.get("timeout"))
        # A trans_info that has the name of another key is shown with a prefix.
        put = {key.removeprefix(PREFIX): value for key, value in mutation.set.items() if key not in own}
        removed = [key.removeprefix(PREFIX) for key in mutation.remove if key not in own]
        tag = tags.TRANS_INFO if request else tags.ANSWER_TRANS_INFO
        header = b"".join(changed_map(frame, found, tag, put, removed)) + written
        end = header_end(frame)
        return frame if header == frame[HEAD:end] else spliced(frame, HEAD, end, header)


def _mutated_init(frame: bytes, mutation: Mutation) -> bytes:
    """A client's INIT with trans_info set and removed. A server's has no place for them."""
    found = fields(frame, HEAD, len(frame))
    if any(field[0] == RESPONSE_META for field in found):
        return frame
    parts, inner = [], []
    for field in found:
        if field[0] == REQUEST_META:
            inner += fields(frame, field[2], field[3])  # of several, readers of protobuf make one
        else:
            parts.append(frame[field[1] : field[3]])
    put = {key.removeprefix(PREFIX): value for key, value in mutation.set.items()}
    removed = [key.removeprefix(PREFIX) for key in mutation.remove]
    meta = b"".join(changed_map(frame, inner, INIT_TRANS_INFO, put, removed))
    if meta == b"".join(frame[start:stop] for _, start, _, stop in inner):
        return frame
    payload = b"".join([write(REQUEST_META, meta), *parts])
    return stream_frame(INIT, int.from_bytes(frame[10:14], "big"), payload)


def _timeout(value: str | None) -> bytes:
    """The field of a request's timeout; b"" for none. Raises FrameError for what is no number of milliseconds."""
    if value is None:
        return b""
    if not re.fullmatch("[0-9]{1,10}", value) or int(value) >= 1 << 32:
        raise FrameError(f"timeout: {value[:40]!r} is no number of milliseconds below 2**32, which it must be in tRPC")
    return write_number(tags.TIMEOUT, int(value))
