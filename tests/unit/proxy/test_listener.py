from __future__ import annotations

from typing import Any

from harness import LineCodec, Stage, answer, call
from observing import observing
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from metaproxy.message import Side


def fired(deferred: Deferred[None]) -> bool:
    return deferred.called


def test_beyond_max_connections_clients_are_refused_and_counted() -> None:
    stage = Stage(max_connections=2)
    first, _, third = stage.client(), stage.client(), stage.client()
    assert third.closed
    assert stage.listener.counts.connections_refused == 1
    first.end()
    assert not stage.client().closed


def test_draining_closes_idle_clients_and_lets_others_finish() -> None:
    stage = Stage()
    idle, busy = stage.client(), stage.client()
    stage.say(busy, call(1))
    done = stage.listener.drain()
    assert idle.closed and not busy.closed and not fired(done)
    stage.say(stage.server, answer(1))
    assert busy.take() == answer(1)
    assert busy.closed and fired(done)


def test_a_patient_drain_closes_a_connection_behind_its_next_answer() -> None:
    stage = Stage(drain_timeout=10.0, idle_timeout=5.0)
    first, second = stage.client(), stage.client()
    done = stage.listener.drain(patient=True)
    assert not first.closed and not second.closed
    asked = call(1)
    stage.say(first, asked[:5])
    assert not first.closed, "the rest of it is on its way"
    stage.say(first, asked[5:])
    stage.say(stage.server, answer(1))
    assert first.take() == answer(1) and first.closed and not second.closed
    stage.clock.advance(10.1)
    assert second.closed and fired(done)


def test_a_patient_drain_keeps_no_connection_beyond_its_idle_timeout() -> None:
    stage = Stage(drain_timeout=100.0, idle_timeout=5.0)
    idle = stage.client()
    done = stage.listener.drain(patient=True)
    stage.clock.advance(5.1)
    stage.listener.sweep(stage.clock.seconds())
    assert idle.closed and fired(done)


def test_very_many_clients_are_looked_at_in_steps_between_which_some_may_leave() -> None:
    stage = Stage(idle_timeout=5.0)
    clients = [stage.client() for _ in range(450)]
    stage.clock.advance(5.1)
    steps = stage.listener.sweeping(stage.clock.seconds())
    next(steps)
    assert 0 < sum(client.closed for client in clients) < 200
    clients[-1].protocol.connectionLost(Failure(ConnectionDone()))
    assert len(list(steps)) == 1
    assert all(client.closed for client in clients[:-1])
    assert stage.listener.counts.idle_timeouts == 449


def test_draining_gives_up_after_its_timeout() -> None:
    stage = Stage(drain_timeout=10.0, request_timeout=100.0)
    busy = stage.client()
    stage.say(busy, call(1))
    done = stage.listener.drain()
    stage.clock.advance(9.9)
    assert not busy.closed
    stage.clock.advance(0.2)
    assert busy.closed and fired(done)
    assert stage.route.targets[0].counts.outcomes == {"draining": 1}
    assert b"the proxy ends" in busy.take(), "it was told why"


def test_draining_tells_clients_where_the_protocol_can_b28() -> None:
    class Polite(LineCodec):
        def session(self, side: Side, max_frame: int) -> Any:
            session: Any = super().session(side, max_frame)
            session.drain = lambda: b"going\n"
            return session

    stage = Stage(codec=Polite())
    client = stage.client()
    stage.listener.drain()
    stage.clock.advance(0)
    assert client.take() == b"going\n"
    assert not client.closed, "it may have sent a request that crosses our word"
    stage.clock.advance(1.1)
    assert client.closed


def test_draining_twice_waits_for_the_same_end() -> None:
    stage = Stage()
    busy = stage.client()
    stage.say(busy, call(1))
    first, second = stage.listener.drain(), stage.listener.drain()
    stage.say(stage.server, answer(1))
    assert fired(first) and fired(second)


def test_the_same_fault_is_told_once_a_minute() -> None:
    stage = Stage()
    lines: list[LogEvent] = []
    with observing(lines.append):
        for _ in range(3):
            stage.listener.plugin_failed("Odd.session", Failure(ValueError("x")))
        assert len(lines) == 1
        stage.clock.advance(61)
        stage.listener.plugin_failed("Odd.session", Failure(ValueError("x")))
    assert len(lines) == 2
    assert stage.listener.counts.plugin_errors == {"Odd.session": 4}


def test_new_exchanges_run_on_the_new_snapshot_and_old_ones_end_on_theirs() -> None:
    stage, other = Stage(), Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.listener.snapshot = other.snapshot
    stage.say(client, call(2))
    old, new = stage.network.upstreams
    stage.say(old, answer(1, b"old"))
    stage.say(new, answer(1, b"new"))
    assert client.take() == answer(1, b"old") + answer(2, b"new")
