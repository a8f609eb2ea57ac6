"""
A Redis Cluster in memory: nodes that have slots, say who has them, and send others away.

Lives here: `Nodes`, behind a Stage. Does not: assertions.
"""

from __future__ import annotations

import random
from dataclasses import replace

from harness import Stage, Wire

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.layouts import slot
from metaproxy.proxy.layout import LayoutMonitor
from metaproxy.routing.matcher import compile_condition

ONE, TWO, THREE = "127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.1:1002"
HALF = 8192
LOW, HIGH = "bar", "foo"
"""Keys in the first half of the slots, which ONE has at first, and in the second, which TWO has."""


class Nodes:
    """
    ONE and TWO have half of the slots each, THREE is ONE's replica. roles, slots: what nodes say; moving: slots that
    are about to go: slot -> to whom; away: nodes that end each connection; seeds: who is asked first.
    """

    def __init__(self, seeds: tuple[str, ...] = (ONE,), retry: RetryPolicy | None = None) -> None:
        self.roles = {ONE: "master", TWO: "master", THREE: "slave"}
        self.slots = {ONE: [(0, HALF - 1)], TWO: [(HALF, 16383)], THREE: []}
        self.moving: dict[int, str] = {}
        self.away: set[str] = set()
        self.state: dict[str, str] = {}
        self.epochs: dict[str, int] = {}
        self.got: list[tuple[str, bytes]] = []
        self.asked: list[str] = []
        self.stage = Stage(Redis(), endpoints=len(seeds))
        target = Target(self.stage.cluster)
        reads = Route("reads", [compile_condition("command", "EXISTS")], [target], subset={"role": "replica"})
        rest = Route("rest", targets=[target], retry=retry)
        routes = RouteTable([reads, rest], random.Random(1))
        self.stage.listener.snapshot = replace(self.stage.snapshot, routes=routes)
        self.monitor = LayoutMonitor("cluster", "", 1.0, 100, seeds, self.stage.clock)
        self.monitor.start(self.stage.cluster, self.stage.network)

    def owner(self, number: int) -> str:
        owners = [who for who, ranges in self.slots.items() if any(a <= number <= b for a, b in ranges)]
        return owners[0] if owners else ""

    def run(self, seconds: float = 0.0) -> None:
        """Time passes; nodes answer what they are asked."""
        self.stage.clock.advance(seconds)
        for _ in range(8):
            for wire in list(self.stage.network.upstreams):
                if wire.closed:
                    continue
                if wire.peer in self.away:
                    wire.end()
                    continue
                said = b"".join(self._answer(wire, words) for words in _commands(wire.take()))
                if said:
                    self.stage.say(wire, said)
            self.stage.clock.advance(0)

    def _answer(self, wire: Wire, words: list[bytes]) -> bytes:
        who, name = wire.peer, words[0]
        if name == b"CLUSTER":
            self.asked.append(who)
            return self._info(who) if words[1] == b"INFO" else self._nodes(who)
        if name in (b"READONLY", b"ASKING"):
            wire.allowed = {*getattr(wire, "allowed", ()), name}  # type: ignore[attr-defined]
            return b"+OK\r\n"
        allowed: set[bytes] = getattr(wire, "allowed", set())
        number = slot(words[1].decode()) if len(words) > 1 else -1
        owner = self.owner(number) if number >= 0 else who
        if not owner:
            return b"-CLUSTERDOWN Hash slot not served\r\n"
        asking = b"ASKING" in allowed and self.moving.get(number) == who
        allowed.discard(b"ASKING")
        reads = b"READONLY" in allowed and self.roles[who] == "slave"
        if owner != who and not asking and not reads:
            return b"-MOVED %d %b\r\n" % (number, owner.encode())
        if number in self.moving and not asking:
            return b"-ASK %d %b\r\n" % (number, self.moving[number].encode())
        self.got.append((who, b" ".join(words)))
        return resp.bulk(who.encode())

    def _info(self, who: str) -> bytes:
        state, epoch = self.state.get(who, "ok"), self.epochs.get(who, 1)
        return resp.bulk(b"cluster_state:%b\r\ncluster_current_epoch:%d\r\n" % (state.encode(), epoch))

    def _nodes(self, who: str) -> bytes:
        ids = {one: str(number) * 40 for number, one in enumerate(self.roles)}
        lines = []
        for one, role in self.roles.items():
            owned = " ".join(f"{first}-{last}" for first, last in self.slots[one])
            flags = f"myself,{role}" if one == who else role
            master = ids[ONE] if role == "slave" else "-"
            lines.append(f"{ids[one]} {one}@1 {flags} {master} 0 0 1 connected {owned}".rstrip())
        return resp.bulk("".join(f"{line}\n" for line in lines).encode())

    def ask(self, client: Wire, *words: str) -> bytes:
        self.stage.say(client, resp.encode([word.encode() for word in words]))
        self.run()
        return client.take()

    @property
    def told(self) -> dict[str, str]:
        """What the cluster's endpoints are."""
        return {one.address: one.metadata.get("role", "") for one in self.stage.cluster.endpoints}


def _commands(data: bytes) -> list[list[bytes]]:
    found = []
    scanner = resp.Scanner(1 << 20, 1 << 20)
    at = 0
    while at < len(data):
        stop = scanner.scan(data, at)
        found.append(resp.arguments(data[at:stop]))
        at = stop
    return found
