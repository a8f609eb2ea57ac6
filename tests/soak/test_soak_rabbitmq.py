"""
The largest messages and the most channels of RabbitMQ through a real process, `make soak`.

Lives here: 128 MiB each way, which is all that a broker takes; 5,000 channels with 1,000 consumers; where logins pass
and where they end at the proxy. Does not: what clients do otherwise (tests/interop/test_rabbitmq.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from long_streams import MIB, WAYS, need, proxied
from rabbitmq_clients import connect
from rabbitmq_peers import RabbitMQ

LARGEST = 128 * MIB
CHANNELS, CONSUMERS, CONNECTIONS = 5000, 1000, 5
LOGIN = "app:secret"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    need("rabbitmq", "pika")
    started = RabbitMQ(tmp_path_factory.mktemp("broker"), "vm_memory_high_watermark.absolute = 3GB")
    yield started
    started.stop()


@WAYS
def test_the_largest_message_passes_both_ways_in_little_memory(
    way: str, broker: RabbitMQ, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        proxied("amqp", way, broker.port, tmp_path) as (proxy, port),
        connect(broker.uri(port, LOGIN)) as connection,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        proxy.forget_peak()
        base, began = proxy.memory(), time.monotonic()
        channel.basic_publish("", queue, b"x" * LARGEST)
        _, _, body = channel.basic_get(queue, auto_ack=True)
        seconds, taken = time.monotonic() - began, proxy.peak() - base
        with capsys.disabled():
            rate = f"{2 * LARGEST / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
            print(f"\n128 MiB to a broker and back, {way}: {rate}")
        assert body == b"x" * LARGEST
        assert taken < 64 * MIB


@WAYS
def test_thousands_of_channels_and_consumers_take_little_memory(
    way: str, broker: RabbitMQ, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with proxied("amqp", way, broker.port, tmp_path) as (proxy, port):
        connections = [connect(broker.uri(port, LOGIN), heartbeat=0) for _ in range(CONNECTIONS)]
        firsts = [connection.channel() for connection in connections]
        queue = firsts[0].queue_declare("", exclusive=True).method.queue
        base = proxy.memory()
        channels = [connections[number % CONNECTIONS].channel() for number in range(CHANNELS)]
        for_channels = (proxy.memory() - base) / CHANNELS / 1024
        base = proxy.memory()
        consuming = channels[::CONNECTIONS]  # those of the connection whose queue it is
        assert len(consuming) == CONSUMERS
        for channel in consuming:
            channel.basic_consume(queue, lambda *_: None)
        for_consumers = (proxy.memory() - base) / CONSUMERS / 1024
        with capsys.disabled():
            print(f"\n{way}: {for_channels:.2f} KiB a channel, {for_consumers:.2f} KiB a consumer")
        assert max(for_channels, for_consumers) < 20
        for connection in connections:
            connection.close()
