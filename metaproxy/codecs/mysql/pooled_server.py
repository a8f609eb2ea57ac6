"""
A connection to a server that the proxy has logged in on, and that clients borrow.

In front of a client's command goes what the connection lacks for it: a statement that was not prepared here, the number
that LAST_INSERT_ID() gives. The answers to that go no further.

Lives here: `PooledServer`. Does not: where answers end (`answers`), how it comes into a client's state
(`pooled_login`).
"""

from __future__ import annotations

from collections import OrderedDict

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.answers import Answers
from metaproxy.codecs.mysql.commands import SHAPES, Shape
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.kill import Kill
from metaproxy.codecs.mysql.messages import Answer, LastChunk, effect_of, has_failed
from metaproxy.codecs.mysql.packets import (
    CURSOR,
    HEAD,
    IN_TRANSACTION,
    LAST_ROW_SENT,
    End,
    packet,
    read_error,
)  # fmt: skip
from metaproxy.codecs.mysql.pooled_client import PooledClient
from metaproxy.codecs.mysql.pooled_login import PooledLogin, Seen
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, Statement
from metaproxy.codecs.mysql.profile import EMPTY, Profile
from metaproxy.codecs.mysql.proxy_login import ProxyLogin
from metaproxy.codecs.mysql.session_state import NOTHING
from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message

MOST_STATEMENTS = 512
"""Prepared statements that are kept on a connection; of more the one that was used longest ago is closed."""
_ENDS = (1053, 1927)
"""Numbers of the errors of a server that shuts down (ER_SERVER_SHUTDOWN), and of one that ends a connection."""
_NOTHING = packet(b"\3SELECT 1 FROM (SELECT 1) a", 0)
"""Has no warnings, and a table, without which MariaDB keeps the warnings of the statement before."""


_Key = tuple[Profile, bytes]
"""Of a prepared statement: the state that it was prepared in, and its text."""


class Refused(FrameError):
    """A command that this connection can't carry out."""

    kind = ErrorKind.UNSUPPORTED


class PooledServer(PooledLogin):
    """
    max_frame: bytes of a packet that must be whole; stream_over: of an answer beyond which it comes in pieces.
    """

    def __init__(self, max_frame: int, stream_over: int, seen: Seen) -> None:
        super().__init__(Answers(max_frame, stream_over, self._settle), seen)
        self._owner: object = None  # whose command was carried out last
        self._status = 0
        self._command: PooledCommand | None = None
        self._statements: OrderedDict[_Key, int] = OrderedDict()
        self._taken: dict[Statement, tuple[_Key, int]] = {}  # which have a cursor, or values that were sent ahead
        self._running: tuple[_Key, int] = (EMPTY, b""), 0  # what was executed last
        self._closing: list[bytes] = []  # goes in front of the next command
        self._stash: list[PooledCommand | Chunk] = []  # what waits for a statement to be prepared
        self._stashes = False
        self._settled = 0  # answers that are whole, and not sorted yet: all of a read
        self._drops = False  # the rest of a long command that was not begun

    # -- the state that it is in

    def _forget(self) -> None:
        self._statements.clear()
        self._closing.clear()
        self._taken.clear()
        self._owner, self._status = None, 0

    def _set_up(self, made: list[bytes]) -> bytes:
        self._owner = None if made else self._owner
        return super()._set_up(made)

    @property
    def in_transaction(self) -> bool:  # type: ignore[override]  # it is only read
        return bool(self._status & IN_TRANSACTION)

    def _is_soiled(self) -> bool:
        return self._soiled or bool(self._status & IN_TRANSACTION) or bool(self._taken) or self._stashes

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if self._stashes and isinstance(message, PooledCommand | Chunk):
            self._stash.append(message)
            return b""
        if isinstance(message, Chunk):
            return message.frame if not self._drops else self._drop(message)
        if self._setup_failed:
            refusal = read_error(self._setup_failed[HEAD:])
            raise Refused(f"the server refuses this client's settings: {refusal.number} {refusal.text}")
        closing, self._closing = b"".join(self._closing), []
        if not isinstance(message, PooledCommand):  # of a health check, or about another client
            if len(message.frame) <= HEAD:
                raise Refused("nothing is known of this command, as of logins that were recorded where they pass")
            self._command = self._owner = None
            shape = SHAPES.get(message.frame[HEAD], Shape.ONE)
            if shape is not Shape.NONE:
                self._expect(shape, None, message.id)
            return closing + message.frame
        before = b"" if message.standing is self._owner else self._catch_up(message)
        self._owner = message.standing
        self._command = message
        frame = message.frame
        shape = SHAPES[frame[HEAD]]
        if message.statement is not None and shape is not Shape.PREPARED:
            return closing + before + self._send_statement(message, message.statement, shape)
        self._expect_answer(message, shape)
        return closing + before + frame

    def _expect_answer(self, message: PooledCommand, shape: Shape) -> None:
        if shape is not Shape.NONE:
            self._expect(shape, None, message.id, effect_of(message))

    def _catch_up(self, message: PooledCommand) -> bytes:
        """What the client's last statement left, which was carried out somewhere else."""
        follows = message.follows
        if follows == "rows":
            raise Refused(
                "FOUND_ROWS() and ROW_COUNT() tell of the statement before, which was on another connection: ask for"
                " both in a transaction, or give the cluster connections: {mode: session}"
            )
        if follows == "types":
            raise Refused("a long execution without the types of its parameters, on another connection than before")
        if follows == "warnings":
            self._expect(Shape.RESULTS, _ignored)
            return _NOTHING  # there were none, or the client would have kept the connection
        if follows == "insert_id":
            self._expect(Shape.ONE, _ignored)
            return packet(b"\3SET last_insert_id = %d" % message.standing.insert_id, 0)
        return b""

    def _drop(self, chunk: Chunk) -> bytes:
        self._drops = chunk.kind is Kind.STREAM_DATA
        return b""

    def _send_statement(self, message: PooledCommand, statement: Statement, shape: Shape) -> bytes:
        if message.frame[HEAD] == commands.STMT_BULK_EXECUTE and not self._answers.flags & Capability.STMT_BULK:
            raise Refused("this server has no bulk execution, which another one had that the proxy saw before")
        if statement.lacks and message.frame[HEAD] in (commands.STMT_EXECUTE, commands.STMT_BULK_EXECUTE):
            raise Refused(
                "a value of it that was sent ahead was refused: reset the statement, and send all of them again"
            )
        place = self._taken.get(statement)
        if place is not None:
            return self._execute(message, statement, place, shape)
        if message.frame[HEAD] == commands.STMT_CLOSE:
            return b""
        key = (self._state, statement.text)
        known = self._statements.get(key)
        if known is not None and not self._is_taken(known):
            self._statements.move_to_end(key)
            return self._execute(message, statement, (key, known), shape)
        self._stashes, self.reusable = True, False

        def prepared(answer: Answer | LastChunk) -> None:
            self._stashes = False
            stash, self._stash = self._stash, []
            failed = has_failed(answer)
            if failed:
                self._pass(message, answer, shape)
            else:
                self._remember(key, answer.frame)
                self.say(self._execute(message, statement, (key, self._statements[key]), shape))
            self._drops = failed and message.kind is Kind.STREAM_OPEN
            for each in stash:
                self.say(self.send(each, each.id))

        self._expect(Shape.PREPARED, prepared)
        return packet(bytes((commands.STMT_PREPARE,)) + statement.text, 0)

    def companion(self, message: Message) -> bytes | Message:
        """A KILL of this connection, or of what it does."""
        kill, greeting = getattr(message, "kill", None), self._greeting
        if not isinstance(kill, Kill) or greeting is None:
            raise FrameError("the server has not said yet by which number its connection is known")
        if not kill.query and isinstance(message.companion, ProxyLogin):
            message.companion.killed = True
        said = kill.statement(greeting.thread)
        return Message(Kind.REQUEST, said, message.id, None, None, None, Hold.EXCHANGE, self._state)

    def _execute(self, message: PooledCommand, statement: Statement, place: tuple[_Key, int], shape: Shape) -> bytes:
        code, id = message.frame[HEAD], place[1].to_bytes(4, "little")
        if code == commands.STMT_CLOSE:  # the statement stays, its cursor and its values do not
            self._release(statement)
            self._expect(Shape.ONE, _ignored)
            return packet(bytes((commands.STMT_RESET,)) + id, 0)
        if code == commands.STMT_RESET:
            statement.lacks = False
            self._release(statement)
        elif code == commands.STMT_SEND_LONG_DATA:
            self._take(statement, place)
        else:
            self._running = place
        self._expect_answer(message, shape)
        frame = message.frame
        return frame[: HEAD + 1] + id + frame[HEAD + 5 :]

    # -- statements, of which one of the same text is as good, but for cursors and values

    def _take(self, statement: Statement, place: tuple[_Key, int]) -> None:
        """Something of the client's is on the server's statement: the connection is its own as long as it is."""
        self._taken[statement] = place
        self.reusable = False

    def _release(self, statement: Statement) -> None:
        key, id = self._taken.pop(statement, ((EMPTY, b""), 0))
        if id and self._statements.get(key) != id:
            self._close(id)
        self._become_reusable()

    def _is_taken(self, id: int) -> bool:
        return any(id == other for _, other in self._taken.values())

    def _remember(self, key: _Key, frame: bytes) -> None:
        """A statement was prepared here."""
        id, known = int.from_bytes(frame[HEAD + 1 : HEAD + 5], "little"), self._statements.get(key)
        if known is not None and not self._is_taken(known):
            self._close(id)
        else:
            self._statements[key] = id
        self._statements.move_to_end(key)
        while len(self._statements) > MOST_STATEMENTS:
            _, old = self._statements.popitem(last=False)
            if not self._is_taken(old):
                self._close(old)

    def _close(self, id: int) -> None:
        self._closing.append(packet(bytes((commands.STMT_CLOSE,)) + id.to_bytes(4, "little"), 0))

    def unsent_bytes(self, id: int) -> int:
        return sum(len(each.frame) for each in self._stash)

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        try:
            if self._logging_in:
                data = self._receive_login(data)
            if data and self.error is None:
                messages = self._receive_answers(data)
        except FrameError as error:
            self.error = error
        self.buffered = len(self._held) + self._answers.buffered
        return messages

    def _receive_answers(self, data: bytes) -> list[Message]:
        found, error = self._answers.read(data)
        messages: list[Message] = []
        for message in found:
            self._sort(message, messages)
        if error is None and self._answers.buffered and not self._answers.waiting:
            # The rest of it would be a part of the answer to the next client, or to the login that comes before.
            error = FrameError("the beginning of a packet that answers nothing")
        if error is not None:
            self.error = error
        return messages

    _passed: list[Message]

    def _sort(self, message: Message, messages: list[Message]) -> None:
        """Answers to clients pass, others go to who asked."""
        mine = self._mine[0] if self._mine else None
        if mine is not None:
            self._begun += message.frame
        if isinstance(message, Answer | LastChunk) and self._mine:
            self._mine.popleft()
            self._settled -= 1
            if mine is not None:
                self._passed = messages
                mine(message)
                self._begun.clear()
                return
        if mine is not None:
            return
        if message.kind is Kind.ERROR and self._may_be_asked_again(message.frame):
            text = read_error(message.frame[HEAD:]).text.encode("utf-8", "replace")
            messages += (Message(Kind.DRAIN, b""), Chunk(Kind.STREAM_RESET, text, message.id))
            return
        messages.append(message)

    def _may_be_asked_again(self, frame: bytes) -> bool:
        """
        Whether that is a server's word that it ends, or ends the connection, in place of an answer to what only reads.
        Then another server may be asked, and the client goes on.
        """
        command = self._command
        if command is None or command.kind is not Kind.REQUEST or read_error(frame[HEAD:]).number not in _ENDS:
            return False
        owner = command.owner
        return isinstance(owner, PooledClient) and not owner.killed and owner.may_ask_again(command)

    def _pass(self, message: PooledCommand, answer: Answer | LastChunk, shape: Shape) -> None:
        """An error of the session's own command is that of the client's."""
        if shape is Shape.NONE:
            return
        answer.effect, answer.id = effect_of(message), message.id
        self._hold(answer)
        self._passed.append(answer)

    def _settle(self, message: Answer | LastChunk) -> None:
        """A whole answer has come; to a client's command it says whether the client keeps the connection."""
        if message.end is not None:
            self._status = message.end.status
        place, self._settled = self._settled, self._settled + 1
        if place < len(self._mine) and self._mine[place] is None:
            self._hold(message)

    def _hold(self, message: Answer | LastChunk) -> None:
        command, end = self._command, message.end
        keep = command is not None and bool(self._status & IN_TRANSACTION)
        if command is not None:
            failed = has_failed(message)
            keeps = bool(command.standing.reasons if command.outcome is NOTHING else command.reasons(failed))
            self._soiled = self._soiled or keeps or command.soils
            if command.resets:
                self._soiled, keep = True, False  # whatever the server made of it: a new login follows
                self._status = 0
            elif not failed:
                if command.change is not None:
                    self._state = self._own(command.change(command.profile))
                if command.frame[HEAD] == commands.STMT_PREPARE and command.statement is not None:
                    self._remember((self._state, command.statement.text), message.frame)
            if command.statement is not None:
                self._executed(command, command.statement, end)
            warns = end is not None and end.warnings > 0 and self.facts.get("endpoint.role") != "replica"
            lingers = not failed and (command.lingers or warns)
            keep = keep or (not command.resets and (keeps or lingers or bool(self._taken)))
        message.hold = Hold.OPEN if keep else Hold.CLOSE
        self._become_reusable()

    def _executed(self, command: PooledCommand, statement: Statement, end: End | None) -> None:
        """Whether there is a cursor now; values that were sent ahead are gone, unless they failed."""
        code, status = command.frame[HEAD], end.status if end is not None else 0
        if code == commands.STMT_FETCH:
            if status & LAST_ROW_SENT:
                self._release(statement)
        elif code in (commands.STMT_EXECUTE, commands.STMT_BULK_EXECUTE):
            if status & CURSOR and not status & LAST_ROW_SENT:
                self._taken[statement] = self._running
                return
            self._soiled = self._soiled or (end is None and statement in self._taken)
            self._release(statement)


def _ignored(answer: Answer | LastChunk) -> None:
    """Of a command whose success nothing depends on."""
