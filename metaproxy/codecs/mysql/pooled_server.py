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
    packet,
    read_error,
)  # fmt: skip
from metaproxy.codecs.mysql.pooled_login import PooledLogin, Seen
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, Statement
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.proxy_login import ProxyLogin
from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message

MOST_STATEMENTS = 512
"""Prepared statements that are kept on a connection; of more the one that was used longest ago is closed."""
_NOTHING = packet(b"\3SELECT 1 FROM (SELECT 1) a", 0)
"""Has no warnings, and a table, without which MariaDB keeps the warnings of the statement before."""


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
        self._cursors: set[int] = set()
        self._statements: OrderedDict[tuple[Profile, bytes], int] = OrderedDict()
        self._closing: list[bytes] = []  # goes in front of the next command
        self._stash: list[bytes] = []  # a command that waits for its statement to be prepared
        self._stashes = False

    # -- the state that it is in

    def _forget(self) -> None:
        self._statements.clear()
        self._closing.clear()
        self._cursors.clear()
        self._owner, self._status = None, 0

    def _set_up(self, made: list[bytes]) -> bytes:
        self._owner = None if made else self._owner
        return super()._set_up(made)

    @property
    def in_transaction(self) -> bool:  # type: ignore[override]  # it is only read
        return bool(self._status & IN_TRANSACTION)

    def _is_soiled(self) -> bool:
        return self._soiled or bool(self._status & IN_TRANSACTION) or bool(self._cursors)

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk):
            if not self._stashes:
                return message.frame
            self._stash.append(message.frame)
            return b""
        if self._setup_failed:
            refusal = read_error(self._setup_failed[HEAD:])
            raise Refused(f"the server refuses this client's settings: {refusal.number} {refusal.text}")
        closing, self._closing = b"".join(self._closing), []
        if not isinstance(message, PooledCommand):  # of a health check, or about another client
            self._command = self._owner = None
            self._expect(SHAPES.get(message.frame[HEAD], Shape.ONE), None, message.id)
            return closing + message.frame
        before = b"" if message.owner is self._owner else self._catch_up(message)
        self._owner = message.owner
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
            return packet(b"\3SET last_insert_id = %d" % message.insert_id, 0)
        return b""

    def _send_statement(self, message: PooledCommand, statement: Statement, shape: Shape) -> bytes:
        if message.frame[HEAD] == commands.STMT_BULK_EXECUTE and not self._answers.flags & Capability.STMT_BULK:
            raise Refused("this server has no bulk execution, which another one had that the proxy saw before")
        key = (self._state, statement.text)
        known = self._statements.get(key)
        if known is not None:
            self._statements.move_to_end(key)
            return self._execute(message, known, shape)
        if message.frame[HEAD] == commands.STMT_CLOSE:
            return b""
        self._stashes = True

        def prepared(answer: Answer | LastChunk) -> None:
            self._stashes = False
            stash, self._stash = self._stash, []
            if has_failed(answer):
                self._pass(message, answer, shape)
            else:
                self._remember(key, answer.frame)
                self.say(self._execute(message, self._statements[key], shape) + b"".join(stash))

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

    def _execute(self, message: PooledCommand, id: int, shape: Shape) -> bytes:
        code = message.frame[HEAD]
        if code == commands.STMT_CLOSE:  # the statement stays, its cursor does not
            if id not in self._cursors:
                return b""
            self._cursors.discard(id)
            self._expect(Shape.ONE, _ignored)
            return packet(bytes((commands.STMT_RESET,)) + id.to_bytes(4, "little"), 0)
        if code in (commands.STMT_EXECUTE, commands.STMT_RESET):
            self._cursors.discard(id)
        self._running = id
        self._expect_answer(message, shape)
        frame = message.frame
        return frame[: HEAD + 1] + id.to_bytes(4, "little") + frame[HEAD + 5 :]

    _running = 0
    """The server's id of the statement that was executed last."""

    def _remember(self, key: tuple[Profile, bytes], frame: bytes) -> None:
        """A statement was prepared here. One of the same text is as good."""
        id = frame[HEAD + 1 : HEAD + 5]
        if key in self._statements:
            self._closing.append(packet(bytes((commands.STMT_CLOSE,)) + id, 0))
            self._statements.move_to_end(key)
            return
        self._statements[key] = int.from_bytes(id, "little")
        while len(self._statements) > MOST_STATEMENTS:
            _, old = self._statements.popitem(last=False)
            self._closing.append(packet(bytes((commands.STMT_CLOSE,)) + old.to_bytes(4, "little"), 0))

    def unsent_bytes(self, id: int) -> int:
        return sum(map(len, self._stash))

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
        if error is not None:
            self.error = error
        return messages

    _passed: list[Message]

    def _sort(self, message: Message, messages: list[Message]) -> None:
        """Answers to clients pass, others go to who asked."""
        mine = self._mine[0] if self._mine else None
        if isinstance(message, Answer | LastChunk) and self._mine:
            self._mine.popleft()
            if mine is not None:
                self._passed = messages
                mine(message)
                return
        if mine is None:
            messages.append(message)

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
        if self._mine and self._mine[0] is None:
            self._hold(message)

    def _hold(self, message: Answer | LastChunk) -> None:
        command, end = self._command, message.end
        keep = command is not None and bool(self._status & IN_TRANSACTION)
        if command is not None:
            failed = has_failed(message)
            self._soiled = self._soiled or command.keep or command.soils
            if command.resets:
                self._soiled, keep = True, False  # whatever the server made of it: a new login follows
                self._status = 0
            elif not failed:
                if command.becomes is not None:
                    self._state = self._own(command.becomes)
                if command.frame[HEAD] == commands.STMT_PREPARE and command.statement is not None:
                    self._remember((self._state, command.statement.text), message.frame)
            if end is not None:
                self._cursor(end.status)
            warns = end is not None and end.warnings > 0 and self.facts.get("endpoint.role") != "replica"
            lingers = not failed and (command.lingers or warns)
            keep = keep or (not command.resets and (command.keep or lingers or bool(self._cursors)))
        message.hold = Hold.OPEN if keep else Hold.CLOSE
        self._become_reusable()

    def _cursor(self, status: int) -> None:
        if status & CURSOR and not status & LAST_ROW_SENT:
            self._cursors.add(self._running)
        elif status & LAST_ROW_SENT:
            self._cursors.discard(self._running)


def _ignored(answer: Answer | LastChunk) -> None:
    """Of a command whose success nothing depends on."""
