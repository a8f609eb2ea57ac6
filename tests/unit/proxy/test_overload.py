"""What is refused when memory or time are short, and when it is taken again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from harness import LineCodec, Stage, Wire, answer, call
from observing import observing
from twisted.internet.task import Clock

from metaproxy.cluster.routes import Route, Target
from metaproxy.proxy.memory import held_by_client
from metaproxy.proxy.overload import Holder, OverloadLimits, OverloadMonitor
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.table import PRIORITIES, RouteTable

MIB = 1 << 20
LIMIT = 100 * MIB


class Memory:
    """What the process takes: as much as it is set to, and what `stage`'s clients hold."""

    def __init__(self) -> None:
        self.base = 10 * MIB
        self.stage: Stage | None = None
        self.reclaimed = 0
        self.freed = 0

    def read(self) -> int:
        clients = self.stage.listener.clients if self.stage is not None else ()
        return self.base + self.freed + sum(held_by_client(client) for client in clients)

    def reclaim(self) -> None:
        self.reclaimed += 1
        self.freed = 0


class Watched(Stage):
    """A stage whose proxy is watched, as ProxyService has it watched."""

    def __init__(self, memory: int = LIMIT, lag: float = 0.0, draw: float = 0.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.memory = Memory()
        self.memory.stage = self
        self.monitor = OverloadMonitor(self.clock, self.memory.read, self.memory.reclaim, lambda: draw)
        self.network.overload = self.monitor
        self.monitor.limit(OverloadLimits(memory, lag))
        self.monitor.start(self.holders)

    def holders(self) -> Iterator[Holder]:
        for client in self.listener.clients:
            yield Holder(held_by_client(client), client.close)

    def looks(self, number: int, late: float = 0.0) -> None:
        for _ in range(number):
            self.clock.advance(0.1 + late)


def unfinished(size: int) -> bytes:
    return call(1, body=bytes(size + 100))[:size]


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []

    def observe(event: dict[str, object]) -> None:
        if event.get("log_namespace") == "metaproxy.proxy.overload":
            found.append(str(event["log_format"]))

    with observing(observe):
        yield found


def test_within_its_limits_nothing_is_refused() -> None:
    stage = Watched(lag=0.1)
    client = stage.client()
    stage.looks(100)
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(1)
    assert stage.monitor.state == "ok" and stage.monitor.reason == ""


def test_beyond_a_limit_connections_are_refused_and_still_beyond_requests_with_the_protocols_error() -> None:
    stage = Watched(codec=LineCodec())
    client = stage.client()
    stage.memory.base = LIMIT + 1
    stage.looks(1)
    assert stage.monitor.state == "refusing" and stage.client().closed
    stage.say(client, b"get a\n")
    assert client.take() == b"" and stage.server.take() == b"get a\n"
    stage.looks(1)
    assert stage.monitor.state == "shedding" and stage.client().closed
    stage.say(client, b"get b\n")
    stage.say(stage.server, b"a\n")
    first, second = client.take().splitlines()
    assert first == b"a" and second.startswith(b"fail overload") and b"overload.max_memory" in second
    assert (stage.monitor.refused_connections, stage.monitor.shed_requests) == (2, 1)
    assert stage.listener.counts.connections_refused == 2
    assert stage.route.reply_target.counts.outcomes == {"overload": 1}


class Ranked(Watched):
    """A stage with a route for the keys `low`, `normal` and `high`, with these priorities."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(codec=LineCodec(), **settings)
        self.ranks = [
            Route(word, [compile_condition("key", word)], [Target(self.cluster)], priority=rank)
            for rank, word in enumerate(PRIORITIES)
        ]
        table = RouteTable(self.ranks, random.Random(1))
        self.listener.snapshot = replace(self.listener.snapshot, routes=table)

    def refused(self, client: Wire) -> list[str]:
        """The words whose requests are refused now."""
        words = []
        for word in PRIORITIES:
            self.say(client, f"get {word}\n".encode())
            if client.take().startswith(b"fail overload"):
                words.append(word)
            elif self.network.upstreams:
                self.say(self.server, b"done\n")
                client.take()
        return words


def test_the_lowest_priority_is_refused_first_and_the_highest_last_and_taken_again_first() -> None:
    stage = Ranked()
    client = stage.client()
    assert stage.refused(client) == []
    stage.memory.base = LIMIT + 1
    seen = []
    for _ in range(3):
        stage.looks(1)
        seen.append(stage.refused(client))
    assert seen == [["low"], ["low", "normal"], ["low", "normal", "high"]]
    assert [share.count for share in stage.monitor.requests] == [3, 2, 1] and stage.monitor.shed_requests == 6
    assert [route.reply_target.counts.outcomes for route in stage.ranks] == [
        {"overload": 3}, {"overload": 2}, {"overload": 1},
    ]  # fmt: skip
    stage.memory.base = 10 * MIB
    seen = []
    for _ in range(3):
        stage.looks(5)
        seen.append(stage.refused(client))
    assert seen == [["low", "normal"], ["low"], []]


def test_for_lag_a_share_of_a_priority_is_refused_and_those_below_it_wholly() -> None:
    """Draws of 0.4: what is refused with a share above it."""
    stage = Ranked(lag=0.05, draw=0.4)
    client = stage.client()
    stage.looks(1)
    seen = []
    for _ in range(50):
        stage.looks(1, late=0.1)
        seen.append((len(stage.refused(client)), stage.client().closed))
    assert [closed for _, closed in seen] == [number > 0 for number, _ in seen]
    numbers = [number for number, _ in seen]
    assert numbers == sorted(numbers) and set(numbers) == {0, 1, 2, 3}
    stage.looks(60)
    assert stage.refused(client) == [] and not stage.client().closed and stage.monitor.state == "ok"


def test_a_request_that_matches_no_route_is_one_of_normal_priority() -> None:
    stage = Ranked()
    client = stage.client()
    stage.memory.base = LIMIT + 1
    stage.looks(1)
    stage.say(client, b"get else\n")
    assert client.take().startswith(b"fail not_found")
    stage.looks(1)
    stage.say(client, b"get else\n")
    assert client.take().startswith(b"fail overload")
    assert [share.count for share in stage.monitor.requests] == [0, 1, 0]


def test_a_late_event_loop_refuses_as_short_memory_does_and_closes_nobody() -> None:
    stage = Watched(lag=0.05)
    client = stage.client()
    stage.say(client, unfinished(MIB))
    stage.looks(1, late=0.06)
    assert stage.monitor.state == "ok", "before the first look nothing is due"
    stage.looks(2, late=0.06)
    assert stage.monitor.state == "refusing"
    stage.looks(1, late=0.06)
    assert stage.monitor.state == "shedding" and stage.monitor.reason == "overload.max_lag"
    other = next(iter(stage.listener.clients))
    assert stage.client().closed and not client.closed and held_by_client(other) == MIB
    assert stage.monitor.lag.value == pytest.approx(0.06)


def test_without_a_limit_nothing_is_ever_refused() -> None:
    stage = Watched(memory=0, lag=0.0)
    stage.memory.base = 1 << 60
    stage.looks(5, late=10.0)
    assert stage.monitor.state == "ok" and not stage.client().closed


def test_a_limit_that_is_lifted_ends_what_it_caused_at_the_next_look() -> None:
    stage = Watched()
    stage.memory.base = 2 * LIMIT
    stage.looks(2)
    stage.monitor.limit(OverloadLimits())
    stage.looks(1)
    assert not stage.monitor.refusing and not stage.monitor.shedding


def test_the_connections_that_hold_the_most_are_closed_until_it_fits_and_the_others_go_on() -> None:
    stage = Watched()
    stage.memory.base = 40 * MIB
    sizes = [MIB, 20 * MIB, 2 * MIB, 15 * MIB, 10 * MIB, 5 * MIB, 12 * MIB]
    wires = []
    for size in sizes:
        wire = stage.client()
        stage.downstream(wire).session.buffered = size
        wires.append(wire)
    small = stage.client()
    stage.say(small, call(7))
    stage.looks(2)
    assert [size for size, wire in zip(sizes, wires, strict=True) if wire.closed] == [20 * MIB]
    stage.memory.base = 62 * MIB
    stage.looks(1)
    assert [size for size, wire in zip(sizes, wires, strict=True) if wire.closed] == [20 * MIB, 15 * MIB, 12 * MIB]
    assert stage.monitor.closed_connections == 3
    assert stage.memory.reclaimed == 2, "before any was closed, and what they held"
    stage.say(stage.server, answer(1))
    assert small.take() == answer(7)


def test_ten_thousand_unfinished_frames_stay_within_the_budget() -> None:
    stage = Watched(max_connections=20000)
    part = unfinished(16 * 1024)
    highest = 0
    for number in range(10000):
        wire = stage.client()
        if not wire.closed:
            stage.network.turn.begin()
            wire.protocol.dataReceived(part)
            stage.network.turn.end()
        if number % 500 == 499:
            highest = max(highest, stage.memory.read())
            stage.looks(1)
    assert highest <= LIMIT + 500 * len(part)
    stage.looks(20)
    assert stage.memory.read() <= LIMIT and stage.monitor.state == "ok"
    assert stage.monitor.refused_connections > 0 and stage.monitor.closed_connections > 0
    assert not stage.client().closed


def test_trickled_frames_are_found_as_whole_ones_are() -> None:
    stage = Watched()
    stage.memory.base = LIMIT - MIB
    slow, other = stage.client(), stage.client()
    data = unfinished(2 * MIB)
    for start in range(0, len(data), 65536):
        stage.say(slow, data[start : start + 65536])
        stage.looks(0)
    stage.looks(2)
    assert slow.closed and not other.closed


def test_requests_that_are_under_way_count_as_held() -> None:
    stage = Watched()
    stage.memory.base = LIMIT - MIB
    asks, other = stage.client(), stage.client()
    stage.say(asks, call(1, body=bytes(2 * MIB)))
    stage.looks(2)
    assert asks.closed and not other.closed
    assert stage.route.targets[0].counts.outcomes == {"downstream_gone": 1}


def test_memory_that_is_free_already_costs_nobody_a_connection() -> None:
    stage = Watched()
    stage.memory.base, stage.memory.freed = 40 * MIB, 70 * MIB
    large = stage.client()
    stage.downstream(large).session.buffered = 20 * MIB
    stage.looks(3)
    assert not large.closed and stage.monitor.reason == ""
    assert stage.memory.reclaimed == 1


def test_what_holds_little_is_left_alone_and_garbage_is_collected_instead() -> None:
    stage = Watched()
    clients = [stage.client() for _ in range(10)]
    for client in clients:
        stage.say(client, call(1)[:10])
    stage.memory.base = 2 * LIMIT
    stage.looks(50)
    assert not any(client.closed for client in clients)
    assert stage.memory.reclaimed == 2, "it takes time, so it is not done at every look"
    stage.looks(50)
    assert stage.memory.reclaimed == 4


def test_connections_to_servers_go_last() -> None:
    clock = Clock()
    closed: list[Any] = []
    monitor = OverloadMonitor(clock, lambda: 2 * LIMIT if len(closed) < 3 else 0, lambda: None)
    sizes = [(90 * MIB, True), (40 * MIB, False), (50 * MIB, False)]
    holders = [Holder(size, partial(closed.append, size), last) for size, last in sizes]
    monitor.limit(OverloadLimits(LIMIT))
    monitor.start(lambda: holders)
    clock.pump([0.1, 0.1])
    assert closed == [50 * MIB, 40 * MIB, 90 * MIB]


def test_it_is_left_step_by_step_after_a_calm_while() -> None:
    stage = Watched()
    stage.memory.base = LIMIT + 1
    stage.looks(2)
    stage.memory.base = LIMIT // 2
    states = []
    for _ in range(11):
        stage.looks(1)
        states.append(stage.monitor.state)
    assert states == ["shedding"] * 4 + ["refusing"] * 5 + ["ok"] * 2


def test_it_does_not_flap_around_its_limit_and_does_not_stay_for_ever() -> None:
    stage = Watched()
    changes, before = 0, "ok"
    for number in range(200):
        stage.memory.base = LIMIT + (MIB if number % 4 == 0 else -MIB)
        stage.looks(1)
        changes += stage.monitor.state != before
        before = stage.monitor.state
    assert changes == 2 and before == "shedding"
    stage.memory.base = LIMIT - MIB  # freed memory is not always given back
    stage.looks(46)
    assert stage.monitor.state == "shedding"
    stage.looks(101)
    assert not stage.monitor.refusing


def test_its_log_lines_are_bounded_however_often_it_comes_and_goes(lines: list[str]) -> None:
    stage = Watched()
    for _ in range(20):
        client = stage.client()
        stage.say(client, unfinished(MIB))
        stage.memory.base = LIMIT
        stage.looks(2)
        assert client.closed
        stage.memory.base = 0
        stage.looks(12)
    assert len(lines) == 4  # connections, requests, closed, over: one a minute of each


def test_a_request_in_a_transaction_is_shed_so_that_the_server_fails_it() -> None:
    stage = Watched(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"begin\n")
    stage.say(stage.server, b"begun\n")
    stage.memory.base = 2 * LIMIT
    stage.looks(2)
    client.take()
    stage.say(client, b"set a\n")
    assert client.take().startswith(b"fail overload") and not client.closed


def test_a_one_way_request_is_dropped_and_counted() -> None:
    stage = Watched(codec=LineCodec())
    client = stage.client()
    stage.memory.base = 2 * LIMIT
    stage.looks(2)
    stage.say(client, b"tell a\n")
    assert client.take() == b"" and stage.monitor.shed_requests == 1
    assert stage.network.upstreams == []


def test_once_stopped_it_refuses_nothing_and_has_no_timer() -> None:
    stage = Watched()
    stage.memory.base = 2 * LIMIT
    stage.looks(2)
    stage.monitor.stop()
    assert not stage.monitor.refusing and not stage.monitor.shedding and stage.clock.getDelayedCalls() == []
    stage.monitor.stop()


def test_tls_clients_and_those_behind_a_proxy_header_are_refused_alike() -> None:
    stage = Watched(proxy_protocol=True)
    stage.memory.base = 2 * LIMIT
    stage.looks(1)
    wire = Wire()
    assert stage.listener.accepted(wire) is None


def shedding(**settings: Any) -> Watched:
    """A stage that refuses every request of normal priority, and no other."""
    stage = Watched(**settings)
    stage.memory.base = LIMIT + 1
    return stage


def test_a_client_that_is_refused_is_not_read_until_its_turn_and_what_it_asked_meanwhile_is_refused() -> None:
    stage = shedding()
    clients = [stage.client() for _ in range(3)]
    stage.looks(2)
    for client in clients:
        stage.say(client, call(1))
        client.take()
    assert all(client.paused for client in clients) and stage.monitor.parked == 3
    stage.looks(1)
    assert [client.paused for client in clients] == [False, True, True]
    stage.say(clients[0], call(2))
    assert clients[0].take() and not clients[0].paused and stage.monitor.shed_requests == 4
    stage.clock.advance(0.01)
    stage.say(clients[0], call(3))
    assert clients[0].take() and clients[0].paused and stage.monitor.parked == 3
    stage.looks(2)
    assert [client.paused for client in clients] == [True, False, False]


def test_a_refusal_does_not_hold_up_what_may_be_of_a_higher_priority() -> None:
    stage = Ranked()
    client = stage.client()
    stage.say(client, b"get high\n")
    stage.memory.base = LIMIT + 1
    stage.looks(2)
    stage.say(client, b"get low\n")
    assert not client.paused, "something of it is under way"
    stage.say(stage.server, b"done\n")
    stage.say(client, b"get low\n")
    assert client.paused


def test_clients_that_are_not_read_are_read_when_it_stops_and_one_that_has_gone_costs_nothing() -> None:
    stage = shedding()
    clients = [stage.client() for _ in range(3)]
    stage.looks(2)
    for client in clients:
        stage.say(client, call(1))
    clients[0].end()
    stage.monitor.stop()
    assert [client.paused for client in clients[1:]] == [False, False] and stage.monitor.parked == 0


def test_what_is_refused_behind_an_overload_says_that_it_is_over() -> None:
    stage = Watched()
    assert stage.monitor.text() == "the proxy was overloaded while this waited"
