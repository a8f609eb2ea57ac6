"""
Whatever ends in whatever order, configurations, retries, hedges, slow peers and filters that wait among it: every
exchange completes once, one-way requests leave, and nothing is counted or kept for ever.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import Any

from examples import examples
from harness import HEAD, LineCodec, Quill, Stage, Wire, answer, call
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import IExchange, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import ErrorKind, Kind, Message, Reply
from metaproxy.proxy.pool import Pool

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "ask", "ask", "tell", "answer", "answer", "fail", "wait", "sweep", "go on", "kill client",
             "kill server", "refuse", "fin", "replace", "slow client", "fast client", "slow server", "fast server"]
        ),
        st.integers(0, 11),
    ),
    min_size=10,
    max_size=80,
)  # fmt: skip
BOUNDS = st.sampled_from([(1024, 1024, 1024), (2, 2, 3)])
FAILURE = 0x81


class Tells(Quill):
    """Quill whose service `tell` wants no answer; `read` may be repeated."""

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        if message.get("service") == "tell":
            message.kind = Kind.ONEWAY
        return message

    def safe(self, request: Message) -> bool:
        return request.get("service") == "read"


@implementer(IOnRequest, IOnResponse, IOnComplete)
class Waits:
    """Lets every third request and answer wait until a step says so, and refuses some; counts ends."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Reply | None]] = []
        self.seen = 0
        self.ends: Counter[int] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.kept: list[IExchange] = []
        self.told: list[bytes] = []

    def _decide(self) -> Deferred[Reply | None] | None:
        self.seen += 1
        if self.seen % 3:
            return None
        self.waiting.append(Deferred())
        return self.waiting[-1]

    on_request = on_response = lambda self, exchange: self._decide()

    def on_complete(self, exchange: IExchange) -> None:
        self.kept.append(exchange)  # so that no id is used twice
        self.ends[id(exchange)] += 1
        self.outcomes[exchange.outcome] += 1
        if exchange.outcome == "oneway":
            self.told.append(exchange.message.frame[17:])


class Play:
    def __init__(
        self, mode: str, breaker: tuple[int, int, int], retry: bool, waits: bool, codec: Codec | None = None
    ) -> None:
        self.filter = Waits()
        self.mode, self.limits, self.retry = mode, breaker, retry
        self.hooks: dict[str, Any] = {"on_complete": (self.filter.on_complete,)}
        if waits:
            self.hooks |= {"on_request": (self.filter.on_request,), "on_response": (self.filter.on_response,)}
        self.codec = codec or Tells()
        self.stage = Stage(codec=self.codec, routes=[])
        self.stage.no_route.on_complete = self.hooks["on_complete"]
        self.clusters: list[Cluster] = []
        self.replace(0)
        self.clients = [self.stage.client() for _ in range(3)]
        self.asked: list[set[bytes]] = [set() for _ in self.clients]
        self.owed: dict[int, list[bytes]] = {}
        self.arrived: Counter[bytes] = Counter()
        self.number = 0

    def run(self, steps: list[tuple[str, int]]) -> None:
        for name, number in steps:
            getattr(self, name.replace(" ", "_"))(number)
            self.collect()
        for wire in self.clients:
            if not wire.closed:
                self.fast_client(self.clients.index(wire))
        for number in range(len(self.stage.network.upstreams)):
            self.fast_server(number)
        for _ in range(30):
            while self.filter.waiting:
                self.go_on(0)
            self.stage.clock.advance(1.0)
            self.sweep(0)
        self.collect()

    def replace(self, number: int) -> None:
        """A new configuration, with other endpoints of the same cluster."""
        for cluster in self.clusters[-1:]:
            cluster.retired = True
        endpoints = [Endpoint(f"127.0.0.1:{1000 + len(self.clusters)}"), Endpoint("127.0.0.1:999")]
        cluster = Cluster(
            "demo", self.codec, endpoints, RoundRobin, breaker=Breaker(*self.limits), request_timeout=5.0,
            connections=ConnectionSettings(mode=self.mode, max_requests=number % 4, idle_timeout=4.0),
        )  # fmt: skip
        self.clusters.append(cluster)
        policy = RetryPolicy(
            2, ["connect", "reset", "timeout", "error"], 1.0, (0.1, 0.5), hedge_after=0.5, uniform=lambda: 0.5
        )
        route = Route("all", targets=[Target(cluster)], retry=policy if self.retry else None, **self.hooks)
        table = RouteTable([route], random.Random(1))
        self.stage.listener.snapshot = dataclasses.replace(self.stage.listener.snapshot, routes=table)

    def pools(self) -> list[Pool]:
        return [one.pool for cluster in self.clusters for one in cluster.endpoints if one.pool is not None]  # type: ignore[misc]

    def sweep(self, number: int) -> None:
        now = self.stage.network.turn.refresh()
        for pool in self.pools():
            pool.sweep(now)
            if pool.cluster.retired:
                pool.retire()

    def collect(self) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            data = wire.take()
            while data:
                size = 4 + HEAD.unpack_from(data)[0]
                frame, data = data[:size], data[size:]
                if frame[13:17] == b"tell":
                    self.arrived[frame[17:]] += 1
                else:
                    self.owed.setdefault(index, []).append(frame)

    def _say(self, number: int, service: str) -> None:
        wire = self.clients[number % 3]
        if not wire.closed and not wire.paused:
            self.number += 1
            body = f"{number % 3}:{self.number}".encode()
            self.asked[number % 3].add(body)
            self.stage.say(wire, call(number, service, body))

    def ask(self, number: int) -> None:
        self._say(number, "read" if number % 2 else "echo")

    def tell(self, number: int) -> None:
        self._say(number, "tell")

    def _answer(self, number: int, failed: bool) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            if self.owed.get(index) and not wire.closed and not wire.paused:
                request = self.owed[index].pop(number % len(self.owed[index]))
                id, body = HEAD.unpack_from(request)[1], request[17:]
                self.stage.say(wire, HEAD.pack(9 + len(body), id, FAILURE) + body if failed else answer(id, body))
                return

    def answer(self, number: int) -> None:
        self._answer(number, False)

    def fail(self, number: int) -> None:
        self._answer(number, True)

    def wait(self, number: int) -> None:
        self.stage.clock.advance(number / 4)

    def go_on(self, number: int) -> None:
        if self.filter.waiting:
            waiting = self.filter.waiting.pop(number % len(self.filter.waiting))
            waiting.callback(Reply(ErrorKind.DENIED, "no") if number == 7 else None)
            self.stage.clock.advance(0)

    def kill_client(self, number: int) -> None:
        self.clients[number % 3].end()

    def kill_server(self, number: int) -> None:
        wires = self.stage.network.upstreams
        if wires:
            wires[number % len(wires)].end()
            self.stage.clock.advance(0)

    def refuse(self, number: int) -> None:
        self.stage.network.accept = not self.stage.network.accept
        for _, protocol in self.stage.network.dialled:
            if protocol.alive and protocol.transport is None:
                protocol.connectionFailed("refused", bool(number % 2))

    def fin(self, number: int) -> None:
        wire = self.clients[number % 3]
        if not wire.closed:
            self.stage.finish(wire)

    def slow_client(self, number: int) -> None:
        self._of_client(number, "pauseProducing")

    def fast_client(self, number: int) -> None:
        self._of_client(number, "resumeProducing")

    def _of_client(self, number: int, call: str) -> None:
        wire = self.clients[number % 3]
        if not wire.closed:
            getattr(wire.protocol, call)()
            self.stage.clock.advance(0)

    def slow_server(self, number: int) -> None:
        self._of_server(number, "pauseProducing")

    def fast_server(self, number: int) -> None:
        self._of_server(number, "resumeProducing")

    def _of_server(self, number: int, call: str) -> None:
        wires: list[Wire] = self.stage.network.upstreams
        if wires and not wires[number % len(wires)].closed:
            getattr(wires[number % len(wires)].protocol, call)()
            self.stage.clock.advance(0)

    # -- what must hold

    def check(self) -> None:
        counts = self.stage.listener.counts
        assert set(self.filter.ends.values()) <= {1}
        assert len(self.filter.ends) == counts.requests == self.number
        assert counts.active_exchanges == 0
        for cluster in self.clusters:
            breaker = cluster.breaker
            assert (breaker.requests, breaker.pending, breaker.retries) == (0, 0, 0)
            assert [endpoint.active for endpoint in cluster.endpoints] == [0, 0]
        for cluster in self.clusters:
            pools = [pool for pool in self.pools() if pool.cluster is cluster]
            alive = [one for pool in pools for one in pool.connections]
            assert all(one.alive for one in alive)
            assert cluster.breaker.connections == len(alive)
            held = [one for wire in self.clients for one in self.stage.downstream(wire).pinned_by_cluster.values()]
            assert not cluster.retired or all(one in held for one in alive), "nothing is kept for a replaced cluster"
        for body in self.filter.told:
            assert self.arrived[body] == 1, "a one-way request that is counted as sent was written"
        for which, wire in enumerate(self.clients):
            assert not wire.paused or wire.closed
            bodies = self.bodies(wire.written)
            assert len(bodies) == len(set(bodies))
            assert set(bodies) <= self.asked[which]

    def bodies(self, data: bytes) -> list[bytes]:
        """What a client got of servers."""
        found = []
        while data:
            size = 4 + HEAD.unpack_from(data)[0]
            if data[12] in (0, FAILURE):
                found.append(data[13:size])
            data = data[size:]
        return found


@examples(150)
@given(STEPS, st.sampled_from(["multiplex", "pool", "pinned"]), BOUNDS, st.booleans(), st.booleans())
def test_nothing_is_lost_or_left_behind(
    steps: list[tuple[str, int]], mode: str, breaker: tuple[int, int, int], retry: bool, waits: bool
) -> None:
    play = Play(mode, breaker, retry, waits)
    play.run(steps)
    play.check()


class FifoPlay(Play):
    """The same with answers in order, and with requests that bind their client's connection in every way."""

    WORDS = ("get", "get", "get", "begin", "end", "block", "subscribe", "unsubscribe", "select 1", "local", "tell")

    def __init__(self, mode: str, breaker: tuple[int, int, int], retry: bool, waits: bool) -> None:
        super().__init__(mode, breaker, retry, waits, LineCodec())
        self.order: list[list[bytes]] = [[] for _ in self.clients]

    def _say(self, number: int, service: str) -> None:
        wire = self.clients[number % 3]
        word = "tell" if service == "tell" else self.WORDS[number % len(self.WORDS)]
        if not wire.closed and not wire.paused:
            self.number += 1
            body = f"{number % 3}:{self.number}"
            self.order[number % 3].append(body.encode())
            self.stage.say(wire, f"{word} {body}\n".encode())

    def collect(self) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            for line in wire.take().splitlines():
                word, _, body = line.partition(b" ")
                if word in (b"tell", b"subscribe", b"unsubscribe"):
                    self.arrived[body] += 1
                elif word != b"profile":
                    self.owed.setdefault(index, []).append(body)

    def _answer(self, number: int, failed: bool) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            if self.owed.get(index) and not wire.closed and not wire.paused:
                body = self.owed[index].pop(0)
                self.stage.say(wire, (b"fail oops " if failed else b"ok ") + body + b"\n")
                return

    def check(self) -> None:
        counts = self.stage.listener.counts
        assert set(self.filter.ends.values()) <= {1}
        assert len(self.filter.ends) == counts.requests - counts.active_exchanges
        blocked = [one for wire in self.clients for one in self.stage.downstream(wire).under_way()]
        assert counts.active_exchanges == len(blocked) == sum(one.breaker.requests for one in self.clusters)
        for cluster in self.clusters:
            assert cluster.breaker.retries == 0
            assert cluster.breaker.requests == sum(endpoint.active for endpoint in cluster.endpoints)
            pools = [pool for pool in self.pools() if pool.cluster is cluster]
            assert cluster.breaker.connections == sum(len(pool.connections) for pool in pools)
        for which, wire in enumerate(self.clients):
            assert not wire.paused or wire.closed
            wanted = iter(self.order[which])
            assert all(body in wanted for body in self.bodies(wire.written)), "out of order, twice, or another's"

    def bodies(self, data: bytes) -> list[bytes]:
        return [line.split()[-1] for line in data.splitlines() if line.startswith((b"ok ", b"fail oops "))]


@examples(150)
@given(STEPS, st.sampled_from(["multiplex", "pool"]), BOUNDS, st.booleans(), st.booleans())
def test_answers_keep_their_order_whatever_ends(
    steps: list[tuple[str, int]], mode: str, breaker: tuple[int, int, int], retry: bool, waits: bool
) -> None:
    play = FifoPlay(mode, breaker, retry, waits)
    play.run(steps)
    play.check()
