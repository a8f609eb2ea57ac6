"""
tRPC: what the proxy asks of a codec.

Lives here: error answers and mutations. docs/reference/codecs/trpc.md describes the codec for users. Does not: frames
(`session`, `frame`), metadata (`metadata`).
"""

from __future__ import annotations

import re
from typing import Final

from metaproxy.codecs.framing import Codec
from metaproxy.codecs.protobuf_wire import changed_map, write_number
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc.frame import HEAD, error_frame, header_end, header_fields, spliced
from metaproxy.codecs.trpc.metadata import KEYS, PREFIX
from metaproxy.codecs.trpc.session import ClientSession, ServerSession, TrpcSession
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side

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


class Trpc(Codec):
    """tRPC, as trpc-go, trpc-cpp and trpc-java speak it."""

    name = "trpc"
    mutable = ""
    literal = True
    keys = KEYS
    open_keys = True
    max_id = (1 << 31) - 1
    """Java's libraries have a signed number for the 32 bits."""

    def session(self, side: Side, max_frame: int) -> TrpcSession:
        return ServerSession(max_frame) if side is Side.SERVER else ClientSession(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        return error_frame(request.id, CODES.get(name) or ERRORS[kind], text)

    def knows(self, name: str) -> bool:
        return name in CODES

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """The frame with trans_info set and removed; of a request also its timeout."""
        frame = message.frame
        if not (mutation.set or mutation.remove):
            return frame
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


def _timeout(value: str | None) -> bytes:
    """The field of a request's timeout; b"" for none. Raises FrameError for what is no number of milliseconds."""
    if value is None:
        return b""
    if not re.fullmatch("[0-9]{1,10}", value) or int(value) >= 1 << 32:
        raise FrameError(f"timeout: {value[:40]!r} is no number of milliseconds below 2**32, which it must be in tRPC")
    return write_number(tags.TIMEOUT, int(value))
