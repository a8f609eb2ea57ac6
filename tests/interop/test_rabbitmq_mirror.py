"""
What is published to one RabbitMQ is copied to another one.

Lives here: what the mirror's queues have then, exchanges that it has not, a mirror that is lost and comes back. Does
not: the bytes of copies (tests/unit/codecs/test_amqp_copies.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import CLIENTS, connect, done_by, expected, properties
from rabbitmq_peers import RabbitMQ
from running import eventually, free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")
CREDENTIALS = {"user": "back", "password": "back-secret"}
MODES: dict[str, Any] = {
    "passed": "amqp",
    "users": {"name": "amqp", "users": {"guest": "guest"}},
    "forwarded": {"name": "amqp", "logins": "forward"},
}


class Mesh(NamedTuple):
    """ports: of a listener for each way to log in, before `one`; what is published there is copied to `two`."""

    proxy: Proxy
    ports: dict[str, int]
    one: RabbitMQ
    two: RabbitMQ

    def uri(self, mode: str = "passed", vhost: str = "%2F") -> str:
        return self.one.uri(self.ports[mode], vhost=vhost)

    def copies(self, name: str = "requests") -> int:
        return self.proxy.counted(f"metaproxy_mirror_{name}_total")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    broker = RabbitMQ(tmp_path_factory.mktemp("mirror"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, two: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    ports = {mode: free_port() for mode in MODES}
    proxy = shared_proxy(
        {
            "listeners": [
                listener(mode, ports[mode], spoken, [{"cluster": mode, "mirror": {"cluster": "two"}}])
                for mode, spoken in MODES.items()
            ],
            "clusters": [
                cluster("passed", rabbitmq.port),
                cluster("users", rabbitmq.port, credentials=CREDENTIALS),
                cluster("forwarded", rabbitmq.port),
                cluster("two", two.port, credentials=CREDENTIALS, health_check={"kind": "codec", "interval": "500ms"}),
            ],
        }
    )
    return Mesh(proxy, ports, rabbitmq, two)


def declared(broker: RabbitMQ, name: str, vhost: str = "%2F") -> None:
    """An exchange, and a queue that gets all of it."""
    with connect(broker.uri(vhost=vhost)) as connection:
        channel = connection.channel()
        channel.exchange_declare(name, "fanout")
        channel.queue_declare(name)
        channel.queue_bind(name, name)


def published(uri: str, exchange: str, count: int, size: int = 10, **more: Any) -> None:
    """So many messages, each of which the broker has confirmed."""
    with connect(uri) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(count):
            about = properties(headers={"number": number}, delivery_mode=2, **more)
            channel.basic_publish(exchange, "", f"{number:06}".encode() * (size // 6 + 1), about, mandatory=True)


def read(broker: RabbitMQ, queue: str, count: int, vhost: str = "%2F") -> list[int]:
    """The numbers of the messages of a queue in their order, once there are so many."""
    found: list[int] = []
    with connect(broker.uri(vhost=vhost)) as connection:
        channel = connection.channel()

        def more() -> bool:
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                assert got[2].startswith(f"{got[1].headers['number']:06}".encode())
                found.append(got[1].headers["number"])
            return len(found) >= count

        eventually(more, 20)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_what_is_published_to_one_broker_is_read_from_the_other(mesh: Mesh, mode: str) -> None:
    name = f"copied-{mode}"
    for broker in (mesh.one, mesh.two):
        declared(broker, name)
        declared(broker, name, "shop")
    published(mesh.uri(mode), name, 300, user_id="guest" if mode != "users" else None)
    published(mesh.uri(mode, "shop"), name, 50, size=50_000)
    for broker in (mesh.one, mesh.two):
        assert read(broker, name, 300) == list(range(300)), mesh.proxy.log()[-2000:]
        assert read(broker, name, 50, "shop") == list(range(50))
    assert mesh.copies("failures") == mesh.copies("dropped") == 0


def test_a_message_that_passes_piece_by_piece_is_dropped_and_counted(mesh: Mesh) -> None:
    for broker in (mesh.one, mesh.two):
        declared(broker, "large")
    published(mesh.uri(), "large", 1, size=1_000_000)
    assert read(mesh.one, "large", 1) == [0]
    assert eventually(lambda: mesh.copies("dropped") == 1)


def test_an_exchange_that_the_mirror_has_not_costs_copies_and_no_more(mesh: Mesh) -> None:
    for broker in (mesh.one, mesh.two):
        declared(broker, "both")
    declared(mesh.one, "only-here")
    before = mesh.copies("failures")
    published(mesh.uri(), "only-here", 3)
    assert eventually(lambda: mesh.copies("failures") > before)
    assert "takes no copy of basic.publish only-here: 404 NOT_FOUND" in mesh.proxy.log()
    published(mesh.uri(), "both", 20)
    assert read(mesh.two, "both", 20) == list(range(20))
    assert read(mesh.one, "only-here", 3) == [0, 1, 2]


@CLIENTS
def test_clients_do_what_they_do_and_hear_nothing_of_the_mirror(mesh: Mesh, client: str) -> None:
    before = mesh.copies()
    assert done_by(client, mesh.uri()) == expected(client, denied=0)
    assert mesh.copies() >= before + 100


def test_the_original_goes_on_when_the_mirror_is_lost_and_so_do_copies_when_it_is_back(mesh: Mesh) -> None:
    for broker in (mesh.one, mesh.two):
        declared(broker, "lost")
    published(mesh.uri(), "lost", 10)
    assert read(mesh.two, "lost", 10) == list(range(10))
    before = mesh.copies("failures") + mesh.copies("dropped")
    mesh.two.kill()
    published(mesh.uri(), "lost", 100)
    assert read(mesh.one, "lost", 110)[10:] == list(range(100))
    assert mesh.copies("failures") + mesh.copies("dropped") > before
    mesh.two.start()
    declared(mesh.two, "lost")

    def copied() -> bool:
        published(mesh.uri(), "lost", 1)
        return bool(read(mesh.two, "lost", 0))

    assert eventually(copied, 30, 0.5)
