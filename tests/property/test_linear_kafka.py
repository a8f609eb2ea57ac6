"""
What clients and brokers of Kafka send costs work in proportion to its bytes: twice as much, about twice the work.

Lives here: sessions, and what is said to them. Does not: how work is counted (linear).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import linear
import pytest
from kafka_words import (
    answer,
    api_versions,
    array,
    batch,
    cluster,
    compact,
    coordinators,
    fetch,
    fetched,
    find_coordinator,
    int32,
    join_group,
    metadata,
    packed,
    produce,
    produced,
    record,
    request,
    short,
    text,
)  # fmt: skip

from metaproxy.codecs.kafka import Kafka
from metaproxy.message import ErrorKind, Several, Side
from metaproxy.units import Bytes

MEBI = 1 << 20


def client() -> Any:
    return Kafka().session(Side.CLIENT, 4 * MEBI)


TENANT = Kafka(prefix="blue.")
"""One, so that its table of topic ids grows once, which is no work of these messages."""


def tenant() -> Any:
    return TENANT.session(Side.CLIENT, 4 * MEBI)


def server(asked: bytes, times: int = 1) -> Any:
    codec = Kafka(stream_over=Bytes(1 << 16))
    session = codec.session(Side.SERVER, 4 * MEBI)
    (message,) = codec.session(Side.CLIENT, MEBI).receive(asked)
    for _ in range(times):
        session.send(message, 9)
    return session


class Passing:
    """A broker's answers on their way to a client of a tenant that knows doors."""

    error = None

    def __init__(self, asked: bytes) -> None:
        self._server, self._client = server(asked), tenant()
        self._client.doors = self

    def address(self, node: str) -> tuple[str, int] | None:
        return ("proxy.example", 9100 + int(node)) if int(node) % 2 else None

    def receive(self, data: bytes) -> list[Any]:
        for message in self._server.receive(data):
            self._client.send(message, 9)
        return []


SAID: dict[str, tuple[linear.Make, bytes]] = {
    "produces": (client, produce(7, {"orders": [b"r" * 100]})),
    "produces, prefixed": (tenant, produce(7, {"orders": [b"r" * 100]})),
    "fetches": (client, fetch(7)),
    "questions for versions": (client, api_versions(7)),
    "groups": (client, join_group(7)),
    "answers to nothing": (lambda: server(fetch(7)), fetched(8, b"r" * 100)),
}
"""Sessions, and what is said to them again and again."""


@pytest.mark.parametrize("way", linear.WAYS)
@pytest.mark.parametrize("name", SAID)
def test_messages_cost_what_they_are(name: str, way: str) -> None:
    make, frame = SAID[name]
    linear.WAYS[way](make, [frame] * linear.MANY)


def topics(size: int) -> list[bytes]:
    return [b"topic-%d" % number for number in range(size)]


def large_cluster(size: int) -> bytes:
    every = [(f"{'blue' if number % 2 else 'red'}.{number}", number.to_bytes(16, "big")) for number in range(1, size)]
    return cluster(9, [(number, f"10.0.0.{number}", 9092) for number in range(size)], every)


def offsets(size: int) -> bytes:
    """OffsetFetch in version 8, of which every second topic is another tenant's."""
    listed = [
        compact("blue.a" if number % 2 else "red.a")
        + packed([int32(0) + bytes(8) + int32(0) + compact("m") + short(0) + b"\0"]) + b"\0"
        for number in range(size)
    ]  # fmt: skip
    group = compact("blue.g") + packed(listed) + short(0) + b"\0"
    return answer(9, int32(0) + packed([group]) + b"\0", b"\0")


OFFSETS = request(9, 8, 9, packed([compact("blue.g") + b"\0\0"]) + b"\0\0", tags=b"\0")

HUGE: dict[str, tuple[linear.Make, Callable[[int], bytes], int]] = {
    "topics": (client, lambda size: fetch(7, topics(size)), 3000),
    "topics, prefixed": (tenant, lambda size: fetch(7, topics(size)), 3000),
    "topics of a produce": (client, lambda size: produce(7, {f"t{one}": [b"r"] for one in range(size)}), 3000),
    "partitions": (client, lambda size: produce(7, {"orders": [b"r"] * size}), 3000),
    "records": (client, lambda size: produce(7, {"orders": [bytes(size)]}), 1 << 22),
    "headers": (
        client,
        lambda size: produce(7, {"t": [batch(record(b"v", {f"h{one}": b"v" for one in range(size)}))]}),
        3000,
    ),
    "groups": (client, lambda size: find_coordinator(7, [f"g{one}" for one in range(size)]), 3000),
    "name": (client, lambda size: find_coordinator(7, ["g" * size]), 30000),
    "brokers and topics": (lambda: Passing(metadata(9)), large_cluster, 1000),
    "topics of other tenants": (lambda: Passing(OFFSETS), offsets, 3000),
    "fetched": (lambda: Passing(fetch(9)), lambda size: fetched(9, bytes(size)), 1 << 21),
    "errors": (lambda: server(produce(9, {"t": []})), lambda size: produced(9, {"t": [0] * size}), 3000),
    "array of nothing": (client, lambda size: request(2, 1, 7, int32(-1) + array([text("")] * 0) + bytes(size)), 30000),
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("cut", ["whole", "in pieces"])
def test_one_large_message_costs_what_it_is_and_so_do_its_metadata(name: str, cut: str) -> None:
    keys = ("operation", "topics", "groups", "headers.tenant", "absent")
    linear.check_large(*HUGE[name], cut == "whole", keys)


@pytest.mark.parametrize("count", [1 << 20, (1 << 31) - 1])
def test_a_count_without_elements_costs_nothing(count: int) -> None:
    """The topics of a Fetch that are announced and do not come."""
    head = int32(-1) + int32(500) + int32(1) + int32(1) + b"\0" + int32(0) + int32(-1)
    (message,) = client().receive(request(1, 11, 7, head + int32(count)))
    assert message.known()["api"] == "Fetch"
    (message,) = client().receive(request(2, 1, 7, int32(-1) + int32(1) + text("a") + int32(count)))
    assert "topics" not in message.known()


REFUSED: dict[str, tuple[str, Callable[[int], bytes], Callable[[int], bytes]]] = {
    "topics": (
        "topics",
        lambda size: metadata(7, [f"t{one}" for one in range(size)]),
        lambda size: cluster(9, [], [(f"t{one}", one.to_bytes(16, "big")) for one in range(1, size, 2)]),
    ),
    "partitions": (
        "partitions",
        lambda size: produce(7, {"orders": [b"r"] * size}),
        lambda size: produced(9, {"orders": [0] * (size // 2)}),
    ),
    "groups": (
        "groups",
        lambda size: find_coordinator(7, [f"g{one}" for one in range(size)]),
        lambda size: coordinators(9, [(f"g{one}", 1, "h", 9092) for one in range(1, size, 2)]),
    ),
}
"""What is refused: its key, requests with so much of it, and the answers to what is left of it, half."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_in_part_costs_what_it_is(name: str) -> None:
    key, asked, answered = REFUSED[name]

    def job(size: int) -> Iterator[Callable[[], object]]:
        codec = Kafka()
        here, there = codec.session(Side.CLIENT, 4 * MEBI), codec.session(Side.SERVER, 4 * MEBI)
        (message,) = here.receive(asked(size))
        named = message.get(key)
        refused = named.parts[::2] if isinstance(named, Several) and size > 1 else []
        rest: list[Any] = []
        yield lambda: rest.append(codec.without(message, {key: refused}, ErrorKind.DENIED, "no"))
        if rest[0] is not None:
            there.send(rest[0], 9)
            (heard,) = there.receive(answered(size))
            yield lambda: here.send(heard, 7)
        else:
            assert size < 3

    linear.check_linear(job, 2000, allocations=True)
