"""
RabbitMQ with logins that pass: five clients through the proxy, and what only a real broker shows.

Lives here: publishing, consuming, confirms, returns, transactions, direct reply-to, heartbeats, notices, large bodies.
Does not: the codec's bytes (tests/unit/codecs/test_amqp*.py); logins at the proxy (test_rabbitmq_users.py).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import amqp_words as amqp
import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from rabbitmq_clients import CLIENTS, connect, done_by, done_in_1_0, expected, properties
from rabbitmq_peers import RabbitMQ
from running import eventually, free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")


@CLIENTS
def test_a_client_does_this_without_the_proxy(rabbitmq: RabbitMQ, client: str) -> None:
    assert done_by(client, rabbitmq.uri()) == expected(client, denied=0)


class Mesh(NamedTuple):
    """port: of a listener before the broker."""

    proxy: Proxy
    port: int
    broker: RabbitMQ

    def uri(self, login: str = "guest:guest", vhost: str = "%2F") -> str:
        return self.broker.uri(self.port, login, vhost)


DENY = {"action": "deny", "permissions": [{"access": "configure", "resource": "kept"}]}
LIMIT = {
    "limit": 5,
    "per": "1h",
    "match": {"method": "basic.publish", "exchange": "limited"},
    "key": ["user", "exchange"],
}
FAULTS: list[dict[str, Any]] = [
    {"match": {"queue": "locked"}, "percentage": 100, "error": {"name": "RESOURCE_LOCKED", "message": "not today"}},
    {"match": {"queue": "late"}, "percentage": 100, "delay": "300ms"},
]


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    port = free_port()
    filters = [
        {"rbac": {"policies": {"kept": DENY}}},
        {"local_rate_limit": {"conditions": [LIMIT]}},
        {"fault": {"faults": FAULTS}},
    ]
    config = {
        "listeners": [listener("broker", port, "amqp", [{"cluster": "broker"}], filters=filters)],
        "clusters": [cluster("broker", rabbitmq.port)],
    }
    return Mesh(shared_proxy(config), port, rabbitmq)


@pytest.fixture
def channel(mesh: Mesh) -> Iterator[Any]:
    """A channel by pika, through the proxy."""
    with connect(mesh.uri()) as connection:
        yield connection.channel()


@CLIENTS
def test_a_client_does_the_same_through_the_proxy_and_gets_its_refusals(mesh: Mesh, client: str) -> None:
    assert done_by(client, mesh.uri()) == expected(client, denied=403)


@pytest.mark.peer("rhea")
@pytest.mark.parametrize("login", [[], ["guest", "guest"]], ids=["plain", "sasl"])
def test_a_client_of_amqp_1_0_is_refused_in_words_and_the_log_says_why(mesh: Mesh, login: list[str]) -> None:
    refused = {"opened": False, "error": "protocol_error: Unsupported AMQP version: 0-9-1"}
    assert not done_in_1_0(mesh.broker.port, *login)["opened"]  # which at times resets what it has said
    for _ in range(5):
        assert done_in_1_0(mesh.port, *login) == refused
    assert "a client that speaks AMQP 1.0; this listener speaks AMQP 0-9-1" in mesh.proxy.log()


def test_heartbeats_keep_a_connection_and_silence_ends_it(mesh: Mesh) -> None:
    from pika.exceptions import AMQPConnectionError

    silent = connect(mesh.uri(), heartbeat=1)
    with connect(mesh.uri(), heartbeat=1) as connection:
        connection.process_data_events(4.5)
        assert connection.channel().queue_declare("", exclusive=True).method.queue.startswith("amq.gen-")
    with pytest.raises(AMQPConnectionError):
        silent.channel()


def test_a_consumer_is_noticed_when_its_queue_is_deleted(mesh: Mesh, channel: Any) -> None:
    cancelled: list[Any] = []
    channel.queue_declare("gone")
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("gone", lambda *_: None)
    with connect(mesh.uri()) as other:
        other.channel().queue_delete("gone")
    channel.connection.process_data_events(0.5)
    assert len(cancelled) == 1


def test_flow_is_answered_by_the_broker(channel: Any) -> None:
    assert channel.flow(True) is True


def test_a_broker_that_takes_no_more_says_so_to_publishers(mesh: Mesh, channel: Any) -> None:
    said: list[str] = []
    connection = channel.connection
    connection.add_on_connection_blocked_callback(lambda _, method: said.append(method.method.NAME))
    connection.add_on_connection_unblocked_callback(lambda _, method: said.append(method.method.NAME))
    with mesh.broker.blocking():
        channel.basic_publish("", "nothing", b"x")
        connection.process_data_events(1)
        assert said == ["Connection.Blocked"]
    connection.process_data_events(1)
    assert said == ["Connection.Blocked", "Connection.Unblocked"]


@pytest.mark.parametrize("heartbeat", [0, 2])
def test_a_client_that_leaves_while_its_broker_takes_nothing_is_let_go(mesh: Mesh, heartbeat: int) -> None:
    """Its end stands behind what is not read: the proxy sees it by heartbeats, or by the time of the route."""

    def connections() -> int:
        return mesh.proxy.counted("metaproxy_listener_connections_active")

    before = connections()
    client = socket.create_connection(("127.0.0.1", mesh.port))
    said = (
        amqp.HEADER, amqp.start_ok(b"\0guest\0guest", blocked=False), amqp.tune_ok(heartbeat=heartbeat),
        amqp.open_vhost(), amqp.method("channel.open", 1, b"\0"),
    )  # fmt: skip
    for words in said:
        client.sendall(words)
        if words is not said[2]:
            client.recv(1 << 16)
    with mesh.broker.blocking():
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.sendall(amqp.published(b"x" * 60_000, exchange="amq.fanout") * 10)
        assert connections() == before + 1
        client.close()
        assert eventually(lambda: connections() == before, 20)


def test_large_messages_pass_both_ways_in_little_memory_and_others_beside_them(mesh: Mesh, channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    beside = channel.connection.channel()
    beside.confirm_delivery()
    before = mesh.proxy.memory()
    mesh.proxy.forget_peak()
    channel.basic_publish("", queue, b"x" * 30_000_000)
    beside.basic_publish("", queue, b"small")
    bodies: list[bytes] = []
    channel.basic_consume(queue, lambda _c, _m, _p, body: bodies.append(body), auto_ack=True)
    while len(bodies) < 2:
        channel.connection.process_data_events(5)
    assert sorted(map(len, bodies)) == [5, 30_000_000]
    assert mesh.proxy.peak() - before < 16 << 20


def test_deliveries_are_exchanges(mesh: Mesh, channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    lines: list[str] = []

    def look() -> None:
        lines.extend(
            mesh.proxy.command("tap", "--match", "method=basic.deliver", "--limit", "3", "--json").splitlines()
        )

    looking = threading.Thread(target=look)
    looking.start()
    counted = mesh.proxy.outcomes().get("event", 0)
    seen: list[str] = []
    channel.basic_consume(
        queue, lambda _c, _m, properties, _b: seen.append(properties.headers["tenant"]), auto_ack=True
    )

    def published() -> bool:
        channel.basic_publish("", queue, b"x", properties(headers={"tenant": "t1"}))
        channel.connection.process_data_events(0.1)
        return not looking.is_alive()

    assert eventually(published, 10)
    looking.join()
    assert mesh.proxy.outcomes()["event"] - counted >= len(seen) >= 3
    metadata = json.loads(lines[0])["request"]["metadata"]
    assert (metadata["exchange"], metadata["routing_key"], metadata["user"]) == ("amq.default", queue, "guest")


def test_publishers_have_a_limit_by_user_and_exchange(mesh: Mesh) -> None:
    from pika.exceptions import ChannelClosedByBroker

    for user in ("guest:guest", "app:secret"):
        with connect(mesh.uri(user)) as connection:
            channel = connection.channel()
            channel.exchange_declare("limited", "fanout")
            for _ in range(5):
                channel.basic_publish("limited", "", b"x")
            channel.exchange_declare("limited", passive=True)
            channel.basic_publish("limited", "", b"x")
            with pytest.raises(ChannelClosedByBroker, match="406"):
                channel.queue_declare("", exclusive=True)
            connection.channel().basic_publish("", "nothing", b"x")


def test_faults_have_any_of_the_protocols_codes_and_take_time(channel: Any) -> None:
    from pika.exceptions import ChannelClosedByBroker

    before = time.monotonic()
    channel.queue_declare("late")
    assert time.monotonic() - before > 0.29
    with pytest.raises(ChannelClosedByBroker, match=r"405.*not today"):
        channel.queue_declare("locked")


@pytest.mark.peer("otlp")
def test_a_trace_goes_from_who_publishes_to_who_consumes(
    rabbitmq: RabbitMQ, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    port, sink, file = free_port(), free_port(), tmp_path / "spans"
    start_here(catalogue.otlp_sink(sink, file))
    exported = {"exporter": "otlp", "url": f"http://127.0.0.1:{sink}/v1/traces", "interval": "50ms"}
    traced = listener("broker", port, "amqp", [{"cluster": "broker"}], tracing={"direction": "outbound"})
    proxy({"tracing": exported, "listeners": [traced], "clusters": [cluster("broker", rabbitmq.port)]})
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    seen: list[str] = []
    with connect(rabbitmq.uri(port)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_consume(queue, lambda _c, _m, about, _b: seen.append(about.headers["traceparent"]), auto_ack=True)
        channel.basic_publish("", queue, b"x", properties(headers={"traceparent": f"00-{trace}-{parent}-01"}))
        assert eventually(lambda: connection.process_data_events(0.1) or seen)

    def spans() -> list[dict[str, Any]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [span for span in (json.loads(line)["span"] for line in lines) if span["traceId"] == trace]

    assert eventually(lambda: len(spans()) == 2)
    publish, delivery = sorted(spans(), key=lambda span: str(span["name"]), reverse=True)
    assert (publish["name"], publish["parentSpanId"]) == ("egress basic.publish amq.default", parent)
    assert (delivery["name"], delivery["parentSpanId"]) == ("egress basic.deliver amq.default", publish["spanId"])
    assert seen == [f"00-{trace}-{publish['spanId']}-01"]
