"""What is left of replaced configurations and of closed connections: nothing, also before the collector looks."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from harness import Wire
from leftovers import no_collector
from stand import Stand

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import HealthChecks
from metaproxy.cluster.outlier import OutlierDetector
from metaproxy.codecs.thrift.session import ThriftSession
from metaproxy.config.schema.nodes import Node
from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.id_upstream import IdUpstream
from metaproxy.proxy.pool import Pool
from metaproxy.proxy.snapshot import Snapshot

OF_A_CONFIGURATION = (Snapshot, Cluster, Endpoint, Pool, HealthChecks, OutlierDetector, Node)
OF_A_CONNECTION = (ThriftSession, Downstream, IdUpstream)
MODES = ["pool", "multiplex", "pinned"]


def text(number: int, mode: str) -> str:
    """Each number is another cluster of the same name."""
    cluster = {
        "name": "main", "endpoints": ["127.0.0.1:1", "127.0.0.1:2"], "connections": {"mode": mode},
        "breaker": {"max_connections": 100 + number}, "outlier": {}, "request_timeout": "1s",
        "health_check": {"kind": "codec", "interval": "100s", "timeout": "1s"},
    }  # fmt: skip
    route = {"name": "all", "cluster": "main", "retry": {"attempts": 2, "on": ["connect", "reset"]}}
    listener = {"name": "front", "listen": "127.0.0.1:7000", "protocol": "thrift", "routes": [route]}
    return json.dumps({"listeners": [listener], "clusters": [cluster]})


def message(type: int, id: int) -> bytes:
    body = struct.pack(">HBBi", 0x8001, 0, type, 4) + b"echo" + struct.pack(">i", id) + b"\0"
    return struct.pack(">i", len(body)) + body


class Play:
    """The proxy in memory, its clients and servers."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.mode, self.number = mode, 0
        self.stand = Stand(folder, text(0, mode))
        assert self.stand.errors == []
        self.network = self.stand.network
        self.stand.proxy.startService()
        self.network.clock.advance(0)

    def reload(self) -> None:
        self.number += 1
        assert self.stand.configuration.apply_text(text(self.number, self.mode)) == []

    def client(self) -> Wire:
        wire = Wire()
        wire.protocol = self.stand.proxy.listeners["front"].accepted(wire)
        wire.protocol.makeConnection(wire)
        return wire

    def say(self, wire: Wire, data: bytes) -> None:
        self.network.turn.begin()
        wire.protocol.dataReceived(data)
        self.network.turn.end()
        self.network.clock.advance(0)

    def ask(self, client: Wire) -> Wire:
        """A call on its way, and the server's connection that it is on."""
        self.say(client, message(1, 7))
        (server,) = [one for one in self.network.upstreams if b"\4echo" in one.written and not one.closed]
        return server

    def answer(self, server: Wire) -> None:
        sent = server.take()
        self.say(server, message(2, int.from_bytes(sent[-5:-1], "big")))

    def settle(self) -> None:
        """What comes by time: checks are given up, sweeps. The network forgets what is closed, as the real one does."""
        for _ in range(40):
            self.network.clock.advance(0.1)
        for wire in self.network.upstreams:
            if wire.closed:
                wire.protocol = None
        self.network.upstreams = [wire for wire in self.network.upstreams if not wire.closed]
        self.network.dialled.clear()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_of_replaced_configurations_also_before_their_clients_ask_again(
    tmp_path: Path, mode: str
) -> None:
    with no_collector(*OF_A_CONFIGURATION) as left:
        play = Play(tmp_path, mode)
        play.settle()
        clients = []
        for _ in range(4):
            play.reload()
            clients.append(play.client())
            play.answer(play.ask(clients[-1]))
            assert clients[-1].take() == message(2, 7)
        play.reload()
        if mode == "pinned":  # their connections stay, and so what these belong to
            for wire in clients:
                wire.end()
        play.settle()
        assert left.count() == {
            "Snapshot": 1, "Cluster": 1, "Endpoint": 2, "HealthChecks": 1, "OutlierDetector": 1,
        }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_of_connections_that_are_closed_by_whichever_side_and_for_whatever_reason(
    tmp_path: Path, mode: str
) -> None:
    with no_collector(*OF_A_CONNECTION, Pool) as left:
        play = Play(tmp_path, mode)
        play.settle()
        idle, asking, wrong, misled = (play.client() for _ in range(4))
        play.answer(play.ask(idle))
        play.ask(asking).end()
        play.say(wrong, b"GET / HTTP/1.1\r\n\r\n")
        play.say(play.ask(misled), b"HTTP/1.1 400 Bad Request\r\n\r\n")
        play.reload()
        for wire in (idle, asking, wrong, misled):
            wire.end()
            wire.protocol = None
        del wire
        play.settle()
        assert left.count() == {}


def test_nothing_is_left_with_a_client_of_a_server_that_closed_its_connection(tmp_path: Path) -> None:
    with no_collector(IdUpstream) as left:
        play = Play(tmp_path, "pool")
        play.settle()
        client = play.client()
        for _ in range(3):
            play.ask(client).end()
            play.settle()
        assert left.count() == {}
        assert not client.closed
