"""
What routes and filters may know of a command: who sends it, to which database, and what its statement is.

Nothing is read of a statement before it is asked for: `Message.more` fills in who and what first, then the rest.

Lives here: `KEYS`, `Identity`, `Reader`. Does not: SQL (`metaproxy.codecs.sql`), logins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metaproxy.codecs import sql
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.packets import HEAD, payload_of
from metaproxy.codecs.mysql.query_attributes import skip_attributes
from metaproxy.codecs.mysql.statements import Statements
from metaproxy.message import Kind, Message

KEYS = {
    "command": "the command of the protocol in lower case: query, stmt_prepare, stmt_execute, ping, login ...",
    "user": "who is logged in",
    "database": "the database that was chosen; to access rules any, once a statement may have chosen another unseen",
    "application_name": "what the client says that it is: program_name, else _client_name, of its attributes",
    "statement": "the first word of the SQL, in lower case; of a WITH, of what it stands in front of",
    "operation": "the statement, or the command where there is no SQL",
    "fingerprint": "a hash of the SQL without its values: the same for statements that only differ in these",
    "normalized": "the SQL without its values and comments, at most 4096 characters",
    "read_only": "`true` where every statement is sure to do nothing but read: it may go to a replica; else `false`",
    "tables": "the tables that it names, `database.table` or `table`; a condition holds when one of them meets it",
    "traceparent": "the trace that a comment of sqlcommenter names",
    "tracestate": "as traceparent",
}
Unclear = Callable[[str], tuple[str | None, ...] | None]
_OF_SQL = frozenset(("statement", "operation", "fingerprint", "normalized", "tables"))
_TRACE = ("traceparent", "tracestate")
_STAYS = frozenset((commands.QUERY, commands.STMT_PREPARE))
"""Commands that leave nothing on a connection if their SQL does not."""

POOLED_KEYS = {"bound": "why the client has a server connection for itself: a temporary table, LOCK TABLES ..."}


class Identity:
    """
    Who a client is, as far as the session saw it. flags: capabilities that were agreed on. adrift: whether its
    database may be another one by now.
    """

    __slots__ = ("adrift", "application", "database", "flags", "statements", "user")

    def __init__(self) -> None:
        self.user = self.database = self.application = ""
        self.flags = 0
        self.adrift = False
        self.statements = Statements()


class Reader:
    """`Message.more` of the commands of a client; made again when the client changes."""

    __slots__ = ("_adrift", "_known", "_queries", "_statements")

    def __init__(self, identity: Identity) -> None:
        known = {
            "user": identity.user,
            "database": identity.database,
            "application_name": identity.application,
        }
        self._known = {key: value for key, value in known.items() if value}
        self._queries = bool(identity.flags & Capability.QUERY_ATTRIBUTES)
        self._statements = identity.statements
        self._adrift = identity.adrift

    def login(self) -> dict[str, str]:
        """The metadata of a login."""
        return {**self._known, "command": "login", "operation": "login"}

    def __call__(self, message: Message) -> None:
        code = message.frame[HEAD]
        name = commands.NAMES.get(code, "unknown")
        metadata = message.metadata = {**self._known, **(message.metadata or {}), "command": name}
        if code in commands.WITH_TEXT:
            message.more = self._describe
        else:
            metadata["operation"] = name
        if self._is_adrift(message):
            message.unclear = partial(_unclear_database, None)

    def _is_adrift(self, message: Message) -> bool:
        return self._adrift

    def _describe(self, message: Message) -> None:
        """What the SQL says."""
        metadata = message.metadata
        assert metadata is not None  # made by __call__
        metadata["operation"] = metadata["command"]
        text = self.text(message)
        if text is None:
            message.unclear = partial(_unclear_database, _unclear)
            return
        decoded = text.decode("utf-8", "surrogateescape")
        outline = sql.outline(decoded, sql.MYSQL)
        whole = outline.whole and message.kind is not Kind.STREAM_OPEN
        unclear = sql.all_of([outline]) if whole else _unclear
        if not whole or _may_choose(outline) or self._is_adrift(message):
            unclear = partial(_unclear_database, unclear)
        if unclear is not None:
            message.unclear = unclear
        if outline.statements:
            metadata["statement"] = metadata["operation"] = outline.statements[0]
        metadata["fingerprint"], metadata["normalized"] = outline.fingerprint, outline.normalized
        for key in _TRACE:
            if key in outline.comments:
                metadata[key] = outline.comments[key]
        reads = whole and self._autocommits(message) and _leaves_nothing(message.frame)
        metadata["read_only"] = sql.read_only([outline], sql.MYSQL) if reads else "false"
        if whole and sql.can_find_tables():
            message.more = partial(sql.name_tables, [(decoded, outline)], sql.MYSQL)

    def _autocommits(self, message: Message) -> bool:
        """Whether a read begins no transaction."""
        return True

    def text(self, message: Message) -> bytes | None:
        """The statement of a command; None where it has none, or it is not known."""
        frame = message.frame
        code = frame[HEAD]
        if code == commands.QUERY:
            payload = frame[HEAD:] if message.kind is Kind.STREAM_OPEN else payload_of(frame)
            return payload[self.sql_at(payload) :]
        if code == commands.STMT_PREPARE:
            return payload_of(frame)[1:]
        if code in commands.PREPARED:
            return self._statements.text(int.from_bytes(frame[HEAD + 1 : HEAD + 5], "little"))
        return None

    def sql_at(self, payload: bytes) -> int:
        """Where the SQL begins in a COM_QUERY or COM_STMT_PREPARE."""
        return skip_attributes(payload, 1) if self._queries and payload[0] == commands.QUERY else 1


def _leaves_nothing(frame: bytes) -> bool:
    """Whether the next statement may go to another server: there is no cursor, and no value that waits."""
    code = frame[HEAD]
    return code in _STAYS or (code == commands.STMT_EXECUTE and frame[HEAD + 5 : HEAD + 6] == b"\0")


def _may_choose(outline: sql.Outline) -> bool:
    """Whether a part of it may be carried out in another database than it was asked in."""
    kinds = outline.statements
    return outline.opaque or "execute" in kinds or (len(kinds) > 1 and "use" in kinds)


def _unclear_database(others: Unclear | None, key: str) -> tuple[str | None, ...] | None:
    if key == "database":
        return ()
    return others(key) if others is not None else None


def _unclear(key: str) -> tuple[str | None, ...] | None:
    """Of a text that is not known, or of which only the beginning is there, nothing is certain."""
    return () if key in _OF_SQL else None
