"""
A client that has logged in at the proxy. Its commands go to servers over connections that others use, too.

Some are answered here (PING). The others are sent on a connection that is in this client's state (`Profile`), and leave
it there, unless the server's answer says that a transaction is open, or something is left that can't be made again
elsewhere. What a statement changes is believed once a server has agreed: what is refused here changes nothing.

Lives here: `PooledClient`. Does not: the login (`proxy_login`), prepared statements (`prepared_client`), what
statements leave behind (`session_state`), servers (`pooled_server`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metaproxy.codecs.cancel_keys import owner_of
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.answers import LOCAL_INFILE
from metaproxy.codecs.mysql.commands import SHAPES
from metaproxy.codecs.mysql.errors import INTERRUPTED, KILLED, UNKNOWN_COMMAND, UNSUPPORTED, error_for
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.kill import Kill, asks_who, one_number, read_kill
from metaproxy.codecs.mysql.messages import Answer, LastChunk, LocalError, effect_of, has_failed
from metaproxy.codecs.mysql.packets import (
    HEAD,
    MORE_RESULTS,
    error_packet,
    numbered,
    ok_packet,
    packet,
    payload_of,
)  # fmt: skip
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, PooledReader, Standing
from metaproxy.codecs.mysql.prepared_client import PreparedClient, text_of
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.session_state import ADRIFT, NOTHING, Outcome, outcome_of
from metaproxy.codecs.sql import MYSQL, outline
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Hold, Kind, Message

_ENDS = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)
_KNOWN_AGAIN = frozenset((ADRIFT,))
_MULTI_STATEMENTS = int(Capability.MULTI_STATEMENTS)


class PooledClient(PreparedClient):
    __slots__ = ("_about_others", "_renumbers")

    _letting_go = 0  # the id of the request that gives the client's connection back

    def __init__(self, *login: object) -> None:
        super().__init__(*login)
        self._renumbers = False  # the next answer counts on from what was said before
        self._about_others: set[int] | None = None  # ids of requests that other clients' connections are asked

    def _entered(self, profile: Profile, messages: list[Message]) -> None:
        """Another client than before, which needs a server that takes its state."""
        if self._holds:
            self._let_go(messages)
        self._forget_statements()
        self._standing = Standing(profile)
        who = self._who
        who.user = text_of(self._entrance.user)
        who.database = text_of(profile.database)
        self._more = PooledReader(who)
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
        message.resets, message.hold = True, Hold.CLOSE
        self._letting_go = message.id
        messages.append(message)

    # -- what a command is

    def _made(self, kind: Kind, frame: bytes, id: int = 0) -> PooledCommand:
        message = PooledCommand(kind, frame, id, None, self._more, None, Hold.EXCHANGE)
        message.login = message.lingers = message.resets = False
        message.soils, message.kill = False, None
        message.effect = message.change = message.statement = None
        message.follows, message.outcome = "", NOTHING
        message.owner, message.standing, message.reader = self, self._standing, self._more
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
        elif code not in SHAPES:
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
        if outcome.names_clients and self._names_clients(message, text_of(text)):
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
            message.id = self.new_id()
            if self._about_others is None:
                self._about_others = set()
            self._about_others.add(message.id)
        elif kill.query:
            self._error(message, *INTERRUPTED)
        else:
            self._error(message, *KILLED)
            self._quit = self.closing = True

    def _init_db(self, message: PooledCommand) -> None:
        self._leave_behind(message, Outcome(database=payload_of(message.frame)[1:], gone=_KNOWN_AGAIN))

    def _set_option(self, message: PooledCommand) -> None:
        added = _MULTI_STATEMENTS if message.frame[HEAD + 1 : HEAD + 3] == b"\0\0" else 0
        message.change = lambda profile: profile._replace(flags=profile.flags & ~_MULTI_STATEMENTS | added)
        message.effect = partial(self._agreed, message)

    def _leave_behind(self, message: PooledCommand, outcome: Outcome) -> None:
        """What the statement changes, if it is sent, and the server agrees."""
        if outcome is NOTHING:
            return
        message.lingers, message.follows = outcome.lingers, outcome.follows or message.follows
        if outcome.reasons:
            message.metadata = {"bound": ", ".join(sorted(self._standing.reasons | outcome.reasons))}
        if outcome.settings or outcome.database is not None:
            message.change = partial(_changed, outcome)
        elif not (outcome.reasons or outcome.gone):
            return
        message.outcome = outcome
        message.effect = partial(self._agreed, message)

    def _agreed(self, message: PooledCommand, answer: Message) -> None:
        """A server has answered: what is refused here changes nothing."""
        failed, standing = has_failed(answer), message.standing
        standing.reasons = message.reasons(failed)
        if not failed:
            standing.profile = message.becomes or standing.profile

    # -- a new beginning

    def _reset_connection(self, message: PooledCommand) -> None:
        if self._holds:
            message.resets, message.change, message.effect = True, self._standing.unset, self._reset
        else:
            self._begin_again()
            self._ok(message)

    def _reset(self, answer: Message) -> None:
        if not has_failed(answer):
            self._begin_again()

    def _begin_again(self) -> None:
        self._forget_statements()
        self._standing.reset()

    def may_ask_again(self, command: PooledCommand) -> bool:
        """Whether a command only reads, and nothing of the client's is lost with its connection."""
        return not self._holds and command.get("read_only") == "true"

    # -- the other direction

    def send(self, message: Message, id: int) -> bytes:
        if id and id in (self._lookup, self._letting_go):
            if id == self._lookup:
                return self._found(message)
            self._letting_go, self._holds = 0, False
            return b""
        frame = message.frame
        if message.kind in _ENDS:
            if (
                self._about_others is not None and id in self._about_others
            ):  # of a connection that has nothing to do with this client's
                self._about_others.discard(id)
                return self.send_error(message, id) if isinstance(message, LocalError) else frame
            if not isinstance(message, LocalError):
                self._holds = message.hold is Hold.OPEN
            if isinstance(message, Answer | LastChunk) and message.end is not None:
                self._status = message.end.status & ~MORE_RESULTS
                self._standing.insert_id = message.end.insert_id or self._standing.insert_id
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


def _changed(outcome: Outcome, profile: Profile) -> Profile:
    for name, value in outcome.settings:
        profile = profile.with_setting(name, value)
    return profile if outcome.database is None else profile._replace(database=outcome.database)


_ACTIONS: dict[int, Callable[[PooledClient, PooledCommand], None]] = {
    commands.INIT_DB: PooledClient._init_db,
    commands.PING: PooledClient._ok,
    commands.PROCESS_KILL: PooledClient._process_kill,
    commands.QUERY: PooledClient._query,
    commands.QUIT: PooledClient._goodbye,
    commands.RESET_CONNECTION: PooledClient._reset_connection,
    commands.SET_OPTION: PooledClient._set_option,
    commands.STMT_BULK_EXECUTE: PooledClient._execute_many,
    commands.STMT_CLOSE: PooledClient._close_statement,
    commands.STMT_EXECUTE: PooledClient._execute,
    commands.STMT_FETCH: PooledClient._fetch,
    commands.STMT_PREPARE: PooledClient._prepare,
    commands.STMT_RESET: PooledClient._reset_statement,
    commands.STMT_SEND_LONG_DATA: PooledClient._long_data,
}
