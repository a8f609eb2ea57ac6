"""A worker: what it does with what its supervisor says."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop import Loop, fired

from metaproxy.config import model, slices
from metaproxy.config.check import check
from metaproxy.workers.channel import Channel
from metaproxy.workers.messages import (
    AdminConnection,
    Commit,
    Count,
    Discard,
    Drain,
    EndpointsAre,
    EndpointState,
    HandedConnection,
    Left,
    Prepare,
    Ready,
    ReopenLogs,
    Stop,
)
from metaproxy.workers.sums import Report
from metaproxy.workers.worker import Worker

TEXT = """
listeners:
- {name: front, listen: "127.0.0.1:7000", protocol: redis, max_connections: 2, routes: [{cluster: demo}]}
clusters:
- {name: demo, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
"""


def prepare(worker: Worker, text: str = TEXT) -> Prepare:
    config, problems = check(text, "x.yaml", worker.registry)
    assert config is not None, [str(one) for one in problems]
    names = [one.name for one in config.listeners], [one.name for one in config.clusters]
    return Prepare(replace(config, listeners=(), clusters=()), config.listeners, config.clusters, *names, [])


class Duty:
    """A worker, and the supervisor's end of its line."""

    def __init__(self, text: str = TEXT) -> None:
        self.loop = Loop()
        ours, theirs = socket.socketpair()
        self.told: list[Any] = []
        self.stops = 0
        self.line = Channel(ours, self.loop, lambda message, descriptor: self.told.append(message), lambda: None)
        self.worker = Worker(theirs, self.loop, self._stopped)
        self.worker.start()
        self.loop.turn()
        if text:
            assert self.ask(prepare(self.worker, text)) == []
            self.ask(Commit())

    def _stopped(self) -> None:
        self.stops += 1

    def ask(self, message: object) -> Any:
        found = fired(self.line.ask(message))
        self.loop.turn()
        return found[0] if found else None

    def connect(self, listener: str = "front") -> socket.socket:
        """A client of its listener."""
        ours, theirs = socket.socketpair()
        ours.settimeout(5)
        self.line.tell(HandedConnection(listener, "127.0.0.1:7000", "127.0.0.9:4321"), theirs.fileno())
        theirs.close()
        self.loop.turn()
        return ours

    def left(self) -> int:
        return sum(sum(one.connections.values()) for one in self.told if isinstance(one, Left))

    @property
    def endpoints(self) -> list[Any]:
        return list(self.worker.proxy.clusters["demo"].endpoints)


def state(address: str, **changes: Any) -> EndpointState:
    usual = {"weight": 1, "metadata": {}, "priority": 0, "zone": "", "checked": False, "healthy": True}
    return EndpointState(address, **{**usual, "drained": False, "ejected": False, **changes})


def test_it_says_that_it_is_there() -> None:
    (ready,) = Duty("").told
    assert isinstance(ready, Ready)
    assert ready.pid == os.getpid()


def test_what_is_prepared_is_in_force_once_it_is_committed() -> None:
    duty = Duty("")
    assert duty.ask(prepare(duty.worker)) == []
    assert not duty.worker.proxy.listeners
    duty.ask(Commit())
    assert [*duty.worker.proxy.listeners] == ["front"]
    assert duty.worker.proxy.listeners["front"].bound() == ["127.0.0.1:7000"]  # which is the supervisor's


def test_what_is_discarded_is_not() -> None:
    duty = Duty()
    before = duty.worker.proxy.snapshot
    duty.ask(prepare(duty.worker, TEXT.replace("front", "other")))
    duty.ask(Discard())
    duty.ask(Commit())
    assert duty.worker.proxy.snapshot is before


def test_what_is_prepared_takes_the_place_of_what_was_prepared_before() -> None:
    duty = Duty()
    duty.ask(prepare(duty.worker, TEXT.replace("front", "other")))
    duty.ask(prepare(duty.worker, TEXT.replace("front", "third")))
    duty.ask(Commit())
    assert [*duty.worker.proxy.listeners] == ["third"]


def test_only_what_has_changed_is_sent_and_the_rest_stays_as_it_is() -> None:
    duty = Duty()
    cluster = duty.worker.proxy.clusters["demo"]
    whole = prepare(duty.worker, TEXT.replace("max_connections: 2", "max_connections: 3"))
    duty.ask(replace(whole, changed_clusters=[]))
    duty.ask(Commit())
    assert duty.worker.proxy.listeners["front"].snapshot.max_connections == 3
    assert duty.worker.proxy.clusters["demo"] is cluster


def test_what_can_not_be_built_is_answered_with_what_is_wrong(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    duty = Duty()
    whole = prepare(duty.worker)
    tls = model.ServerTls(certificate=key, key=key)
    bad = replace(whole, changed_listeners=[replace(next(iter(whole.changed_listeners)), tls=tls)])
    lines = duty.ask(bad)
    assert lines
    duty.ask(Commit())
    assert duty.worker.proxy.listeners["front"].snapshot.max_connections == 2


def test_a_connection_that_is_handed_is_its_listeners() -> None:
    duty = Duty()
    client = duty.connect()
    client.sendall(b"*1\r\n$4\r\nPING\r\n")
    duty.loop.turn()
    assert client.recv(100)
    counts = duty.worker.proxy.listeners["front"].counts
    assert (counts.connections, counts.connections_active) == (1, 1)
    client.close()
    duty.loop.turn()
    assert duty.left() == 1


def test_one_beyond_the_limit_is_refused_and_has_left() -> None:
    duty = Duty()
    clients = [duty.connect() for _ in range(3)]
    assert clients[2].recv(100) == b""
    assert duty.left() == 1
    assert duty.worker.proxy.listeners["front"].counts.connections_refused == 1


def test_one_of_a_listener_that_is_gone_is_closed_and_has_left() -> None:
    duty = Duty()
    assert duty.connect("gone").recv(100) == b""
    assert duty.left() == 1


def test_one_that_may_not_be_opened_has_left() -> None:
    duty = Duty()
    duty.line.tell(HandedConnection("front", "127.0.0.1:7000", "127.0.0.9:4321"))
    duty.loop.turn()
    assert duty.left() == 1


def test_connections_that_end_together_are_told_together() -> None:
    duty = Duty()
    clients = [duty.connect(), duty.connect()]
    for client in clients:
        client.close()
    duty.loop.turn()
    assert [one for one in duty.told if isinstance(one, Left)] == [Left({"front": 2})]


def test_it_says_what_it_counted() -> None:
    duty = Duty()
    client = duty.connect()
    report = duty.ask(Count())
    assert isinstance(report, Report)
    assert report.added["listener", "front"] == {"connections": 1}
    assert report.levels["listener", "front"] == {"connections_active": 1}
    assert duty.ask(Count()).added == {}
    client.close()
    duty.loop.turn()
    assert duty.ask(Count()).levels == {("listener", "front"): {}}
    assert duty.ask(Count()).levels == {}


def test_endpoints_that_the_supervisor_found_take_the_places_of_others() -> None:
    duty = Duty()
    duty.ask(EndpointsAre("demo", True, [state("127.0.0.1:2"), state("127.0.0.1:3", weight=5, zone="b")]))
    assert [one.address for one in duty.endpoints] == ["127.0.0.1:2", "127.0.0.1:3"]
    assert (duty.endpoints[1].configured_weight, duty.endpoints[1].zone) == (5, "b")


def test_endpoints_of_the_configuration_stay() -> None:
    duty = Duty()
    duty.ask(EndpointsAre("demo", False, [state("127.0.0.1:3")]))
    assert [one.address for one in duty.endpoints] == ["127.0.0.1:1", "127.0.0.1:2"]


def test_what_the_supervisor_decides_about_an_endpoint_holds() -> None:
    duty = Duty()
    duty.ask(EndpointsAre("demo", False, [state("127.0.0.1:1", checked=True, healthy=False)]))
    assert not duty.endpoints[0].healthy
    duty.ask(EndpointsAre("demo", False, [state("127.0.0.1:1", drained=True), state("127.0.0.1:2", ejected=True)]))
    assert duty.endpoints[0].healthy
    assert (duty.endpoints[0].drained, duty.endpoints[1].ejected) == (True, True)
    duty.ask(EndpointsAre("demo", False, [state("127.0.0.1:1"), state("127.0.0.1:2")]))
    assert (duty.endpoints[0].drained, duty.endpoints[1].ejected) == (False, False)


def test_what_the_worker_ejected_itself_stays_so() -> None:
    duty = Duty()
    duty.endpoints[0].ejected_until = duty.loop.seconds() + 30
    duty.ask(EndpointsAre("demo", False, [state("127.0.0.1:1"), state("127.0.0.1:2")]))
    assert duty.endpoints[0].ejected_until == duty.loop.seconds() + 30


def test_what_comes_of_endpoints_while_a_configuration_is_put_in_force_waits_for_its_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "FIRST", 0.0)
    duty = Duty()
    duty.ask(prepare(duty.worker, TEXT.replace("127.0.0.1:2", "127.0.0.1:9")))
    duty.line.tell(Commit())
    duty.line.tell(EndpointsAre("demo", False, [state("127.0.0.1:9", drained=True)]))
    duty.loop.until(lambda: duty.endpoints[1].address == "127.0.0.1:9")
    duty.loop.turn()
    assert [(one.address, one.drained) for one in duty.endpoints] == [("127.0.0.1:1", False), ("127.0.0.1:9", True)]


def test_endpoints_of_a_cluster_that_is_gone_are_passed_over() -> None:
    duty = Duty()
    duty.ask(EndpointsAre("gone", True, [state("127.0.0.1:3")]))
    assert len(duty.endpoints) == 2


def test_a_drain_is_answered_when_the_last_client_has_left() -> None:
    duty = Duty()
    client = duty.connect()
    client.sendall(b"*1\r\n$4\r\nECHO\r\n")  # something under way
    drained = fired(duty.line.ask(Drain("front")))
    client.close()
    duty.loop.turn()
    assert drained == [None]
    assert duty.connect().recv(100) == b""


def test_a_drain_is_as_patient_as_it_is_to_be() -> None:
    duty = Duty()
    client = duty.connect()
    drained = fired(duty.line.ask(Drain("front", patient=True)))
    duty.loop.turn()
    assert drained == []  # its next answer is its last one
    client.sendall(b"*1\r\n$4\r\nPING\r\n")
    duty.loop.turn()
    assert client.recv(100).startswith(b"-ERR connect to 127.0.0.1:")
    duty.loop.turn()
    assert client.recv(100) == b""
    client.close()
    duty.loop.turn()
    assert drained == [None]


@pytest.mark.parametrize("listener", [None, "front", "gone"])
def test_a_drain_without_clients_is_answered_at_once(listener: str | None) -> None:
    duty = Duty()
    found = fired(duty.line.ask(Drain(listener)))
    duty.loop.turn()
    assert found == [None]


def test_its_admin_api_answers_the_supervisor_and_changes_nothing() -> None:
    duty = Duty()
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    duty.line.tell(AdminConnection(), theirs.fileno())
    theirs.close()
    ours.sendall(b"GET /listeners HTTP/1.1\r\nhost: worker\r\n\r\n")
    duty.loop.turn()
    assert b'"front"' in ours.recv(65536)
    ours.sendall(b"PUT /config HTTP/1.1\r\nhost: worker\r\ncontent-length: 2\r\n\r\n{}")
    duty.loop.turn()
    assert b"ask the supervisor" in ours.recv(65536)
    duty.line.tell(AdminConnection())  # one that it may not open
    duty.loop.turn()


def test_logs_are_opened_again() -> None:
    assert Duty().ask(ReopenLogs()) is None


def test_it_stops_when_it_is_to() -> None:
    duty = Duty()
    client = duty.connect()
    duty.ask(Stop())
    assert duty.stops == 1
    client.settimeout(5)
    assert client.recv(100) == b""


def test_without_its_supervisor_what_is_under_way_ends_and_then_it_stops() -> None:
    duty = Duty()
    client = duty.connect()
    duty.line.close()
    duty.loop.turn()
    client.close()
    duty.loop.turn()
    assert duty.stops == 1


def test_it_stops_once() -> None:
    duty = Duty()
    duty.line.tell(Stop())
    duty.loop.turn(1)
    duty.line.close()
    duty.loop.turn()
    assert duty.stops == 1
