"""
Whether the metadata keys that a listener's routes ask for can be there, as far as its codec says so.

Lives here: `check_keys`. Does not: what a condition means (`routing.matcher`); keys that codecs give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metaproxy.config import model
from metaproxy.config.schema.load import Node
from metaproxy.config.schema.reading import Reading, near
from metaproxy.routing.matcher import FACTS, compile_condition
from metaproxy.support.nearest_name import nearest_name

_NEAR = 0.75
ALWAYS = ("kind",)
"""What every message has."""


def check_keys(listener: model.Listener, codec: Any, reading: Reading) -> None:
    """
    Reports keys that a closed codec does not have, and values that it can't give; warns of what is nearly a key of
    another one, where senders may choose names of their own.
    """
    known = [key for key in (*codec.keys, *ALWAYS) if "<" not in key]
    closed = getattr(codec, "open_keys", None) is False and len(known) >= len(codec.keys)
    for key, node in _asked(listener, reading):
        if key in known or key.startswith(FACTS):
            continue
        if closed:
            reading.problem(node, f"{codec.name} has no key {key!r}; {near(key, known, 'key')}")
        elif nearest_name(key, known, _NEAR):
            reading.warn(node, f"{key!r} is none of {codec.name}'s own keys; {near(key, known, 'key')}")
    for route in listener.routes:
        for key, spec in route.match.items():
            if key in getattr(codec, "upper_keys", ()):
                for value in sorted(compile_condition(key, spec).values or ()):
                    if value != value.upper():
                        text = f"{key} is never {value!r}; write {value.upper()!r}"
                        reading.problem(_at(reading.at(route, "match"), key), text)


def _asked(listener: model.Listener, reading: Reading) -> Iterator[tuple[str, Node]]:
    for route in listener.routes:
        for key in route.match:
            yield key if key.startswith(FACTS) else key.lower(), _at(reading.at(route, "match"), key)
        for option in ("hash", "sticky"):
            for key in getattr(route, option):
                yield key, reading.at(route, option)


def _at(node: Node, key: str) -> Node:
    return node.value[key] if isinstance(node.value, dict) and key in node.value else node
