"""
A server's connection: which request an answer belongs to, by its channel; deliveries and what else is pushed.

On each channel answers come in the order of the requests, so what is due is kept for each. A close answers what is due
on what it closes; the rest of that is never answered.

Lives here: `ServerSession`. Does not: cutting the stream (`stream`), the client's side (`client`).
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.client import Command
from metaproxy.codecs.amqp.errors import ClosedChannel, Violation
from metaproxy.codecs.amqp.lanes import Lanes
from metaproxy.codecs.amqp.login_fields import read_login
from metaproxy.codecs.amqp.metadata import Identity, Reader
from metaproxy.codecs.amqp.methods import ANSWERS, METHODS
from metaproxy.codecs.amqp.stream import FrameStream
from metaproxy.message import Chunk, ErrorKind, Kind, Message

_REQUEST = Kind.REQUEST


class _Due(NamedTuple):
    """A request that is not answered: its id, and its method."""

    id: int
    number: int


class ServerSession(FrameStream):
    contents = frozenset((methods.DELIVER, methods.RETURN, methods.GET_OK))
    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._begun = False
        self._due: dict[int, deque[_Due]] = {}
        self._closed: set[int] = set()
        """Channels that the server has closed, and was not sent an answer for."""
        self._pushes = 0
        self._channel_max = 0xFFFF
        self._identity = Identity()
        self._reader = Reader(self._identity)
        self._lanes = Lanes()

    # -- what it is sent

    def send(self, message: Message, id: int) -> bytes:
        self._spoke = True
        if isinstance(message, Chunk):
            return self._lanes.chunk(message, id)
        kind, frame = message.kind, message.frame
        channel = wire.channel_of(frame)
        if type(message) is Command and message.session.unopened:
            _check_opened(message, channel)
        if kind is _REQUEST:
            self._asked(frame, channel, id)
        elif not channel:
            self._step(frame, wire.number_of(frame))
        elif self._closed and wire.number_of(frame) == methods.CHANNEL_CLOSE_OK:
            self._closed.discard(channel)
        if kind is Kind.STREAM_OPEN:
            return self._lanes.put(frame, channel, id)
        return self._lanes.put(frame, channel) if self._lanes.active else frame

    def _asked(self, frame: bytes, channel: int, id: int) -> None:
        if frame == wire.PROTOCOL:
            channel, number = 0, methods.HEADER
        else:
            number = wire.number_of(frame)
            if not channel:
                self._step(frame, number)
            elif channel in self._closed and number != methods.CHANNEL_CLOSE:
                raise ClosedChannel(f"channel {channel} is closed")
        due = self._due.get(channel)
        if due is None:
            due = self._due[channel] = deque()
        due.append(_Due(id, number))

    def _step(self, frame: bytes, number: int) -> None:
        """What a step of the handshake says."""
        if number == methods.START_OK:
            self._identity.user = read_login(frame).user
        elif number == methods.TUNE_OK:
            values = wire.read_arguments(frame, METHODS[number])
            frame_max = wire.number_at(values, "frame-max")
            self._agree(frame_max, wire.number_at(values, "heartbeat"))
            self._lanes.frame_max = frame_max or self._most
            self._channel_max = wire.number_at(values, "channel-max") or 0xFFFF
        elif number == methods.OPEN:
            values = wire.read_arguments(frame, METHODS[number])
            self._identity.vhost = wire.string_at(values, "vhost").decode("utf-8", "surrogateescape")
        else:
            return
        self._reader = Reader(self._identity)

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        """
        What still comes of an answer, or of a push, is dropped. For a message that is sent in part a server closes the
        connection where a method comes in the place of the rest: nothing more is sent on that channel, and the client
        hears why its connection ends. Unless the server has closed the channel: then that client goes on.
        """
        if self._drop_content(id) or any(one.id == id for due in self._due.values() for one in due):
            return b""
        return None if self._lanes.channel_of(id) in self._closed else b""

    # -- what comes

    def _read(self, data: bytes | bytearray, messages: list[Message]) -> int:
        size = len(wire.PROTOCOL)
        if self._begun or data[:1] != wire.PROTOCOL[:1]:
            self._begun = self._begun or bool(data)
            return super()._read(data, messages)
        if size > self._most:
            raise Violation("FRAME_ERROR", f"a server begins with {size} bytes; allowed are {self._most} (max_frame)")
        if len(data) < size:
            self._need = size
            return 0
        if data[:4] != b"AMQP":
            raise Violation("FRAME_ERROR", f"a server begins with {bytes(data[:size]).hex(' ')}")
        # It speaks another version, and closes.
        self._begun = True
        due = self._pop(0)
        kind = Kind.ERROR if due is not None else Kind.EVENT
        metadata = {**self._reader.first(), "method": "protocol.header"}
        messages.append(Message(kind, bytes(data[:size]), due.id if due is not None else 0, metadata))
        return super()._read(data[size:], messages) + size

    def _pop(self, channel: int) -> _Due | None:
        due = self._due.get(channel)
        if not due:
            return None
        first = due.popleft()
        if not due:
            del self._due[channel]
        return first

    def _answered(self, channel: int, number: int) -> int:
        """The id of the request that an answer belongs to; 0 where nothing is due."""
        due = self._due.get(channel)
        if not due:
            return 0
        if due[0].number not in ANSWERS[number]:
            asked = methods.name_of(due[0].number)
            raise Violation("UNEXPECTED_FRAME", f"{methods.name_of(number)} on channel {channel}, where {asked} is due")
        first = self._pop(channel)
        assert first is not None
        return first.id

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if number in _READ_BY_CLIENTS:
            wire.read_arguments(frame, METHODS[number])
        if number in ANSWERS:
            id = self._answered(channel, number)
            messages.append(Message(Kind.RESPONSE if id else Kind.EVENT, frame, id, None, self._reader))
            if number == methods.CLOSE_OK:
                self._silence(messages)
            elif number == methods.CHANNEL_CLOSE_OK:
                self._closed.discard(channel)
                self._silence_channel(channel, messages)
        elif number == methods.CHANNEL_CLOSE:
            self._close_channel(frame, channel, messages)
        elif number == methods.CLOSE:
            self._close(frame, messages)
        else:
            messages.append(Message(Kind.EVENT, frame, 0, None, self._reader))

    def _close_channel(self, frame: bytes, channel: int, messages: list[Message]) -> None:
        self._closed.add(channel)
        due = self._due.pop(channel, None) or deque()
        kept = deque(one for one in due if one.number == methods.CHANNEL_CLOSE)
        lost = [one for one in due if one.number != methods.CHANNEL_CLOSE]
        if kept:
            self._due[channel] = kept
        number = _about(frame)
        first = next((one for one in lost if one.number == number), lost[0] if lost else None)
        self._add_close(frame, first, messages)
        messages += [Message(Kind.SILENCE, b"", one.id) for one in lost if one is not first]

    def _close(self, frame: bytes, messages: list[Message]) -> None:
        number = _about(frame)
        every = [one for channel, due in self._due.items() for one in due]
        own = self._due.get(0)
        first = own[0] if own else next((one for one in every if number and one.number == number), None)
        self._add_close(frame, first, messages)
        self._silence(messages, first)

    def _add_close(self, frame: bytes, due: _Due | None, messages: list[Message]) -> None:
        kind = Kind.EVENT if due is None else Kind.ERROR
        messages.append(Message(kind, frame, 0 if due is None else due.id, None, self._reader))

    def _silence(self, messages: list[Message], besides: _Due | None = None) -> None:
        """Nothing more is answered on this connection."""
        for channel in list(self._due):
            self._silence_channel(channel, messages, besides)

    def _silence_channel(self, channel: int, messages: list[Message], besides: _Due | None = None) -> None:
        due = self._due.pop(channel, ())
        messages += [Message(Kind.SILENCE, b"", one.id) for one in due if one is not besides]

    def _take_content(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        id = self._answered(channel, number) if number == methods.GET_OK else 0
        messages.append(Message(Kind.RESPONSE if id else Kind.EVENT, frame, id, None, self._reader))

    def _open(self, beginning: bytes, channel: int, number: int, messages: list[Message]) -> int:
        if channel > self._channel_max:  # each has a content under way, at most
            raise Violation("CHANNEL_ERROR", f"channel {channel}; agreed were {self._channel_max} at most")
        id = self._answered(channel, number) if number == methods.GET_OK else 0
        kind = Kind.STREAM_OPEN
        if not id:
            self._pushes += 1
            kind, id = Kind.EVENT_OPEN, -self._pushes
        messages.append(Message(kind, beginning, id, None, self._reader))
        return id


def _check_opened(message: Command, channel: int) -> None:
    """What a client sent behind a channel.open that the proxy has refused goes to no server."""
    if channel in message.session.unopened and wire.number_of(message.frame) != methods.CHANNEL_OPEN:
        raise ClosedChannel(f"channel {channel} was not opened")


def _about(frame: bytes) -> int:
    """The method that a close is about, 0 for none."""
    values = wire.read_arguments(frame, METHODS[methods.CLOSE])
    return methods.number(wire.number_at(values, "class"), wire.number_at(values, "method"))


_READ_BY_CLIENTS: Final = frozenset((methods.TUNE, methods.QUEUE_DECLARE_OK, methods.CHANNEL_CLOSE))
"""What a client's session reads as it sends it: it must be readable."""
