"""
Apache Kafka behind the proxy: clients in five ways reach its three brokers by the proxy alone.

Lives here: what applications do with Kafka, through ports of the proxy that stand for brokers; rules that act on it.
Does not: logins at the proxy and TLS (test_kafka_users.py); a broker that is lost (test_kafka_exactly_once.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import KAFKA_CLIENTS
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener

pytestmark = pytest.mark.peer("kafka")
DENIED = {"action": "deny", "permissions": [{"topics": {"prefix": "denied-"}}]}
EXPECTED = {
    "produced": 300, "consumed": 300, "members": 2, "next_generation": True, "committed": 10, "offset": 5,
    "denied": "TOPIC_AUTHORIZATION_FAILED", "brokers": 3,
}  # fmt: skip


class Mesh(NamedTuple):
    """hidden: a listener before brokers that give addresses that do not exist; told: before such as give their own."""

    brokers: Brokers
    proxy: Proxy
    hidden: str
    told: str


@pytest.fixture(scope="module")
def mesh(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy]) -> Mesh:
    brokers = kafka_brokers
    ports = {name: ports_in_a_row(5) for name in ("hidden", "told")}
    endpoints = [
        {"address": f"127.0.0.1:{port}", "metadata": {"node": str(number)}}
        for number, port in enumerate(brokers.ports["HIDDEN"], 1)
    ]
    told = brokers.bootstrap().split(",")
    proxy = shared_proxy(
        {
            "listeners": [
                listener(
                    name, first, "kafka", [{"cluster": name}], nodes={"ports": f"{first + 1}-{first + 4}"},
                    filters=[{"rbac": {"policies": {"denied": DENIED}}}],
                )
                for name, first in ports.items()
            ],
            "clusters": [
                {"name": "hidden", "endpoints": endpoints},
                {"name": "told", "endpoints": told[:1], "topology": "brokers", "topology_interval": "500ms"},
            ],
        }
    )  # fmt: skip
    return Mesh(brokers, proxy, *(f"127.0.0.1:{first}" for first in ports.values()))


def run(client: str, **about: object) -> dict[str, Any]:
    command = catalogue.kafka_client(client, **about)
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stderr[-3000:]
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def expected(client: str) -> dict[str, Any]:
    """What comes of a client's program: kafkajs has two of the five compressions."""
    return {**EXPECTED, **({"produced": 120, "consumed": 120} if client == "kafkajs" else {})}


@pytest.mark.parametrize("client", [pytest.param(name, marks=pytest.mark.peer(name)) for name in KAFKA_CLIENTS])
def test_clients_do_what_they_do_with_brokers_and_see_no_address_of_one(mesh: Mesh, client: str) -> None:
    assert run(client, bootstrap=mesh.hidden, prefix=client) == expected(client)
