"""
RabbitMQ: limits on what is published, and on what is consumed, as a client and a broker see them.

Lives here: waiting and refusal in their order; deliveries that are held. Does not: limits by user and exchange
(test_rabbitmq.py); the bytes (tests/unit/codecs/test_amqp_refused.py).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import connect
from rabbitmq_peers import RabbitMQ
from running import eventually, free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")
PACED = {"limit": 1, "per": "5s", "burst": 1, "match": {"method": "basic.publish", "exchange": "paced"}}
ACKNOWLEDGED = {"limit": 20, "burst": 1, "match": {"method": "basic.ack"}}
FETCHED = {"limit": 20, "burst": 1, "match": {"method": "basic.get"}}


class Mesh(NamedTuple):
    """
    port: of a listener that takes a message of `paced` each 5 s, and 20 acknowledgements and 20 `get` a second, and
    that reads no more of a client while two methods of it are under way.
    """

    proxy: Proxy
    port: int
    broker: RabbitMQ

    @property
    def uri(self) -> str:
        return self.broker.uri(self.port)


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    port = free_port()
    filters = [{"local_rate_limit": {"conditions": [PACED, ACKNOWLEDGED, FETCHED], "max_wait": "6s"}}]
    config = {
        "listeners": [listener("broker", port, "amqp", [{"cluster": "broker"}], filters=filters, max_inflight=2)],
        "clusters": [cluster("broker", rabbitmq.port)],
    }
    return Mesh(shared_proxy(config), port, rabbitmq)


def test_who_is_over_a_limit_is_blocked_while_it_waits_and_refused_where_it_would_wait_too_long(mesh: Mesh) -> None:
    from pika.exceptions import ChannelClosedByBroker

    said: list[str] = []
    with connect(mesh.uri) as connection, connect(mesh.uri) as other:
        connection.add_on_connection_blocked_callback(lambda _, method: said.append(method.method.NAME))
        connection.add_on_connection_unblocked_callback(lambda _, method: said.append(method.method.NAME))
        channel, late = connection.channel(), other.channel()
        channel.exchange_declare("paced", "fanout", auto_delete=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "paced")
        began = time.monotonic()
        channel.basic_publish("paced", "", b"at once")
        channel.basic_publish("paced", "", b"after 5 s")
        channel.basic_publish("", queue, b"behind it")
        assert eventually(lambda: connection.process_data_events(0.1) or said == ["Connection.Blocked"])
        late.basic_publish("paced", "", b"after 10 s, which is too late")
        with pytest.raises(ChannelClosedByBroker, match="too many requests") as refused:
            late.queue_declare("", exclusive=True)
        assert refused.value.reply_code == 406
        assert time.monotonic() - began < 5
        assert eventually(lambda: connection.process_data_events(0.1) or len(said) == 2, 10)
        assert said == ["Connection.Blocked", "Connection.Unblocked"]
        assert time.monotonic() - began > 4.9
        bodies = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(4)]
    assert bodies == [b"at once", b"after 5 s", b"behind it", None]


def test_deliveries_are_held_by_a_limit_on_their_acknowledgements(mesh: Mesh) -> None:
    def seconds(uri: str) -> float:
        with connect(uri) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            for _ in range(30):
                channel.basic_publish("", queue, b"x")
            channel.basic_qos(prefetch_count=1)
            began = time.monotonic()
            for delivery, _, _ in itertools.islice(channel.consume(queue), 30):
                channel.basic_ack(delivery.delivery_tag)
            taken = time.monotonic() - began
            assert channel.cancel() == 0
            return taken

    assert seconds(mesh.broker.uri()) < seconds(mesh.uri)
    assert seconds(mesh.uri) > 28 / 20


def test_messages_that_are_fetched_wait_for_a_limit(mesh: Mesh) -> None:
    with connect(mesh.uri) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(30):
            channel.basic_publish("", queue, b"%d" % number)
        began = time.monotonic()
        bodies = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(30)]
        assert time.monotonic() - began > 28 / 20
    assert bodies == [b"%d" % number for number in range(30)]
