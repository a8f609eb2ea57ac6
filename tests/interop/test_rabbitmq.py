"""
RabbitMQ with logins that pass: five clients through the proxy, and what only a real broker shows.

Lives here: publishing, consuming, confirms, returns, transactions, direct reply-to, heartbeats, notices, large bodies.
Does not: the codec's bytes (tests/unit/codecs/test_amqp*.py); logins at the proxy (test_rabbitmq_users.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import catalogue
import pytest
from catalogue import AMQP_CLIENTS
from rabbitmq_peers import RabbitMQ

pytestmark = pytest.mark.peer("rabbitmq", "pika")


def done_by(client: str, uri: str) -> dict[str, Any]:
    """What an application got that uses this client."""
    command = catalogue.amqp_client(client, uri)
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def expected(client: str, denied: int) -> dict[str, Any]:
    return {
        "confirmed": 100, "returned": 312, "consumed": 100, "header": "t1", "empty": True, "large": 3_000_000,
        "committed": -1 if client == "amqplib" else 1, "reply": "pong", "missing": 404, "denied": denied,
    }  # fmt: skip


clients = pytest.mark.parametrize("client", [pytest.param(name, marks=pytest.mark.peer(name)) for name in AMQP_CLIENTS])


@clients
def test_a_client_does_this_without_the_proxy(rabbitmq: RabbitMQ, client: str) -> None:
    assert done_by(client, rabbitmq.uri()) == expected(client, denied=0)
