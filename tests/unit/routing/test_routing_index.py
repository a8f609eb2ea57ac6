"""How a route is found by look-ups, tests and draws: the index by itself. What tables make of it: test_table."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from metaproxy.message import FrameError, Kind, Message, Shared
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


# -- heads that messages share


class Asked:
    """What reads messages with one head, and counts how often. behind: what follows it, by key."""

    def __init__(self, head: Shared, **behind: str) -> None:
        self.head, self.behind = head, behind
        self.times = 0

    def message(self, kind: Kind = Kind.REQUEST) -> Message:
        return Message(kind, b"x", more=self._first)

    def _first(self, message: Message) -> None:
        message.metadata = self.head
        message.more = self._rest

    def _rest(self, message: Message) -> None:
        self.times += 1
        message.metadata = {**self.head, **self.behind}


def test_the_route_of_a_head_is_found_once() -> None:
    wanted = route("buy")
    index = by_method(0, Entry(0, wanted, (), 1.0, None), "buy")
    table = indexed(index)
    asked = Asked(Shared(method="buy"))
    assert table.match(asked.message(), {}) is wanted
    index.root.clear()
    assert table.match(asked.message(), {}) is wanted
    assert table.match(Asked(Shared(method="buy")).message(), {}) is None
    assert asked.times == 0


def test_what_stands_behind_a_head_is_asked_each_time() -> None:
    ann, rest = route("ann"), route("rest")
    first = KeyIndex((("user", False),), 0)
    first.add(Entry(0, ann, (), 1.0, None), [["ann"]])
    table = indexed(first, by_method(1, Entry(1, rest, (), 1.0, None), "buy"))
    head = Shared(method="buy")
    for user, wanted in (("bob", rest), ("ann", ann), ("bob", rest)):
        assert table.match(Asked(head, user=user).message(), {}) is wanted


def test_what_a_connection_decides_is_decided_for_each() -> None:
    near, rest = route("near"), route("rest")
    test = ("source.address", True, lambda value: value == "127.0.0.1")
    first = KeyIndex((), 0)
    first.add(Entry(0, near, (test,), 1.0, None), [])
    table = indexed(first, by_method(1, Entry(1, rest, (), 1.0, None), "buy"))
    head = Shared(method="buy")
    for address, wanted in (("10.0.0.1", rest), ("127.0.0.1", near), ("10.0.0.1", rest)):
        message = Asked(head).message()
        message.look()
        assert table.match(message, {"source.address": address}) is wanted


def test_a_fact_or_a_kind_that_is_looked_up_is_looked_up_each_time() -> None:
    oneway = route("oneway")
    index = KeyIndex((("method", False), ("kind", False)), 0)
    index.add(Entry(0, oneway, (), 1.0, None), [["buy"], ["oneway"]])
    head = Shared(method="buy")
    for kind, wanted in ((Kind.ONEWAY, oneway), (Kind.REQUEST, None), (Kind.ONEWAY, oneway)):
        assert indexed(index).match(Asked(head).message(kind), {}) is wanted
    table = indexed(index)
    assert [table.match(Asked(head).message(kind), {}) for kind in (Kind.ONEWAY, Kind.REQUEST)] == [oneway, None]


def test_a_share_of_a_head_is_drawn_each_time() -> None:
    some, rest = route("some"), route("rest")
    draws = iter((0.1, 0.9, 0.1))
    index = by_method(0, Entry(0, some, (), 0.5, None), "buy")
    index.add(Entry(1, rest, (), 1.0, None), [["buy"]])
    table = indexed(index, draws=lambda: next(draws))
    head = Shared(method="buy")
    assert [table.match(Asked(head).message(), {}) for _ in range(3)] == [some, rest, some]


def test_a_head_that_can_not_be_read_raises_its_error() -> None:
    def broken(message: Message) -> None:
        raise FrameError("no head")

    table = indexed(by_method(0, Entry(0, route("buy"), (), 1.0, None), "buy"))
    with pytest.raises(FrameError, match="no head"):
        table.match(Message(Kind.REQUEST, b"x", more=broken), {})


def test_of_heads_without_end_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.routing.index.MOST_NOTED", 10)
    wanted = route("buy")
    table = indexed(by_method(0, Entry(0, wanted, (), 1.0, None), "buy"))
    heads = [Shared(method="buy") for _ in range(100)]
    for head in 2 * heads:
        assert table.match(Asked(head).message(), {}) is wanted
        assert sum(one.route is not None for one in heads) <= 10


def test_heads_keep_no_table_and_no_route() -> None:
    """A configuration that was replaced goes, whatever codecs remember."""

    class Cluster:
        name = "shop"

    head, other, cluster = Shared(method="buy"), Shared(method="buy"), Cluster()
    wanted, later = Route("buy", targets=[Target(cluster)]), route("later")
    table = indexed(by_method(0, Entry(0, wanted, (), 1.0, None), "buy"))
    newer = indexed(by_method(0, Entry(0, later, (), 1.0, None), "buy"))
    for one in (head, other):
        assert table.match(Asked(one).message(), {}) is wanted
    assert newer.match(Asked(other).message(), {}) is later
    kept = weakref.ref(cluster)
    del table, wanted, cluster
    gc.collect()
    assert kept() is None
    assert (head.index, head.route, head.target, head.counts) == (0, None, None, None)
    assert other.route is later and newer.match(Asked(other).message(), {}) is later


def test_two_tables_have_their_own_routes_for_a_head() -> None:
    head = Shared(method="buy")
    routes = route("one"), route("other")
    tables = [indexed(by_method(0, Entry(0, one, (), 1.0, None), "buy")) for one in routes]
    for _ in range(3):
        assert tuple(table.match(Asked(head).message(), {}) for table in tables) == routes
