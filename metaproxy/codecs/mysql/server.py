"""
A server's connection that one client has for itself: the greeting, the client's own login, then commands.

Lives here: `ServerSession`. Does not: where answers end (`answers`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql.answers import Answers
from metaproxy.codecs.mysql.commands import SHAPES, Shape
from metaproxy.codecs.mysql.handshake import Capability, Greeting
from metaproxy.codecs.mysql.messages import Answer, Greeted, LastChunk, effect_of
from metaproxy.codecs.mysql.packets import ERR, LONGEST_LOGIN, head_of, payload_of, read_error
from metaproxy.codecs.mysql.passing_login import PassingLogin
from metaproxy.message import Chunk, FrameError, Kind, Message

_HEAD = 4


class ServerSession(Session):
    """max_frame: bytes of a packet that must be whole; stream_over: of an answer beyond which it comes in pieces."""

    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self.ready = False
        self._answers = Answers(max_frame, stream_over, self._settle)
        self._held = bytearray()
        self._logged_in = False
        self._login: PassingLogin | None = None  # that is under way
        self._uneven: PassingLogin | None = None  # TLS is on one side alone
        self._offered = 0  # the capabilities of its greeting

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        if self._login is None or not self.start_tls:
            return b""
        self.start_tls = False  # TLS has begun
        self.ready = True
        return self._login.login()

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        frame = message.frame
        if isinstance(message, Chunk):
            return frame
        if message.kind is Kind.ONEWAY:
            return frame if self._login is None else self._login.to_server(frame)
        shape = SHAPES.get(frame[_HEAD], Shape.ONE)
        if not self._logged_in:
            frame, shape = self._log_in(frame), Shape.LOGIN
        elif shape is Shape.LOGIN and self._uneven is not None:
            self._uneven.check_change(payload_of(frame))
        if shape is not Shape.NONE:
            self._answers.expect(shape, message.id, effect_of(message))
        return frame

    def _log_in(self, frame: bytes) -> bytes:
        """The login as it goes out; nothing where TLS begins first."""
        starts_tls = "tls.start" in self.facts
        if starts_tls and not self._offered & Capability.SSL:
            raise FrameError("the server does not offer TLS, and the cluster has `tls: {start: protocol}`")
        login = PassingLogin(frame, starts_tls)
        self._logged_in = True
        self._login = login
        self._uneven = login if login.uneven else None
        self._answers.flags = login.flags & self._offered
        if not starts_tls:
            return login.login()
        self.say(login.tls_request())
        self.start_tls, self.ready = True, False
        return b""

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self.start_tls:
            self.error = FrameError("a server that speaks where TLS was to begin")
            return []
        if not self.ready:
            return self._greeting(data)
        messages, self.error = self._answers.read(data)
        self.buffered = self._answers.buffered
        if self._login is not None:
            return self._within_login(self._login, messages)
        return messages if self._uneven is None else self._checked(self._uneven, messages)

    def _checked(self, login: PassingLogin, messages: list[Message]) -> list[Message]:
        """Of a COM_CHANGE_USER, the same questions must not be answered."""
        for place, message in enumerate(messages):
            if message.kind is Kind.INTERIM:
                try:
                    login.check_question(message.frame[_HEAD:])
                except FrameError as error:
                    self.error = error
                    return messages[:place]
        return messages

    def _within_login(self, login: PassingLogin, messages: list[Message]) -> list[Message]:
        for place, message in enumerate(messages):
            try:
                message.frame = login.to_client(message.frame)
            except FrameError as error:
                self.error = error
                return messages[:place]
            if message.kind is not Kind.INTERIM:
                self._login = None
                break  # what follows, if anything does, is no part of it
        return messages

    def _greeting(self, data: bytes) -> list[Message]:
        self._held += data
        held = self._held
        self.buffered = len(held)
        if len(held) < _HEAD:
            return []
        size, _ = head_of(bytes(held[:_HEAD]), 0)
        stop = _HEAD + size
        try:
            if not size or stop > LONGEST_LOGIN:
                raise FrameError(f"a greeting of {size} bytes")
            if len(held) < stop:
                return []
            frame = bytes(held[:stop])
            if frame[_HEAD] == ERR:
                refusal = read_error(frame[_HEAD:])
                raise FrameError(f"the server refused the connection: {refusal.number} {refusal.text}")
            self._offered = Greeting.read(frame[_HEAD:]).capabilities
        except FrameError as error:
            self.error = error
            self.buffered = 0
            return []
        rest = bytes(held[stop:])
        self._held = bytearray()
        self.ready = True
        self.buffered = 0
        greeted = Greeted(Kind.EVENT, frame)
        greeted.server = self.facts.get("endpoint.address", "")
        return [greeted, *(self.receive(rest) if rest else ())]

    def _settle(self, message: Answer | LastChunk) -> None:
        """Nothing: what the server says of its state is its client's alone."""
