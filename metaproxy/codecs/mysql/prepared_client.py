"""
The statements that a client of the proxy's own users has prepared. Its ids are its own: a server that it is sent to may
know the statement by another id, or not at all.

Lives here: `PreparedClient`: preparing, executing once or many times, values that are sent ahead, closing. Does not:
what servers have prepared (`pooled_server`), what statements leave behind (`session_state`).
"""

from __future__ import annotations

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.errors import UNKNOWN_COMMAND, UNSUPPORTED
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.messages import has_failed
from metaproxy.codecs.mysql.packets import HEAD, packet, payload_of
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, Statement
from metaproxy.codecs.mysql.proxy_login import ProxyLogin
from metaproxy.codecs.mysql.session_state import Outcome, outcome_of
from metaproxy.codecs.sql import MYSQL, outline
from metaproxy.message import FrameError, Hold, Kind, Message

MOST_BYTES = 32 << 20
"""Bytes of the statements that a client has prepared."""
MOST_STATEMENTS = 4096
"""Prepared statements that a client may have at a time."""
_LATEST = 0xFFFFFFFF
"""MariaDB's id of the statement that was prepared last, whose own id the client need not have heard yet."""


_WHOLE = frozenset((commands.STMT_PREPARE,))
_LONG = commands.LONG - _WHOLE


class PreparedClient(ProxyLogin):
    """A subclass makes answers and says what a statement leaves behind."""

    __slots__ = ("_holds", "_last_id", "_latest", "_long_values", "_prepared", "_statements")

    def __init__(self, *login: object) -> None:
        super().__init__(*login)  # type: ignore[arg-type]
        self._whole, self._long = _WHOLE, _LONG
        self._holds = False  # the last answer left the client with a connection of its own
        self._last_id = 0
        self._prepared = 0  # bytes of the texts of its statements
        self._statements: dict[int, Statement] = {}
        self._latest: Statement | None = None
        self._long_values: set[int] | None = None  # ids of statements that were sent values

    def _answered(self, message: PooledCommand, data: bytes) -> None:
        raise NotImplementedError

    def _error(self, message: PooledCommand, number: int, state: str, text: str) -> None:
        raise NotImplementedError

    def _ok(self, message: PooledCommand) -> None:
        raise NotImplementedError

    def _leave_behind(self, message: PooledCommand, outcome: Outcome) -> None:
        raise NotImplementedError

    def _forget_statements(self) -> None:
        self._statements.clear()
        self._latest = None
        self._prepared = 0
        self._who.statements.clear()
        self._long_values = None

    def _has_long(self, statement: Statement) -> None:
        if self._long_values is None:
            self._long_values = set()
        self._long_values.add(statement.id)

    def _was_sent_long(self, statement: Statement) -> bool:
        return self._long_values is not None and statement.id in self._long_values

    def _forget_long(self, statement: Statement) -> None:
        if self._long_values is not None:
            self._long_values.discard(statement.id)

    def _admit_statement(self, head: PooledCommand) -> None:
        statement = head.statement = self._statement_of(head)
        if statement is None:
            raise FrameError("a statement that was not prepared")
        if head.frame[HEAD] == commands.STMT_SEND_LONG_DATA:
            head.oneway, head.hold, self._holds = True, Hold.OPEN, True
            self._has_long(statement)
            return
        if not statement.note_types(head.frame):
            head.follows = "types"
        self._forget_long(statement)
        self._leave_behind(head, statement.outcome)

    def _prepare(self, message: PooledCommand) -> None:
        size = len(message.frame)
        if self._prepared + size > MOST_BYTES:
            self._error(message, 1461, "42000", f"a client may have {MOST_BYTES >> 20} MiB of prepared statements here")
            return
        if len(self._statements) >= MOST_STATEMENTS:
            self._error(message, 1461, "42000", f"a client may have {MOST_STATEMENTS} prepared statements here")
            return
        text = payload_of(message.frame)[1:]
        outcome = outcome_of(text)
        seen = outline(text_of(text), MYSQL) if outcome.names_clients else None
        if seen is not None and ("kill" in seen.statements or not seen.whole):
            self._error(message, *UNSUPPORTED, "a KILL can't be prepared here")
            return
        self._last_id += 1
        statement = message.statement = self._latest = Statement(self._last_id, text, outcome)

        def prepared(answer: Message) -> bytes | None:
            if has_failed(answer):
                return None
            self._statements[statement.id] = statement
            self._prepared += size
            self._who.statements.add(statement.id, text)
            frame = answer.frame
            statement.prepared(int.from_bytes(frame[HEAD + 7 : HEAD + 9], "little"))
            return frame[: HEAD + 1] + statement.id.to_bytes(4, "little") + frame[HEAD + 5 :]

        message.effect = prepared

    def _statement_of(self, message: Message) -> Statement | None:
        id = int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little")
        if id != _LATEST:
            return self._statements.get(id)
        latest = self._latest
        if latest is not None:
            message.frame = message.frame[: HEAD + 1] + latest.id.to_bytes(4, "little") + message.frame[HEAD + 5 :]
        return latest

    def _known(self, message: PooledCommand) -> Statement | None:
        statement = message.statement = self._statement_of(message)
        if statement is None:
            self._error(message, 1243, "HY000", "Unknown prepared statement handler")
        return statement

    def _execute(self, message: PooledCommand) -> None:
        statement = self._known(message)
        if statement is None:
            return
        if not statement.note_types(message.frame) and statement.types:  # another connection does not know them
            message.frame = packet(statement.with_types(payload_of(message.frame)), 0)
        self._forget_long(statement)
        self._leave_behind(message, statement.outcome)

    def _execute_many(self, message: PooledCommand) -> None:
        if self._who.flags & Capability.STMT_BULK:
            self._execute(message)
        else:
            self._error(message, *UNKNOWN_COMMAND, "bulk execution was not offered")

    def _fetch(self, message: PooledCommand) -> None:
        self._known(message)

    def _reset_statement(self, message: PooledCommand) -> None:
        statement = self._known(message)
        if statement is None:
            return
        if not self._holds and not self._was_sent_long(statement):
            self._ok(message)  # there is nothing of it anywhere
        self._forget_long(statement)

    def _close_statement(self, message: PooledCommand) -> None:
        """The servers' own are kept, for others that prepare the same."""
        statement = self._statement_of(message)
        if statement is None:
            self._answered(message, b"")
            return
        del self._statements[statement.id]
        self._prepared -= HEAD + 1 + len(statement.text)
        self._who.statements.remove(statement.id)
        message.statement = statement
        if self._holds or self._was_sent_long(statement):
            message.kind = Kind.ONEWAY  # it may have a cursor there, or values
        else:
            self._answered(message, b"")
        self._forget_long(statement)

    def _long_data(self, message: PooledCommand) -> None:
        """Belongs to the connection on which the statement is executed."""
        statement = message.statement = self._statement_of(message)
        if statement is None:
            self._answered(message, b"")
            return
        message.kind, message.hold, self._holds = Kind.ONEWAY, Hold.OPEN, True
        self._has_long(statement)


def text_of(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
