"""
A client's connection whose login passes: what it says goes to its own server, command by command.

    greeting ── login ── questions and answers ── OK ── commands
                              └──────── COM_CHANGE_USER ───┘

Lives here: `ClientSession`. Does not: cutting the stream (`stream`), metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial

import re2

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.answers import LOCAL_INFILE
from metaproxy.codecs.mysql.commands import SHAPES, Shape
from metaproxy.codecs.mysql.errors import UNKNOWN_COMMAND
from metaproxy.codecs.mysql.handshake import COMPRESSION, Capability, ChangeUser, Greeting, Login, read_attributes
from metaproxy.codecs.mysql.kill import is_elsewhere, keep_number, read_kill
from metaproxy.codecs.mysql.messages import Command, Effect, Greeted, LocalError, effect_of, has_failed
from metaproxy.codecs.mysql.metadata import Identity, Reader
from metaproxy.codecs.mysql.packets import ERR, HEAD, error_packet, head_of, packet, payload_of
from metaproxy.codecs.mysql.session_state import ADRIFT, outcome_of
from metaproxy.codecs.mysql.stream import CommandStream
from metaproxy.message import FrameError, Hold, Kind, Message

_ROWS = (b"insert", b"replac", b"update", b"delete", b"select")
"""How statements begin, in six letters, that choose no database however long they are."""
_MAY_USE = re2.compile(rb"(?i)\b(use|execute|end)\b")
"""What statements have that may choose a database; see `_may_use`."""
_KILLS = re2.compile(rb"(?i)^\s*kill\s")
_ENDS = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)


class ClientSession(CommandStream):
    __slots__ = (
        "_asked", "_choice", "_choices", "_choosing", "_greeted", "_logged", "_logging_in", "_more", "_offered",
        "_over_tls", "_server", "_who",
    )  # fmt: skip

    def __init__(self, max_frame: int, stream_over: int, login_timeout: float = 0.0) -> None:
        super().__init__(max_frame, stream_over, login_timeout)
        self._who = Identity()
        self._more = Reader(self._who)
        self._greeted = self._over_tls = False
        self._offered = 0  # the capabilities of the greeting
        self._server = ""  # its address
        self._logged = False  # a login was sent, whatever became of it
        self._logging_in = False  # between a login, or COM_CHANGE_USER, and what it ends with
        self._asked = False  # the server waits for an answer of this client's
        self._choices = 0  # commands that choose a database, or may do so, so far
        self._choice: Effect | None = None  # of the last one, while it is not answered
        self._choosing: set[int] = set()  # ids of prepared ones

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        self._over_tls, self.start_tls = self.start_tls, False  # TLS has begun, if it was asked for
        return b""

    # -- what a packet is

    def _take(self, frame: bytes, sequence: int, messages: list[Message]) -> None:
        if not sequence:
            if not (self._may_compress and self.compresses(frame)):
                self._command(frame, messages)
        elif self._logging_in:
            if not self._asked:
                raise FrameError("a packet of a login that the server did not ask for")
            self._asked = False
            messages.append(Message(Kind.ONEWAY, frame, 0, {"command": "login", "operation": "login"}))
        elif self._logged or not self._greeted:
            raise FrameError(f"a command with the sequence number {sequence}; it is 0")
        elif self.may_log_in(payload_of(frame)):
            self._login(frame, sequence, messages)

    def _request(self, frame: bytes) -> Command:
        message = Command(Kind.REQUEST, frame, 0, None, self._more if self._choice is None else self._read_late)
        message.login, message.effect, message.reader = False, None, self._more
        return message

    def _login(self, frame: bytes, sequence: int, messages: list[Message]) -> None:
        login = Login.read(payload_of(frame))
        if login.capabilities & Capability.SSL and not self._over_tls:
            raise FrameError("a login that says it is over TLS, which was not begun")
        plain = self.without_compression(login.capabilities)
        if plain != login.capabilities:  # its server would take it at its word
            frame = frame[:HEAD] + (plain & 0xFFFFFFFF).to_bytes(4, "little") + frame[HEAD + 4 :]
        attributes = read_attributes(login.attributes)
        who = self._who
        who.flags = login.capabilities & self._offered
        who.user, who.database = _text(login.user), _text(login.database)
        who.application = attributes.get("program_name") or attributes.get("_client_name", "")
        self._more = Reader(who)
        message = self._request(frame)
        message.login = True
        message.metadata = self._more.login()
        message.more = None
        self._logging_in = self._logged = True
        message.effect = self._logged_in
        messages.append(message)

    def _command(self, frame: bytes, messages: list[Message]) -> None:
        if len(frame) <= HEAD:
            raise FrameError("an empty packet where a command was expected")
        code = frame[HEAD]
        if self._logging_in and code != commands.QUIT:  # what the server asks for could come behind it
            raise FrameError("a command before the login is over")
        message = self._request(frame)
        shape = SHAPES.get(code)
        if shape is None:
            message.answer = error_packet(self._sequence + 1, *UNKNOWN_COMMAND, f"command {code:#x} is not known")
        elif shape is Shape.NONE:
            self._unanswered(code, message)
        else:
            effect = _EFFECTS.get(code)
            if effect is not None:
                effect(self, message)
        messages.append(message)  # none whose reading has failed

    def _unanswered(self, code: int, message: Message) -> None:
        message.kind = Kind.ONEWAY
        if code == commands.QUIT:
            self._quit = self.closing = True
        elif code == commands.STMT_CLOSE:
            self._who.statements.remove(int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little"))

    def _admit(self, beginning: bytes, id: int) -> Message:
        more = self._more if self._choice is None else self._read_late
        head = Message(Kind.STREAM_OPEN, beginning, id, None, more, None, Hold.EXCHANGE)
        if beginning[HEAD] == commands.QUERY:
            several = self._who.flags & Capability.MULTI_STATEMENTS
            if several or (self._more.text(head) or b"").lstrip()[:6].lower() not in _ROWS:
                self._drift()  # its end may choose a database
        elif beginning[HEAD] == commands.STMT_SEND_LONG_DATA:
            head.oneway = True
        return head

    # -- what its answer changes

    def _init_db(self, message: Command) -> None:
        self._choose(message, payload_of(message.frame)[1:])

    def _query(self, message: Command) -> None:
        text = self._more.text(message)
        if text is None:
            return
        if _may_use(text):
            self._may_choose(message, text)
        elif (
            text.lstrip()[:4].lower() == b"kill"
            and _KILLS.search(text)
            and (kill := read_kill(_text(text))) is not None
        ):
            self._kill(message, kill.number)

    def _process_kill(self, message: Command) -> None:
        self._kill(message, int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little"))

    def _kill(self, message: Command, number: int) -> None:
        """This client's server may have another connection of that number."""
        if self._server and is_elsewhere(number, self._server):
            text = f"Unknown thread id: {number}; it is at another server than this connection"
            message.answer = error_packet(self._sequence + 1, 1094, "HY000", text)

    def _execute(self, message: Command) -> None:
        if int.from_bytes(message.frame[HEAD + 1 : HEAD + 5], "little") in self._choosing:
            text = self._more.text(message)
            if text is None:
                self._drift()
            else:
                self._may_choose(message, text)

    def _may_choose(self, message: Command, text: bytes) -> None:
        outcome = outcome_of(text)
        if ADRIFT in outcome.reasons:
            self._drift()
        elif outcome.database is not None:
            self._choose(message, outcome.database)

    def _choose(self, message: Command, name: bytes) -> None:
        """What comes behind it waits, to be known as what it is: asked in that database, if the server agrees."""
        self._choices += 1
        message.hold = Hold.EXCHANGE
        message.effect = self._choice = partial(self._use, name, self._choices)

    def _drift(self) -> None:
        """From now on its database may be another one, whatever becomes of what was asked before."""
        self._choices += 1
        self._who.adrift = True
        self._more = Reader(self._who)

    def _use(self, name: bytes, choice: int, answer: Message) -> None:
        self._who.database = _text(name)
        self._who.adrift = choice != self._choices
        self._more = Reader(self._who)

    def _read_late(self, message: Message) -> None:
        """Metadata of a command, as its client is when they are asked for."""
        self._more(message)

    def _prepare(self, message: Command) -> None:
        text = payload_of(message.frame)[1:]

        def prepared(answer: Message) -> None:
            if len(answer.frame) >= HEAD + 5:
                id = int.from_bytes(answer.frame[HEAD + 1 : HEAD + 5], "little")
                self._who.statements.add(id, text)
                self._choosing.discard(id)
                if _may_use(text) and outcome_of(text).chooses:
                    self._choosing.add(id)

        message.effect = prepared

    def _reset_connection(self, message: Command) -> None:
        message.effect = lambda answer: self._who.statements.clear()

    def _change_user(self, message: Command) -> None:
        said = ChangeUser.read(payload_of(message.frame), self._who.flags)
        self._logging_in = True
        message.login = True
        message.hold = Hold.WAIT  # what the server asks for meanwhile comes behind all that was asked before

        def changed(answer: Message) -> None:
            self._who.user, self._who.database, self._who.adrift = _text(said.user), _text(said.database), False
            self._who.statements.clear()
            self._logged_in(answer)

        message.effect = changed

    def _logged_in(self, answer: Message) -> None:
        self._more = Reader(self._who)

    # -- the other direction

    def send(self, message: Message, id: int) -> bytes:
        kind = message.kind
        if kind is Kind.EVENT:
            return message.frame if self._greeted else self._greet(message)
        if self._logging_in:
            self._log_in(message)
        effect = effect_of(message)
        if effect is not None:
            if effect is self._choice:
                self._choice = None
            if not has_failed(message):
                effect(message)
        if isinstance(message, LocalError):
            return self.send_error(message, id)
        if message.metadata is not None and LOCAL_INFILE in message.metadata:
            self.send_file(id)
        return message.frame

    def _greet(self, message: Message) -> bytes:
        """The server's greeting, without what this proxy can't follow."""
        self._greeted = True
        frame = message.frame
        payload = payload_of(frame)
        if payload[0] == ERR:
            return frame
        _, sequence = head_of(frame, 0)
        seen = Greeting.read(payload)
        if isinstance(message, Greeted) and message.server:
            self._server = message.server
            keep_number(self, seen.thread, self._server)
        greeting = seen.without(COMPRESSION | Capability.SSL)
        if "tls.start" in self.facts:
            greeting = greeting.without(0, Capability.SSL)
        self._offered = greeting.capabilities
        return packet(greeting.write(), sequence)

    def _log_in(self, message: Message) -> None:
        if message.kind is Kind.INTERIM:
            self._sequence = message.frame[3]
            self._asked = message.frame[HEAD : HEAD + 2] != b"\x01\x03"  # a quick login went well: nothing is asked
        elif message.kind in _ENDS:
            self._logging_in = self._asked = False
            self.admitted = True  # or refused by the server, who then ends the connection
            self._bound = self._stream_over


_EFFECTS: dict[int, Callable[[ClientSession, Command], None]] = {
    commands.INIT_DB: ClientSession._init_db,
    commands.QUERY: ClientSession._query,
    commands.STMT_EXECUTE: ClientSession._execute,
    commands.STMT_PREPARE: ClientSession._prepare,
    commands.PROCESS_KILL: ClientSession._process_kill,
    commands.CHANGE_USER: ClientSession._change_user,
    commands.RESET_CONNECTION: ClientSession._reset_connection,
}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _may_use(text: bytes) -> bool:
    """Whether a statement may choose a database: see session_state. Of most it is known without a pattern."""
    low = text.lower()
    return (b"use" in low or b"end" in low or b"execute" in low) and bool(_MAY_USE.search(low))
