"""
RabbitMQ: the proxy's patterns for configure, write and read beside those that a broker's own user has.

Lives here: the same steps by a user of the broker with these patterns, and by one that may do everything behind a
proxy with them. Does not: which method needs what (tests/unit/codecs/test_amqp_metadata.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import connect
from rabbitmq_peers import RabbitMQ
from running import free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")
OWN, WRITE = r"own\..*", r"own\..*|amq\.default"
CLERK = f"""
    rabbit_auth_backend_internal:add_user(<<"clerk">>, <<"for-clerk">>, <<"test">>),
    rabbit_auth_backend_internal:set_permissions(
        <<"clerk">>, <<"/">>, <<"^({OWN})$">>, <<"^({WRITE})$">>, <<"^({OWN})$">>, <<"test">>).
""".replace("\\", "\\\\")


def denied(permission: str, pattern: str) -> dict[str, Any]:
    return {permission: {"regex": pattern, "not": True}}


RULES = {
    "action": "deny",
    "permissions": [denied("configure", OWN), denied("write", WRITE), denied("read", OWN)],
}
Step = Callable[[Any], object]
"""What is done on a channel."""
STEPS: dict[str, tuple[Step, int]] = {
    "declare an own queue": (lambda channel: channel.queue_declare("own.new"), 0),
    "declare a queue": (lambda channel: channel.queue_declare("new"), 403),
    "declare a queue that has a name of the broker's": (lambda channel: channel.queue_declare(""), 403),
    "look for a queue": (lambda channel: channel.queue_declare("kept.q", passive=True), 0),
    "declare a queue whose dead letters go elsewhere": (
        lambda channel: channel.queue_declare("own.dead", arguments={"x-dead-letter-exchange": "kept.x"}),
        403,
    ),
    "delete an own queue": (lambda channel: channel.queue_delete("own.new"), 0),
    "delete a queue": (lambda channel: channel.queue_delete("kept.q"), 403),
    "declare an own exchange": (lambda channel: channel.exchange_declare("own.y"), 0),
    "declare an exchange": (lambda channel: channel.exchange_declare("new"), 403),
    "declare an exchange with another one as alternate": (
        lambda channel: channel.exchange_declare("own.z", arguments={"alternate-exchange": "kept.x"}),
        403,
    ),
    "delete an own exchange": (lambda channel: channel.exchange_delete("own.y"), 0),
    "delete an exchange": (lambda channel: channel.exchange_delete("kept.x"), 403),
    "bind an own queue to an own exchange": (lambda channel: channel.queue_bind("own.q", "own.x"), 0),
    "bind an own queue to an exchange": (lambda channel: channel.queue_bind("own.q", "kept.x"), 403),
    "bind a queue to an own exchange": (lambda channel: channel.queue_bind("kept.q", "own.x"), 403),
    "bind an own exchange to an exchange": (lambda channel: channel.exchange_bind("own.x", "kept.x"), 403),
    "bind an exchange to an own exchange": (lambda channel: channel.exchange_bind("kept.x", "own.x"), 403),
    "publish to an own exchange": (lambda channel: channel.basic_publish("own.x", "", b"x"), 0),
    "publish to the default exchange": (lambda channel: channel.basic_publish("", "kept.q", b"x"), 0),
    "publish to an exchange": (lambda channel: channel.basic_publish("kept.x", "", b"x"), 403),
    "get from an own queue": (lambda channel: channel.basic_get("own.q"), 0),
    "get from a queue": (lambda channel: channel.basic_get("kept.q"), 403),
    "consume an own queue": (lambda channel: channel.basic_consume("own.q", print), 0),
    "consume a queue": (lambda channel: channel.basic_consume("kept.q", print), 403),
    "purge an own queue": (lambda channel: channel.queue_purge("own.q"), 0),
    "purge a queue": (lambda channel: channel.queue_purge("kept.q"), 403),
}


class Mesh(NamedTuple):
    """port: of a listener before the broker, whose rules are the patterns of the broker's user `clerk`."""

    broker: RabbitMQ
    port: int


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Iterator[Mesh]:
    rabbitmq.evaluate(CLERK)
    port = free_port()
    rules = [{"rbac": {"policies": {"patterns": RULES}}}]
    shared_proxy(
        {
            "listeners": [listener("broker", port, "amqp", [{"cluster": "broker"}], filters=rules)],
            "clusters": [cluster("broker", rabbitmq.port)],
        }
    )
    with connect(rabbitmq.uri()) as connection:
        channel = connection.channel()
        for name in ("own", "kept"):
            channel.queue_declare(f"{name}.q")
            channel.exchange_declare(f"{name}.x")
        yield Mesh(rabbitmq, port)
        for name in ("own", "kept"):
            channel.queue_delete(f"{name}.q")
            channel.exchange_delete(f"{name}.x")


def came_of(uri: str) -> dict[str, tuple[int, str]]:
    """The reply code that each step closed its channel with, and the first word; 0 where it did not."""
    from pika.exceptions import ChannelClosedByBroker

    found = {}
    with connect(uri) as connection:
        for name, (step, _) in STEPS.items():
            channel = connection.channel()
            try:
                step(channel)
                channel.exchange_declare("amq.direct", passive=True)  # so that what was refused is known
                channel.close()
                found[name] = (0, "")
            except ChannelClosedByBroker as closed:
                found[name] = (closed.reply_code, closed.reply_text.split()[0])
    return found


def test_patterns_refuse_what_they_refuse_at_a_broker(mesh: Mesh) -> None:
    expected = {name: (code, "ACCESS_REFUSED" if code else "") for name, (_, code) in STEPS.items()}
    assert came_of(mesh.broker.uri(0, "clerk:for-clerk")) == expected
    assert came_of(mesh.broker.uri(mesh.port)) == expected
