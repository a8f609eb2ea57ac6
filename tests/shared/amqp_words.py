"""AMQP's frames for tests: methods with their arguments, contents, tables; and a connection that is open."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.codec import Amqp
from metaproxy.codecs.framing import Session
from metaproxy.message import Message, Side
from metaproxy.testing.stage import Stage, Wire

HEADER = wire.PROTOCOL
BEAT = wire.BEAT
MAX = 1 << 20


def short(text: str) -> bytes:
    return bytes((len(text.encode()),)) + text.encode()


def long(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def table(fields: Mapping[str, str | int | bool | dict[str, bool]]) -> bytes:
    return long(b"".join(short(name) + _value(value) for name, value in fields.items()))


def _value(value: str | int | bool | dict[str, bool]) -> bytes:
    if isinstance(value, dict):
        return b"F" + table(dict(value))
    if isinstance(value, bool):
        return b"t" + bytes((value,))
    if isinstance(value, int):
        return b"I" + struct.pack(">i", value)
    return b"S" + long(value.encode())


def method(name: str, channel: int = 1, arguments: bytes = b"") -> bytes:
    number = next(number for number, method in methods.METHODS.items() if method.name == name)
    return wire.method_frame(channel, number, arguments)


# -- a client's

TOKEN = b"\0app\0secret"


def start_ok(response: bytes = TOKEN, mechanism: str = "PLAIN", blocked: bool = True) -> bytes:
    properties = table({"product": "test", "capabilities": {"connection.blocked": blocked}})
    return method("connection.start-ok", 0, properties + short(mechanism) + long(response) + short("en_US"))


def tune_ok(channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 0) -> bytes:
    return method("connection.tune-ok", 0, struct.pack(">HIH", channel_max, frame_max, heartbeat))


def tune(channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 60) -> bytes:
    return method("connection.tune", 0, struct.pack(">HIH", channel_max, frame_max, heartbeat))


def open_vhost(vhost: str = "/") -> bytes:
    return method("connection.open", 0, short(vhost) + b"\0\0")


def queue_declare(queue: str = "q", bits: int = 0, channel: int = 1, arguments: bytes = b"\0\0\0\0") -> bytes:
    return method("queue.declare", channel, b"\0\0" + short(queue) + bytes((bits,)) + arguments)


def exchange_declare(exchange: str, bits: int = 0, channel: int = 1, arguments: bytes = b"\0\0\0\0") -> bytes:
    names = short(exchange) + short("topic")
    return method("exchange.declare", channel, b"\0\0" + names + bytes((bits,)) + arguments)


def queue_bind(queue: str, exchange: str, key: str, bits: int = 0, channel: int = 1) -> bytes:
    names = short(queue) + short(exchange) + short(key)
    return method("queue.bind", channel, b"\0\0" + names + bytes((bits,)) + b"\0\0\0\0")


def consume(queue: str = "q", tag: str = "", bits: int = 0, channel: int = 1) -> bytes:
    return method("basic.consume", channel, b"\0\0" + short(queue) + short(tag) + bytes((bits,)) + b"\0\0\0\0")


def get(queue: str = "q", channel: int = 1) -> bytes:
    return method("basic.get", channel, b"\0\0" + short(queue) + b"\0")


def content(channel: int, body: bytes, properties: bytes = b"\0\0", frame_max: int = 131072) -> bytes:
    return wire.content_frame(channel, 60, len(body), properties) + wire.body_frames(channel, body, frame_max)


def headers(fields: Mapping[str, str | int | bool | dict[str, bool]]) -> bytes:
    """Properties that are headers and nothing else."""
    return b"\x20\0" + table(fields)


def published(
    body: bytes = b"hello",
    exchange: str = "orders",
    key: str = "new",
    channel: int = 1,
    properties: bytes = b"\0\0",
    frame_max: int = 131072,
) -> bytes:
    arguments = b"\0\0" + short(exchange) + short(key) + b"\0"
    return method("basic.publish", channel, arguments) + content(channel, body, properties, frame_max)


# -- a server's

START = method("connection.start", 0, b"\0\x09" + table({"product": "test"}) + long(b"PLAIN") + long(b"en_US"))
OPEN_OK = method("connection.open-ok", 0, b"\0")
GET_EMPTY = method("basic.get-empty", 1, b"\0")


def channel_open_ok(channel: int = 1) -> bytes:
    return method("channel.open-ok", channel, b"\0\0\0\0")


def declare_ok(queue: str = "q", channel: int = 1) -> bytes:
    return method("queue.declare-ok", channel, short(queue) + struct.pack(">II", 0, 0))


def delivered(body: bytes = b"hello", channel: int = 1, tag: int = 1, properties: bytes = b"\0\0") -> bytes:
    arguments = short("ctag") + struct.pack(">QB", tag, 0) + short("orders") + short("new")
    return method("basic.deliver", channel, arguments) + content(channel, body, properties)


def got(body: bytes = b"hello", channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    arguments = struct.pack(">QB", 1, 0) + short("orders") + short("new") + struct.pack(">I", 0)
    return method("basic.get-ok", channel, arguments) + content(channel, body, properties)


def returned(body: bytes = b"hello", channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    arguments = struct.pack(">H", 312) + short("NO_ROUTE") + short("orders") + short("new")
    return method("basic.return", channel, arguments) + content(channel, body, properties)


def close(name: str, channel: int, code: int, text: str, about: str = "") -> bytes:
    number = next((number for number, method in methods.METHODS.items() if method.name == about), 0)
    return method(name, channel, struct.pack(">H", code) + short(text) + number.to_bytes(4, "big"))


def channel_close(code: int = 404, text: str = "NOT_FOUND", about: str = "", channel: int = 1) -> bytes:
    return close("channel.close", channel, code, text, about)


def connection_close(code: int = 320, text: str = "CONNECTION_FORCED", about: str = "") -> bytes:
    return close("connection.close", 0, code, text, about)


def unframed(data: bytes) -> object:
    """Methods and headers as they are, the bodies of each channel joined: in which frames they come has no meaning."""
    found: list[bytes] = []
    at = 8 if data.startswith(b"AMQP") else 0
    bodies: dict[int, bytes] = {}
    while at < len(data):
        channel, size = struct.unpack_from(">HI", data, at + 1)
        stop = at + 8 + size
        if data[at] == 3:
            bodies[channel] = bodies.get(channel, b"") + data[at + 7 : stop - 1]
        else:
            found.append(data[at:stop])
        at = stop
    return found, bodies


# -- connections that are open

HANDSHAKE = HEADER + start_ok() + tune_ok() + open_vhost()


def opened(codec: Amqp | None = None, handshake: bytes = HANDSHAKE) -> Session:
    """A client's session whose connection is open."""
    session = (codec or Amqp()).session(Side.CLIENT, MAX)
    session.receive(handshake)
    assert session.error is None
    return session


def asked(*frames: bytes, codec: Amqp | None = None) -> Session:
    """A server's session that was sent these, as requests 1, 2 ..."""
    client = opened(codec)
    session = (codec or Amqp()).session(Side.SERVER, MAX)
    for id, message in enumerate(client.receive(b"".join(frames)), 1):
        session.send(message, id)
    return session


def read(session: Session, data: bytes) -> list[Message]:
    messages = session.receive(data)
    assert session.error is None, session.error
    return messages


class Connected:
    """A stage whose client is connected: handshake over, channel 1 open."""

    def __init__(self, codec: Amqp | None = None, heartbeat: int = 0, **options: object) -> None:
        self.stage = Stage(codec or Amqp(), **options)  # type: ignore[arg-type]
        self.client: Wire = self.stage.client()
        self.stage.say(self.client, HEADER)
        self.server: Wire = self.stage.server
        self.exchange_words((START, start_ok()), (tune(heartbeat=heartbeat), tune_ok(heartbeat=heartbeat)))
        self.say(open_vhost())
        self.exchange_words((OPEN_OK, method("channel.open", 1, b"\0")), (channel_open_ok(), b""))
        self.sent()
        self.got()

    def exchange_words(self, *pairs: tuple[bytes, bytes]) -> None:
        for said, answered in pairs:
            self.hear(said)
            self.say(answered)

    def say(self, data: bytes) -> None:
        """The client sends this."""
        if data:
            self.stage.say(self.client, data)

    def hear(self, data: bytes) -> None:
        """The server sends this."""
        self.stage.say(self.server, data)

    def sent(self) -> bytes:
        """What the server got."""
        return self.server.take()

    def got(self) -> bytes:
        """What the client got."""
        return self.client.take()
