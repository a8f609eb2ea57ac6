from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Stage, answer, call

from metaproxy.app.service import ProxyService, pools
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.plugins import Registry
from metaproxy.proxy.snapshot import ListenerSnapshot, Snapshot
from metaproxy.support.addresses import Address, parse, show


class Socket:
    def __init__(self, where: Address) -> None:
        self.address, self.bound, self.closed = where, show(where.sockaddr), False

    def hand_to(self, accepted: Any) -> None:
        """Nothing connects here."""

    def close(self) -> None:
        self.closed = True


class Running(Stage):
    """A stage whose listener is run by a service."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.sockets: list[Socket] = []
        self.network.listen = self._listen  # type: ignore[method-assign]
        self.service = ProxyService(self.network, Registry([Path("/nowhere")]))
        self.service.startService()

    def _listen(self, where: Address, accepted: Any) -> Socket:
        self.sockets.append(Socket(where))
        return self.sockets[-1]

    def put(self, *names: str, clusters: bool = True) -> Snapshot:
        listeners = {}
        for name in names:
            where = (parse(f"127.0.0.1:{1000 + len(name)}"),)
            listeners[name] = ListenerSnapshot(name, where, self.codec, self.snapshot.routes, self.no_route)
        snapshot = Snapshot(1, "test", 0.0, listeners, {"demo": self.cluster} if clusters else {})
        self.service.apply(snapshot)
        if names:
            self.listener = self.service.listeners[names[0]]
        return snapshot


def test_ready_means_running_with_a_configuration_and_not_draining() -> None:
    stage = Running()
    assert not stage.service.ready
    stage.put("a")
    assert stage.service.ready
    stage.service.drain()
    assert not stage.service.ready


def test_ready_waits_for_the_first_endpoints_and_not_for_later_ones() -> None:
    stage = Running()
    cold = SimpleNamespace(warm=False, start=lambda cluster, network: None, stop=lambda: None, changed=lambda: None)
    stage.cluster.monitors = (cold,)
    stage.put("a")
    assert not stage.service.ready
    cold.warm = True
    assert stage.service.ready
    cold.warm = False
    assert stage.service.ready


def test_ready_waits_for_the_endpoints_of_what_a_source_gives_that_is_waited_for() -> None:
    stage = Running()
    given: list[bool] = []
    stage.service.conditions.append(lambda: bool(given))
    stage.put("a", clusters=False)
    assert not stage.service.ready
    cold = SimpleNamespace(warm=False, start=lambda cluster, network: None, stop=lambda: None, changed=lambda: None)
    stage.cluster.monitors = (cold,)
    stage.put("a")
    given.append(True)
    assert not stage.service.ready
    cold.warm = True
    assert stage.service.ready


def test_a_listener_that_is_gone_lets_its_clients_finish() -> None:
    stage = Running()
    stage.put("a")
    client = stage.client()
    stage.say(client, call(1))
    stage.put()
    assert stage.sockets[0].closed and len(stage.service.leaving) == 1
    stage.say(stage.server, answer(1))
    assert client.take() == answer(1) and client.closed
    assert not stage.service.leaving


def test_an_endpoint_that_is_taken_out_answers_what_it_has_and_is_closed() -> None:
    stage = Running(endpoints=2)
    stage.put("a")
    client = stage.client()
    stage.say(client, call(1) + call(2))
    out, stays = sorted(stage.network.upstreams, key=lambda wire: wire.peer)
    stage.cluster.update([Endpoint(stays.peer)])
    for id in (3, 4):
        stage.say(client, call(id))
    assert out.take().count(b"echo") == 1 and stays.take().count(b"echo") == 3
    assert not out.closed and len(pools([stage.cluster])) == 2
    client.take()
    stage.say(out, answer(1))
    assert client.take() and out.closed and not stays.closed
    stage.clock.advance(1)
    assert stage.cluster.leaving == [] and stage.cluster.breaker.connections == 1


def test_a_retired_cluster_is_emptied_when_its_last_answer_is_there() -> None:
    stage = Running()
    stage.put("a")
    client = stage.client()
    stage.say(client, call(1))
    stage.put("a", clusters=False)
    assert stage.cluster.retired and not stage.server.closed
    stage.say(stage.server, answer(1))
    assert client.take() == answer(1) and stage.server.closed
    stage.clock.advance(1)
    assert stage.cluster.breaker.connections == 0


def test_a_proxy_that_drains_takes_no_configuration() -> None:
    stage = Running()
    stage.put("a")
    stage.service.drain()
    with pytest.raises(OSError, match="drains"):
        stage.put("a", "bb")
    assert sorted(stage.service.listeners) == ["a"]


def test_a_listener_that_was_drained_stays_so_through_a_reload() -> None:
    stage = Running()
    stage.put("a", "bb")
    stage.service.drain("a")
    stage.put("a", "bb")
    assert [socket.closed for socket in stage.sockets] == [True, False]
    with pytest.raises(LookupError):
        stage.service.drain("missing")


def test_stopping_waits_for_what_is_under_way() -> None:
    stage = Running()
    stage.put("a")
    client = stage.client()
    stage.say(client, call(1))
    stopped = stage.service.stopService()
    assert not stopped.called
    stage.say(stage.server, answer(1))
    assert stopped.called and client.take() == answer(1)


def test_idle_clients_are_found_by_the_sweep() -> None:
    stage = Running()
    stage.put("a")
    object.__setattr__(stage.listener.snapshot, "idle_timeout", 5.0)
    client = stage.client()
    for _ in range(60):
        stage.clock.advance(0.1)
    assert client.closed


def test_who_watches_sees_exchanges_while_it_watches_and_over_new_configurations() -> None:
    stage = Running()
    stage.put("a")
    client = stage.client()
    seen: list[str] = []

    def hook(exchange: Any) -> None:
        seen.append(exchange.outcome)

    def exchange(id: int) -> None:
        stage.say(client, call(id))
        stage.say(stage.server, answer(id))

    exchange(1)
    stage.service.watch(hook)
    exchange(2)
    assert seen == ["ok"]
    stage.put("a")
    exchange(3)
    assert seen == ["ok", "ok"]
    stage.service.unwatch(hook)
    exchange(4)
    assert seen == ["ok", "ok"]
    assert all(hook not in route.on_complete for route in stage.snapshot.routes.routes)
