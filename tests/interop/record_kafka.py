"""
What is recorded of Kafka: each API in each version that a client of another project speaks, one call of it.

Clients run before a proxy, as they have to be led to the relays; the relays stand behind it, before the brokers. So
requests are the clients', but for the ids, and answers are the brokers'.

Lives here: that arrangement. Does not: the relay (capture.py), where the files go (record.py runs this).
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import catalogue
from authority import Authority
from capture import Frame, Reads, Relay, grouped, save, whole_frames
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener

VERSIONS = {
    "kafka-java": "4.4.0",
    "franz-go": "1.22.3",
    "confluent-kafka": "2.16.1",
    "aiokafka": "0.14.0",
    "kafkajs": "2.2.4",
}
MOST = 3000
"""Bytes of a request and its answer: of an API the smallest pair is kept."""


def kafka() -> None:
    folder = Path(tempfile.mkdtemp())
    brokers = Brokers(folder, Authority(folder))
    try:
        for client in catalogue.KAFKA_CLIENTS:
            pairs = dict(sorted(_pairs(brokers, client)))
            exchanges = [
                {"what": f"API {key} in version {version}", "frames": frames}
                for (key, version), frames in pairs.items()
            ]
            save(f"kafka/{client}.json", f"{client} {VERSIONS[client]} -> Apache Kafka 4.4.0", exchanges)
    finally:
        brokers.stop()


def _pairs(brokers: Brokers, client: str) -> Iterator[tuple[tuple[int, int], list[Frame]]]:
    relays = [Relay(port) for port in brokers.ports["PLAINTEXT"]]
    first = ports_in_a_row(5)
    endpoints = [
        {"address": f"127.0.0.1:{relay.port}", "metadata": {"node": str(node)}} for node, relay in enumerate(relays, 1)
    ]
    routes = [{"cluster": "kafka"}]
    doors = {"nodes": {"ports": f"{first + 1}-{first + 4}"}}
    config = {
        "listeners": [listener("kafka", first, "kafka", routes, **doors)],
        "clusters": [{"name": "kafka", "endpoints": endpoints}],
    }
    proxy = Proxy(config, Path(tempfile.mkdtemp()))
    try:
        command = catalogue.kafka_client(client, bootstrap=f"127.0.0.1:{first}", prefix=client)
        subprocess.run(command.argv, env={**os.environ, **command.env}, check=True, timeout=120)
    finally:
        proxy.stop()
        for relay in relays:
            relay.close()
    kept: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    for relay in relays:
        for reads in relay.connections:
            for asked, answered in _calls(reads):
                about = struct.unpack_from(">hh", asked, 4)
                before = kept.get(about)
                if before is None or len(asked) + len(answered) < sum(map(len, before)):
                    kept[about] = asked, answered
    for about, (asked, answered) in kept.items():
        if len(asked) + len(answered) <= MOST:
            yield (
                about,
                [
                    {"from": "client", "hex": grouped(asked, 4, 2, 2, 4)},
                    {"from": "server", "hex": grouped(answered, 4, 4)},
                ],
            )


def _calls(reads: Reads) -> Iterator[tuple[bytes, bytes]]:
    """The requests of a connection that were answered."""
    said = {side: b"".join(data for who, data in reads if who == side) for side in ("client", "server")}
    asked = {frame[8:12]: frame for frame in whole_frames(said["client"], _size)}
    for answered in whole_frames(said["server"], _size):
        if (request := asked.get(answered[4:8])) is not None and len(answered) == _size(answered):
            yield request, answered


def _size(data: bytes) -> int:
    size: int = struct.unpack_from(">i", data)[0]
    return 4 + size
