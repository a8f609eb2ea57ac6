"""
Records read, changed and written in transactions while a broker is killed and the proxy is replaced: each once.

Lives here: counts at the end, by what is committed. Does not: clients in general (test_kafka.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import catalogue
import pytest
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener
from running import eventually

pytestmark = pytest.mark.peer("kafka", "confluent-kafka")
COUNT = int(os.environ.get("KAFKA_RECORDS", "2000"))
SECONDS = max(60, COUNT // 100)


def configuration(brokers: Brokers, first: int) -> dict[str, Any]:
    nodes = {"ports": f"{first + 1}-{first + 4}"}
    seeds = brokers.bootstrap().split(",")
    return {
        "listeners": [listener("kafka", first, "kafka", [{"cluster": "kafka"}], nodes=nodes)],
        "clusters": [{"name": "kafka", "endpoints": seeds, "topology": "brokers", "topology_interval": "500ms"}],
    }


def job(first: int, do: str) -> catalogue.Command:
    about = {"bootstrap": f"127.0.0.1:{first}", "do": do, "count": COUNT, "seconds": SECONDS}
    words = json.dumps({**about, "input": "once-in", "output": "once-out", "batch": max(20, COUNT // 200)})
    if do == "move":
        return catalogue.kafka_java("org.example.kafka.Mover", words)
    return catalogue.python_command("kafka/exactly_once.py", "kafka", words)


def done(first: int, do: str) -> dict[str, Any]:
    command = job(first, do)
    printed = subprocess.run(
        command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=120
    )
    assert printed.returncode == 0, printed.stderr[-3000:]
    result: dict[str, Any] = json.loads(printed.stdout.splitlines()[-1])
    return result


def test_each_record_is_moved_once_while_a_broker_is_killed_and_the_proxy_is_replaced(
    kafka_brokers: Brokers, proxy: Callable[..., Proxy], start_here: catalogue.Start
) -> None:
    first = ports_in_a_row(5)
    config = configuration(kafka_brokers, first)
    before = proxy(config)
    assert done(first, "fill") == {"failed": 0}
    mover = start_here(job(first, "move"), ready=lambda: True)

    def moved() -> int:
        return sum(int(line) for line in mover.text().splitlines() if line.isdecimal())

    def reaches(share: float) -> None:
        eventually(lambda: moved() >= COUNT * share or not mover.running, 120, 0.05)
        assert mover.running, mover.text()[-3000:]

    reaches(0.2)
    kafka_brokers.kill(2)
    reaches(0.4)
    before.stop()
    proxy(config)
    reaches(0.6)
    kafka_brokers.start_again(2)
    assert mover.wait(SECONDS) == 0, mover.text()[-3000:]
    assert done(first, "check") == {"lost": 0, "twice": 0, "ended": 3}
