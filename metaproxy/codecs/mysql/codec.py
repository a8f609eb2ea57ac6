"""
The MySQL codec: options, errors, what a health check asks.

Lives here: `MySQL`. Does not: packets (`packets`, `answers`, `stream`), what a connection remembers (`client`,
`server`).
"""

from __future__ import annotations

from typing import Annotated

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.client import ClientSession
from metaproxy.codecs.mysql.errors import NO_LOGIN, error_for, named
from metaproxy.codecs.mysql.messages import Command, LocalError
from metaproxy.codecs.mysql.metadata import KEYS
from metaproxy.codecs.mysql.packets import HEAD, error_packet, last_sequence
from metaproxy.codecs.mysql.server import ServerSession
from metaproxy.message import Correlation, ErrorKind, FinalFrame, Kind, Message, Side
from metaproxy.units import Bytes, Option

_STREAM_OVER = Bytes(1 << 20)
_LOGINS = frozenset((commands.CHANGE_USER,))


class MySQL(Codec):
    """MySQL and MariaDB, protocol 10."""

    name = "mysql"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    connections = "pinned"
    server_first = True
    mutable = "statements have no place for metadata"
    keys = KEYS
    open_keys = False

    def __init__(
        self,
        stream_over: Annotated[
            Bytes,
            Option("Longer commands are passed on as they come, piece by piece, and so are answers.", least=65536),
        ] = _STREAM_OVER,
    ) -> None:
        self._stream_over = stream_over

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.SERVER:
            return ServerSession(max_frame, self._stream_over)
        return ClientSession(max_frame, self._stream_over)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: a number and, behind a /, a SQLSTATE: 1205/HY000."""
        text = text or kind.value
        if request.kind is Kind.CONNECT:
            return FinalFrame(error_packet(0, error_for(kind, name)[0], "", text))
        login = request.kind is Kind.REQUEST and isinstance(request, Command) and request.login
        if request.kind is Kind.ONEWAY or getattr(request, "oneway", False):
            return b""
        number, state = NO_LOGIN if login and kind is ErrorKind.DENIED and not name else error_for(kind, name)
        sequence = last_sequence(request.frame) + 1
        error = LocalError(Kind.ERROR, error_packet(sequence, number, state, text), request.id)
        error.final = login
        return error

    def knows(self, name: str) -> bool:
        return named(name) is not None

    def confidential(self, request: Message) -> bool:
        return request.get("command") in ("login", "change_user") or request.frame[HEAD] in _LOGINS
