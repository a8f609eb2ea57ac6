"""
Clients of RabbitMQ: five programs and what comes of them; pika, with which tests talk as they go along.

Lives here: running the programs, what these must print. Does not: the programs (peers/), command lines (catalogue).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import catalogue
import pytest
from catalogue import AMQP_CLIENTS, Command
from running import PEERS

sys.path.append(str(PEERS / "python" / "amqp"))
CLIENTS = pytest.mark.parametrize("client", [pytest.param(name, marks=pytest.mark.peer(name)) for name in AMQP_CLIENTS])


def done_by(client: str, uri: str) -> dict[str, Any]:
    """What an application got that uses this client."""
    return _printed(catalogue.amqp_client(client, uri))


def done_in_1_0(port: int, *login: str) -> dict[str, Any]:
    """What an application got that speaks AMQP 1.0. login: user and password, if it has them."""
    return _printed(catalogue.amqp_1_0_client(port, *login))


def _printed(command: Command) -> dict[str, Any]:
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def expected(client: str, denied: int) -> dict[str, Any]:
    """denied: the reply code with which a queue called `kept` is not deleted, 0 where it may be."""
    return {
        "confirmed": 100, "returned": 312, "consumed": 100, "header": "t1", "empty": True, "large": 3_000_000,
        "committed": -1 if client == "amqplib" else 1, "reply": "pong", "missing": 404, "denied": denied,
    }  # fmt: skip


def connect(uri: str, **options: Any) -> Any:
    """A connection by pika, whose methods wait for their answers."""
    import pika

    parameters = pika.URLParameters(uri)
    for name, value in options.items():
        setattr(parameters, name, value)
    return pika.BlockingConnection(parameters)


def properties(**values: Any) -> Any:
    """Those of a message."""
    import pika

    return pika.BasicProperties(**values)
