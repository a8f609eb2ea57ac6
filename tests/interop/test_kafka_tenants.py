"""
Tenants on one Kafka cluster, each with names of its own; quotas of theirs, told as a broker's are.

Lives here: listeners with a prefix, and what real clients see of each other. Does not: all else that clients do
(test_kafka.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener

pytestmark = pytest.mark.peer("kafka")
TENANTS = ("blue", "red", "free")
DENIED = {"action": "deny", "permissions": [{"topics": {"regex": "(blue|red).denied-.*"}}]}
QUOTA = {
    "bytes": "4MiB",
    "of": "requests",
    "key": "client_id",
    "match": {"api": "Produce"},
    "delay_key": "throttle_time_ms",
}


class House(NamedTuple):
    """at: where each tenant's clients begin; free has no prefix, and a quota."""

    proxy: Proxy
    at: dict[str, str]


@pytest.fixture(scope="module")
def house(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy]) -> House:
    ports = {name: ports_in_a_row(5) for name in TENANTS}
    filters: list[dict[str, Any]] = [{"rbac": {"policies": {"denied": DENIED}}}]
    proxy = shared_proxy(
        {
            "listeners": [
                listener(
                    name, first, {"name": "kafka", "prefix": "" if name == "free" else f"{name}."},
                    [{"cluster": "kafka"}], nodes={"ports": f"{first + 1}-{first + 4}"},
                    filters=[{"quota": QUOTA}] if name == "free" else filters,
                )
                for name, first in ports.items()
            ],
            "clusters": [
                {
                    "name": "kafka", "endpoints": kafka_brokers.bootstrap().split(","), "topology": "brokers",
                    "request_timeout": "60s",
                }
            ],
        }
    )  # fmt: skip
    return House(proxy, {name: f"127.0.0.1:{first}" for name, first in ports.items()})


def run(command: catalogue.Command) -> dict[str, Any]:
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-3000:]
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("tenant", "client"),
    [pytest.param(*pair, marks=pytest.mark.peer(pair[1])) for pair in (("blue", "kafka-java"), ("red", "franz-go"))],
)
def test_a_tenant_does_what_it_does_with_a_cluster_of_its_own(house: House, tenant: str, client: str) -> None:
    found = run(catalogue.kafka_client(client, bootstrap=house.at[tenant], prefix="same"))
    assert (found["produced"], found["consumed"], found["committed"], found["offset"]) == (300, 300, 10, 5)
    assert (found["denied"], found["brokers"]) == ("TOPIC_AUTHORIZATION_FAILED", 3)


@pytest.mark.peer("confluent-kafka")
def test_a_client_is_told_that_it_is_over_its_quota_and_loses_nothing(house: House) -> None:
    job = json.dumps({"bootstrap": house.at["free"], "topic": "eager"})
    found = run(catalogue.python_command("kafka/throttled_client.py", "kafka", job))
    assert found == {"delivered": 4, "told": True, "sizes": [3 << 20] * 4}
