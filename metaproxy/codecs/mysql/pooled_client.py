"""
A client that has logged in at the proxy. Its commands go to servers over connections that others use, too.

Some are answered here (PING). The others are sent on a connection that is in this client's state (`Profile`), and leave
it there, unless the server's answer says that a transaction is open, or something is left that can't be made again
elsewhere. What a statement changes is believed once it was read, and taken back if the server refuses it.

Lives here: `PooledClient`. Does not: the login (`proxy_login`), what statements leave behind (`session_state`), servers
(`pooled_server`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.cancel_keys import owner_of
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.answers import LOCAL_INFILE
from metaproxy.codecs.mysql.commands import SHAPES
from metaproxy.codecs.mysql.errors import INTERRUPTED, KILLED, UNKNOWN_COMMAND, UNSUPPORTED, error_for
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.kill import Kill, asks_who, one_number, read_kill
from metaproxy.codecs.mysql.messages import Answer, LastChunk, LocalError, effect_of, has_failed
from metaproxy.codecs.mysql.metadata import Reader
from metaproxy.codecs.mysql.packets import (
    AUTOCOMMIT,
    HEAD,
    MORE_RESULTS,
    error_packet,
    numbered,
    ok_packet,
    packet,
    payload_of,
)  # fmt: skip
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, Statement
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.proxy_login import ProxyLogin
from metaproxy.codecs.mysql.session_state import NOTHING, Outcome, outcome_of
from metaproxy.codecs.sql import MYSQL, outline
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Hold, Kind, Message

MOST_BYTES = 32 << 20
"""Bytes of the statements that a client has prepared."""
MOST_STATEMENTS = 4096
"""Prepared statements that a client may have at a time."""
_ENDS = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)
_MULTI_STATEMENTS = int(Capability.MULTI_STATEMENTS)


class PooledClient(ProxyLogin):
    _reasons: frozenset[str] = frozenset()  # for which the connection is kept
    _last_id = 0
    _insert_id = 0
    _status = AUTOCOMMIT
    _holds = False  # the last answer left the client with a connection of its own
    _asks_another = False
    _letting_go = 0  # the id of the request that gives the client's connection back
    _renumbers = False  # the next answer counts on from what was said before

    def __init__(self, *login: object) -> None:
        super().__init__(*login)  # type: ignore[arg-type]
        self._whole = frozenset((commands.STMT_PREPARE,))
        self._long = commands.LONG - self._whole
        self._prepared = 0  # bytes of the texts of its statements
        self._statements: dict[int, Statement] = {}
        self._long_values: set[int] = set()  # ids of statements that were sent values

    def _entered(self, profile: Profile, messages: list[Message]) -> None:
        """Another client than before, which needs a server that takes its state."""
        if self._holds:
            self._let_go(messages)
        self._forget()
        self._profile = profile
        who = self._who
        who.user = _text(self._entrance.user)
        self._named(profile)
        message = self._made(Kind.CONNECT, b"")
        message.metadata, message.more, message.login = self._more.login(), None, True
        self._renumbers = True
        messages.append(message)

    def _look_up(self, messages: list[Message]) -> None:
        if self._in:
            self._let_go(messages)
        super()._look_up(messages)

    def _let_go(self, messages: list[Message]) -> None:
        """Give back the connection that the client may keep, before it is another one; it hears nothing of that."""
        message = self._made(Kind.REQUEST, packet(bytes((commands.RESET_CONNECTION,)), 0), self.new_id())
        message.resets, message.hold, message.keep = True, Hold.CLOSE, False
        self._letting_go = message.id
        messages.append(message)

    # -- what a command is

    def _made(self, kind: Kind, frame: bytes, id: int = 0) -> PooledCommand:
        message = PooledCommand(kind, frame, id, None, self._more, None, Hold.EXCHANGE, self._profile)
        message.login = message.lingers = message.resets = False
        message.soils, message.kill = False, None
        message.effect = message.becomes = message.statement = None
        message.follows, message.insert_id = "", self._insert_id
        message.owner, message.keep, message.reader = self, bool(self._reasons), self._more
        return message

    def _command(self, frame: bytes, messages: list[Message]) -> None:
        if len(frame) <= HEAD:
            raise FrameError("an empty packet where a command was expected")
        code = frame[HEAD]
        if code == commands.CHANGE_USER:
            self._change_user(payload_of(frame), messages)
            return
        message = self._made(Kind.REQUEST, frame)
        if self.killed:
            self._error(message, *KILLED)
            self._quit = self.closing = True
        elif code not in SHAPES or code == commands.STMT_BULK_EXECUTE:
            self._error(message, *UNKNOWN_COMMAND, f"command {code:#x} is not known here")
        elif code in commands.REPLICATION:
            text = "replication passes where clients log in at the server, which is where `users` is left out"
            self._error(message, *UNSUPPORTED, text)
        elif (action := _ACTIONS.get(code)) is not None:
            action(self, message)
        messages.append(message)  # none whose reading has failed

    def _admit(self, beginning: bytes, id: int) -> Message:
        head = self._made(Kind.STREAM_OPEN, beginning, id)
        code = beginning[HEAD]
        if code == commands.QUERY:
            self._leave_behind(head, outcome_of(beginning[HEAD + 1 :]))
            head.soils = True  # only its beginning was looked at
        else:
            self._admit_statement(head)
        return head

    def _admit_statement(self, head: PooledCommand) -> None:
        statement = head.statement = self._statement_of(head)
        if statement is None:
            raise FrameError("a statement that was not prepared")
        if head.frame[HEAD] == commands.STMT_SEND_LONG_DATA:
            head.oneway, head.hold = True, Hold.OPEN
            self._long_values.add(statement.id)
            return
        flag, types = statement.types_in(head.frame)
        if flag:
            statement.types = types
        elif statement.parameters:
            head.follows = "types"
        self._long_values.discard(statement.id)
        self._leave_behind(head, statement.outcome)

    def _answered(self, message: PooledCommand, data: bytes) -> None:
        message.answer, message.hold = data, Hold.NONE

    def _error(self, message: PooledCommand, number: int, state: str, text: str) -> None:
        self._answered(message, error_packet(self._sequence + 1, number, state, text))

    def _ok(self, message: PooledCommand) -> None:
        self._answered(message, ok_packet(self._sequence + 1, self._status))

    def _goodbye(self, message: PooledCommand) -> None:
        self._quit = self.closing = True
        self._answered(message, b"")

    def _query(self, message: PooledCommand) -> None:
        text = payload_of(message.frame)[1:]
        outcome = outcome_of(text)
        if outcome.names_clients and self._names_clients(message, _text(text)):
            return
        self._leave_behind(message, outcome)

    # -- other clients

    def _names_clients(self, message: PooledCommand, text: str) -> bool:
        """Whether a statement was answered, or sent, by the numbers that clients know."""
        column = asks_who(text)
        if column:
            self._answered(message, one_number(column, self.number, self._sequence + 1, self._status))
            return True
        seen = outline(text, MYSQL)
        if seen.whole and "kill" not in seen.statements:
            return False
        kill = read_kill(text)
        if kill is None:
            self._error(message, *UNSUPPORTED, "of KILL only KILL [CONNECTION | QUERY] number, alone, is known here")
        else:
            self._kill(message, kill)
        return True

    def _process_kill(self, message: PooledCommand) -> None:
        self._kill(message, Kill(int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little"), query=False))

    def _kill(self, message: PooledCommand, kill: Kill) -> None:
        other = owner_of(kill.number) if kill.number else self
        if not isinstance(other, PooledClient):
            self._error(message, 1094, "HY000", f"Unknown thread id: {kill.number}")
        elif not self._entrance.is_same_user(other._entrance):
            self._error(message, 1095, "HY000", f"You are not owner of thread {kill.number}")
        elif other is not self:
            message.kill, message.companion, message.hold = kill, other, Hold.COMPANION
            self._asks_another = True
        elif kill.query:
            self._error(message, *INTERRUPTED)
        else:
            self._error(message, *KILLED)
            self._quit = self.closing = True

    def _init_db(self, message: PooledCommand) -> None:
        self._leave_behind(message, Outcome(database=payload_of(message.frame)[1:]))

    def _set_option(self, message: PooledCommand) -> None:
        flags = self._profile.flags & ~_MULTI_STATEMENTS
        if message.frame[HEAD + 1 : HEAD + 3] == b"\0\0":
            flags |= _MULTI_STATEMENTS
        self._become(message, self._profile._replace(flags=flags))

    def _leave_behind(self, message: PooledCommand, outcome: Outcome) -> None:
        """What the statement changes, as if the server had agreed."""
        if outcome is NOTHING:
            return
        message.lingers, message.follows = outcome.lingers, outcome.follows or message.follows
        if outcome.reasons or outcome.gone:
            self._reasons = (self._reasons - outcome.gone) | outcome.reasons
            message.keep = bool(self._reasons)
            if outcome.reasons:
                message.metadata = {"bound": ", ".join(sorted(outcome.reasons))}
        profile = self._profile
        for name, value in outcome.settings:
            profile = profile.with_setting(name, value)
        if outcome.database is not None:
            profile = profile._replace(database=outcome.database)
        if outcome.settings or profile != self._profile:
            self._become(message, profile)

    def _become(self, message: PooledCommand, profile: Profile) -> None:
        before, self._profile = self._profile, profile
        message.becomes = profile
        self._named(profile)

        def take_back(answer: Message) -> None:
            if has_failed(answer) and self._profile is profile:
                self._profile = before
                self._named(before)

        message.effect = take_back

    def _named(self, profile: Profile) -> None:
        self._who.database = _text(profile.database)
        self._who.autocommit = profile.autocommit
        self._more = Reader(self._who)

    # -- prepared statements

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
        seen = outline(_text(text), MYSQL) if outcome.names_clients else None
        if seen is not None and ("kill" in seen.statements or not seen.whole):
            self._error(message, *UNSUPPORTED, "a KILL can't be prepared here")
            return
        self._last_id += 1
        statement = message.statement = Statement(self._last_id, text, outcome)

        def prepared(answer: Message) -> bytes | None:
            if has_failed(answer):
                return None
            self._statements[statement.id] = statement
            self._prepared += size
            self._who.statements.add(statement.id, text)
            frame = answer.frame
            return frame[: HEAD + 1] + statement.id.to_bytes(4, "little") + frame[HEAD + 5 :]

        message.effect = prepared

    def _statement_of(self, message: Message) -> Statement | None:
        return self._statements.get(int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little"))

    def _known(self, message: PooledCommand) -> Statement | None:
        statement = message.statement = self._statement_of(message)
        if statement is None:
            self._error(message, 1243, "HY000", "Unknown prepared statement handler")
        return statement

    def _execute(self, message: PooledCommand) -> None:
        statement = self._known(message)
        if statement is None:
            return
        if statement.parameters:
            flag, types = statement.types_in(message.frame)
            if flag:
                statement.types = types
            elif statement.types:  # another connection does not know them
                body = payload_of(message.frame)
                at = 10 + (statement.parameters + 7) // 8
                message.frame = packet(body[:at] + b"\1" + statement.types + body[at + 1 :], 0)
        self._long_values.discard(statement.id)
        self._leave_behind(message, statement.outcome)

    def _fetch(self, message: PooledCommand) -> None:
        self._known(message)

    def _reset_statement(self, message: PooledCommand) -> None:
        statement = self._known(message)
        if statement is None:
            return
        if not self._holds and statement.id not in self._long_values:
            self._ok(message)  # there is nothing of it anywhere
        self._long_values.discard(statement.id)

    def _close_statement(self, message: PooledCommand) -> None:
        """The servers' own are kept, for others that prepare the same."""
        statement = self._statement_of(message)
        if statement is None:
            self._answered(message, b"")
            return
        del self._statements[statement.id]
        self._prepared -= HEAD + 1 + len(statement.text)
        self._who.statements.remove(statement.id)
        self._long_values.discard(statement.id)
        message.statement = statement
        if self._holds:
            message.kind = Kind.ONEWAY  # it may have a cursor there
        else:
            self._answered(message, b"")

    def _long_data(self, message: PooledCommand) -> None:
        """Belongs to the connection on which the statement is executed."""
        statement = message.statement = self._statement_of(message)
        if statement is None:
            self._answered(message, b"")
            return
        message.kind, message.hold = Kind.ONEWAY, Hold.OPEN
        self._long_values.add(statement.id)

    # -- a new beginning

    def _reset_connection(self, message: PooledCommand) -> None:
        self._forget()
        self._profile = message.profile = self._profile._replace(settings=())
        message.becomes, message.keep = self._profile, False
        if self._holds:
            message.resets = True
        else:
            self._ok(message)

    def _forget(self) -> None:
        self._statements.clear()
        self._prepared = 0
        self._who.statements.clear()
        self._long_values.clear()
        self._reasons = frozenset()
        self._insert_id = 0

    @property
    def holds(self) -> bool:
        """Whether it has a server connection for itself."""
        return self._holds

    # -- the other direction

    def send(self, message: Message, id: int) -> bytes:
        if id and id in (self._lookup, self._letting_go):
            if id == self._lookup:
                return self._found(message)
            self._letting_go, self._holds = 0, False
            return b""
        frame = message.frame
        if message.kind in _ENDS:
            if self._asks_another:  # of a connection that has nothing to do with this client's
                self._asks_another = False
                return self.send_error(message, id) if isinstance(message, LocalError) else frame
            self._holds = message.hold is Hold.OPEN
            if isinstance(message, Answer | LastChunk) and message.end is not None:
                self._status = message.end.status & ~MORE_RESULTS
                self._insert_id = message.end.insert_id or self._insert_id
            effect = effect_of(message)
            if effect is not None:
                frame = effect(message) or frame
            if self._renumbers:
                self._renumbers = False
                frame = self._answer_begins + numbered(frame, self._sequence + 1)
                return FinalFrame(frame) if message.kind is Kind.ERROR else frame
        if isinstance(message, LocalError):
            message.final = message.final or self.killed
            return self.send_error(message, id)
        if message.metadata is not None and LOCAL_INFILE in message.metadata:
            self.send_file(id)
        return frame

    def farewell(self, kind: ErrorKind, text: str) -> bytes:
        """Drivers read it in place of the answer to what they ask next."""
        return error_packet(0, *error_for(kind, ""), text)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


_ACTIONS: dict[int, Callable[[PooledClient, PooledCommand], None]] = {
    commands.INIT_DB: PooledClient._init_db,
    commands.PING: PooledClient._ok,
    commands.PROCESS_KILL: PooledClient._process_kill,
    commands.QUERY: PooledClient._query,
    commands.QUIT: PooledClient._goodbye,
    commands.RESET_CONNECTION: PooledClient._reset_connection,
    commands.SET_OPTION: PooledClient._set_option,
    commands.STMT_CLOSE: PooledClient._close_statement,
    commands.STMT_EXECUTE: PooledClient._execute,
    commands.STMT_FETCH: PooledClient._fetch,
    commands.STMT_PREPARE: PooledClient._prepare,
    commands.STMT_RESET: PooledClient._reset_statement,
    commands.STMT_SEND_LONG_DATA: PooledClient._long_data,
}
