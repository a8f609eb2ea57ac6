"""
The PostgreSQL codec: options, errors, health.

Lives here: `Postgres`. docs/reference/codecs/postgres.md describes it for users. Does not: what a connection remembers
(`client`, `server`), bytes (`wire`).
"""

from __future__ import annotations

from typing import Annotated

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.client import ClientRequest, ClientSession, LocalError
from metaproxy.codecs.postgres.errors import UNCERTAIN, code_of, is_code
from metaproxy.codecs.postgres.metadata import KEYS
from metaproxy.codecs.postgres.server import ServerSession
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED
from metaproxy.message import Correlation, ErrorKind, Kind, Message, Side
from metaproxy.units import Bytes, Option

_STREAM_OVER = Bytes(1 << 20)
_FIRST = (wire.CANCEL, wire.SSL, wire.GSSENC)


class Postgres(Codec):
    """PostgreSQL's protocol 3."""

    name = "postgres"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    connections = "pinned"
    mutable = "SQL is passed on as it is"
    keys = KEYS
    open_keys = False

    def __init__(
        self,
        stream_over: Annotated[
            Bytes,
            Option("Requests with more bytes are passed on as they come, piece by piece; answers are anyhow.", least=1),
        ] = _STREAM_OVER,
    ) -> None:
        self._stream_over = stream_over

    def detect(self, data: bytes) -> bool | None:
        """A first message without a type: its length, and a version or what stands in its place."""
        if len(data) < 8:
            return None if data[:2] == b"\0\0"[: len(data)] else False
        size, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        return 8 <= size <= wire.MAX_STARTUP and (code >> 16 == 3 or code in _FIRST)

    def session(self, side: Side, max_frame: int) -> Session:
        kind = ClientSession if side is Side.CLIENT else ServerSession
        return kind(max_frame, self._stream_over)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: a SQLSTATE."""
        if request.kind is Kind.ONEWAY:
            return b""
        login = isinstance(request, ClientRequest) and request.login
        fatal = login or kind in UNCERTAIN or kind is ErrorKind.DRAINING
        frame = wire.error("FATAL" if fatal else "ERROR", code_of(kind, name, login), text or kind.value)
        if not fatal and request.id & (EXTENDED | SYNCED) != EXTENDED:
            frame += wire.ready(b"I")  # the client's session knows better
        error = LocalError(Kind.ERROR, frame, request.id)
        error.fatal = fatal
        return error

    def knows(self, name: str) -> bool:
        return is_code(name)

    def confidential(self, request: Message) -> bool:
        return isinstance(request, ClientRequest) and request.login
