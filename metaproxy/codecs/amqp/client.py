"""
A client's connection: its methods as messages, and what its server says, within the proxy's own limits.

    AMQP0091 ── start-ok ── secure-ok ... ── tune-ok ── open ── channels, until close

Lives here: `ClientSession`, `Command`. Does not: cutting the stream (`stream`), metadata, the server's side (`server`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.errors import CODES, Violation, WrongProtocol, name_of, worded
from metaproxy.codecs.amqp.lanes import Lanes
from metaproxy.codecs.amqp.login_fields import read_login
from metaproxy.codecs.amqp.metadata import Identity, Reader, unknown_queue
from metaproxy.codecs.amqp.methods import METHODS, Method
from metaproxy.codecs.amqp.refusals import Refusals
from metaproxy.codecs.amqp.stream import FrameStream
from metaproxy.codecs.amqp.tuning import TUNED, Tune
from metaproxy.codecs.login_time import LoginTime
from metaproxy.message import Chunk, ErrorKind, FinalFrame, FrameError, Kind, Message

_REQUEST, _ONEWAY, _EVENT = Kind.REQUEST, Kind.ONEWAY, Kind.EVENT
_ON_CLOSED: Final = (methods.CHANNEL_CLOSE, methods.CHANNEL_CLOSE_OK)
_FIRST, _LOGIN, _TUNING, _OPENING, _OPEN = range(5)
"""What is to come next: the protocol's header, start-ok, tune-ok or secure-ok, open; or anything."""
_STAGES: Final = {
    methods.START_OK: (_LOGIN, _TUNING),
    methods.SECURE_OK: (_TUNING, _TUNING),
    methods.TUNE_OK: (_TUNING, _OPENING),
    methods.OPEN: (_OPENING, _OPEN),
}
"""A method of the handshake: what must be due, and what is then."""


class Command(Message):
    """A method of a client. session: of its connection."""

    __slots__ = ("session",)
    session: ClientSession


class ClientSession(FrameStream):
    __slots__ = (
        "_blocked", "_can_wait", "_channel_max", "_closed", "_identity", "_lanes", "_last_id", "_login_time",
        "_naming", "_ours", "_over", "_queues", "_reader", "_refused", "_revoked", "_stage", "_tune", "refusals",
        "unopened",
    )  # fmt: skip

    contents = frozenset((methods.PUBLISH,))
    _beat_answer = wire.BEAT

    def __init__(self, max_frame: int, stream_over: int, tune: Tune, login_timeout: float = 0.0) -> None:
        super().__init__(max_frame, stream_over)
        self._login_time = LoginTime(login_timeout)
        self._tune = tune
        self._stage = _FIRST
        self._last_id = 0
        self._identity = Identity()
        self._reader = Reader(self._identity)
        self._channel_max = 0xFFFF
        self._queues: dict[int, str | int] = {}
        """The queue that a channel has declared last; the id of what declares one whose name the server chooses."""
        self._naming: dict[int, int] = {}
        """Ids of those that are not answered -> their channel."""
        self._closed: set[int] = set()
        """Channels that the server has closed, and whose client has not said that it knows."""
        self.unopened: set[int] = set()
        """Those of them that the proxy did not let be opened, so that no server knows of them."""
        self._lanes = Lanes()
        self.refusals = Refusals()
        self._refused: Callable[[Message, str], bytes] = self.refusals.provoke
        self._revoked: Callable[[Message, str], bytes] = self.refusals.revoke
        self._can_wait = False  # the client understands connection.blocked
        self._blocked = False  # and was sent it, by the proxy
        self._over = False  # connection.close was sent to the client
        self._ours = False  # by the proxy itself, so that no server waits for what answers it

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # -- what a client sends

    def _read(self, data: bytes | bytearray, messages: list[Message]) -> int:
        if self._stage != _FIRST:
            return super()._read(data, messages)
        size = len(wire.PROTOCOL)
        if size > self._most:
            raise WrongProtocol(f"a connection begins with {size} bytes; allowed are {self._most} (max_frame)")
        for at, (read, due) in enumerate(zip(data[:_NAME], wire.PROTOCOL, strict=False)):
            if read != due:
                raise _wrong(bytes(data[: at + 1]))
        if len(data) < size:
            self._need = size if len(data) >= _NAME else 1
            return 0
        if data[:size] != wire.PROTOCOL:
            raise _wrong(bytes(data[:size]))
        self._stage = _LOGIN
        self._greet(messages)
        return super()._read(data[size:], messages) + size

    def _greet(self, messages: list[Message]) -> None:
        """The client has said the protocol's header."""
        message = Command(_REQUEST, wire.PROTOCOL, self._next_id(), self._reader.first())
        message.session = self
        messages.append(message)

    def _message(self, kind: Kind, frame: bytes, channel: int) -> Command:
        message = Command(kind, frame, self._next_id(), None, self._reader)
        message.session = self
        if channel:
            if wire.number_of(frame) != methods.CHANNEL_OPEN:
                message.refused = self._refused
            if kind is _REQUEST:
                message.revoked = self._revoked
        return message

    def _take_content(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if not self._discards(channel, number):
            self._check(channel, number)
            messages.append(self._message(_ONEWAY, frame, channel))

    def _open(self, beginning: bytes, channel: int, number: int, messages: list[Message]) -> int:
        if self._discards(channel, number):
            return 0
        self._check(channel, number)
        head = self._message(Kind.STREAM_OPEN, beginning, channel)
        head.oneway = True
        messages.append(head)
        return head.id

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if self._discards(channel, number):
            return
        method = METHODS.get(number)
        if method is None or number not in methods.OF_CLIENT:
            raise Violation("COMMAND_INVALID", f"{methods.name_of(number)} is no method that a client sends")
        if not channel:
            self._take_control(frame, number, method, messages)
            return
        self._check(channel, number)
        if number in _ON_CLOSED and channel in self.unopened:
            self._leave_unopened(frame, channel, number, messages)
            return
        kind = _REQUEST if method.answer else _ONEWAY
        message = self._message(kind, frame, channel)
        if method.nowait or number in _NAMING_QUEUES:
            self._look(message, channel, number, method)
        elif number == methods.CHANNEL_CLOSE_OK:
            self._closed.discard(channel)
        elif number == methods.CHANNEL_CLOSE:
            self.refusals.leave(channel)
        elif number == methods.CHANNEL_OPEN:
            self.refusals.enter(channel)
        messages.append(message)

    def _leave_unopened(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        """The client knows that its channel was not opened; which it may have closed meanwhile."""
        self.unopened.remove(channel)
        self._closed.discard(channel)
        if number == methods.CHANNEL_CLOSE:
            messages.append(Message(_REQUEST, frame, self._next_id(), answer=wire.channel_closed(channel)))

    def _check(self, channel: int, number: int) -> None:
        if self._stage != _OPEN:
            raise Violation("COMMAND_INVALID", f"{methods.name_of(number)} before connection.open")
        if not channel or number >> 16 == _CONNECTION:
            raise Violation("COMMAND_INVALID", f"{methods.name_of(number)} on channel {channel}")
        if channel > self._channel_max:
            raise Violation("CHANNEL_ERROR", f"channel {channel}; agreed were {self._channel_max} at most")

    def _discards(self, channel: int, number: int) -> bool:
        """Whether it is for what is closed already: its server would drop it, too."""
        if self._over:
            return number not in (methods.CLOSE, methods.CLOSE_OK)
        return bool(self._closed) and channel in self._closed and number not in _ON_CLOSED

    def _look(self, message: Message, channel: int, number: int, method: Method) -> None:
        """At what is not like most: no answer is wanted, or the queue has no name."""
        values = wire.read_arguments(message.frame, method)
        if method.nowait and wire.number_at(values, "bits") & method.nowait:
            message.kind = _ONEWAY
        if "queue" not in values:
            return
        queue = wire.string_at(values, "queue")
        if number == methods.QUEUE_DECLARE:
            self._declared(channel, queue, message.id)
        elif not queue:
            known = self._queues.get(channel, "")
            if isinstance(known, int):
                message.unclear = unknown_queue
                known = ""
            message.more = partial(_read_named, self._reader, known)

    def _declared(self, channel: int, queue: bytes, id: int) -> None:
        before = self._queues.get(channel)
        if isinstance(before, int):
            self._naming.pop(before, None)
        if queue:
            self._queues[channel] = queue.decode("utf-8", "surrogateescape")
        else:
            self._queues[channel] = id
            self._naming[id] = channel

    def _take_control(self, frame: bytes, number: int, method: Method, messages: list[Message]) -> None:
        """A method of the connection itself."""
        if number in _STAGES:
            due, then = _STAGES[number]
            if self._stage != due:
                raise Violation("COMMAND_INVALID", f"{method.name} where it is not due")
            self._stage = then
            self._step(frame, number)
        elif number >> 16 != _CONNECTION:
            raise Violation("COMMAND_INVALID", f"{method.name} on channel 0")
        self._control(_REQUEST if method.answer else _ONEWAY, frame, number, messages)

    def _control(self, kind: Kind, frame: bytes, number: int, messages: list[Message]) -> None:
        """Add what a method of the connection itself is, which is in its place."""
        if number in (methods.CLOSE, methods.CLOSE_OK):
            self.closing = True
            if number == methods.CLOSE_OK and self._ours:
                return
            if number == methods.CLOSE and self._over:
                messages.append(Message(_REQUEST, frame, self._next_id(), answer=wire.CLOSED))
                return
        messages.append(self._message(kind, frame, 0))

    def _step(self, frame: bytes, number: int) -> None:
        """What a step of the handshake says."""
        if number == methods.START_OK:
            login = read_login(frame)
            self._identity.user = login.user
            self._can_wait = login.blocked
        elif number == methods.TUNE_OK:
            values = wire.read_arguments(frame, METHODS[number])
            self._tuned(*(wire.number_at(values, name) for name in TUNED))
        elif number == methods.OPEN:
            values = wire.read_arguments(frame, METHODS[number])
            self._identity.vhost = wire.string_at(values, "vhost").decode("utf-8", "surrogateescape")
        self._reader = Reader(self._identity)

    def _tuned(self, channel_max: int, frame_max: int, heartbeat: int) -> None:
        self._tune.check(channel_max, frame_max)
        self._channel_max = channel_max or 0xFFFF
        self._agree(frame_max, heartbeat)
        self._lanes.frame_max = frame_max or self._most

    # -- what it is sent

    def send(self, message: Message, id: int) -> bytes:
        self._spoke = True
        kind = message.kind
        if isinstance(message, Chunk):
            return self._lanes.chunk(message, id)
        frame = message.frame
        special = _SENT.get(wire.number_of(frame))
        if special is not None:
            frame = special(self, frame, id)
        if kind is Kind.EVENT_OPEN or kind is Kind.STREAM_OPEN:
            return self._lanes.put(frame, wire.channel_of(frame), id)
        if self._lanes.active and frame:
            return self._lanes.put(frame, wire.channel_of(frame))
        return frame

    def _send_tune(self, frame: bytes, id: int) -> bytes:
        return self._tune.least(frame)

    def _send_declared(self, frame: bytes, id: int) -> bytes:
        channel = self._naming.pop(id, None) if self._naming else None
        if channel is not None and self._queues.get(channel) == id:
            name = wire.string_at(wire.read_arguments(frame, METHODS[methods.QUEUE_DECLARE_OK]), "queue")
            self._queues[channel] = name.decode("utf-8", "surrogateescape")
        return frame

    def _send_channel_close(self, frame: bytes, id: int) -> bytes:
        channel = wire.channel_of(frame)
        if channel in self._closed:
            return b""
        self._closed.add(channel)
        self._forget(channel)
        self.refusals.leave(channel)
        return self.refusals.reworded(frame, channel)

    def _send_channel_closed(self, frame: bytes, id: int) -> bytes:
        channel = wire.channel_of(frame)
        self._closed.discard(channel)
        self.refusals.forget(channel)
        self._forget(channel)
        return frame

    def _forget(self, channel: int) -> None:
        queue = self._queues.pop(channel, None)
        if isinstance(queue, int):
            self._naming.pop(queue, None)

    def _send_blocking(self, frame: bytes, blocks: bool) -> bytes:
        """The broker takes no messages, or does so again."""
        return frame

    def _send_close(self, frame: bytes, id: int) -> bytes:
        if self._over:
            return b""
        self._over = True
        return frame

    # -- what the proxy says by itself

    def is_closed(self, channel: int) -> bool:
        """Whether the server has closed a channel, and the client was sent that."""
        return channel in self._closed

    def leaves(self, request: Message) -> bool:
        """Whether the client has closed the channel of this request since, and so waits for no answer to it."""
        channel, number = wire.channel_of(request.frame), wire.number_of(request.frame)
        return request.kind is _REQUEST and number != methods.CHANNEL_CLOSE and self.refusals.is_left_by_client(channel)

    def refuse_to_open(self, channel: int) -> None:
        """A channel.close of the proxy's own follows."""
        self.unopened.add(channel)

    def end(self, name: str, code: int, text: str, number: int = 0) -> bytes:
        """What closes the whole connection, once; number: the method that it is about."""
        return self.end_by(code, worded(name, text), number)

    def end_by(self, code: int, text: str, number: int) -> bytes:
        """As `end`, with a whole reply text."""
        if self._over:
            return FinalFrame() if self._ours else b""
        self._over = self._ours = True
        return FinalFrame(wire.close_connection(code, text, number))

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes:
        """
        Some of a content went to the client. The specification lets a method cut it off, channel.close as well, but
        RabbitMQ's Java client and amqplib take it for an error of the connection: so that ends, and says why.
        """
        name = name_of(kind or ErrorKind.INTERNAL, "", 0)
        return self.end(name, CODES[name], text)

    def farewell(self, kind: ErrorKind, text: str) -> bytes:
        if self._over or self.closing or self._stage == _FIRST:
            return b""
        return self.end("CONNECTION_FORCED", 320, text)

    def drain(self) -> bytes:
        if self._stage != _OPEN:
            return b""
        return self.farewell(ErrorKind.DRAINING, "the proxy takes no further work")

    def owed(self) -> bytes:
        said, error = super().owed(), self.error
        if isinstance(error, WrongProtocol):
            return said + wire.PROTOCOL
        if error is None or self._over or self._stage == _FIRST:
            return said
        name = error.name if isinstance(error, Violation) else "SYNTAX_ERROR"
        return said + self.end(name, CODES[name], str(error))

    def beat(self, now: float) -> None:
        super().beat(now)
        if self._stage != _OPEN:
            if self.error is None and not self.unread and self._login_time.over(now):
                text = f"the login is not over after {self._login_time.limit:g} s (login_timeout)"
                self.error = Violation("CONNECTION_FORCED", text)
            return
        if self._can_wait and self.unread != self._blocked and not self._over:
            self._blocked = self.unread
            self.say(_WAIT if self._blocked else _GO_ON)


_CONNECTION: Final = 10
_NAME: Final = 4
"""Bytes by which the protocol is known, of whatever version."""
_NAMING_QUEUES: Final = frozenset((methods.QUEUE_UNBIND, methods.GET))
_SENT: Final[dict[int, Callable[[ClientSession, bytes, int], bytes]]] = {
    methods.TUNE: ClientSession._send_tune,
    methods.QUEUE_DECLARE_OK: ClientSession._send_declared,
    methods.CHANNEL_CLOSE: ClientSession._send_channel_close,
    methods.CHANNEL_CLOSE_OK: ClientSession._send_channel_closed,
    methods.CLOSE: ClientSession._send_close,
    methods.BLOCKED: lambda session, frame, id: session._send_blocking(frame, True),
    methods.UNBLOCKED: lambda session, frame, id: session._send_blocking(frame, False),
}
"""What is looked at on its way to a client."""
_WAIT: Final = wire.method_frame(0, methods.BLOCKED, wire.short_string(b"the proxy holds this connection back"))
_GO_ON: Final = wire.method_frame(0, methods.UNBLOCKED)


def _read_named(reader: Reader, queue: str, message: Message) -> None:
    reader.read(message, queue)


def _wrong(data: bytes) -> FrameError:
    if data[:4] != b"AMQP":
        return WrongProtocol(f"a client begins with {data.hex(' ')}; AMQP 0-9-1 begins with {wire.PROTOCOL.hex(' ')}")
    if data[4:8] in (b"\0\1\0\0", b"\3\1\0\0", b"\2\1\0\0"):
        return WrongProtocol("a client that speaks AMQP 1.0; this listener speaks AMQP 0-9-1, as RabbitMQ's clients do")
    return WrongProtocol(f"a client begins with {data.hex(' ')}, another version of AMQP than 0-9-1")
