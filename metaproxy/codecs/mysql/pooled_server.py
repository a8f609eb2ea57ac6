"""
A connection to a server that the proxy has logged in on, and that clients borrow.

    greeting ── [TLS] ── login ── settings ── ready ──┬── a client's command ── ready
                           └── COM_CHANGE_USER ───────┴── settings of another client

In front of a client's command goes what the connection lacks for it: a statement that was not prepared here, the number
that LAST_INSERT_ID() gives. The answers to that go no further.

Lives here: `PooledServer`. Does not: where answers end (`answers`), the login (`upstream_login`), which settings differ
(`profile`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.answers import Answers
from metaproxy.codecs.mysql.commands import SHAPES, Shape
from metaproxy.codecs.mysql.handshake import Capability, Greeting
from metaproxy.codecs.mysql.messages import Answer, Effect, LastChunk, effect_of, has_failed
from metaproxy.codecs.mysql.packets import (
    CURSOR,
    ERR,
    FULL,
    HEAD,
    IN_TRANSACTION,
    LAST_ROW_SENT,
    LONGEST_LOGIN,
    head_of,
    ok_packet,
    packet,
    read_error,
)  # fmt: skip
from metaproxy.codecs.mysql.pooled_messages import PooledCommand, Statement
from metaproxy.codecs.mysql.profile import EMPTY, Profile, difference, same_connection
from metaproxy.codecs.mysql.upstream_login import UpstreamLogin
from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message

MOST_STATEMENTS = 512
"""Prepared statements that are kept on a connection; of more the one that was used longest ago is closed."""
_NOTHING = packet(b"\3SELECT 1 FROM (SELECT 1) a", 0)
"""Has no warnings, and a table, without which MariaDB keeps the warnings of the statement before."""
Mine = Callable[[Answer | LastChunk], None]
"""What takes the answer to a command of the session's own."""


class Refused(FrameError):
    """A command that this connection can't carry out."""

    kind = ErrorKind.UNSUPPORTED


class PooledServer(Session):
    """
    max_frame: bytes of a packet that must be whole; stream_over: of an answer beyond which it comes in pieces. learn:
    takes the version of the server.
    """

    def __init__(self, max_frame: int, stream_over: int, learn: Callable[[bytes], None]) -> None:
        super().__init__()
        self.ready = False
        self._learn = learn
        self._answers = Answers(max_frame, stream_over, self._settle)
        self._login: UpstreamLogin | None = None
        self._logging_in = True
        self._greeting: Greeting | None = None
        self._held = bytearray()
        self._wanted = self._state = EMPTY
        self._mine: deque[Mine | None] = deque()  # who takes the answers that are to come; None: a client
        self._setup_failed = b""
        self._round = 0  # how often settings were made
        self._owner: object = None  # whose command was carried out last
        self._soiled = False
        self._status = 0
        self._command: PooledCommand | None = None
        self._cursors: set[int] = set()
        self._statements: OrderedDict[tuple[Profile, bytes], int] = OrderedDict()
        self._closing: list[bytes] = []  # goes in front of the next command
        self._stash: list[bytes] = []  # a command that waits for its statement to be prepared
        self._stashes = False

    # -- login and settings

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        self._wanted = profile if isinstance(profile, Profile) else EMPTY
        self._login = UpstreamLogin(credentials, "tls.version" in self.facts)
        if self._greeting is None:
            return b""
        self.start_tls = False  # TLS has begun
        return self._log_in(2)

    def _log_in(self, sequence: int) -> bytes:
        assert self._login is not None and self._greeting is not None  # made by open; read by now
        wanted = self._wanted
        data = self._login.begin(self._greeting, wanted.flags, wanted.charset or 45, sequence)
        self._state = Profile(wanted.flags, wanted.charset)
        return data

    def change(self, profile: Hashable) -> bytes | None:
        if not isinstance(profile, Profile) or self._login is None or not same_connection(self._state, profile):
            return None
        self._wanted = profile
        if self._logging_in:  # what is wanted by then follows the login
            return b"" if profile.charset == self._state.charset else None
        made = None if self._is_soiled() else difference(self._state, profile)
        if made is not None:
            self._owner = None if made else self._owner
            return self._set_up(made)
        return self._log_in_again()

    def _log_in_again(self) -> bytes:
        """Rid the connection of all that is on it; what is wanted follows."""
        assert self._login is not None  # made by open
        profile = self._wanted
        self.ready = False
        self._logging_in = True
        self._statements.clear()
        self._closing.clear()
        self._cursors.clear()
        self._owner, self._soiled, self._status = None, False, 0
        self._state = Profile(self._state.flags, profile.charset)
        return self._login.change_user(profile.charset or 45)

    def _is_soiled(self) -> bool:
        return self._soiled or bool(self._status & IN_TRANSACTION) or bool(self._cursors)

    def _set_up(self, made: list[bytes]) -> bytes:
        """Commands of the session's own that lead to the state that is wanted."""
        self._setup_failed = b""
        self._round += 1
        setting_answered = partial(self._setting_answered, self._round)
        for _ in made:
            self._expect(Shape.ONE, setting_answered)
        self._state = self._wanted
        self.ready = not made
        self._become_reusable()
        return b"".join(made)

    def _setting_answered(self, round: int, answer: Answer | LastChunk) -> None:
        """round: of the settings that it is one of; others may have been wanted since."""
        if has_failed(answer):
            if round != self._round:
                self._soiled = True  # it is not in the state from which the later ones were reckoned
            elif not self._setup_failed:
                self._setup_failed = answer.frame
        if self._mine:
            return
        if self._soiled:
            self.say(self._log_in_again())
            return
        self.ready, self.welcome = True, _WELCOME
        if self._setup_failed:
            # Who logs in gets the server's own error (its database is not known); who asks something, see `send`.
            self.welcome, self._soiled = Message(Kind.ERROR, self._setup_failed), True
        self._become_reusable()

    def _expect(self, shape: Shape, mine: Mine | None, id: int = 0, effect: Effect | None = None) -> None:
        self._mine.append(mine)
        self._answers.expect(shape, id, effect)

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
        if not isinstance(message, PooledCommand):  # of a health check, or changed on its way
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

    def _receive_login(self, data: bytes) -> bytes:
        """Goes on with the login; gives what follows it."""
        self._held += data
        while self._logging_in and not self.start_tls:
            held = bytes(self._held)
            if len(held) < HEAD:
                return b""
            size, sequence = head_of(held, 0)
            stop = HEAD + size
            if not size or size == FULL or stop > LONGEST_LOGIN:
                raise FrameError(f"a packet of {size} bytes within a login")
            if len(held) < stop:
                return b""
            self._held = bytearray(held[stop:])
            self._login_packet(held[HEAD:stop], sequence)
        rest, self._held = bytes(self._held), bytearray()
        if self.start_tls and rest:
            raise FrameError("a server that speaks behind its greeting, where TLS was to begin")
        return rest

    def _login_packet(self, payload: bytes, sequence: int) -> None:
        login = self._login
        if login is None:
            raise FrameError("a server that speaks on a connection that was not opened")
        if self._greeting is None:
            self._greet(payload, sequence)
            return
        said = login.receive(payload, sequence)
        if said:
            self.say(said)
        if login.done:
            self._logging_in = False
            self._answers.flags = login.flags
            made = difference(self._state, self._wanted)
            assert made is not None  # from a state without any
            setup = self._set_up(made)
            if setup:
                self.say(setup)
            else:
                self.welcome = _WELCOME

    def _greet(self, payload: bytes, sequence: int) -> None:
        if payload[0] == ERR:
            refusal = read_error(payload)
            raise FrameError(f"the server refused the connection: {refusal.number} {refusal.text}")
        greeting = self._greeting = Greeting.read(payload)
        self._learn(greeting.version)
        if "tls.start" not in self.facts:
            self.say(self._log_in(sequence + 1))
            return
        if not greeting.capabilities & Capability.SSL:
            raise FrameError("the server does not offer TLS, and the cluster has `tls: {start: protocol}`")
        assert self._login is not None  # made by open
        self.say(self._login.ask_for_tls(greeting, self._wanted.flags, sequence + 1))
        self.start_tls = True

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
        keep = bool(self._status & IN_TRANSACTION)
        if command is not None:
            failed = has_failed(message)
            self._soiled = self._soiled or command.keep or command.soils
            if command.resets:
                self._soiled, keep = True, False  # whatever the server made of it: a new login follows
                self._status = 0
            elif not failed:
                if command.becomes is not None:
                    self._state = command.becomes
                if command.frame[HEAD] == commands.STMT_PREPARE and command.statement is not None:
                    self._prepared(command.statement, message.frame)
            if end is not None:
                self._cursor(end.status)
            lingers = not failed and (command.lingers or (end is not None and end.warnings > 0))
            keep = keep or (not command.resets and (command.keep or lingers or bool(self._cursors)))
        message.hold = Hold.OPEN if keep else Hold.CLOSE
        self._become_reusable()

    def _prepared(self, statement: Statement, frame: bytes) -> None:
        statement.parameters = int.from_bytes(frame[HEAD + 7 : HEAD + 9], "little")
        self._remember((self._state, statement.text), frame)

    def _cursor(self, status: int) -> None:
        if status & CURSOR and not status & LAST_ROW_SENT:
            self._cursors.add(self._running)
        elif status & LAST_ROW_SENT:
            self._cursors.discard(self._running)

    def _become_reusable(self) -> None:
        self.reusable = self._state == self._wanted and not self._is_soiled()


_WELCOME = Message(Kind.RESPONSE, ok_packet(2))


def _ignored(answer: Answer | LastChunk) -> None:
    """Of a command whose success nothing depends on."""
