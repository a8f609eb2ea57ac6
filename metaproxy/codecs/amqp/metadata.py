"""
What routes and filters may know of a message: its method, who sends it, what it names, and its headers.

What a client needs which permission for is RabbitMQ's: configure a resource, write to it, read from it; each method
needs one resource of each at most. Lives here: `KEYS`, `Reader`. Does not: what a connection remembers (`client`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.amqp import fields, methods, wire
from metaproxy.codecs.amqp.methods import METHODS, name_of
from metaproxy.message import Message

KEYS: Final = {
    "method": "the method, such as basic.publish or queue.declare; of the first bytes of a client: protocol.header",
    "operation": "the method and the exchange or queue that it is about, such as `basic.publish orders`",
    "vhost": "the virtual host of the connection",
    "user": "who has logged in, by PLAIN or AMQPLAIN",
    "exchange": "the exchange that the method names; the default one is `amq.default`",
    "routing_key": "the routing key",
    "queue": "the queue that the method names; an empty name stands for the one that was declared last",
    "consumer_tag": "the consumer that the method names",
    "access": "the first permission that the method needs: configure, write or read; not there for none",
    "resource": "the exchange or queue that it needs this for",
    "configure": "the resource for which the method needs the permission to configure, if any",
    "write": "the resource for which it needs the permission to write, if any",
    "read": "the resource for which it needs the permission to read, if any",
    "size": "bytes of the content's body",
    "content_type": "a property of the content; so are the next ones",
    "content_encoding": "",
    "delivery_mode": "2 for persistent messages",
    "priority": "",
    "correlation_id": "",
    "reply_to": "",
    "expiration": "",
    "message_id": "",
    "timestamp": "",
    "type": "",
    "user_id": "",
    "app_id": "",
    "traceparent": "the trace that the header of this name has",
    "tracestate": "as traceparent",
}
KEYS.update({key: f"the property {key.replace('_', '-')} of the content" for key, text in KEYS.items() if not text})
HEADERS: Final = "headers."
"""What the keys of headers begin with."""
TAKEN: Final = (KEYS.keys() | {"kind"}) - {"traceparent", "tracestate"}
"""Keys that a header never gives a value, whatever it is called: only `headers.` and its name does."""
DEFAULT: Final = "amq.default"

_C, _W, _R = "configure", "write", "read"
_NEEDS: Final[dict[int, tuple[tuple[str, str], ...]]] = {
    methods.EXCHANGE_DECLARE: ((_C, "exchange"),),
    methods.EXCHANGE_DELETE: ((_C, "exchange"),),
    methods.EXCHANGE_BIND: ((_W, "destination"), (_R, "source")),
    methods.EXCHANGE_UNBIND: ((_W, "destination"), (_R, "source")),
    methods.QUEUE_DECLARE: ((_C, "queue"),),
    methods.QUEUE_BIND: ((_W, "queue"), (_R, "exchange")),
    methods.QUEUE_UNBIND: ((_W, "queue"), (_R, "exchange")),
    methods.QUEUE_PURGE: ((_R, "queue"),),
    methods.QUEUE_DELETE: ((_C, "queue"),),
    methods.PUBLISH: ((_W, "exchange"),),
    methods.CONSUME: ((_R, "queue"),),
    methods.GET: ((_R, "queue"),),
}
"""Which permission a method needs for which of its fields, as RabbitMQ checks them."""
_FURTHER: Final = {
    methods.EXCHANGE_DECLARE: (b"alternate-exchange", _R, _W),
    methods.QUEUE_DECLARE: (b"x-dead-letter-exchange", _R, _W),
}
"""An argument that names another exchange: read is then needed for what is declared, write for that."""
_PASSIVE: Final = 1
_CONTENTS: Final = frozenset((methods.PUBLISH, methods.RETURN, methods.DELIVER, methods.GET_OK))
_ABOUT: Final = ("exchange", "queue", "destination")
_EXCHANGES: Final = ("exchange", "destination", "source")


class Identity:
    """Who a connection's client is, as far as its session saw it."""

    __slots__ = ("user", "vhost")

    def __init__(self) -> None:
        self.user = self.vhost = ""


class Reader:
    """`Message.more` of a connection's messages; made again when its client has logged in, or opened a virtual host."""

    __slots__ = ("_known",)

    def __init__(self, identity: Identity) -> None:
        self._known = {key: value for key, value in (("user", identity.user), ("vhost", identity.vhost)) if value}

    def first(self) -> dict[str, str]:
        """The metadata of the eight bytes that a client begins with."""
        return {"method": "protocol.header", "operation": "protocol.header"}

    def __call__(self, message: Message) -> None:
        self.read(message, None)

    def read(self, message: Message, queue: str | None) -> None:
        """queue: what an empty name of a queue stands for; None where the name is not empty, or nothing is known."""
        frame = message.frame
        number = wire.number_of(frame)
        if number == methods.PUBLISH:
            self._read_publish(message)
            return
        name = name_of(number)
        found = {**self._known, "method": name, "operation": name}
        # What is known stands, also where the rest can't be read.
        message.metadata = found
        method = METHODS.get(number)
        if method is None:
            return
        values = wire.read_arguments(frame, method)
        names = {key: _text(value) for key, value in values.items() if isinstance(value, bytes)}
        for key in _EXCHANGES:
            if names.get(key) == "":
                names[key] = DEFAULT
        if queue is not None:
            if names.get("routing_key") == "" and number in (methods.QUEUE_BIND, methods.QUEUE_UNBIND):
                names["routing_key"] = queue
            names["queue"] = queue
        for key in ("exchange", "queue", "routing_key", "consumer_tag"):
            if key in names:
                found[key] = names[key]
        about = next((names[key] for key in _ABOUT if key in names), "")
        if about:
            found["operation"] = f"{name} {about}"
        self._add_needs(found, frame, number, values, names)
        if number in _CONTENTS:
            message.more = _read_content

    def _read_publish(self, message: Message) -> None:
        """As `read`, of what most of the traffic is."""
        frame = message.frame
        message.metadata = found = {**self._known, "method": "basic.publish", "operation": "basic.publish"}
        end = wire.frame_end(frame) - 1
        start = wire.ARGUMENTS + 3
        stop = start + frame[start - 1] if start <= end else end
        key_start = stop + 1
        if stop >= end or (key_stop := key_start + frame[stop]) >= end:
            raise wire.cut_short(METHODS[methods.PUBLISH])
        exchange = _text(frame[start:stop]) or DEFAULT
        found["operation"] = f"basic.publish {exchange}"
        found["access"] = _W
        found["exchange"] = found["resource"] = found[_W] = exchange
        found["routing_key"] = _text(frame[key_start:key_stop])
        message.more = _read_content

    def _add_needs(
        self, found: dict[str, str], frame: bytes, number: int, values: wire.Values, names: dict[str, str]
    ) -> None:
        needs = _NEEDS.get(number)
        if needs is None:
            return
        further = _FURTHER.get(number)
        if further is not None and wire.number_at(values, "bits") & _PASSIVE:
            return
        for permission, field in needs:
            found.setdefault("access", permission)
            found.setdefault("resource", names[field])
            found[permission] = names[field]
        if further is not None:
            argument, own, others = further
            at, end = wire.number_at(values, "arguments"), wire.frame_end(frame) - 1
            for named in fields.table_fields(frame, at, end):
                if named.name == argument and (other := fields.field_text(frame, named)) is not None:
                    found[own] = names[needs[0][1]]
                    found[others] = other or DEFAULT


def _read_content(message: Message) -> None:
    """`Message.more` of what has a content, once its method is read."""
    frame = message.frame
    found = message.metadata = dict(message.metadata or {})
    at, end, size = wire.properties_of(frame)
    found["size"] = str(size)
    for one in fields.properties(frame, at, end):
        if one.name == "headers":
            _add_headers(found, frame, one, message)
        elif one.name in KEYS:
            found[one.name] = fields.property_text(frame, one)


def _add_headers(found: dict[str, str], frame: bytes, headers: fields.Property, message: Message) -> None:
    several: dict[str, list[str | None]] = {}
    for field in fields.table_fields(frame, headers.at, headers.stop):
        value, name = fields.field_text(frame, field), _text(field.name)
        low = name.lower()
        alone = (name, low) if low not in TAKEN else ()
        for key in {HEADERS + low, *alone[1:]}:
            several.setdefault(key, []).append(value)
        if value is not None:
            found.update(dict.fromkeys((HEADERS + name, HEADERS + low, *alone), value))
    if any(len(values) > 1 for values in several.values()):
        message.unclear = lambda key: tuple(several[key]) if len(several.get(key, ())) > 1 else None


def unknown_queue(key: str) -> tuple[str | None, ...] | None:
    """`Message.unclear` of a method about the queue that was declared last, while that has no name yet."""
    return () if key in ("queue", "routing_key", "resource", _C, _W, _R) else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
