"""
A client's connection whose login passes: all that it says goes on to the client's own upstream connection.

Lives here: `ClientSession`: the messages before the login, what the answers say of the connection's state, the proxy's
own errors. Does not: requests (`units`), what they ask for (`metadata`).
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Hashable, Mapping

from metaproxy.codecs.cancel_keys import adopt_key, new_key, owner_of
from metaproxy.codecs.framing import Session
from metaproxy.codecs.login_time import LoginTime
from metaproxy.codecs.postgres import metadata, wire
from metaproxy.codecs.postgres.startup_options import secret_size
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED, UnitReader
from metaproxy.message import FinalFrame, FrameError, Hold, Kind, Message

IDLE, IN_TRANSACTION, FAILED = b"I", b"T", b"E"
"""States that ReadyForQuery tells."""
MOST_PREPARED, MOST_TEXT = 1000, 1 << 20
"""Prepared statements of a client whose SQL is remembered for its later requests, and bytes of them."""
_ANSWERS = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)
_UNENCRYPTED = b"N"
"""The answer to a client that asks for encryption: none, go on without."""
_ENCRYPTED = b"S"
_ALPN = "postgresql"
_HANDSHAKE = b"\x16"
"""What a handshake of TLS begins with."""


_NONE: frozenset[int] = frozenset()


class LocalError(Message):
    """
    An ErrorResponse of the proxy's own, and a ReadyForQuery where the client waits for one. fatal: the connection ends
    behind it.
    """

    __slots__ = ("fatal",)
    fatal: bool


class ClientRequest(Message):
    """
    session: what its metadata are completed from. login: it belongs to a login that is not over. alone: it is no part
    of a batch that goes on in other requests.
    """

    __slots__ = ("alone", "login", "session")
    session: ClientSession
    login: bool
    alone: bool

    def with_frame(self, frame: bytes) -> ClientRequest:
        other = copy.copy(self)
        other.frame = frame
        return other


class FirstMessageRefused(FrameError):
    """A client's first message is understood, and refused, with a SQLSTATE."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class LoginTooLong(FrameError):
    """A client that has begun to log in takes too long. code: its SQLSTATE, as PostgreSQL has it."""

    code = "57014"


class ClientSession(Session, UnitReader):
    """identity: what the StartupMessage says of the client: user, database, application_name."""

    __slots__ = (
        "_asked", "_direct", "_first", "_flags", "_key", "_login_time", "_prepared", "_prepared_size", "_started",
        "_state", "_version", "identity",
    )  # fmt: skip

    def __init__(self, max_frame: int, stream_over: int, login_timeout: float = 0.0) -> None:
        Session.__init__(self)
        UnitReader.__init__(self, max_frame, stream_over)
        self._login_time = LoginTime(login_timeout)
        self._asked: frozenset[int] = _NONE  # for which encryption it has asked
        self.identity: Mapping[str, str] = {}
        self._first = bytearray()
        self._started = self._direct = False
        self._state = IDLE
        self._key = b""
        self._version = 0  # of the protocol, that it asks for
        self._flags = 0  # of the last request's id
        self._prepared: OrderedDict[bytes, bytes] = OrderedDict()
        self._prepared_size = 0

    # -- what the client says

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None or self.quit:
            return messages
        try:
            if not self._started:
                data = self._read_first(data, messages)
            if self._started and not self.quit:
                self.read(data, messages)
        except FrameError as error:
            self.error = error
        self.closing = self.quit
        self.buffered = self.size + len(self._first)
        return messages

    def _read_first(self, data: bytes, messages: list[Message]) -> bytes:
        """The messages before the login, which have no type. What is behind them, once the login has begun."""
        first = self._first
        first += data
        if first[:1] == _HANDSHAKE and "tls.start" in self.facts:
            self._direct = True  # without having asked, as clients of PostgreSQL 17 may
            self._begin_tls()
            return b""
        if self._direct and self.facts.get("tls.alpn") != _ALPN:
            raise FirstMessageRefused(f"TLS that begins at once needs the protocol {_ALPN} (ALPN)", "08P01")
        while not self._started and not self.quit and not self.start_tls and len(first) >= 4:
            size = wire.LENGTH.unpack_from(first)[0]
            if not 8 <= size <= wire.MAX_STARTUP:
                raise FrameError(f"a first message of {size} bytes; a StartupMessage has 8 to {wire.MAX_STARTUP}")
            if len(first) < size:
                break
            code = wire.LENGTH.unpack_from(first, 4)[0]
            frame = bytes(first[:size])
            del first[:size]
            message = self._begin_connection(code, frame)
            if message is not None:
                messages.append(message)
        if not self._started:
            return b""
        rest = bytes(first)
        first.clear()
        return rest

    def beat(self, now: float) -> None:
        if self.logging_in and self.error is None and not self.quit and self._login_time.over(now):
            self.error = LoginTooLong(f"the login is not over after {self._login_time.limit:g} s (login_timeout)")

    def _begin_connection(self, code: int, frame: bytes) -> Message | None:
        if code == wire.SSL or code == wire.GSSENC:
            if code in self._asked:
                raise FrameError("a client that asks for the same encryption twice")
            self._asked |= {code}
        if code == wire.SSL and "tls.start" in self.facts:
            self.say(_ENCRYPTED)
            self._begin_tls()
            return None
        if code == wire.SSL or code == wire.GSSENC:
            return Message(Kind.HEARTBEAT, frame, answer=_UNENCRYPTED)
        if code == wire.CANCEL:
            return self._cancel(frame)
        if self.facts.get("tls.start") == "required":
            raise FirstMessageRefused("TLS is required here; use sslmode=require or a stricter one", "28000")
        if code >> 16 != 3:
            text = f"protocol {code >> 16}.{code & 0xFFFF} is not supported; 3.0 and later are"
            raise FirstMessageRefused(text, "0A000")
        parameters = wire.startup_parameters(frame)
        self._started, self._version = True, code
        user = parameters.get("user", "")
        named = {"user": user, "database": parameters.get("database") or user}
        if "application_name" in parameters:
            named["application_name"] = parameters["application_name"]
        self.identity = named
        return self._start(frame, parameters)

    def _begin_tls(self) -> None:
        """What came behind the request must be the handshake: bytes that are not encrypted could be anybody's."""
        rest = bytes(self._first)
        self._first.clear()
        if rest and rest[:1] != _HANDSHAKE:
            raise FrameError("bytes that are not encrypted behind a request for TLS")
        self.start_tls = self.owes = True
        self.tls_rest = rest

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        """TLS has begun."""
        self.start_tls, self.tls_rest = False, b""
        return b""

    def _cancel(self, frame: bytes) -> Message | None:
        """What another client has under way is to end. A key that is not known is passed over in silence."""
        self.quit = True
        owner = owner_of(wire.LENGTH.unpack_from(frame, 8)[0], frame[12:]) if len(frame) > 12 else None
        if owner is None:
            return None
        message = Message(Kind.ONEWAY, frame, 0, {"command": "cancel"}, hold=Hold.COMPANION)
        message.companion = owner
        return message

    def cancel_key(self) -> bytes:
        """What the client names this connection by: the body of its BackendKeyData."""
        if not self._key:
            number, secret = new_key(self, secret_size(self._version))
            self._key = wire.LENGTH.pack(number) + secret
        return self._key

    def _start(self, frame: bytes, parameters: Mapping[str, str]) -> Message | None:
        """The login begins, which passes."""
        message = self.make(Kind.REQUEST, frame, self.begin())
        message.metadata = {"command": "startup", **self.identity}
        message.hold = Hold.OPEN
        return message

    def make(self, kind: Kind, frame: bytes, id: int) -> Message:
        message = ClientRequest(kind, frame, id, None, self.complete)
        self._prepare(message)
        return message

    def complete(self, message: Message) -> None:
        """See Message.more."""
        metadata.read(message, self)

    def _prepare(self, message: ClientRequest) -> None:
        """What is known of a request besides its bytes."""
        message.session = self
        message.login = self.logging_in
        before, self._flags = self._flags, message.id & (EXTENDED | SYNCED)
        message.alone = before != EXTENDED != self._flags
        if not self.logging_in and (self._state == IN_TRANSACTION or self.unanswered > 1 or before == EXTENDED):
            message.refused = failing

    def bye(self, frame: bytes) -> Message | None:
        return self.make(Kind.ONEWAY, frame, 0)

    def survives(self, request: ClientRequest) -> bool:
        """Whether nothing is lost with its server connection."""
        return False

    def parsed(self, name: bytes, text: bytes) -> None:
        before = self._prepared.pop(name, b"")
        self._prepared[name] = text
        self._prepared_size += len(text) - len(before)
        while len(self._prepared) > MOST_PREPARED or self._prepared_size > MOST_TEXT:
            _, forgotten = self._prepared.popitem(last=False)
            self._prepared_size -= len(forgotten)

    def parsed_unseen(self) -> None:
        self._prepared.clear()
        self._prepared_size = 0

    def prepared(self, name: bytes) -> bytes | None:
        return self._prepared.get(name)

    def owed(self) -> bytes:
        if self.error is None or not (self._started or isinstance(self.error, FirstMessageRefused)):
            return super().owed()
        code = self.error.code if isinstance(self.error, FirstMessageRefused | LoginTooLong) else "08P01"
        return super().owed() + wire.error("FATAL", code, str(self.error))

    # -- what it is answered

    def send(self, message: Message, id: int) -> bytes:
        kind = message.kind
        if isinstance(message, LocalError):
            return self._refuse(message, id)
        frame = message.frame
        if self.logging_in and kind is not Kind.EVENT:
            frame = self._with_key(frame)
            if "tls.version" not in self.facts:  # the server offers it over TLS, and the client has none
                frame = wire.without_binding(frame)
        if kind in _ANSWERS:
            self.answer_ends(id)
            state = wire.state_of(frame)
            if state:
                self._state = state
                self.logging_in = False
            elif not self.logging_in and (kind is Kind.ERROR or getattr(message, "failed", False)):
                self.fails(id)
        elif kind is Kind.STREAM_OPEN:
            self.answer_begins(id)
        return frame

    def _with_key(self, frame: bytes) -> bytes:
        """
        The client is given its server's own key, so that process ids (pg_terminate_backend, notifications) mean the
        same to both; one of the proxy's where another client has that already.
        """
        key = wire.key_in(frame)
        if len(key) < 8:
            return frame
        if adopt_key(self, wire.LENGTH.unpack_from(key)[0], key[4:]):
            self._key = key
            return frame
        return wire.with_key(frame, self.cancel_key())

    def _refuse(self, message: LocalError, id: int) -> bytes:
        self.answer_ends(id)
        if message.fatal:
            return FinalFrame(message.frame)
        if self._state == IN_TRANSACTION:
            self._state = FAILED
        if not wire.state_of(message.frame):  # the client learns the state when it sends a Sync
            self.fails(id)
            return message.frame
        return message.frame[: -wire.READY_SIZE] + wire.ready(self._state)


def failing(message: Message, text: str) -> bytes:
    """What is no SQL, in place of a request: by it the transaction fails that it is in."""
    end = wire.message(b"H") if message.id & (EXTENDED | SYNCED) == EXTENDED else wire.message(b"S")
    said = text.replace("\0", " ").encode("utf-8", "replace")
    return wire.message(b"P", b"\0refused by the proxy: %b\0\0\0" % said) + end
