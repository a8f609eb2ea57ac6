"""
What clients and servers of AMQP send costs work in proportion to its bytes: twice as much, about twice the work.

Lives here: sessions whose connection is open, and what is said to them. Does not: how work is counted (linear).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import linear
import pytest
from amqp_words import (
    asked,
    declare_ok,
    delivered,
    get,
    got,
    headers,
    long,
    method,
    opened,
    published,
    queue_declare,
    short,
    table,
)

TINY = published(b"x" * 200, frame_max=9)
"""A body in frames that are next to nothing but frames."""
MIXED = b"".join(
    published(b"x" * 3, channel=channel)[:-11] for channel in (1, 2)
) + b"".join(b"\3\0" + bytes((channel,)) + b"\0\0\0\3xxx\xce" for channel in (1, 2))  # fmt: skip
"""Two messages whose frames stand between each other."""


def client() -> Any:
    return opened()


def server() -> Any:
    return asked(*[get(channel=1), queue_declare(channel=2)] * 1000)


SAID: dict[str, tuple[linear.Make, bytes]] = {
    "messages": (client, published(properties=headers({"tenant": "t1"}))),
    "messages without a body": (client, published(b"")),
    "messages in tiny frames": (client, TINY),
    "messages between each other": (client, MIXED),
    "requests": (client, queue_declare()),
    "requests of queues without a name": (client, queue_declare("") + get("")),
    "channels": (client, method("channel.open", 7, b"\0")),
    "deliveries": (server, delivered()),
    "answers": (server, got() + declare_ok(channel=2)),
}
"""Sessions, and what is said to them again and again."""


@pytest.mark.parametrize("way", linear.WAYS)
@pytest.mark.parametrize("name", SAID)
def test_messages_cost_what_they_are(name: str, way: str) -> None:
    make, frame = SAID[name]
    linear.WAYS[way](make, [frame] * linear.MANY)


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\1aF" + long(inner)
    return published(properties=b"\x20\0" + long(inner), frame_max=1 << 20)


HUGE: dict[str, tuple[linear.Make, Callable[[int], bytes], int]] = {
    "body": (client, lambda size: published(b"x" * size), 1 << 20),
    "body in small frames": (client, lambda size: published(b"x" * size, frame_max=100), 1 << 18),
    "body in tiny frames": (client, lambda size: published(b"x" * size, frame_max=9), 1 << 12),
    "headers": (client, lambda size: published(properties=headers({f"h{one}": "v" for one in range(size)})), 4000),
    "the same header": (client, lambda size: published(properties=b"\x20\0" + long(b"\1at\1" * size)), 4000),
    "headers in headers": (client, nested, 4000),
    "arguments": (client, lambda size: queue_declare(arguments=table({f"a{one}": 1 for one in range(size)})), 4000),
    "delivery": (server, lambda size: delivered(b"x" * size), 1 << 20),
    "names": (client, lambda size: published(exchange="e" * 255, key="k" * 255) * max(1, size // 100), 4000),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("cut", ["whole", "in pieces"])
def test_one_large_message_costs_what_it_is_and_so_do_its_metadata(name: str, cut: str) -> None:
    keys = ("operation", "headers.tenant", "read", "absent")
    linear.check_large(*HUGE[name], cut == "whole", keys)


def test_a_login_with_many_properties_costs_what_it_is() -> None:
    def start(size: int) -> bytes:
        properties = table({f"p{one}": "v" for one in range(size)})
        return method("connection.start-ok", 0, properties + short("PLAIN") + long(b"\0a\0b") + short("en_US"))

    linear.check_large(lambda: opened(handshake=b"AMQP\0\0\x09\x01"), start, 4000, True, ("user",))
