"""
A server's connection: what it answers, whole, in pieces, or as many answers to one command (exhaust).

    an answer with moreToCome       STREAM_OPEN; each further answer STREAM_DATA, the last one STREAM_CLOSE

Further answers do not carry the request's id but each the id of the one before it, and pass as they are.

Lives here: `ServerSession`. Does not: cutting the stream (`stream`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final

from metaproxy.codecs.mongodb import bson, hello, metadata, wire
from metaproxy.codecs.mongodb.answered import LargeRows, batch_rows, read_error, read_rows, verdict
from metaproxy.codecs.mongodb.errors import NOT_PRIMARY
from metaproxy.codecs.mongodb.kept import Kept, LargeAnswer, cursor_id
from metaproxy.codecs.mongodb.server_login import Login, login, own_user
from metaproxy.codecs.mongodb.stream import CHUNK, MessageStream
from metaproxy.message import Chunk, FrameError, Kind, Message

_RESPONSE: Final = Kind.RESPONSE
_HEAD: Final = 1024
"""Bytes of the head of a large answer."""
_LOOKED_AT: Final = 65536
"""Bytes of an answer's document in which an error is looked for: a larger one has what was asked for."""
_MOST_CHAINS: Final = 64
_OURS: Final = 0
"""The requestID of what the session asks by itself: those of clients begin with 1."""
_HELLO: Final = wire.message(_OURS, 0, bson.document({"hello": 1, "$db": "admin"}))
"""Asked behind an error that says that the server is no primary: it may be about one moment, or one command."""
_REPLACED: Final = "the server is no primary any more"
"""What it has said so is passed on; then its client looks for the server that is the primary now."""


class ServerSession(MessageStream):
    """
    shared: clients use it one after the other. follows: it ends once its server, which was a primary when it began, or
    by its last hello, is that no more; so its client finds the next one.
    """

    def __init__(self, max_frame: int, stream_over: int, shared: bool, follows: bool) -> None:
        super().__init__(max_frame, stream_over)
        self._follows = follows
        self._primary = self._asking = False
        self.reusable = shared
        self._kept: Kept | None = None
        self._looked_at: LargeAnswer | None = None
        self._large_rows: LargeRows | None = None
        self._heads: dict[int, Message] = {}
        """Of answers whose end is to come, by their exchange: they say how many documents there are in all."""
        self._login: Login | None = None
        self._profile: Hashable = None
        self._credentials: Mapping[str, str] = {}
        self._chains: dict[int, int] = {}
        """Commands with any number of answers: the id of the last answer -> that of the command."""
        self._hellos: set[int] = set()
        self._more_to_come = False

    # -- the login

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        self._primary = self.facts.get("endpoint.role") == "primary"
        self._kept = Kept(self.keep) if self.reusable else None
        self._profile, self._credentials = profile, credentials
        try:
            self._login = begun = login(own_user(profile, credentials), credentials, "tls.version" in self.facts)
            first = begun.first() if begun is not None else b""
        except ValueError as error:
            self.error = FrameError(str(error))
            return b""
        self.ready = begun is None
        return first

    def change(self, profile: Hashable) -> bytes | None:
        """Nothing, where another client's connection is logged in as this one's is."""
        known = self._credentials
        if profile is self._profile or own_user(profile, known) is not own_user(self._profile, known):
            return None
        self._profile = profile
        return b""

    def _log_in(self, login: Login, frame: bytes) -> None:
        if wire.op_code(frame) != wire.OP_MSG:
            raise FrameError("the server answers a login with no OP_MSG")
        said = login.next(frame)
        if login.done:
            self._login, self.ready = None, True
        else:
            self.say(said)

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk):
            return self._patched_chunk(message, id)
        frame = message.frame
        if self._follows and metadata.is_hello(frame):
            self._hellos.add(id)
        if self._kept is not None and (key := getattr(message, "override_key", None)) is not None:
            self._kept.sent(id, key, frame)
        if message.id == id:
            return frame
        return self._patched(frame, wire.with_request_id(frame, id), id)

    # -- what comes

    def _take(self, frame: bytes, own: int, to: int, code: int, messages: list[Message]) -> None:
        if self._login is not None:
            self._log_in(self._login, frame)
            return
        if self._asking and to == _OURS:
            self._asking = False
            self._look_at_role(frame, wire.body(frame))
            return
        if code == wire.OP_REPLY:
            self._answer(Message(_RESPONSE, frame, to), wire.reply_body(frame), messages)
            return
        if code != wire.OP_MSG:
            raise FrameError(f"opCode {code} from a server; known are OP_MSG (2013) and OP_REPLY (1)")
        more = wire.flags(frame) & wire.MORE_TO_COME
        if more or (self._chains and to in self._chains):
            self._link(frame, own, to, bool(more), messages)
            return
        self._answer(Message(_RESPONSE, frame, to), wire.body(frame), messages)

    def _answer(self, message: Message, body: wire.Body, messages: list[Message]) -> None:
        """An answer, and whether it reports failure; and whether the server is still what it is to be."""
        messages.append(message)
        frame = message.frame
        code, first = verdict(frame, body) if body.end - body.at <= _LOOKED_AT else _of_large(frame, body)
        if code is not None:
            message.kind = Kind.ERROR
            message.more = read_error
        else:
            message.more = read_rows
        if self._kept is not None:
            self._kept.answered(message.id, code, cursor_id(frame, first) if code is None else None)
        if not self._follows:
            return
        if message.id in self._hellos:
            self._hellos.discard(message.id)
            if code is None:
                self._look_at_role(frame, body)
        elif code in NOT_PRIMARY and self._primary and not self._asking:
            self._asking = True
            self.say(_HELLO)

    def _look_at_role(self, frame: bytes, body: wire.Body) -> None:
        """A hello's answer says what the server is."""
        primary = hello.role(frame, body) == "primary"
        if self._primary and not primary:
            raise FrameError(_REPLACED)
        self._primary = primary

    def _link(self, frame: bytes, own: int, to: int, more: bool, messages: list[Message]) -> None:
        """One of several answers to a command."""
        exchange = self._chains.pop(to, None)
        first = exchange is None
        if exchange is None:
            exchange = to
        if more:
            self._chain(own, exchange)
        body = wire.body(frame)
        code, field = verdict(frame, body) if len(frame) <= _LOOKED_AT else _of_large(frame, body)
        failed = code is not None
        if self._kept is not None:
            self._kept.answered(exchange, code, cursor_id(frame, field), not more)
        if first:
            head = self._heads[exchange] = Message(Kind.STREAM_OPEN, frame, exchange)
            messages.append(head)
        else:
            self._further(frame, exchange, more, failed, messages)
        self._count(exchange, batch_rows(frame, field), more)
        if exchange in self._hellos:
            if not more:
                self._hellos.discard(exchange)
            if not failed:
                self._look_at_role(frame, wire.body(frame))

    def _count(self, exchange: int, rows: int | None, more: bool) -> None:
        """So many documents came with an answer, or one of several."""
        head = self._heads.get(exchange) if more else self._heads.pop(exchange, None)
        if head is not None and rows is not None:
            before = (head.metadata or {}).get("rows", "0")
            head.metadata = {"rows": str(int(before) + rows)}

    def _further(self, frame: bytes, exchange: int, more: bool, failed: bool, messages: list[Message]) -> None:
        """An answer behind the first one."""
        at, size = 0, len(frame)
        while size - at > CHUNK:
            messages.append(Chunk(Kind.STREAM_DATA, frame[at : at + CHUNK], exchange))
            at += CHUNK
        kind = Kind.STREAM_DATA if more else Kind.STREAM_CLOSE
        messages.append(Chunk(kind, frame[at:] if at else frame, exchange, failed=failed and not more))

    def _chain(self, own: int, exchange: int) -> None:
        if len(self._chains) >= _MOST_CHAINS:
            raise FrameError(f"more than {_MOST_CHAINS} commands with any number of answers at a time")
        self._chains[own] = exchange

    def _head_end(self, beginning: bytes, size: int) -> int:
        code = wire.op_code(beginning)
        if code not in (wire.OP_MSG, wire.OP_REPLY):
            raise FrameError(f"opCode {code} from a server; known are OP_MSG (2013) and OP_REPLY (1)")
        return min(_HEAD, self._most)

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        own, to = int.from_bytes(head[4:8], "little", signed=True), int.from_bytes(head[8:12], "little", signed=True)
        if self._login is not None or to == _OURS:
            raise FrameError(f"an answer of {size} bytes to what the proxy asked by itself")
        self._more_to_come = wire.op_code(head) == wire.OP_MSG and bool(wire.flags(head) & wire.MORE_TO_COME)
        exchange = self._chains.pop(to, None)
        first = exchange is None
        if exchange is None:
            exchange = to
        if self._more_to_come:
            self._chain(own, exchange)
        if first:
            self._heads[exchange] = opened = Message(Kind.STREAM_OPEN, head, exchange)
            messages.append(opened)
        else:
            messages.append(Chunk(Kind.STREAM_DATA, head, exchange))
        self._large_rows = LargeRows(head)
        self._looked_at = LargeAnswer(exchange, head) if self._kept is not None else None
        return exchange

    def _close(self, id: int, messages: list[Message]) -> bool:
        return not self._more_to_come

    def _pass_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        stop = super()._pass_on(data, at, messages)
        if self._large_rows is not None:
            self._large_rows.feed(data[at:stop])
            if not self._left:
                self._count(self._reading, self._large_rows.rows, self._more_to_come)
                self._large_rows = None
        if self._looked_at is not None and self._kept is not None:
            cursor = self._looked_at.feed(data[at:stop])
            if cursor is not None or not self._left:
                self._kept.answered(self._looked_at.id, None, cursor)
                self._looked_at = None
        return stop


def _of_large(frame: bytes, body: wire.Body) -> tuple[None, bson.Element | None]:
    """As `verdict`, for an answer that is too large to be one of an error."""
    return None, next(bson.elements(frame, *body), None)
