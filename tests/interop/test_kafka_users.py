"""
Kafka with logins: that end at the proxy, whose own is another at the brokers, and that pass; TLS on both sides.

Lives here: clients by each mechanism, and brokers that let nobody in but the proxy. Does not: what applications do
without a login (test_kafka.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority
from kafka_peers import DONE, MECHANISMS, Brokers, Run, done, ports_in_a_row
from proxied import Proxy, listener
from running import PEERS

pytestmark = pytest.mark.peer("kafka")
sys.path.append(str(PEERS / "python" / "kafka"))
OURS = {"shop": "eraser", "other": "ruler"}
MINE = {
    "denied": {"action": "deny", "permissions": [{"topics": {"prefix": "denied-"}}]},
    "other": {"action": "deny", "permissions": [{"user": "other", "api": "CreateTopics"}]},
}
EACH = {
    "requests": 5, "key": ["user", "topics"], "delay_key": "throttle_time_ms",
    "match": {"api": "Produce", "topics": {"prefix": "few-"}},
}  # fmt: skip
PASSING = {"user": "app", "password": "pencil"}
ENDING = {"user": "shop", "password": "eraser"}
NAMED = {
    "kafka-java": "SCRAM-SHA-256", "confluent-kafka": "SCRAM-SHA-512", "aiokafka": "SCRAM-SHA-256", "franz-go": "PLAIN",
    "kafkajs": "PLAIN",
}  # fmt: skip
"""How each client logs in where brokers have names."""


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
    filters = [{"rbac": {"policies": MINE}}, {"quota": EACH}]

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


@pytest.fixture(scope="module")
def runs(mesh: Mesh) -> Iterator[Mapping[str, Run]]:
    """All clients at once, by the names of the tests' parameters."""
    started: dict[str, Run] = {}

    def run(client: str, where: str, mechanism: str, **about: object) -> None:
        name = f"{client} {where} {mechanism}"
        if not catalogue.missing(client):
            job = {"bootstrap": getattr(mesh, where), "mechanism": mechanism, **about}
            started[name] = Run(client, prefix=name.replace(" ", "-"), **job)

    for mechanism in MECHANISMS:
        run("franz-go", "ending", mechanism, **ENDING)
        run("franz-go", "passing", mechanism, **PASSING)
    run("aiokafka", "ending", "SCRAM-SHA-512", **ENDING)
    run("confluent-kafka", "ending", "SCRAM-SHA-256", **ENDING)
    yield started
    for each in started.values():
        each.stop()


@pytest.fixture(scope="module")
def named_runs(mesh: Mesh) -> Iterator[Mapping[str, Run]]:
    """All clients at once, over TLS to brokers that have names."""
    about = {"bootstrap": mesh.named, "ca": str(mesh.ca), "hosts": str(mesh.hosts), **ENDING}
    found = {client: mechanism for client, mechanism in NAMED.items() if not catalogue.missing(client)}
    started = {
        client: Run(client, prefix=f"{client}-named", mechanism=mechanism, **about)
        for client, mechanism in found.items()
    }
    yield started
    for each in started.values():
        each.stop()


@pytest.mark.peer("franz-go")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_logins_end_at_the_proxy_whose_own_is_another_user(runs: Mapping[str, Run], mechanism: str) -> None:
    assert runs[f"franz-go ending {mechanism}"].result() == DONE


@pytest.mark.parametrize(
    ("client", "mechanism"),
    [
        pytest.param("aiokafka", "SCRAM-SHA-512", marks=pytest.mark.peer("aiokafka")),
        pytest.param("confluent-kafka", "SCRAM-SHA-256", marks=pytest.mark.peer("confluent-kafka")),
    ],
)
def test_other_clients_log_in_as_well(runs: Mapping[str, Run], client: str, mechanism: str) -> None:
    assert runs[f"{client} ending {mechanism}"].result() == DONE


@pytest.mark.peer("franz-go")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_logins_pass_to_the_brokers(runs: Mapping[str, Run], mechanism: str) -> None:
    assert runs[f"franz-go passing {mechanism}"].result() == DONE


@pytest.mark.parametrize("client", [pytest.param(name, marks=pytest.mark.peer(name)) for name in NAMED])
def test_brokers_have_names_of_their_own_in_tls(named_runs: Mapping[str, Run], client: str) -> None:
    assert named_runs[client].result() == done(client)


@pytest.mark.peer("franz-go")
def test_a_wrong_password_is_the_clients_own_error(mesh: Mesh) -> None:
    wrong = {"user": "shop", "password": "x", "mechanism": "SCRAM-SHA-256"}
    status, _, errors = Run("franz-go", bootstrap=mesh.ending, prefix="wrong", **wrong).said()
    assert status != 0
    assert "SASL_AUTHENTICATION_FAILED" in errors
    assert "the user or the password is wrong" in errors


@pytest.mark.peer("franz-go")
def test_what_one_user_may_do_another_may_not(mesh: Mesh) -> None:
    other = {"user": "other", "password": "ruler", "mechanism": "PLAIN"}
    status, _, errors = Run("franz-go", bootstrap=mesh.ending, prefix="others", **other).said()
    assert status != 0
    assert "TOPIC_AUTHORIZATION_FAILED" in errors


@pytest.mark.peer("confluent-kafka")
def test_a_quota_of_requests_is_of_each_user_and_topic(mesh: Mesh) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    def base(user: str) -> dict[str, Any]:
        login = {"sasl.mechanism": "PLAIN", "sasl.username": user, "sasl.password": OURS[user]}
        return {"bootstrap.servers": mesh.ending, "security.protocol": "SASL_PLAINTEXT", **login}

    def longest(user: str, topic: str, count: int) -> float:
        """For how long a producer was asked to wait, at most; each record is a request."""
        waits = [0.0]
        producer = Producer(
            {**base(user), "linger.ms": 0, "throttle_cb": lambda event: waits.append(event.throttle_time)}
        )
        for number in range(count):
            producer.produce(topic, b"%d" % number)
            assert producer.flush(30) == 0
        return max(waits)

    admin = AdminClient(base("shop"))
    for future in admin.create_topics([NewTopic(f"few-{name}", 1, 3) for name in "ab"]).values():
        future.result(30)
    assert longest("shop", "few-a", 40) > 0
    assert longest("shop", "few-b", 2) == longest("other", "few-a", 2) == 0


@pytest.mark.peer("confluent-kafka")
def test_tokens_of_oauthbearer_pass_to_the_brokers(mesh: Mesh) -> None:
    from confluent_kafka.admin import AdminClient

    unsigned = {"enable.sasl.oauthbearer.unsecure.jwt": True, "sasl.oauthbearer.config": "principal=app"}
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", **unsigned}
    admin = AdminClient({"bootstrap.servers": mesh.passing, **login})
    assert set(admin.list_topics(timeout=30).brokers) == {1, 2, 3}
