"""
RabbitMQ with logins that are forwarded: routes by user and virtual host, passwords that only the broker knows.

Lives here: that, and what a real broker shows of limits that wait and of what is refused. Does not: logins that pass
(test_rabbitmq.py) or end at the proxy (test_rabbitmq_users.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import CLIENTS, connect, done_by, expected
from rabbitmq_peers import RabbitMQ
from running import free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")
DENY = {
    "action": "deny",
    "permissions": [{"access": "configure", "resource": "kept"}, {"write": {"prefix": "secret."}}],
}
LIMIT = {"limit": 50, "per": "1s", "burst": 1, "match": {"method": "basic.publish", "exchange": "amq.fanout"}}


class Mesh(NamedTuple):
    """port: of a listener at which everyone is asked who it is, before the broker."""

    proxy: Proxy
    port: int
    broker: RabbitMQ

    def uri(self, login: str = "guest:guest", vhost: str = "%2F") -> str:
        return self.broker.uri(self.port, login, vhost)


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    port = free_port()
    filters = [
        {"rbac": {"policies": {"kept": DENY}}},
        {"local_rate_limit": {"conditions": [LIMIT], "max_wait": "2s"}},
    ]
    routes = [
        {"name": "shop", "match": {"vhost": "shop", "user": "app"}, "cluster": "broker"},
        {"name": "rest", "match": {"vhost": "/"}, "cluster": "broker"},
    ]
    config = {
        "listeners": [listener("broker", port, {"name": "amqp", "logins": "forward"}, routes, filters=filters)],
        "clusters": [cluster("broker", rabbitmq.port)],
    }
    return Mesh(shared_proxy(config), port, rabbitmq)


@CLIENTS
def test_a_client_does_all_that_it_does_at_a_broker(mesh: Mesh, client: str) -> None:
    assert done_by(client, mesh.uri()) == expected(client, denied=403)


def test_user_and_virtual_host_choose_the_route(mesh: Mesh) -> None:
    from pika.exceptions import ProbableAccessDeniedError

    with connect(mesh.uri("app:secret", "shop")) as connection:
        assert connection.channel().is_open
    with pytest.raises(ProbableAccessDeniedError, match=r"530.*no route matched"):
        connect(mesh.uri("guest:guest", "shop"))


def test_a_password_that_the_broker_does_not_take_is_refused_in_its_words(mesh: Mesh) -> None:
    from pika.exceptions import ProbableAccessDeniedError

    with pytest.raises(ProbableAccessDeniedError, match=r"403.*Login was refused using authentication mechanism PLAIN"):
        connect(mesh.uri("guest:wrong"))


def test_what_is_refused_leaves_nothing_at_the_broker_and_what_came_before_is_done(mesh: Mesh) -> None:
    from pika.exceptions import ChannelClosedByBroker

    with connect(mesh.uri()) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"not acknowledged")
        channel.basic_get(queue)
        channel.basic_publish("", queue, b"before")
        channel.basic_publish("secret.orders", "", b"refused")
        channel.basic_publish("", queue, b"behind")
        with pytest.raises(ChannelClosedByBroker) as refused:
            channel.queue_declare(queue, passive=True)
        assert refused.value.reply_code == 403
        other = connection.channel()
        found = [other.basic_get(queue, auto_ack=True)[2] for _ in range(3)]
    assert found == [b"not acknowledged", b"before", None]


def test_publishers_over_a_limit_wait_and_none_of_their_messages_is_lost(mesh: Mesh) -> None:
    with connect(mesh.uri()) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "amq.fanout")
        began = time.monotonic()
        for number in range(60):
            channel.basic_publish("amq.fanout", "", b"%d" % number)
        channel.queue_declare(queue, passive=True)  # its answer comes behind all of them
        assert time.monotonic() - began > 1.0
        bodies = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(60)]
    assert bodies == [b"%d" % number for number in range(60)]
