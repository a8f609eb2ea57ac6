"""What pika and a real RabbitMQ said to each other (tests/golden/amqp) is read as what it was, and passes."""

from __future__ import annotations

import json
from pathlib import Path

from amqp_words import MAX, unframed

from metaproxy.codecs.amqp import Amqp
from metaproxy.codecs.amqp.wire import BEAT
from metaproxy.message import Kind, Message, Side
from metaproxy.testing import check_relay
from metaproxy.units import Bytes

GOLDEN = Path(__file__).parents[2] / "golden" / "amqp"
RECORDED = [
    [(Side(frame["from"]), bytes.fromhex(frame["hex"])) for frame in exchange["frames"]]
    for path in sorted(GOLDEN.glob("*.json"))
    for exchange in json.loads(path.read_text())["exchanges"]
]


def messages() -> list[tuple[Side, Message]]:
    """Of both sides, in their order; what was sent to a server is what its answers are about."""
    found: list[tuple[Side, Message]] = []
    for frames in RECORDED:
        client, server = (Amqp().session(side, MAX) for side in Side)
        for side, frame in frames:
            session = client if side is Side.CLIENT else server
            for message in session.receive(frame):
                found.append((side, message))
                if side is Side.CLIENT:
                    server.send(message, message.id)
                elif message.kind is not Kind.SILENCE:
                    client.send(message, message.id)
            assert (session.error, session.buffered < 4096) == (None, True)
    return found


def test_what_a_client_does_is_what_it_was_made_to_do() -> None:
    operations = [message.get("operation") or "" for side, message in messages() if side is Side.CLIENT]
    queue = next(operation for operation in operations if operation.startswith("queue.bind")).split()[1]
    assert operations[:12] == [
        "protocol.header", "connection.start-ok", "connection.tune-ok", "connection.open", "channel.open",
        "exchange.declare shop.orders", "queue.declare", f"queue.bind {queue}", "confirm.select",
        *["basic.publish shop.orders"] * 3,
    ]  # fmt: skip
    assert operations[-1] == "connection.close"


def test_every_answer_is_that_of_a_request_and_deliveries_are_pushes() -> None:
    of_server = [message for side, message in messages() if side is Side.SERVER]
    pushes = {message.get("method") for message in of_server if message.kind is Kind.EVENT}
    assert pushes == {"basic.ack", "basic.return", "basic.deliver"}
    failed = [message.get("method") for message in of_server if message.kind is Kind.ERROR]
    assert failed == ["channel.close"]
    requests = [message for side, message in messages() if side is Side.CLIENT and message.kind is Kind.REQUEST]
    answers = [message for message in of_server if message.kind in (Kind.RESPONSE, Kind.ERROR)]
    assert len(answers) == len(requests)


def test_all_metadata_of_a_message_are_read() -> None:
    published = next(message for _, message in messages() if message.get("method") == "basic.publish")
    known = published.known()
    assert {key: known[key] for key in ("user", "vhost", "exchange", "routing_key", "content_type")} == {
        "user": "guest", "vhost": "/", "exchange": "shop.orders", "routing_key": "eu.new", "content_type": "text/plain",
    }  # fmt: skip
    assert (known["headers.tenant"], known["headers.n"], known["headers.on"]) == ("t1", "5", "true")


def test_a_recorded_connection_passes() -> None:
    for frames in RECORDED:
        said = [(side, frame) for side, frame in frames if frame != BEAT]
        to_server, to_client = (b"".join(frame for one, frame in said if one is side) for side in Side)
        check_relay(Amqp(stream_over=Bytes(4096)), said, to_server, to_client, normal=unframed)
