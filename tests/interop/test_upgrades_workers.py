"""
Hot restarts of a supervisor with its workers under load, with the real processes: by the admin API and by a signal.

Lives here: each request has one end and none is refused, counts go on, and what is known of a proxy and in no
configuration holds in the workers that follow. Does not: one process (test_upgrades.py).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from generations import DRAIN, Generations, runs, under_load, unexpected
from proxied import cluster, listener
from running import eventually, free_port
from worker_load import command

WORKERS = 2


class Pair(Generations):
    """
    A supervisor with two workers. Besides: a listener whose cluster is paused, and one that live values send to a
    server or nowhere.
    """

    def __init__(self, folder: Path) -> None:
        self.held, self.split = free_port(), free_port()
        ways = {"resp": {"runtime": "there"}, "nowhere": {"runtime": "nowhere"}}
        super().__init__(
            folder,
            workers=WORKERS,
            runtime={"there": 100, "nowhere": 0},
            listeners=[
                listener("held", self.held, "redis", [{"cluster": "held"}]),
                listener("split", self.split, "redis", [{"name": "split", "clusters": ways}]),
            ],
            clusters=[cluster("held", free_port()), cluster("nowhere", free_port())],
        )

    def decide(self) -> None:
        """What the next ones are to know."""
        assert self.ask("POST", "/clusters/held/pause?seconds=600")[0] == 200
        for name, value in (("nowhere", 100), ("there", 0)):
            assert self.ask("PUT", f"/runtime/{name}", value)[0] == 200
        assert self.ask("PUT", "/logging/metaproxy.filters", "debug")[0] == 200

    def clients(self, port: int) -> list[socket.socket]:
        """Two for each worker."""
        made = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(2 * WORKERS)]
        for number, one in enumerate(made):
            one.sendall(command("GET", f"mine{number}"))
        return made


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.stop()


def test_each_request_has_one_end_and_what_was_decided_holds(pair: Pair) -> None:
    load, servers = asyncio.run(under_load(pair, [pair.upgrade, pair.upgrade_by_signal], pair.decide))
    print(f"{len(load.ends)} requests")
    assert unexpected(load, servers, len(pair.pids)) == []
    assert len(set(pair.pids)) == 3 and len(set(pair.workers)) == 3 * WORKERS
    before = [*pair.pids[:-1], *pair.workers[:-WORKERS]]
    assert eventually(lambda: not any(map(runs, before)), DRAIN + 20), "the others have ended"
    answered = sum(end == ["answered"] for end in load.ends.values())
    assert eventually(lambda: pair.exchanges() == answered, 10), (pair.exchanges(), answered)
    for client in pair.clients(pair.split):
        with client:
            assert client.recv(1000).startswith(b"-"), "the live value sends it nowhere"
    clients = pair.clients(pair.held)

    def held() -> int:
        stats = pair.ask("GET", "/stats?format=json")[1]
        active = [name for name in stats if name.startswith("metaproxy_listener_exchanges_active{")]
        return sum(int(stats[name]) for name in active if 'listener="held"' in name)

    assert eventually(lambda: held() == len(clients), 20), held()
    assert pair.ask("POST", "/clusters/held/resume")[1]["released"] == len(clients)
    for client in clients:
        with client:
            assert client.recv(1000).startswith(b"-"), "its server is not there"
    for number in range(WORKERS):
        shown = pair.ask("GET", f"/workers/{number}/logging")[1]
        assert shown["set"] == {"metaproxy.filters": "debug"}, json.dumps(shown)
    assert "Traceback" not in pair.log(), pair.log()[-6000:]
