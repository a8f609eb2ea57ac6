"""How a route is found by look-ups, tests and draws: the index by itself. What tables make of it: test_table."""

from __future__ import annotations

from typing import Any

from metaproxy.message import Kind, Message
from metaproxy.routing.index import PERCENT, Entry, KeyIndex, RouteIndex
from metaproxy.routing.table import Route, Target


def request(**metadata: str) -> Message:
    return Message(Kind.REQUEST, b"x", metadata=metadata)


def route(name: str) -> Route[None]:
    return Route(name, targets=[Target(None)])


def indexed(*indexes: KeyIndex, draws: Any = None) -> RouteIndex:
    made = RouteIndex(draws or (lambda: 0.5))
    for index in indexes:
        made.append(index)
    return made


def by_method(place: int, entry: Entry, *methods: str) -> KeyIndex:
    index = KeyIndex((("method", False),), place)
    index.add(entry, [methods])
    return index


def test_one_look_up_finds_what_needs_no_more() -> None:
    wanted = route("buy")
    table = indexed(by_method(0, Entry(0, wanted, (), 1.0, None), "buy", "sell"))
    assert table.match(request(method="sell"), {}) is wanted
    assert table.match(request(method="look"), {}) is None


def test_facts_are_looked_up_among_facts() -> None:
    wanted = route("local")
    index = KeyIndex((("source.address", True),), 0)
    index.add(Entry(0, wanted, (), 1.0, None), [["127.0.0.1"]])
    assert indexed(index).match(request(), {"source.address": "127.0.0.1"}) is wanted
    claimed = Message(Kind.REQUEST, b"x", metadata={"source.address": "127.0.0.1"})
    assert indexed(index).match(claimed, {}) is None


def test_what_is_left_open_is_tested_and_the_next_place_follows() -> None:
    strict, rest = route("strict"), route("rest")
    test = ("user", False, lambda value: value == "ann")
    first = by_method(0, Entry(0, strict, (test,), 1.0, None), "buy")
    all_else = KeyIndex((), 1)
    all_else.add(Entry(1, rest, (), 1.0, None), [])
    table = indexed(first, all_else)
    assert table.match(request(method="buy", user="ann"), {}) is strict
    assert table.match(request(method="buy", user="bob"), {}) is rest


def test_a_share_is_drawn_by_chance_or_by_what_the_request_has() -> None:
    some = route("some")
    table = indexed(by_method(0, Entry(0, some, (), 0.5, None), "buy"), draws=iter([0.49, 0.5]).__next__)
    assert [table.match(request(method="buy"), {}) for _ in range(2)] == [some, None]
    asked = []

    def sticky(get: Any, facts: Any, draw: int) -> float | None:
        asked.append((get("user"), facts, draw))
        return 0.1

    stuck = indexed(by_method(0, Entry(0, some, (), 0.2, sticky), "buy"))
    assert stuck.match(request(method="buy", user="ann"), {}) is some
    assert asked == [("ann", {}, PERCENT)]


def test_no_share_takes_nothing() -> None:
    table = indexed(by_method(0, Entry(0, route("none"), (), 0.0, None), "buy"), draws=lambda: 0.0)
    assert table.match(request(method="buy"), {}) is None
