"""What a Python application does with RabbitMQ by pika, once: `pika_client.py URI`. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError

NAME = "pika"


def code(connection: Any, act: Any) -> int:
    """The reply code with which a channel of its own is closed; 0 for none."""
    channel = connection.channel()
    try:
        act(channel)
    except ChannelClosedByBroker as error:
        return int(error.reply_code)
    channel.close()
    return 0


def main(uri: str) -> dict[str, Any]:
    connection = pika.BlockingConnection(pika.URLParameters(uri))
    channel = connection.channel()
    channel.exchange_declare(f"{NAME}-x", "topic", auto_delete=True)
    channel.queue_declare(f"{NAME}-q")
    channel.queue_purge(f"{NAME}-q")
    channel.queue_bind(f"{NAME}-q", f"{NAME}-x", "order.*")
    channel.confirm_delivery()
    about = pika.BasicProperties(headers={"tenant": "t1"}, delivery_mode=2)
    confirmed = 0
    for number in range(100):
        channel.basic_publish(f"{NAME}-x", "order.new", str(number).encode(), about)
        confirmed += 1
    try:
        channel.basic_publish("", "nowhere", b"x", mandatory=True)
        returned = 0
    except UnroutableError as error:
        returned = error.messages[0].method.reply_code
    channel.basic_qos(prefetch_count=10)
    consumed, header = 0, ""
    for method, properties, _ in channel.consume(f"{NAME}-q"):
        channel.basic_ack(method.delivery_tag)
        consumed, header = consumed + 1, properties.headers["tenant"]
        if consumed == 100:
            break
    channel.cancel()
    empty = channel.basic_get(f"{NAME}-q")[0] is None
    channel.basic_publish("", f"{NAME}-q", b"x" * 3_000_000)
    large = len(channel.basic_get(f"{NAME}-q", auto_ack=True)[2])
    transaction = connection.channel()
    transaction.tx_select()
    transaction.basic_publish("", f"{NAME}-q", b"kept")
    transaction.tx_commit()
    transaction.basic_publish("", f"{NAME}-q", b"dropped")
    transaction.tx_rollback()
    committed = channel.queue_declare(f"{NAME}-q", passive=True).method.message_count
    channel.queue_purge(f"{NAME}-q")

    answers: list[bytes] = []

    def serve(which: Any, method: Any, properties: Any, body: bytes) -> None:
        which.basic_publish("", properties.reply_to, b"pong")
        which.basic_ack(method.delivery_tag)

    server, caller = connection.channel(), connection.channel()
    server.basic_consume(f"{NAME}-q", serve)
    caller.basic_consume("amq.rabbitmq.reply-to", lambda _c, _m, _p, body: answers.append(body), auto_ack=True)
    caller.basic_publish("", f"{NAME}-q", b"ping", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
    while not answers:
        connection.process_data_events(5)
    missing = code(connection, lambda which: which.queue_declare("missing", passive=True))
    denied = code(connection, lambda which: which.queue_delete("kept"))
    connection.close()
    return {
        "confirmed": confirmed, "returned": returned, "consumed": consumed, "header": header, "empty": empty,
        "large": large, "committed": committed, "reply": answers[0].decode(), "missing": missing, "denied": denied,
    }  # fmt: skip


print(json.dumps(main(sys.argv[1])))
