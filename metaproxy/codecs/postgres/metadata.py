"""
What routes, filters and logs may know of a request: who asks, for what kind of statement.

Lives here: `KEYS`, `read` (`Message.more` of all requests). Does not: SQL itself (`codecs.sql`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from metaproxy.codecs import sql
from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED
from metaproxy.message import Kind, Message

KEYS = {
    "user": "who logs in",
    "database": "the one that is asked for at the login",
    "application_name": "as the client gives it at the login",
    "command": "what the message does: startup, password, query, parse, execute, call, sync, cancel, terminate",
    "statement": "the first word of the SQL, in lower case; of a WITH, of what it does",
    "operation": "the statement, or the command where there is no SQL",
    "bound": "why the client has a server connection for itself, where it logs in at the proxy: LISTEN ...",
    "fingerprint": "a hash of the SQL without its values: the same for statements that only differ in these",
    "normalized": "the SQL without its values and comments, at most 4096 characters",
    "read_only": "`true` where every statement is sure to do nothing but read: it may go to a replica; else `false`",
    "tables": "the tables that it names, `schema.table` or `table`; a condition holds when one of them meets it",
    "traceparent": "the trace that a comment of sqlcommenter names",
    "tracestate": "as traceparent",
}
"""Those of the SQL are there where the request has some, or executes what was prepared under a name."""
_COMMANDS = {b"Q": "query", b"F": "call", b"p": "password", b"X": "terminate"}
_STEPS = ((b"E", "execute"), (b"B", "bind"), (b"P", "parse"), (b"D", "describe"), (b"C", "close"), (b"H", "flush"))
"""Of a batch of the extended protocol, the first of these that it has names it."""
_OF_SQL = frozenset(("statement", "operation", "fingerprint", "normalized", "tables"))
_TRACE = ("traceparent", "tracestate")


class Client(Protocol):
    """What the session of a client knows."""

    identity: Mapping[str, str]

    def prepared(self, name: bytes) -> bytes | None:
        """The SQL of a prepared statement, if it is known."""


class Said(Protocol):
    """The SQL of a batch whose frame has other names than the client gave: see `statements.Batch`."""

    @property
    def texts(self) -> Sequence[bytes | None]: ...
    @property
    def whole(self) -> bool: ...


def read(message: Message, client: Client, said: Said | None = None) -> None:
    """Complete the metadata of a client's request."""
    known = message.metadata = {**client.identity, **(message.metadata or {})}
    if "command" in known:
        return
    command, texts, whole = asked(message, client, said)
    known["command"] = known["operation"] = command
    _describe(message, texts, whole)


def asked(message: Message, client: Client, said: Said | None) -> tuple[str, Sequence[bytes | None], bool]:
    """What a request does, with which SQL (None for one that is not known), and whether all of that is there."""
    frame = message.frame
    command = _COMMANDS.get(frame[:1])
    if command is None:
        command, texts, whole = _batch(frame, client)
        return (command, texts, whole) if said is None else (command, said.texts, said.whole)
    if command == "query":
        return command, [_first(frame, wire.HEAD_SIZE, len(frame))], message.kind is not Kind.STREAM_OPEN
    return command, (), True


def _batch(frame: bytes, client: Client) -> tuple[str, list[bytes | None], bool]:
    """
    What a batch of the extended protocol does, with which SQL (None for one that is not known), and whether all of the
    SQL is there.
    """
    whole = True
    kinds: set[bytes] = set()
    parsed: dict[bytes, bytes] = {}
    texts: list[bytes | None] = []
    for kind, at, stop in steps(frame):
        kinds.add(kind)
        if kind == b"P":
            text = parsed[_first(frame, at, stop)] = _second(frame, at, stop)
            texts.append(text)
            whole = frame.find(b"\0", frame.find(b"\0", at, stop) + 1, stop) >= 0
        elif kind == b"B":
            name = _second(frame, at, stop)
            if name not in parsed:
                texts.append(client.prepared(name))
    return next((text for step, text in _STEPS if step in kinds), "sync"), texts, whole


def _describe(message: Message, texts: Sequence[bytes | None], whole: bool) -> None:
    """Complete what the SQL says. whole: whether nothing of it is missing."""
    known = message.metadata
    assert known is not None
    decoded = [text.decode("utf-8", "replace") for text in texts if text is not None]
    seen = [sql.outline(text, sql.POSTGRES) for text in decoded]
    statements = [one for outline in seen for one in outline.statements]
    whole = whole and len(seen) == len(texts) and all(one.whole for one in seen)
    unclear = sql.all_of(seen) if whole else _unclear
    if unclear is not None:
        message.unclear = unclear
    if not seen:
        return
    if statements:
        known["operation"] = statements[0]
        known["statement"] = statements[0]
    known["fingerprint"], known["normalized"] = seen[0].fingerprint, seen[0].normalized
    goes_on = message.id & (EXTENDED | SYNCED) == EXTENDED  # what follows needs the same connection
    known["read_only"] = sql.read_only(seen, sql.POSTGRES) if whole and not goes_on else "false"
    for outline in seen:
        for key in _TRACE:
            if key in outline.comments:
                known[key] = outline.comments[key]
    if whole and sql.can_find_tables():
        message.more = partial(sql.name_tables, list(zip(decoded, seen, strict=True)), sql.POSTGRES)


def _unclear(key: str) -> tuple[str | None, ...] | None:
    """Of what is not whole, or was prepared too long ago, nothing of the SQL is certain."""
    return () if key in _OF_SQL else None


def steps(frame: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The messages of a frame: type, where the body begins, where it ends. The last one may be cut off."""
    at, end = 0, len(frame)
    while end - at >= wire.HEAD_SIZE:
        stop = at + 1 + wire.LENGTH.unpack_from(frame, at + 1)[0]
        yield frame[at : at + 1], at + wire.HEAD_SIZE, min(stop, end)
        at = stop


def _first(frame: bytes, at: int, stop: int) -> bytes:
    """The first text of a body: a name."""
    end = frame.find(b"\0", at, stop)
    return frame[at : end if end >= 0 else stop]


def _second(frame: bytes, at: int, stop: int) -> bytes:
    """The second one: the SQL of a Parse, the statement of a Bind."""
    end = frame.find(b"\0", at, stop)
    return _first(frame, end + 1, stop) if end >= 0 else b""
