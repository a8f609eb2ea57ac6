"""
Kafka with logins: that end at the proxy, whose own is another at the brokers, and that pass; TLS on both sides.

Lives here: clients by each mechanism, and brokers that let nobody in but the proxy. Does not: what applications do
without a login (test_kafka.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener

pytestmark = pytest.mark.peer("kafka")
OURS = {"shop": "eraser", "other": "ruler"}
MINE = {
    "denied": {"action": "deny", "permissions": [{"topics": {"prefix": "denied-"}}]},
    "other": {"action": "deny", "permissions": [{"user": "other", "api": "CreateTopics"}]},
}
DONE = {
    "produced": 300, "consumed": 300, "members": 2, "next_generation": True, "committed": 10, "offset": 5,
    "denied": "TOPIC_AUTHORIZATION_FAILED", "brokers": 3,
}  # fmt: skip
PASSING = {"user": "app", "password": "pencil"}
ENDING = {"user": "shop", "password": "eraser"}


class Mesh(NamedTuple):
    """
    ending: where logins end, in front of brokers that know another user; named: the same over TLS on both sides, where
    brokers have names; passing: where they go on to the brokers. ca: the authority of the proxy's certificate; hosts: a
    file in which the brokers' names are.
    """

    proxy: Proxy
    ending: str
    named: str
    passing: str
    ca: Path
    hosts: Path


@pytest.fixture(scope="module")
def mesh(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = tmp_path_factory.mktemp("names")
    authority = Authority(folder)
    issued = authority.issue("kafka", "localhost", "127.0.0.1", "*.kafka.example")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost " + " ".join(f"broker-{number}.kafka.example" for number in (1, 2, 3)) + "\n")
    ports = {name: ports_in_a_row(5) for name in ("ending", "named", "passing")}
    users = {"name": "kafka", "users": {name: {"secret": name} for name in OURS}}
    own = {"user": "admin", "password": {"secret": "admin"}, "mechanism": "SCRAM-SHA-256"}
    filters = [{"rbac": {"policies": MINE}}]

    def in_front(name: str, protocol: object, **options: Any) -> dict[str, Any]:
        first = ports[name]
        more = {"nodes": {"ports": f"{first + 1}-{first + 4}"}, "filters": filters, **options}
        return listener(name, first, protocol, [{"cluster": name}], **more)

    def behind(name: str, kind: str, **options: Any) -> dict[str, Any]:
        seeds = kafka_brokers.bootstrap(kind).split(",")
        return {"name": name, "endpoints": seeds, "topology": "brokers", "topology_interval": "500ms", **options}

    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    nodes = {"sni": "broker-{node}.kafka.example", "port": ports["named"]}
    over = {"credentials": {**own, "mechanism": "PLAIN"}, "tls": {"ca": str(kafka_brokers.ca)}}
    numbered = [
        {"address": address, "metadata": {"node": str(number)}}
        for number, address in enumerate(kafka_brokers.bootstrap("SASL_PLAINTEXT").split(","), 1)
    ]
    proxy = shared_proxy(
        {
            "secrets": {name: {"value": password} for name, password in {**OURS, "admin": "rubber"}.items()},
            "listeners": [
                in_front("ending", users),
                in_front("named", users, tls=tls, nodes=nodes),
                in_front("passing", "kafka"),
            ],
            "clusters": [
                behind("ending", "SASL_PLAINTEXT", credentials=own),
                behind("named", "SASL_SSL", **over),
                {"name": "passing", "endpoints": numbered},
            ],
        }
    )  # fmt: skip
    ending, named, passing = (f"127.0.0.1:{first}" for first in ports.values())
    return Mesh(proxy, ending, named, passing, authority.ca, hosts)


def run(client: str, **about: object) -> dict[str, Any]:
    command = catalogue.kafka_client(client, **about)
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stderr[-3000:]
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def by(client: str) -> Any:
    return pytest.param(client, marks=pytest.mark.peer(client))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("client", [by("franz-go")])
def test_logins_end_at_the_proxy_whose_own_is_another_user(mesh: Mesh, client: str, mechanism: str) -> None:
    about = {"bootstrap": mesh.ending, "prefix": f"{client}-{mechanism}", "mechanism": mechanism}
    assert run(client, **about, **ENDING) == DONE


@pytest.mark.parametrize(
    ("client", "mechanism"),
    [
        pytest.param("aiokafka", "SCRAM-SHA-512", marks=pytest.mark.peer("aiokafka")),
        pytest.param("confluent-kafka", "SCRAM-SHA-256", marks=pytest.mark.peer("confluent-kafka")),
    ],
)
def test_other_clients_log_in_as_well(mesh: Mesh, client: str, mechanism: str) -> None:
    about = {"bootstrap": mesh.ending, "prefix": f"{client}-in", "mechanism": mechanism}
    assert run(client, **about, **ENDING) == DONE


def test_a_wrong_password_is_the_clients_own_error(mesh: Mesh) -> None:
    command = catalogue.kafka_client(
        "franz-go", bootstrap=mesh.ending, prefix="wrong", user="shop", password="x", mechanism="SCRAM-SHA-256"
    )
    ran = subprocess.run(command.argv, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert "SASL_AUTHENTICATION_FAILED" in ran.stderr
    assert "the user or the password is wrong" in ran.stderr


def test_what_one_user_may_do_another_may_not(mesh: Mesh) -> None:
    other = {"user": "other", "password": "ruler", "mechanism": "PLAIN"}
    command = catalogue.kafka_client("franz-go", bootstrap=mesh.ending, prefix="others", **other)
    ran = subprocess.run(command.argv, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert "TOPIC_AUTHORIZATION_FAILED" in ran.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("client", [by("franz-go")])
def test_logins_pass_to_the_brokers(mesh: Mesh, client: str, mechanism: str) -> None:
    about = {"bootstrap": mesh.passing, "prefix": f"{client}-pass-{mechanism}", "mechanism": mechanism}
    assert run(client, **about, **PASSING) == DONE


@pytest.mark.parametrize("client", [by("kafka-java"), by("aiokafka")])
def test_brokers_have_names_of_their_own_in_tls(mesh: Mesh, client: str) -> None:
    about = {"bootstrap": mesh.named, "prefix": f"{client}-named", "mechanism": "SCRAM-SHA-256", "ca": str(mesh.ca)}
    assert run(client, **about, **ENDING, hosts=str(mesh.hosts)) == DONE
