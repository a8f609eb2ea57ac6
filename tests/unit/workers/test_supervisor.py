"""The workers of a supervisor: who gets a connection, what all are told, and what happens when one ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from loop import Loop, fired
from running_proxy import Running
from twisted.internet.defer import Deferred
from workers_in_memory import Fellow, Spawned

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model
from metaproxy.config.check import check
from metaproxy.config.slices import wait
from metaproxy.plugins import Registry
from metaproxy.workers import counting, supervisor
from metaproxy.workers.member import GONE, READY, STARTING
from metaproxy.workers.messages import Count, Discard, Drain, HandedConnection, Prepare, ReopenLogs, Stop
from metaproxy.workers.packed import Packed
from metaproxy.workers.sums import Report
from metaproxy.workers.supervisor import ALL_START, HELD_FOR, LAST, PATIENCE, Workers

REGISTRY = Registry()
TEXT = """
listeners:
- {name: a, listen: "127.0.0.1:1", protocol: redis, max_connections: 10, routes: [{cluster: demo}]}
- {name: b, listen: "127.0.0.1:2", protocol: redis, routes: [{cluster: demo}]}
clusters:
- {name: demo, endpoints: ["127.0.0.1:1000"], health_check: {interval: 1s}}
- {name: found, discovery: {file: /nowhere.json}}
"""


def config_of(text: str = TEXT) -> model.Config:
    found, problems = check(text, "x.yaml", REGISTRY)
    assert found is not None, [str(one) for one in problems]
    return found


CONFIG = config_of()


class Hall:
    """Workers in memory, with the proxy of a supervisor. The configuration in force is CONFIG."""

    def __init__(self, count: int = 2, ready: bool = True, start: bool = True, cpus: Any = ()) -> None:
        self.loop = Loop()
        self.spawned = Spawned(self.loop, ready)
        self.running = Running()
        self.proxy = self.running.proxy
        self.workers = Workers(count, self.proxy, self.loop, self.spawned, cpus)
        self.sockets: list[socket.socket] = []
        if start:
            self.apply(CONFIG)
            self.workers.startService()
            self.loop.turn()

    def apply(self, config: model.Config) -> list[str]:
        """Prepare and commit it, or discard it."""
        (lines,) = self.prepare(config)
        if lines:
            self.workers.discard()
        else:
            self.workers.commit()
        self.loop.turn()
        return lines  # type: ignore[no-any-return]

    def prepare(self, config: model.Config) -> list[Any]:
        found = fired(self.workers.prepare(config, [Path("plugins")], {}))
        self.loop.turn()
        return found

    def fellow(self, number: int) -> Fellow:
        return self.spawned.fellows[number]

    def connect(self, listener: str = "a", turn: bool = True) -> bool:
        """A client connects to a listener. Return whether it is taken."""
        client, accepted = socket.socketpair()
        self.sockets.append(client)
        taken = self.workers.hand(listener, accepted.fileno(), "127.0.0.1:1", f"client{len(self.sockets)}")
        accepted.close()
        if turn:
            self.loop.turn()
        return taken

    def peers(self, number: int) -> list[str]:
        return [message.peer for message, _ in self.fellow(number).handed]

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def states(self) -> list[str]:
        return [one.state for one in self.workers.members]


# -- connections


def test_workers_are_ready_once_they_have_the_configuration() -> None:
    hall = Hall()
    assert hall.states() == [READY, READY]
    for number in (0, 1):
        assert hall.fellow(number).steps == ["Prepare", "Commit"]


def test_the_proxy_is_ready_with_its_first_worker() -> None:
    hall = Hall(ready=False)
    assert not hall.proxy.ready
    hall.fellow(1).ready()
    hall.loop.turn()
    assert hall.proxy.ready


def test_a_connection_goes_to_the_worker_with_the_fewest_of_its_listener() -> None:
    hall = Hall()
    for _ in range(4):
        assert hall.connect("a")
    assert (hall.peers(0), hall.peers(1)) == (["client1", "client3"], ["client2", "client4"])
    hall.fellow(1).leave("a", 2)
    hall.loop.turn()
    hall.connect("b")
    assert hall.peers(1) == ["client5"]
    for _ in range(2):
        hall.connect("a")
    assert len(hall.peers(1)) == 3


def test_of_workers_with_as_few_the_one_with_the_fewest_of_all_listeners_gets_it() -> None:
    hall = Hall()
    hall.connect("a")
    hall.connect("b")
    assert (hall.peers(0), hall.peers(1)) == (["client1"], ["client2"])


def test_a_worker_that_has_just_died_gets_no_connection_before_its_end_is_heard_of() -> None:
    hall = Hall()
    hall.fellow(0).close()
    for _ in range(3):
        assert hall.connect("a", turn=False)
    hall.spawned.die(0)
    assert hall.peers(1) == ["client1", "client2", "client3"]
    assert hall.workers.members[0].lost == 0


def test_a_connection_that_a_worker_was_handed_and_did_not_take_goes_to_another_one() -> None:
    hall = Hall()
    hall.connect("a")
    hall.fellow(0).takes = False
    hall.connect("b")
    hall.connect("b")
    handed = [one for number in (0, 1) for one in hall.peers(number)]
    assert sorted(handed) == ["client1", "client2", "client3"]
    untaken = [message.peer for message, _ in hall.workers.members[0].untaken]
    hall.spawned.die(0)
    hall.loop.turn()
    assert untaken and set(untaken) <= set(hall.peers(1))
    assert hall.workers.members[0].lost == 1


def test_connections_wait_where_all_workers_have_just_died() -> None:
    hall = Hall(count=1)
    hall.fellow(0).close()
    assert hall.connect("a", turn=False)
    hall.spawned.die(0)
    hall.advance(1)
    assert hall.peers(0) == ["client1"]


def test_what_is_handed_is_the_connection_itself() -> None:
    hall = Hall()
    hall.connect()
    ((message, descriptor),) = hall.fellow(0).handed
    assert message == HandedConnection("a", "127.0.0.1:1", "client1")
    hall.sockets[0].send(b"hello")
    assert os.read(descriptor, 10) == b"hello"


def test_connections_wait_until_all_have_started_and_are_spread_then() -> None:
    hall = Hall(ready=False)
    for _ in range(4):
        assert hall.connect()
    hall.fellow(0).ready()
    hall.loop.turn()
    assert hall.peers(0) == []
    hall.fellow(1).ready()
    hall.loop.turn()
    assert (hall.peers(0), hall.peers(1)) == (["client1", "client3"], ["client2", "client4"])


def test_a_worker_that_does_not_start_holds_up_the_others_for_a_while_only() -> None:
    hall = Hall(ready=False)
    hall.connect()
    hall.fellow(0).ready()
    hall.advance(ALL_START / 2)
    assert hall.peers(0) == []
    hall.advance(ALL_START / 2)
    assert hall.peers(0) == ["client1"]


def test_so_many_connections_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MOST_HELD", 3)
    hall = Hall(ready=False)
    assert [hall.connect() for _ in range(5)] == [True, True, True, False, False]


def test_connections_wait_while_all_workers_have_more_than_they_take_and_are_handed_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metaproxy.workers.member.MOST_WAITING", 1)
    hall = Hall()
    for one in hall.workers.members:
        assert one.channel is not None
        while not one.channel.waiting:
            one.channel.tell(ReopenLogs())
    assert hall.connect(turn=False)
    hall.loop.until(lambda: all(one.takes for one in hall.workers.members))
    hall.advance(HELD_FOR)
    assert hall.peers(0) == ["client1"]
    hall.connect()
    assert hall.peers(1) == ["client2"]


def test_a_connection_is_refused_where_no_file_may_be_open_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hall = Hall(ready=False)

    def full(descriptor: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "dup", full)
    assert not hall.connect()


# -- a worker that ends


def test_a_worker_that_ends_is_started_again_and_has_the_configuration_then() -> None:
    hall = Hall()
    hall.connect()
    hall.spawned.die(0)
    assert hall.states() == [GONE, READY]
    member = hall.workers.members[0]
    assert (member.lost, member.why) == (1, "signal 9")
    hall.connect()
    assert hall.peers(1) == ["client2"]  # the other one takes all meanwhile
    hall.advance(1.0)
    assert hall.states() == [READY, READY]
    assert (member.restarts, hall.fellow(0).steps) == (1, ["Prepare", "Commit"])
    hall.connect()
    assert hall.peers(0) == ["client3"]


def test_one_that_ends_again_and_again_is_started_ever_more_seldom() -> None:
    hall = Hall()
    began = hall.spawned.started
    for _ in range(10):
        hall.spawned.die(0)
        hall.advance(LAST)
    assert hall.spawned.started == began + 10
    hall.spawned.die(0)
    hall.advance(LAST / 4)
    assert hall.states() == [GONE, READY]
    hall.advance(LAST)
    assert hall.states() == [READY, READY]


def test_one_that_can_not_be_started_is_tried_again() -> None:
    hall = Hall()
    hall.spawned.refuse = 2
    hall.spawned.die(0)
    hall.advance(1.0)
    hall.advance(1.0)
    hall.advance(1.0)
    assert hall.states() == [READY, READY]


def test_one_that_refuses_the_configuration_in_force_is_ended_and_tried_again() -> None:
    hall = Hall(ready=False)
    hall.fellow(0).answers[Prepare] = ["no such file"]
    hall.fellow(0).ready()
    hall.loop.turn()
    assert hall.states()[0] == STARTING
    assert hall.fellow(0).of(Stop)


def test_each_stays_on_a_cpu_of_its_own() -> None:
    assert Hall(3, cpus=[4, 7]).spawned.cpus == [4, 7, 4]


# -- configurations


def test_a_configuration_is_in_force_once_all_have_built_it() -> None:
    hall = Hall()
    later: Deferred[list[str]] = Deferred()
    hall.fellow(1).answers[Prepare] = later
    found = hall.prepare(config_of(TEXT.replace("10,", "20,")))
    assert found == []
    later.callback([])
    hall.loop.turn()
    assert found == [[]]
    hall.workers.commit()
    hall.loop.turn()
    for number in (0, 1):
        assert hall.fellow(number).steps == ["Prepare", "Commit"] * 2


def test_one_that_a_worker_refuses_is_in_force_in_none() -> None:
    hall = Hall()
    hall.fellow(1).answers[Prepare] = ["key.pem: Permission denied"]
    assert hall.apply(config_of(TEXT.replace("10,", "20,"))) == ["key.pem: Permission denied"]
    for number in (0, 1):
        assert hall.fellow(number).steps == ["Prepare", "Commit", "Prepare", "Discard"]
    assert hall.states() == [READY, READY]


def test_what_all_say_is_said_once() -> None:
    hall = Hall()
    for number in (0, 1):
        hall.fellow(number).answers[Prepare] = ["wrong"]
    assert hall.apply(CONFIG) == ["wrong"]


def test_one_over_whose_building_a_worker_fails_is_refused_with_its_number() -> None:
    hall = Hall()
    hall.fellow(1).answers[Prepare] = Deferred()
    hall.fellow(1).answers[Prepare].errback(ZeroDivisionError("our bug"))
    (line,) = hall.apply(CONFIG)
    assert "worker 1" in line and "our bug" in line


def test_a_worker_that_ends_meanwhile_has_no_objection_and_comes_back_with_it() -> None:
    hall = Hall()
    hall.fellow(1).answers[Prepare] = Deferred()
    found = hall.prepare(config_of(TEXT.replace("10,", "20,")))
    hall.spawned.die(1)
    assert found == [[]]
    hall.workers.commit()
    hall.advance(1.0)
    assert hall.states() == [READY, READY]
    (prepared,) = hall.fellow(1).of(Prepare)
    assert next(iter(prepared.changed_listeners)).max_connections == 10  # half of 20


def test_one_that_ends_while_its_configuration_is_packed_is_brought_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hall = Hall()
    gates: list[Deferred[None]] = []

    def packed(sections: Iterable[Any]) -> Packed[Any]:
        gates.append(Deferred())
        wait(gates[-1])
        return Packed(sections)

    monkeypatch.setattr(supervisor, "Packed", packed)
    for _ in range(2):
        hall.spawned.die(0)
        hall.advance(1.0)
    while gates:
        gates.pop(0).callback(None)
        hall.loop.turn()
    assert hall.states() == [READY, READY]
    assert hall.fellow(0).steps == ["Prepare", "Commit"]
    assert [one.name for one in hall.fellow(0).of(Prepare)[0].changed_listeners] == ["a", "b"]


def test_one_that_comes_up_while_another_is_prepared_gets_the_newest() -> None:
    hall = Hall()
    hall.spawned.die(1)
    later: Deferred[list[str]] = Deferred()
    hall.fellow(0).answers[Prepare] = later
    found = hall.prepare(config_of(TEXT.replace("10,", "20,")))
    hall.advance(1.0)  # it comes up, with what is in force
    assert next(iter(hall.fellow(1).of(Prepare)[0].changed_listeners)).max_connections == 5
    later.callback([])
    hall.loop.turn()
    assert found == [[]]
    hall.workers.commit()
    assert hall.states() == [READY, STARTING]  # which takes no connections until it has it
    hall.loop.turn()
    assert hall.states() == [READY, READY]
    assert next(iter(hall.fellow(1).of(Prepare)[1].changed_listeners)).max_connections == 10


def test_one_that_is_brought_up_when_another_comes_into_force_gets_that() -> None:
    hall = Hall()
    hall.spawned.die(1)
    slow: Deferred[list[str]] = Deferred()
    hall.spawned.ready = False
    hall.advance(1.0)
    hall.fellow(1).answers[Prepare] = slow
    hall.fellow(1).ready()
    hall.loop.turn()
    hall.apply(config_of(TEXT.replace("10,", "20,")))
    hall.fellow(1).answers[Prepare] = []
    slow.callback([])
    hall.loop.turn()
    assert hall.states() == [READY, READY]
    assert hall.fellow(1).steps == ["Prepare", "Commit"] * 2
    assert next(iter(hall.fellow(1).of(Prepare)[1].changed_listeners)).max_connections == 10


def test_only_what_has_changed_is_sent() -> None:
    hall = Hall()
    first = hall.fellow(0).of(Prepare)[0]
    assert [one.name for one in first.changed_listeners] == ["a", "b"]
    assert [one.name for one in first.changed_clusters] == ["demo", "found"]
    other = config_of(TEXT.replace("10,", "20,"))
    changed = model.Config(listeners=(other.listeners[0], CONFIG.listeners[1]), clusters=CONFIG.clusters)
    hall.apply(changed)
    second = hall.fellow(0).of(Prepare)[1]
    assert [one.name for one in second.changed_listeners] == ["a"]
    assert len(second.changed_clusters) == 0
    assert (second.listeners, second.clusters) == (["a", "b"], ["demo", "found"])


def test_each_has_its_share_of_limits_and_checks_and_finds_no_servers_itself() -> None:
    prepared = Hall().fellow(0).of(Prepare)[0]
    assert next(iter(prepared.changed_listeners)).max_connections == 5
    assert [one.health_check for one in prepared.changed_clusters] == [None, None]
    assert [*prepared.changed_clusters][1].discovery is None
    assert prepared.folders == [Path("plugins")]


# -- endpoints


def test_a_worker_is_told_the_endpoints_of_each_cluster() -> None:
    hall = Hall()
    (told,) = hall.fellow(0).endpoints
    assert (told.cluster, told.found) == ("demo", False)
    assert [one.address for one in told.endpoints] == ["127.0.0.1:1000", "127.0.0.1:1001"]
    assert told.endpoints[1].metadata == {"zone": "b"}


def test_one_that_starts_is_told_of_some_clusters_a_turn_and_of_what_changes_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "TOLD_AT_ONCE", 1)
    hall = Hall()
    hall.spawned.die(1)
    clusters: Any = hall.proxy.clusters
    clusters.update({f"more{number}": hall.running.cluster for number in range(20)})
    hall.advance(1.0)
    assert hall.states() == [READY, STARTING]
    told = len(hall.fellow(1).endpoints)
    assert 1 <= told < 20
    hall.running.cluster.update([Endpoint("127.0.0.1:7")])
    hall.loop.until(lambda: hall.states() == [READY, READY])
    hall.loop.turn()
    assert len(hall.fellow(1).endpoints) == 22, "all of them, and the one that changed once more"
    assert [one.address for one in hall.fellow(1).endpoints[-1].endpoints] == ["127.0.0.1:7"]


def test_one_that_is_being_told_when_another_comes_into_force_gets_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TOLD_AT_ONCE", 1)
    hall = Hall()
    hall.spawned.die(1)
    clusters: Any = hall.proxy.clusters
    clusters.update({f"more{number}": hall.running.cluster for number in range(20)})
    hall.advance(1.0)
    assert hall.states() == [READY, STARTING]
    hall.apply(config_of(TEXT.replace("10,", "20,")))
    hall.loop.until(lambda: hall.states() == [READY, READY])
    assert hall.fellow(1).steps == ["Prepare", "Commit"] * 2
    assert next(iter(hall.fellow(1).of(Prepare)[1].changed_listeners)).max_connections == 10


def test_one_that_ends_while_it_is_told_is_told_all_when_it_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TOLD_AT_ONCE", 1)
    hall = Hall()
    hall.spawned.die(1)
    clusters: Any = hall.proxy.clusters
    clusters.update({f"more{number}": hall.running.cluster for number in range(20)})
    hall.advance(1.0)
    assert hall.states() == [READY, STARTING]
    hall.spawned.die(1)
    hall.advance(LAST)
    hall.loop.until(lambda: hall.states() == [READY, READY])
    hall.loop.turn()
    assert len(hall.fellow(1).endpoints) == 21


def test_what_health_checks_and_operators_decide_reaches_all_workers() -> None:
    hall = Hall()
    cluster = hall.running.cluster
    cluster.endpoints[0].checked, cluster.endpoints[0].healthy = True, False
    cluster.drain(cluster.endpoints[1])
    cluster.refresh()
    hall.advance(0)
    for number in (0, 1):
        first, second = hall.fellow(number).endpoints[-1].endpoints
        assert (first.checked, first.healthy, second.drained) == (True, False, True)


def test_several_changes_of_a_turn_are_told_together() -> None:
    hall = Hall()
    before = len(hall.fellow(0).endpoints)
    for _ in range(5):
        hall.running.cluster.refresh()
    hall.advance(0)
    assert len(hall.fellow(0).endpoints) == before + 1


def test_endpoints_that_are_found_reach_all_workers() -> None:
    hall = Hall()
    hall.running.cluster.update([Endpoint("127.0.0.1:7"), Endpoint("127.0.0.1:8", weight=3)])
    hall.advance(0)
    for number in (0, 1):
        told = hall.fellow(number).endpoints[-1].endpoints
        assert [(one.address, one.weight) for one in told] == [("127.0.0.1:7", 1), ("127.0.0.1:8", 3)]


# -- counts


def test_what_workers_counted_is_added_up_and_stays_when_one_ends_while_levels_go() -> None:
    hall = Hall()
    counts = hall.proxy.listeners["front"].counts
    for number in (0, 1):
        hall.fellow(number).answers[Count] = Report(
            {("listener", "front"): {"connections": 3}}, {("listener", "front"): {"connections_active": 2}}
        )
    done = fired(hall.workers.refresh())
    hall.loop.turn()
    assert done == [None]
    assert (counts.connections, counts.connections_active) == (6, 4)
    hall.spawned.die(0)
    assert (counts.connections, counts.connections_active) == (6, 2)


def test_a_look_waits_for_the_one_under_way_and_for_what_was_counted_since() -> None:
    hall = Hall()
    later: Deferred[Report] = Deferred()
    hall.fellow(0).answers[Count] = later
    first, second, third = (fired(hall.workers.refresh()) for _ in range(3))
    hall.loop.turn()
    assert (first, second, third) == ([], [], [])
    hall.fellow(0).answers[Count] = Report({("listener", "front"): {"connections": 3}})
    later.callback(Report())
    hall.loop.turn()
    assert (first, second, third) == ([None], [None], [None])
    assert hall.proxy.listeners["front"].counts.connections == 3
    assert len(hall.fellow(1).of(Count)) == 2


def test_a_worker_that_is_busy_holds_up_a_look_for_a_while_and_what_it_counted_is_not_lost() -> None:
    hall = Hall()
    later: Deferred[Report] = Deferred()
    hall.fellow(0).answers[Count] = later
    found = fired(hall.workers.refresh())
    hall.advance(counting.PATIENCE)
    assert found == [None]
    assert len(hall.fellow(0).of(Count)) == 1  # it is not asked again
    hall.fellow(0).answers[Count] = Report()
    later.callback(Report({("listener", "front"): {"connections": 3}}))
    hall.loop.turn()
    assert hall.proxy.listeners["front"].counts.connections == 3
    hall.workers.refresh()
    hall.loop.turn()
    assert len(hall.fellow(0).of(Count)) >= 2


def test_a_look_at_no_worker_ends_at_once() -> None:
    assert fired(Hall(ready=False).workers.refresh()) == [None]


# -- the end


def test_a_listener_drains_in_all_workers() -> None:
    hall = Hall()
    later: Deferred[None] = Deferred()
    hall.fellow(1).answers[Drain] = later
    drained = fired(hall.workers.drain("a"))
    hall.loop.turn()
    assert hall.fellow(0).of(Drain) == [Drain("a")]
    assert drained == []
    later.callback(None)
    hall.loop.turn()
    assert drained == [None]


def test_a_drain_does_not_wait_for_a_worker_that_is_gone() -> None:
    hall = Hall()
    hall.fellow(1).answers[Drain] = Deferred()
    drained = fired(hall.workers.drain("a"))
    hall.loop.turn()
    hall.spawned.die(1)
    assert drained == [None]


def test_at_the_end_workers_are_stopped_and_are_not_started_again() -> None:
    hall = Hall()
    done = fired(hall.workers.stopService())
    hall.loop.turn()
    assert [len(hall.fellow(number).of(Stop)) for number in (0, 1)] == [1, 1]
    assert done == []
    hall.spawned.die(0, "status 0")
    hall.spawned.die(1, "status 0")
    hall.advance(1.0)
    assert done == [None]
    began = hall.spawned.started
    hall.advance(LAST)
    assert hall.spawned.started == began


def test_a_worker_that_does_not_end_is_not_waited_for_for_ever() -> None:
    hall = Hall()
    done = fired(hall.workers.stopService())
    hall.advance(PATIENCE / 2)
    assert done == []
    hall.advance(PATIENCE)
    assert done == [None]


def test_logs_are_opened_again_by_all() -> None:
    hall = Hall()
    hall.workers.reopen_logs()
    hall.loop.turn()
    assert [hall.fellow(number).of(ReopenLogs) for number in (0, 1)] == [[ReopenLogs()]] * 2


def test_nothing_is_discarded_where_nothing_was_prepared() -> None:
    hall = Hall()
    hall.workers.discard()
    hall.loop.turn()
    assert hall.fellow(0).of(Discard) == []
