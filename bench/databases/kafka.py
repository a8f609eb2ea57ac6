"""
Apache Kafka behind the proxies, and its own ProducerPerformance and ConsumerPerformance.

Lives here: starting a broker, asking the two. Does not: databases (`servers`), proxies (`proxies`).

A broker tells its clients where it is. So it has a listener for each way to it, at ports in a row:

    DIRECT    where it says that it is there; metaproxy puts addresses of its own in the place of that
    TCP       where it says that it is at VIA, at which a proxy that knows nothing of Kafka has to listen
    VIA       that port
    DOORS     two ports for metaproxy
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.databases.servers import PEERS, Counted, Missing, program, run
from bench.processes import Running, free_ports, listens, wait_for

TCP, VIA, DOORS = 1, 2, 3
"""Ports, counted from that of DIRECT."""
_CONTROLLER, _ROW = 5, 6
_LIBRARIES = PEERS / "java-kafka" / "lib"
_START = 60.0
_KEPT = "kept"
"""The topic that is consumed, and how many records it has."""
_MANY = 500_000
_SIZE = "100"


def _java(heap: str = "-Xmx256m") -> list[str]:
    return [program("java"), "-XX:+UseSerialGC", heap, "-cp", f"{_LIBRARIES}/*"]


def _row() -> int:
    """The first of free ports in a row."""
    while True:
        (first,) = free_ports(1)
        if first + _ROW < 65536 and not any(listens(first + more) for more in range(_ROW)):
            return first


@contextmanager
def kafka(folder: Path) -> Iterator[int]:
    """The port of DIRECT."""
    if not _LIBRARIES.exists():
        raise Missing(f"{_LIBRARIES} is missing; run tests/interop/install, which installs it")
    home = folder / "kafka"
    home.mkdir()
    first = _row()
    at = "127.0.0.1"
    properties = {
        "process.roles": "broker,controller", "node.id": 1, "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{at}:{first + _CONTROLLER}",
        "listeners": f"DIRECT://{at}:{first},TCP://{at}:{first + TCP},CONTROLLER://{at}:{first + _CONTROLLER}",
        "advertised.listeners": f"DIRECT://{at}:{first},TCP://{at}:{first + VIA}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,TCP:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DIRECT", "log.dirs": home / "data", "num.partitions": 3,
        "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1, "group.initial.rebalance.delay.ms": 0, "log.cleaner.enable": "false",
    }  # fmt: skip
    file = home / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    id = base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode()[:22]  # never with - in front
    run([*_java(), "kafka.tools.StorageTool", "format", "-t", id, "-c", str(file)])
    log = home / "log.txt"
    with Running([*_java("-Xmx512m"), "kafka.Kafka", str(file)], log) as broker:
        wait_for("Kafka is not ready", _START, broker, lambda: "Kafka Server started" in log.read_text())
        _produce(first, _KEPT, _MANY)
        yield first


def _produce(port: int, topic: str, count: int, *properties: str) -> float:
    """Records a second."""
    words = [f"bootstrap.servers=127.0.0.1:{port}", *properties]
    amount = ["--topic", topic, "--num-records", str(count), "--record-size", _SIZE, "--throughput", "-1"]
    tool = "org.apache.kafka.tools.ProducerPerformance"
    said = run([*_java(), tool, *amount, "--command-property", *words])
    rates = re.findall(r"records sent, ([\d.]+) records/sec", said)
    if not rates:
        raise ValueError(f"ProducerPerformance says no rate: {said[-300:]!r}")
    return float(rates[-1])


def producing(rate: int, *properties: str) -> Callable[[int, float], Counted]:
    """Records of 100 bytes, about as many as are written in the time at this rate."""

    def ask(port: int, seconds: float) -> Counted:
        count = round(rate * seconds)
        return Counted(count, count / _produce(port, "written", count, *properties))

    return ask


def consuming(port: int, seconds: float) -> Counted:
    """All records that are kept, whatever the time."""
    tool = "org.apache.kafka.tools.ConsumerPerformance"
    place = ["--bootstrap-server", f"127.0.0.1:{port}", "--topic", _KEPT, "--num-records", str(_MANY)]
    lines = run([*_java(), tool, *place]).splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith("start.time")), len(lines))
    if at + 1 >= len(lines):
        raise ValueError(f"ConsumerPerformance says no figures: {lines[-3:]}")
    found = dict(zip(lines[at].split(", "), lines[at + 1].split(", "), strict=True))
    return Counted(int(found["data.consumed.in.nMsg"]), int(found["fetch.time.ms"]) / 1000)
