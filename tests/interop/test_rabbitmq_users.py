"""
RabbitMQ with logins that end at the proxy: other credentials at the broker, and brokers that change beneath clients.

Lives here: who is let in, what five clients do then, a broker that goes and comes back. Does not: the login's bytes
(tests/unit/codecs/test_amqp_login.py); logins that pass (test_rabbitmq.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import CLIENTS, connect, done_by, expected
from rabbitmq_peers import STARTED, RabbitMQ
from running import eventually, free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika", "aio-pika")
DENY = {"action": "deny", "permissions": [{"access": "configure", "resource": "kept"}]}


class Mesh(NamedTuple):
    """
    port: of a listener at which `app` logs in, before a broker that knows the proxy as `back`; what is in the virtual
    host `shop` goes to a cluster of its own. tls_port: the same by TLS, on both sides.
    """

    proxy: Proxy
    port: int
    broker: RabbitMQ
    tls_port: int = 0

    def uri(self, login: str = "app:for-app", vhost: str = "%2F") -> str:
        return self.broker.uri(self.port, login, vhost)


def config(port: int, broker: RabbitMQ, tls_port: int = 0) -> dict[str, Any]:
    credentials = {"user": "back", "password": "back-secret"}
    protocol = {"name": "amqp", "users": {"app": "for-app", "ann": "for-ann"}}
    filters = [{"rbac": {"policies": {"kept": DENY}}}]
    # Who opens a channel waits for a broker that starts, as long as that may take.
    retry = {"attempts": 100, "on": ["connect", "reset"], "backoff": "200ms..4s"}
    patient = {"timeout": f"{STARTED + 20:g}s", "retry": retry}
    routes = [{"match": {"vhost": "shop", "user": "ann"}, "cluster": "shop"}, {"cluster": "broker", **patient}]
    listeners = [listener("broker", port, protocol, routes, filters=filters)]
    clusters = [
        cluster("broker", broker.port, credentials=credentials),
        cluster("shop", broker.port, credentials=credentials),
    ]
    if tls_port:
        own = {"certificate": str(broker.issued.certificate), "key": str(broker.issued.key)}
        listeners.append(listener("secure", tls_port, protocol, [{"cluster": "secure"}], tls=own))
        theirs = {"ca": str(broker.ca), "server_name": "localhost"}
        clusters.append(cluster("secure", broker.tls_port, credentials=credentials, tls=theirs))
    return {"listeners": listeners, "clusters": clusters}


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    port, tls_port = free_port(), free_port()
    return Mesh(shared_proxy(config(port, rabbitmq, tls_port)), port, rabbitmq, tls_port)


@CLIENTS
def test_a_client_of_the_proxys_users_does_all_that_it_does_at_a_broker(mesh: Mesh, client: str) -> None:
    assert done_by(client, mesh.uri()) == expected(client, denied=403)


def test_a_wrong_password_is_refused_as_a_broker_refuses_it(mesh: Mesh) -> None:
    from pika.exceptions import ProbableAuthenticationError

    with pytest.raises(ProbableAuthenticationError, match="403"):
        connect(mesh.uri("app:wrong"))
    with pytest.raises(ProbableAuthenticationError, match="403"):
        connect(mesh.uri("back:back-secret"))


def test_a_virtual_host_that_is_not_there_is_the_brokers_own_error(mesh: Mesh) -> None:
    from pika.exceptions import ProbableAccessDeniedError

    with pytest.raises(ProbableAccessDeniedError, match=r"530.*vhost nowhere not found"):
        connect(mesh.uri(vhost="nowhere"))


@pytest.mark.parametrize(("login", "name"), [("ann:for-ann", "shop"), ("app:for-app", "broker")])
def test_routes_look_at_who_has_logged_in_and_at_the_virtual_host(mesh: Mesh, login: str, name: str) -> None:
    def asked() -> int:
        stats = mesh.proxy.stats().items()
        return int(sum(value for key, value in stats if "exchanges_total" in key and f'cluster="{name}"' in key))

    before = asked()
    with connect(mesh.uri(login, "shop")) as connection:
        connection.channel().queue_declare("", exclusive=True)
    assert eventually(lambda: asked() >= before + 3)


def test_tls_is_spoken_on_both_sides(mesh: Mesh) -> None:
    import pika

    context = ssl.create_default_context(cafile=str(mesh.broker.ca))
    options = pika.SSLOptions(context, "localhost")
    with connect(mesh.broker.uri(mesh.tls_port, "app:for-app"), ssl_options=options) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"x" * 1_000_000)
        assert len(channel.basic_get(queue, auto_ack=True)[2]) == 1_000_000


def test_an_exclusive_queue_lives_as_long_as_its_client_and_not_as_its_channel(mesh: Mesh) -> None:
    from pika.exceptions import ChannelClosedByBroker

    with connect(mesh.uri()) as first:
        channel = first.channel()
        channel.queue_declare("mine", exclusive=True)
        channel.close()
        with connect(mesh.uri()) as second, pytest.raises(ChannelClosedByBroker, match="405"):
            second.channel().queue_declare("mine", passive=True)
        first.channel().queue_declare("mine", passive=True)
    with connect(mesh.uri()) as third, pytest.raises(ChannelClosedByBroker, match="404"):
        third.channel().queue_declare("mine", passive=True)


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    started = RabbitMQ(tmp_path_factory.mktemp("own"))
    yield started
    started.stop()


def test_a_broker_is_replaced_beneath_clients_that_have_nothing_open_and_closed_to_those_that_have(
    own_broker: RabbitMQ, proxy: Callable[..., Proxy]
) -> None:
    from pika.exceptions import ConnectionClosedByBroker

    port = free_port()
    mesh = Mesh(proxy(config(port, own_broker)), port, own_broker)
    idle, used = connect(mesh.uri()), connect(mesh.uri())
    idle.channel().close()
    used.channel().queue_declare("q")
    own_broker.kill()
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        used.channel()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(own_broker.start)
        idle.channel().queue_declare("q2")
        starting.result()
    idle.close()


class Publisher:
    """
    Publishes numbers with confirms, many at a time, until each one was confirmed: those that were not are sent again
    over another connection. unconfirmed: how often one was not.
    """

    def __init__(self, uri: str, count: int) -> None:
        self._uri = uri
        self._left = list(range(count))
        self._connection: Any = None
        self._exchange: Any = None
        self._act: asyncio.Future[object] | None = None
        self.confirmed: set[int] = set()
        self.connections = self.unconfirmed = 0

    async def run(self, acts: Mapping[int, Callable[[], object]]) -> None:
        """
        acts: what is done once so many are confirmed. Publishing goes on meanwhile, but for one message before the next
        act or the end, which waits until it is done: a fast broker would else have all of them by then. Raises what an
        act raises, also while nothing is confirmed: without a broker that serves, nothing would be.
        """
        loop, count = asyncio.get_running_loop(), len(self._left)
        with ThreadPoolExecutor(1) as pool:
            for until, act in (*acts.items(), (count, None)):
                await self._confirm(until - 1)
                if self._act is not None:
                    await self._act
                await self._confirm(until)
                self._act = loop.run_in_executor(pool, act) if act is not None else None
        await self._leave()

    async def _confirm(self, until: int) -> None:
        while len(self.confirmed) < until:
            if self._act is not None and self._act.done():
                self._act.result()
            try:  # whatever becomes of a connection, the next one goes on
                await asyncio.wait_for(self._publish(until), 30)
            except Exception:
                await self._leave()
                await asyncio.sleep(0.1)

    async def _publish(self, until: int) -> None:
        import aio_pika

        if self._connection is None:
            self._connection = await aio_pika.connect(self._uri)
            self.connections += 1
            channel = await self._connection.channel()
            await channel.declare_queue("confirmed", durable=True)
            self._exchange = channel.default_exchange
        batch = self._left[: min(BATCH, until - len(self.confirmed))]
        messages = [aio_pika.Message(str(number).encode(), delivery_mode=2) for number in batch]
        sent = [self._exchange.publish(message, "confirmed") for message in messages]
        results = await asyncio.gather(*sent, return_exceptions=True)
        # What confirms one is the broker's basic.ack.
        done = {number for number, result in zip(batch, results, strict=True) if type(result).__name__ == "Ack"}
        self.confirmed |= done
        self._left = [*(number for number in batch if number not in done), *self._left[len(batch) :]]
        self.unconfirmed += len(batch) - len(done)
        if len(done) < len(batch):
            raise ConnectionError("not all were confirmed")

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        with contextlib.suppress(Exception):
            await asyncio.wait_for(connection.close(), 5)


COUNT = int(os.environ.get("RABBITMQ_CONFIRMED", "2000"))
BATCH = 200


def test_every_confirmed_message_is_there_whatever_was_restarted_meanwhile(
    own_broker: RabbitMQ, proxy: Callable[..., Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    first = proxy(config(port, own_broker))

    def restart_broker() -> None:
        own_broker.kill()
        own_broker.start()

    def restart_proxy() -> None:
        first.stop()
        proxy(config(port, own_broker))

    publisher = Publisher(Mesh(first, port, own_broker).uri(), COUNT)
    acts = {COUNT // 5: restart_proxy, COUNT // 2: restart_broker}
    began = time.monotonic()
    # More than both restarts may take, so that the one that fails says why.
    asyncio.run(asyncio.wait_for(publisher.run(acts), STARTED + 180 + COUNT / 100))
    seconds = time.monotonic() - began
    assert publisher.confirmed == set(range(COUNT))
    assert publisher.connections >= 3
    there = all_that_is_there(own_broker)
    if COUNT > 2000:
        with capsys.disabled():
            counted = f"{publisher.unconfirmed} sent again, {publisher.connections} connections, {len(there)} there"
            print(f"\n{COUNT} confirmed in {seconds:.0f} s, {counted}, {len(there) - len(set(there))} of them twice")
    assert set(there) == publisher.confirmed


def all_that_is_there(broker: RabbitMQ) -> list[int]:
    """What is in the queue, to the last one: a broker that has just started may pause between two."""
    there: list[int] = []
    with connect(broker.uri()) as connection:
        channel = connection.channel()
        count = channel.queue_declare("confirmed", passive=True).method.message_count
        if count:
            for _, _, body in channel.consume("confirmed", auto_ack=True):
                there.append(int(body))
                if len(there) == count:
                    break
        channel.cancel()
        assert channel.queue_declare("confirmed", passive=True).method.message_count == 0
    return there
