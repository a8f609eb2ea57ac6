"""Everything together on loopback: a configuration's file, a drop-in codec, real sockets, and reloads under traffic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import HEAD, answer, call
from present import present
from twisted.internet import protocol, reactor
from twisted.internet.task import LoopingCall, deferLater
from waiting import until

from metaproxy.app.application import Application
from metaproxy.app.service import ProxyService, pools
from metaproxy.config.build import Builder
from metaproxy.plugins import Registry
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.transport import Network
from metaproxy.telemetry.access_log.filter import LogFiles

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
SECONDS = 1.5
"""How long there is traffic."""
RELOAD_EVERY = 0.04
"""Seconds; each reload changes something else."""


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole Quill frames in `data`, and what is left."""
    found = []
    while len(data) >= 4 and len(data) >= (size := 4 + HEAD.unpack_from(data.ljust(13, b"\0"))[0]):
        found.append(data[:size])
        data = data[size:]
    return found, data


class Backend(protocol.Protocol):
    """Answers each call with its name and the call's body; while `hold` is true, when it is released."""

    rest = b""
    factory: Any

    def dataReceived(self, data: bytes) -> None:
        requests, self.rest = frames(self.rest + data)
        for frame in requests:
            _, id, n = HEAD.unpack_from(frame)
            self.factory.calls[frame[13 : 13 + n].decode()] += 1
            reply = answer(id, self.factory.name + b" " + frame[13 + n :])
            if self.factory.hold:
                self.factory.held.append((self.transport, reply))
            else:
                present(self.transport).write(reply)


class Client(protocol.Protocol):
    """Keeps some calls under way, each with a body of its own, until it is stopped."""

    def __init__(self, who: int, depth: int) -> None:
        self.who, self.depth = who, depth
        self.rest = b""
        self.number = 0
        self.asked: dict[int, bytes] = {}
        self.wrong: list[bytes] = []
        self.answers: Counter[bytes] = Counter()
        self.asking = True
        self.lost = False

    def connectionMade(self) -> None:
        for _ in range(self.depth):
            self.ask()

    def ask(self) -> None:
        self.number += 1
        body = self.asked[self.number] = f"{self.who}:{self.number}".encode()
        present(self.transport).write(call(self.number, body=body))

    def dataReceived(self, data: bytes) -> None:
        found, self.rest = frames(self.rest + data)
        for frame in found:
            _, id, failed = HEAD.unpack_from(frame)
            name, _, body = frame[13:].partition(b" ")
            if failed or self.asked.pop(id, None) != body:
                self.wrong.append(frame)
            self.answers[name] += 1
            if self.asking:
                self.ask()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class Whole:
    """The proxy as `make_services` puts it together, without signals and the admin API; two backends; its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        self.file = folder / "proxy.yaml"
        self.source = (EXAMPLES / "quill.py").read_text()
        self.step = 0
        self.clients: list[Client] = []
        self.ports: list[Any] = []
        self.backends: list[Any] = []
        for name in (b"one", b"two"):
            factory: Any = protocol.Factory.forProtocol(Backend)
            factory.name, factory.calls, factory.hold, factory.held = name, Counter(), False, []
            self.backends.append(factory)
            self.ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
        self.write()
        self.network = Network(reactor, FlushQueue(reactor))
        registry = Registry()
        self.proxy = ProxyService(self.network, registry)
        builder = Builder(registry, reactor, LogFiles(reactor))
        self.configuration = Application(str(self.file), [], self.proxy, builder, reactor)
        assert self.configuration.reload() == []
        self.proxy.startService()

    def write(self) -> None:
        """Another configuration at each step: weights, endpoints, limits, connections, a listener, the codec's code."""
        step = self.step
        one, two = (f"127.0.0.1:{port.getHost().port}" for port in self.ports)
        routes = [{"match": {"service": "echo"}, "clusters": {"first": 1 + step % 3, "second": 1 + step % 2}}]
        listener = {"protocol": "quill", "routes": routes, "max_inflight": 64 + step % 2}
        limit = {"local_rate_limit": {"limit": 1_000_000 + step % 4}}
        mode = ("multiplex", "pool")
        clusters = [
            {"name": "first", "endpoints": [one, two][: 1 + step % 2], "connections": {"mode": mode[step // 2 % 2]}},
            {"name": "second", "endpoints": [two], "request_timeout": f"{10 + step % 5}s"},
        ]
        listeners = [
            {"name": "front", "listen": "127.0.0.1:0", **listener, "filters": [limit]},
            {"name": "side", "listen": f"unix:{self.folder}/side.sock", **listener},
        ]
        if step % 2:
            listeners.append({"name": "extra", "listen": "127.0.0.1:0", **listener})
        self.file.write_text(json.dumps({"plugins": ["plugins"], "listeners": listeners, "clusters": clusters}))
        (self.plugins / "quill.py").write_text(f"{self.source}\nedition = {step // 5}\n")

    def change(self) -> None:
        self.step += 1
        self.write()
        assert self.configuration.reload() == []

    def connect(self, number: int, depth: int) -> None:
        client = Client(number, depth)
        self.clients.append(client)
        factory: Any = protocol.Factory.forProtocol(lambda: client)
        if number % 2:
            reactor.connectUNIX(f"{self.folder}/side.sock", _as_client(factory))  # type: ignore[attr-defined]
        else:
            port = int(self.proxy.listeners["front"].bound()[0].rpartition(":")[2])
            reactor.connectTCP("127.0.0.1", port, _as_client(factory))

    def stop_asking(self) -> None:
        for client in self.clients:
            client.asking = False


def _as_client(factory: Any) -> Any:
    made: Any = protocol.ClientFactory()
    made.buildProtocol = factory.buildProtocol
    made.noisy = False
    return made


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path)
    yield made
    for client in made.clients:
        if client.transport is not None:
            client.transport.abortConnection()  # type: ignore[attr-defined]
    made.network.close()
    for port in made.ports:
        port.stopListening()


@pytest_twisted.inlineCallbacks
def test_reloads_under_traffic_lose_no_request_and_end_no_connection(whole: Whole) -> Any:
    for number in range(8):
        whole.connect(number, depth=1 + number % 4)
    yield until(lambda: all(client.answers for client in whole.clients))
    changes = LoopingCall(whole.change)
    changes.start(RELOAD_EVERY)
    yield deferLater(reactor, SECONDS, lambda: None)
    changes.stop()
    whole.stop_asking()
    yield until(lambda: not any(client.asked for client in whole.clients))
    assert whole.step > 5
    assert [client.wrong for client in whole.clients] == [[]] * 8
    assert not any(client.lost for client in whole.clients)
    answers = sum((client.answers for client in whole.clients), Counter())
    assert set(answers) == {b"one", b"two"}
    assert sum(answers.values()) == sum(backend.calls["echo"] for backend in whole.backends)
    snapshot = whole.proxy.snapshot
    assert snapshot is not None and snapshot.version == whole.step + 1
    yield until(lambda: all(cluster.breaker.connections == 0 for cluster in whole.proxy.retired))
    drained = whole.proxy.stopService()
    yield until(lambda: drained.called)
    yield until(lambda: all(client.lost for client in whole.clients))
    assert not (whole.folder / "side.sock").exists()


@pytest_twisted.inlineCallbacks
def test_draining_answers_what_is_under_way_and_accepts_nobody_else(whole: Whole) -> Any:
    for backend in whole.backends:
        backend.hold = True
    for number in range(4):
        whole.connect(number, depth=3)
    whole.stop_asking()
    yield until(lambda: sum(len(backend.held) for backend in whole.backends) == 12)
    drained = whole.proxy.stopService()
    whole.connect(1, depth=1)
    assert not drained.called
    for backend in whole.backends:
        for transport, reply in backend.held:
            transport.write(reply)
    yield until(lambda: drained.called)
    yield until(lambda: all(client.lost for client in whole.clients[:4]))
    assert not any(client.asked or client.wrong for client in whole.clients[:4])
    assert not whole.clients[4].answers
    assert not any(pool.connections for pool in pools(present(whole.proxy.snapshot).clusters.values()))


@pytest_twisted.inlineCallbacks
def test_who_asks_for_another_service_is_told_that_no_route_matched(whole: Whole) -> Any:
    whole.connect(0, depth=0)
    (client,) = whole.clients
    client.asking = False
    yield until(lambda: client.transport is not None)
    present(client.transport).write(call(5, "other"))
    yield until(lambda: bool(client.wrong))
    assert b"no route matched" in client.wrong[0]
    assert HEAD.unpack_from(client.wrong[0])[1] == 5
