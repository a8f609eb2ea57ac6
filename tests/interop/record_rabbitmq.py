"""
What is recorded of AMQP: pika and RabbitMQ, one connection.

Lives here: the calls. Does not: the relay (capture.py), where the files go (record.py runs this).
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import catalogue
from capture import Relay, amqp_frames, save
from rabbitmq_clients import connect, properties
from rabbitmq_peers import RabbitMQ


def rabbitmq() -> None:
    broker = RabbitMQ(Path(tempfile.mkdtemp()))
    relay = Relay(broker.port)
    try:
        with connect(broker.uri(relay.port)) as connection:
            _calls(connection)
    finally:
        relay.close()
        broker.stop()
    what = "declarations, confirms, a return, a get, deliveries, a transaction, an error"
    exchanges = [{"what": what, "frames": amqp_frames(reads)} for reads in relay.connections]
    save("amqp/pika.json", f"{catalogue.version('pika')} -> {catalogue.version('rabbitmq')}", exchanges)


def _calls(connection: Any) -> None:
    from pika.exceptions import ChannelClosedByBroker, UnroutableError

    channel = connection.channel()
    channel.exchange_declare("shop.orders", "topic", auto_delete=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "shop.orders", "eu.#")
    channel.confirm_delivery()
    order = properties(content_type="text/plain", delivery_mode=1, headers={"tenant": "t1", "n": 5, "on": True})
    channel.basic_publish("shop.orders", "eu.new", b"an order", order)
    channel.basic_publish("shop.orders", "eu.new", b"x" * 6000)
    with suppress(UnroutableError):
        channel.basic_publish("shop.orders", "us.new", b"to nobody", mandatory=True)
    method, _, _ = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=True)
    channel.basic_qos(prefetch_count=10)
    for method, _, _ in channel.consume(queue, inactivity_timeout=0.5):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
    channel.basic_get(queue)
    other = connection.channel()
    other.tx_select()
    other.basic_publish("", queue, b"in a transaction")
    other.tx_commit()
    with suppress(ChannelClosedByBroker):
        other.queue_declare("nothing", passive=True)
