"""
Copies of what clients publish, for another broker: a route's `mirror`.

    clients       basic.publish on channels of theirs, in virtual hosts of theirs
    the mirror    a connection a virtual host, with one channel, on which all of it is published and confirmed

A copy stands alone: it asks for no return, and names nothing that only its client's connection has.

Lives here: `AmqpCopies`, its session. Does not: the login (`broker_login`), clients' own connections (`server`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metaproxy.codecs.amqp import fields, login, metadata, methods, wire
from metaproxy.codecs.amqp.login import Profile
from metaproxy.codecs.amqp.methods import METHODS
from metaproxy.codecs.amqp.own_server import OwnServer
from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side

_CHANNEL: Final = 1
_BASIC: Final = methods.PUBLISH >> 16
_OPEN: Final = wire.method_frame(_CHANNEL, methods.CHANNEL_OPEN, b"\0") + wire.method_frame(
    _CHANNEL, methods.CONFIRM_SELECT, b"\0"
)
_DIRECT_REPLY: Final = b"amq.rabbitmq.reply-to"
"""What names a connection of a client's, and not a queue."""
_PROPERTIES: Final = login.table(
    {
        "product": "metaproxy",
        "connection_name": "copies of metaproxy",
        "capabilities": {"publisher_confirms": True, "authentication_failure_close": True, "basic.nack": True},
    }
)


class AmqpCopies(Codec):
    """What speaks to brokers that get copies. frame_max: bytes of a frame, which brokers must agree to."""

    name = "amqp"
    beats = True
    keys = metadata.KEYS
    open_keys = True

    def __init__(self, frame_max: int, stream_over: int) -> None:
        self._frame_max = frame_max
        self._stream_over = stream_over

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.CLIENT:
            raise ValueError("copies are sent to brokers alone")
        return CopySession(max_frame, self._stream_over)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b""

    def probe(self) -> Message:
        return header()

    def copied(self, request: Message) -> Sequence[Message]:
        frame = request.frame
        if frame == wire.PROTOCOL or wire.number_of(frame) != methods.PUBLISH:
            return ()
        if request.kind is Kind.STREAM_OPEN:
            raise FrameError("a message that passes piece by piece (stream_over)")
        values = wire.read_arguments(frame, METHODS[methods.PUBLISH])
        exchange, key = wire.string_at(values, "exchange"), wire.string_at(values, "routing_key")
        if not exchange and key.startswith(_DIRECT_REPLY):
            return ()
        vhost = request.get("vhost")
        if vhost is None:
            raise FrameError("a message in a virtual host that is not known")
        name = exchange.decode("utf-8", "surrogateescape") or metadata.DEFAULT
        known = {
            "method": "basic.publish", "operation": f"basic.publish {name}", "exchange": name, "vhost": vhost,
            "routing_key": key.decode("utf-8", "surrogateescape"),
        }  # fmt: skip
        profile = Profile("", vhost.encode("utf-8", "surrogateescape"), _PROPERTIES, self._frame_max, _CHANNEL)
        return (Message(Kind.REQUEST, self._written(frame, exchange, key), 1, known, profile=profile),)

    def _written(self, frame: bytes, exchange: bytes, key: bytes) -> bytes:
        at, end, size = wire.properties_of(frame)
        properties = fields.without(frame[at:end], _is_the_clients_own)
        body = b"".join([frame[start:stop] for kind, start, stop in wire.frames(frame) if kind == wire.BODY])
        # Neither mandatory nor immediate.
        arguments = b"\0\0" + wire.short_string(exchange) + wire.short_string(key) + b"\0"
        return (
            wire.method_frame(_CHANNEL, methods.PUBLISH, arguments)
            + wire.content_frame(_CHANNEL, _BASIC, size, properties)
            + wire.body_frames(_CHANNEL, body, self._frame_max)
        )


def header() -> Message:
    """What a client says first."""
    return Message(Kind.REQUEST, wire.PROTOCOL, 1, {"method": "protocol.header", "operation": "protocol.header"})


def _is_the_clients_own(name: str, value: bytes) -> bool:
    """Who has logged in, which brokers compare; where answers go, if that is a connection."""
    return name == "user_id" or (name == "reply_to" and value.startswith(_DIRECT_REPLY))


class CopySession(OwnServer):
    """A connection that copies of all clients share, for one virtual host."""

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._tag = 0
        self._unconfirmed: dict[int, int] = {}
        """Delivery tags of what was published on the channel -> under which id."""

    def send(self, message: Message, id: int) -> bytes:
        if self._profile is None:
            return super().send(message, id)
        self._spoke = True
        self._tag += 1
        self._unconfirmed[self._tag] = id
        return message.frame

    def _go_on(self, frame: bytes, channel: int) -> None:
        super()._go_on(frame, channel)
        if not self.ready:
            return
        if self.welcome is None or self.welcome.kind is Kind.ERROR:
            raise FrameError(f"the broker refused the virtual host: {_reason(frame)}")
        self.say(_OPEN)

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if not self.ready or self._profile is None:
            super()._take(frame, channel, number, messages)
        elif number == methods.ACK or number == methods.NACK:
            self._confirm(frame, number, messages)
        elif number == methods.CHANNEL_CLOSE:
            self._reopen(_reason(frame), messages)
        elif number == methods.CLOSE:
            self.say(wire.CLOSED)
            raise FrameError(f"the broker closes the connection: {_reason(frame)}")

    def _confirm(self, frame: bytes, number: int, messages: list[Message]) -> None:
        values = wire.read_arguments(frame, METHODS[number])
        tag, waiting = wire.number_at(values, "delivery_tag"), self._unconfirmed
        tags = [tag] if tag in waiting else []
        if wire.number_at(values, "bits") & 1:
            tags = []
            for one in waiting:
                if tag and one > tag:
                    break
                tags.append(one)
        failed = number == methods.NACK
        for one in tags:
            messages.append(_answer(waiting.pop(one), "basic.nack" if failed else ""))

    def _reopen(self, reason: str, messages: list[Message]) -> None:
        """What was not confirmed is lost, or that is not known. What comes next is published on a new channel."""
        lost, self._unconfirmed, self._tag = self._unconfirmed, {}, 0
        messages += [_answer(id, reason) for id in lost.values()]
        self.say(wire.channel_closed(_CHANNEL) + _OPEN)


def _answer(id: int, error: str) -> Message:
    return Message(Kind.ERROR, b"", id, {"error": error}) if error else Message(Kind.RESPONSE, b"", id, {})


def _reason(frame: bytes) -> str:
    """Why a broker closes: of a connection or of a channel."""
    values = wire.read_arguments(frame, METHODS[methods.CLOSE])
    return f"{wire.number_at(values, 'code')} {wire.string_at(values, 'text').decode('utf-8', 'replace')}"
