"""
The methods of AMQP 0-9-1 and of RabbitMQ's extensions: their numbers, names, fields, and which one answers which.

Source: amqp-rabbitmq-0.9.1.json of rabbitmq/rabbitmq-codegen. Lives here: `METHODS`, `Method`, and the numbers that
sessions look at. Does not: bytes (`wire`), what a method means to a policy (`metadata`).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Method(NamedTuple):
    """
    One method. name: as in the specification. fields: (name, type) of the first ones, as many as are needed; types: H a
    short, I a long, Q a long long, s a short string, S a long string, T a table, b an octet, of bits in most cases.
    answer: the method that answers it, 0 for none. nowait: the bit of the field `bits` by which a client says that it
    wants no answer; 0 for none.
    """

    name: str
    fields: tuple[tuple[str, str], ...] = ()
    answer: int = 0
    nowait: int = 0


def number(class_id: int, method_id: int) -> int:
    return class_id << 16 | method_id


def _fields(text: str) -> tuple[tuple[str, str], ...]:
    """Fields as they are written below: `H.ticket s.queue b.bits`."""
    return tuple((word[2:], word[0]) for word in text.split())


START, START_OK = number(10, 10), number(10, 11)
SECURE, SECURE_OK = number(10, 20), number(10, 21)
TUNE, TUNE_OK = number(10, 30), number(10, 31)
OPEN, OPEN_OK = number(10, 40), number(10, 41)
CLOSE, CLOSE_OK = number(10, 50), number(10, 51)
BLOCKED, UNBLOCKED = number(10, 60), number(10, 61)
UPDATE_SECRET = number(10, 70)
CHANNEL_OPEN = number(20, 10)
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = number(20, 40), number(20, 41)
EXCHANGE_DECLARE, EXCHANGE_DELETE = number(40, 10), number(40, 20)
EXCHANGE_BIND, EXCHANGE_UNBIND = number(40, 30), number(40, 40)
QUEUE_DECLARE, QUEUE_DECLARE_OK = number(50, 10), number(50, 11)
QUEUE_BIND, QUEUE_PURGE, QUEUE_DELETE, QUEUE_UNBIND = (number(50, id) for id in (20, 30, 40, 50))
CONSUME, PUBLISH, RETURN, DELIVER = number(60, 20), number(60, 40), number(60, 50), number(60, 60)
GET, GET_OK, GET_EMPTY = number(60, 70), number(60, 71), number(60, 72)
ACK, NACK, CONFIRM_SELECT = number(60, 80), number(60, 120), number(85, 10)
HEADER: Final = 0
"""In the place of a method's number: the eight bytes with which a client begins, answered by connection.start."""

_CLIENT: Final = {
    START_OK: Method("connection.start-ok", _fields("T.client-properties s.mechanism S.response s.locale"), TUNE),
    SECURE_OK: Method("connection.secure-ok", _fields("S.response"), TUNE),
    TUNE_OK: Method("connection.tune-ok", _fields("H.channel-max I.frame-max H.heartbeat")),
    OPEN: Method("connection.open", _fields("s.vhost"), OPEN_OK),
    CLOSE: Method("connection.close", _fields("H.code s.text H.class H.method"), CLOSE_OK),
    CLOSE_OK: Method("connection.close-ok"),
    BLOCKED: Method("connection.blocked", _fields("s.reason")),
    UNBLOCKED: Method("connection.unblocked"),
    UPDATE_SECRET: Method("connection.update-secret", (), number(10, 71)),
    CHANNEL_OPEN: Method("channel.open", (), number(20, 11)),
    number(20, 20): Method("channel.flow", _fields("b.active"), number(20, 21)),
    number(20, 21): Method("channel.flow-ok", _fields("b.active")),
    CHANNEL_CLOSE: Method("channel.close", _fields("H.code s.text H.class H.method"), CHANNEL_CLOSE_OK),
    CHANNEL_CLOSE_OK: Method("channel.close-ok"),
    number(30, 10): Method("access.request", _fields("s.realm"), number(30, 11)),
    EXCHANGE_DECLARE: Method(
        "exchange.declare", _fields("H.ticket s.exchange s.type b.bits T.arguments"), number(40, 11), 16
    ),
    EXCHANGE_DELETE: Method("exchange.delete", _fields("H.ticket s.exchange b.bits"), number(40, 21), 2),
    EXCHANGE_BIND: Method(
        "exchange.bind", _fields("H.ticket s.destination s.source s.routing_key b.bits"), number(40, 31), 1
    ),
    EXCHANGE_UNBIND: Method(
        "exchange.unbind", _fields("H.ticket s.destination s.source s.routing_key b.bits"), number(40, 51), 1
    ),
    QUEUE_DECLARE: Method("queue.declare", _fields("H.ticket s.queue b.bits T.arguments"), QUEUE_DECLARE_OK, 16),
    QUEUE_BIND: Method("queue.bind", _fields("H.ticket s.queue s.exchange s.routing_key b.bits"), number(50, 21), 1),
    QUEUE_PURGE: Method("queue.purge", _fields("H.ticket s.queue b.bits"), number(50, 31), 1),
    QUEUE_DELETE: Method("queue.delete", _fields("H.ticket s.queue b.bits"), number(50, 41), 4),
    QUEUE_UNBIND: Method("queue.unbind", _fields("H.ticket s.queue s.exchange s.routing_key"), number(50, 51)),
    number(60, 10): Method("basic.qos", _fields("I.prefetch-size H.prefetch-count b.bits"), number(60, 11)),
    CONSUME: Method("basic.consume", _fields("H.ticket s.queue s.consumer_tag b.bits"), number(60, 21), 8),
    number(60, 30): Method("basic.cancel", _fields("s.consumer_tag b.bits"), number(60, 31), 1),
    number(60, 31): Method("basic.cancel-ok", _fields("s.consumer_tag")),
    PUBLISH: Method("basic.publish", _fields("H.ticket s.exchange s.routing_key b.bits")),
    GET: Method("basic.get", _fields("H.ticket s.queue b.bits"), GET_OK),
    ACK: Method("basic.ack", _fields("Q.delivery_tag b.bits")),
    number(60, 90): Method("basic.reject", _fields("Q.delivery_tag b.bits")),
    number(60, 100): Method("basic.recover-async", _fields("b.bits")),
    number(60, 110): Method("basic.recover", _fields("b.bits"), number(60, 111)),
    NACK: Method("basic.nack", _fields("Q.delivery_tag b.bits")),
    CONFIRM_SELECT: Method("confirm.select", _fields("b.bits"), number(85, 11), 1),
    number(90, 10): Method("tx.select", (), number(90, 11)),
    number(90, 20): Method("tx.commit", (), number(90, 21)),
    number(90, 30): Method("tx.rollback", (), number(90, 31)),
}

_SERVER: Final = {
    START: Method("connection.start"),
    SECURE: Method("connection.secure"),
    TUNE: Method("connection.tune", _fields("H.channel-max I.frame-max H.heartbeat")),
    RETURN: Method("basic.return", _fields("H.code s.text s.exchange s.routing_key")),
    DELIVER: Method("basic.deliver", _fields("s.consumer_tag Q.delivery_tag b.bits s.exchange s.routing_key")),
    GET_OK: Method("basic.get-ok", _fields("Q.delivery_tag b.bits s.exchange s.routing_key")),
    GET_EMPTY: Method("basic.get-empty"),
    QUEUE_DECLARE_OK: Method("queue.declare-ok", _fields("s.queue I.messages I.consumers")),
    number(60, 21): Method("basic.consume-ok", _fields("s.consumer_tag")),
}

METHODS: Final[dict[int, Method]] = {**_CLIENT, **_SERVER}
METHODS.update({
    method.answer: Method(f"{method.name}-ok")
    for method in _CLIENT.values()
    if method.answer and method.answer not in METHODS
})  # fmt: skip

OF_CLIENT: Final = frozenset(_CLIENT)
"""What a client may send."""

ANSWERS: Final[dict[int, frozenset[int]]] = {
    START: frozenset((HEADER,)),
    SECURE: frozenset((START_OK, SECURE_OK)),
    GET_EMPTY: frozenset((GET,)),
    **{
        answer: frozenset(number for number, method in _CLIENT.items() if method.answer == answer)
        for answer in {method.answer for method in _CLIENT.values() if method.answer}
    },
}
"""What a server answers with -> what that may answer."""


def name_of(number: int) -> str:
    method = METHODS.get(number)
    return method.name if method is not None else f"{number >> 16}.{number & 0xFFFF}"
