"""
RabbitMQ: answers that the proxy refuses, or that come too late, close their channel and no other.

Lives here: what five clients and a real broker make of it. Does not: the bytes
(tests/unit/codecs/test_amqp_refused.py); requests that are refused (test_rabbitmq.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from proxied import Proxy, cluster, listener
from rabbitmq_clients import CLIENTS, connect, done_by, expected
from rabbitmq_peers import RabbitMQ
from running import eventually, free_port

pytestmark = pytest.mark.peer("rabbitmq", "pika")
FILTER = """
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnChunk, IOnResponse
from metaproxy.message import ErrorKind, Reply
from metaproxy.plugins import Declaration

@implementer(IOnResponse, IOnChunk)
class Refuses:
    def __init__(self, queue: str):
        self.queue = queue

    def on_response(self, exchange):
        return Reply(ErrorKind.DENIED, "not this answer") if exchange.get("queue") == self.queue else None

    def on_chunk(self, exchange, chunk, side):
        wrong = side.name.encode() in chunk.frame
        return Reply(ErrorKind.DENIED, "not all of it", name="CONTENT_TOO_LARGE") if wrong else None

refuses = Declaration(IFilter, "refuses", Refuses)
"""
TIMEOUT = 4


class Mesh(NamedTuple):
    """port: of a listener that refuses answers about the queue `kept`; late: of one that waits TIMEOUT seconds."""

    proxy: Proxy
    broker: RabbitMQ
    port: int
    users: int
    late: int


@pytest.fixture(scope="module")
def mesh(rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "refuses.py").write_text(FILTER)
    port, users, late = free_port(), free_port(), free_port()
    refusing = [{"refuses": {"queue": "kept"}}]
    config = {
        "plugins": [str(plugins)],
        "listeners": [
            listener("passing", port, "amqp", [{"cluster": "broker"}], filters=refusing),
            listener(
                "users", users, {"name": "amqp", "users": {"app": "for-app"}}, [{"cluster": "back"}], filters=refusing
            ),
            listener("late", late, "amqp", [{"cluster": "broker", "timeout": f"{TIMEOUT}s"}]),
        ],
        "clusters": [
            cluster("broker", rabbitmq.port),
            cluster("back", rabbitmq.port, credentials={"user": "back", "password": "back-secret"}),
        ],
    }
    return Mesh(shared_proxy(config), rabbitmq, port, users, late)


@pytest.mark.parametrize("logins", ["passing", "users"])
@CLIENTS
def test_a_client_whose_answer_is_refused_loses_that_channel_and_goes_on(mesh: Mesh, client: str, logins: str) -> None:
    passing = mesh.broker.uri(mesh.port)
    uri = passing if logins == "passing" else mesh.broker.uri(mesh.users, "app:for-app")
    assert done_by(client, uri) == expected(client, denied=403)


@pytest.mark.parametrize("logins", ["passing", "users"])
@pytest.mark.parametrize(("side", "code"), [("CLIENT", 311), ("SERVER", 403)])
def test_a_large_message_that_is_cut_off_closes_the_connection_with_its_reason(
    mesh: Mesh, logins: str, side: str, code: int
) -> None:
    from pika.exceptions import ConnectionClosedByBroker

    body = b"x" * 1_000_000 + side.encode() + b"x" * 1_000_000
    with connect(mesh.broker.uri()) as direct:
        direct.channel().queue_declare("cut")
        direct.channel().basic_publish("", "cut", body)
    passing = mesh.broker.uri(mesh.port)
    connection = connect(passing if logins == "passing" else mesh.broker.uri(mesh.users, "app:for-app"))
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(ConnectionClosedByBroker, match=f"{code}.*not all of it"):
        if side == "CLIENT":
            channel.basic_publish("", "cut", body)
        else:
            channel.basic_get("cut")
    with connect(mesh.broker.uri()) as direct:  # what was not taken is there, and what was not sent is not
        assert eventually(lambda: direct.channel().queue_declare("cut", passive=True).method.message_count == 1)
        direct.channel().queue_delete("cut")


@pytest.mark.parametrize("logins", ["passing", "users"])
def test_a_channel_is_closed_at_the_broker_too_and_can_be_opened_again(mesh: Mesh, logins: str) -> None:
    from pika.exceptions import ChannelClosedByBroker

    passing = mesh.broker.uri(mesh.port)
    with connect(passing if logins == "passing" else mesh.broker.uri(mesh.users, "app:for-app")) as connection:
        beside, channel = connection.channel(), connection.channel()
        number, queue = channel.channel_number, beside.queue_declare("", exclusive=True).method.queue
        beside.confirm_delivery()
        beside.basic_publish("", queue, b"taken")
        assert channel.basic_get(queue)[2] == b"taken"
        with pytest.raises(ChannelClosedByBroker, match=r"403.*not this answer"):
            channel.queue_declare("kept")
        # The broker has it back, as what took it is closed there.
        assert eventually(lambda: beside.queue_declare(queue, passive=True).method.message_count == 1)
        beside.basic_publish("", queue, b"on this one all goes on")
        again = connection.channel(number)
        assert again.basic_get(queue, auto_ack=True)[2] == b"taken"


def test_an_answer_that_comes_too_late_closes_its_channel_and_no_other(mesh: Mesh) -> None:
    from pika.exceptions import ChannelClosedByBroker

    name = 'rabbit_misc:r(<<"/">>, queue, <<"slow">>)'
    queue = f"sys:%s(amqqueue:get_pid(element(2, rabbit_amqqueue:lookup({name}))))."
    with connect(mesh.broker.uri(mesh.late)) as connection, ThreadPoolExecutor(1) as pool:
        beside, channel = connection.channel(), connection.channel()
        number = channel.channel_number
        beside.queue_declare("slow")
        mesh.broker.evaluate(queue % "suspend")

        def resume() -> None:
            time.sleep(TIMEOUT + 0.5)
            mesh.broker.evaluate(queue % "resume")

        resumed = pool.submit(resume)
        with pytest.raises(ChannelClosedByBroker, match=r"406.*no answer within 4 s"):
            channel.basic_get("slow")
        resumed.result()
        beside.queue_declare("slow", passive=True)
        assert connection.channel(number).basic_get("slow") == (None, None, None)
        beside.queue_delete("slow")
