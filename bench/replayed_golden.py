"""
What clients and servers of bRPC, tRPC, Kafka and AMQP say in `bench.replay`: what real ones said (tests/golden).

Lives here: `GOLDEN`. Does not: how it is replayed (`replay`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench.programs import ROOT
from bench.replayed import Script, say
from metaproxy.codecs.amqp import wire
from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.trpc import Trpc
from metaproxy.interfaces import ICodec
from metaproxy.message import Message, Side

_MAX = 1 << 20


def _frames(name: str, number: int = 0) -> list[tuple[str, bytes]]:
    """(sender, frame) of an exchange of this capture."""
    exchange = json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text())["exchanges"][number]
    return [(frame["from"], bytes.fromhex(frame["hex"])) for frame in exchange["frames"]]


# -- bRPC and tRPC: the codec gives each its number


def _call(codec: ICodec, name: str) -> Script:
    asked, answered = (frame for _, frame in _frames(name))
    (request,) = codec.session(Side.CLIENT, _MAX).receive(asked)
    (answer,) = codec.session(Side.SERVER, _MAX).receive(answered)

    def write(message: Message, side: Side, id: int) -> bytes:
        return codec.session(side, _MAX).send(message, id)

    def answers(data: bytes) -> bytes:
        asked = codec.session(Side.CLIENT, _MAX).receive(data)
        return b"".join(write(answer, Side.CLIENT, one.id) for one in asked)

    return Script(codec.name, "", (), lambda id: write(request, Side.SERVER, id), answers)


# -- Kafka: the number of a request is its bytes 8 to 12, that of an answer 4 to 8


def _kafka(number: int) -> Script:
    """The API that the capture's exchange of this number is of."""
    (_, request), (_, answer) = _frames("kafka/aiokafka", number)

    def answers(data: bytes) -> bytes:
        ids, at = [], 0
        while at < len(data):
            ids.append(data[at + 8 : at + 12])
            at += 4 + int.from_bytes(data[at : at + 4], "big")
        return b"".join(answer[:4] + id + answer[8:] for id in ids)

    return Script("kafka", "", (), lambda id: request[:8] + id.to_bytes(4, "big") + request[12:], answers)


# -- AMQP: a message of pika's is published and confirmed


def _amqp() -> Script:
    frames = _frames("amqp/pika")
    clients = [frame for sender, frame in frames if sender == "client"]
    header, start_ok, tune_ok, opening, channel = clients[:5]
    confirms = next(frame for frame in clients if _method(frame) == (85, 10))
    first = next(at for at, frame in enumerate(clients) if _method(frame) == (60, 40))
    publish, content, body = clients[first : first + 3]
    servers = {_method(frame): frame for sender, frame in reversed(frames) if sender == "server"}
    replies = {(10, 11): (10, 30), (10, 40): (10, 41), (20, 10): (20, 11), (85, 10): (85, 11)}
    ack = servers[60, 80]

    def request(id: int) -> bytes:
        """Its body begins with its number, which the server confirms."""
        numbered = body[:3] + (8 + len(body) - 8).to_bytes(4, "big") + id.to_bytes(8, "big") + body[7:]
        return publish + content[:11] + (8 + len(body) - 8).to_bytes(8, "big") + content[19:] + numbered

    def answers(data: bytes) -> bytes:
        out = []
        for frame in _cut(data):
            if frame[0] == body[0]:
                out.append(ack[:11] + frame[7:15] + ack[19:])
            elif frame == wire.PROTOCOL:
                out.append(servers[10, 10])
            elif reply := replies.get(_method(frame)):
                out.append(servers[reply])
        return b"".join(out)

    return Script(
        "amqp",
        "",
        say(header, start_ok, tune_ok + opening, channel, confirms),
        request,
        answers,
        in_order=True,
        outcome="event",
    )


def _method(frame: bytes) -> tuple[int, int]:
    """Numbers of its class and method, if it is one's."""
    return (int.from_bytes(frame[7:9], "big"), int.from_bytes(frame[9:11], "big")) if frame[0] == 1 else (0, 0)


def _cut(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = 8 if data[at : at + 4] == b"AMQP" else 8 + int.from_bytes(data[at + 3 : at + 7], "big")
        yield data[at : at + size]
        at += size


GOLDEN: dict[str, Script] = {
    "brpc": _call(Brpc(), "brpc/brpc-brpc"),
    "trpc": _call(Trpc(), "trpc/unary"),
    "kafka-produce": _kafka(0),
    "kafka-fetch": _kafka(1),
    "amqp": _amqp(),
}
