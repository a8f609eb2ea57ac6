"""
Three servers in memory of which one is the primary, as they say when they are asked.

Lives here: `Servers`. Does not: assertions.
"""

from __future__ import annotations

import random
from dataclasses import replace

from bank import BankStage
from harness import Wire

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.proxy.own_writes import note_write
from metaproxy.proxy.topology import Topology
from metaproxy.routing.matcher import compile_condition

PRIMARY, SECOND, THIRD = "127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.1:1002"


class Servers:
    """Three servers, each of which says what the test sets; reads go to replicas, everything else to the primary."""

    def __init__(
        self, max_lag: float = 0.0, read_your_writes: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        self.got: list[bytes] = []  # what clients' requests are, as servers see them
        self.says = {PRIMARY: "primary", SECOND: "replica", THIRD: "replica"}
        self.asked = 0
        self.stage = BankStage(endpoints=3)
        stage = self.stage
        self.watch = Topology("primary_replica", 1.0, max_lag, 100, stage.clock)
        target = Target(stage.cluster)
        read = compile_condition("word", "read")
        reads = Route("reads", [read], [target], subset={"role": "replica"})
        writes = Route("writes", targets=[target], subset={"role": "primary"}, on_complete=(note_write,), retry=retry)
        stage.cluster.read_your_writes = read_your_writes
        stage.cluster.now = stage.clock.seconds
        routes = RouteTable([reads, writes], random.Random(1))
        stage.listener.snapshot = replace(stage.snapshot, routes=routes)
        self.writes = writes
        self.watch.start(stage.cluster, stage.network)

    def run(self, seconds: float = 0.0) -> None:
        """Time passes; servers answer what they are asked."""
        self.stage.clock.advance(seconds)
        for _ in range(6):
            for wire in list(self.stage.upstreams):
                if wire.closed:
                    continue
                role = self.says[wire.peer]
                if role == "away":
                    wire.end()
                    continue
                data = wire.take()
                if data.startswith(b"hello"):
                    self.stage.say(wire, b"welcome\n")
                elif b"role?" in data:
                    self.asked += 1
                    self.stage.say(wire, f"i {role}\n".encode())
                elif data:
                    self.got += data.splitlines()
                    self.stage.say(wire, b"i %b\n" % wire.peer.encode() * data.count(b"\n"))
            self.stage.clock.advance(0)

    def ask(self, client: Wire, line: bytes) -> bytes:
        self.stage.say(client, line)
        self.run()
        return client.take()

    def enter(self) -> Wire:
        """A client that has logged in."""
        self.run()
        client = self.stage.client()
        self.ask(client, b"login ann d\n")
        return client

    @property
    def roles(self) -> list[str]:
        return [one.metadata.get("role", "") for one in self.stage.cluster.endpoints]
