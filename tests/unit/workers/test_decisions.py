"""What was decided since the start holds in all workers, those that are started again included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loop import Loop, fired
from running_proxy import Running
from twisted.internet import task
from twisted.internet.defer import Deferred
from workers_hall import RealHall
from workers_in_memory import Spawned

from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.workers.decisions import PATIENCE
from metaproxy.workers.member import STARTING
from metaproxy.workers.messages import LogLevelsAre, PauseCluster, ResumeCluster
from metaproxy.workers.supervisor import Workers

GET = b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n"


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealHall:
    found = RealHall(tmp_path)
    # treq sends bodies in the turns of the one reactor that it knows.
    turns = task.Cooperator(scheduler=lambda step: found.loop.callLater(0.0, step))
    monkeypatch.setattr(task, "cooperate", turns.cooperate)
    return found


def test_a_pause_holds_what_comes_to_any_worker_and_all_of_it_goes_on(hall: RealHall) -> None:
    clients = [hall.connect() for _ in range(3)]
    paused = hall.ask("POST", "/clusters/demo/pause?most=7&seconds=60")
    assert paused.json == {"paused": "demo", "most": 7, "seconds": 60.0, "active": 0}
    for client in clients:
        client.send(GET)
    hall.loop.turn()
    (shown,) = hall.get("/clusters").json["clusters"]
    assert shown["paused"] == {"waiting": 3, "most": 7}
    resumed = hall.ask("POST", "/clusters/demo/resume").json
    assert (resumed["resumed"], resumed["released"], resumed["refused"]) == ("demo", 3, 0)
    assert [one.proxy.pauses() for one in hall.made.values()] == [{}, {}]
    for client in clients:
        client.close()


def test_a_cluster_that_there_is_not_is_refused(hall: RealHall) -> None:
    for verb in ("pause", "resume"):
        assert hall.ask("POST", f"/clusters/dmeo/{verb}").status == 404


def test_levels_of_the_log_are_those_of_all_processes(hall: RealHall) -> None:
    levels = LogLevels()
    hall.workers.decisions.follow(levels)
    levels.set("metaproxy.proxy", "debug")
    hall.loop.turn()
    for number in (0, 1):
        assert hall.get(f"/workers/{number}/logging").json["set"] == {"metaproxy.proxy": "debug"}
    levels.set("metaproxy.proxy", None)
    hall.loop.turn()
    assert hall.get("/workers/1/logging").json["set"] == {}


class Pair:
    """Two workers in memory, ready, and what they are sent."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.spawned = Spawned(self.loop)
        self.proxy = Running().proxy
        self.workers = Workers(2, self.proxy, self.loop, self.spawned)
        config, _ = check(json.dumps({"clusters": [{"name": "demo", "endpoints": ["127.0.0.1:1"]}]}), "x", Registry())
        assert config is not None
        self.config = config
        self.workers.prepare(config, [], {})
        self.workers.commit()
        self.workers.startService()
        self.loop.turn()


def test_a_worker_that_is_started_again_has_what_is_left_of_a_pause_and_the_levels() -> None:
    pair = Pair()
    levels = LogLevels()
    pair.workers.decisions.follow(levels)
    levels.set("metaproxy", "warn")
    pair.proxy.pause("demo", 5, 60.0)
    pair.proxy.network.clock.advance(20.0)  # type: ignore[attr-defined]
    pair.spawned.die(0)
    pair.loop.advance(1.0)
    pair.loop.turn()
    fellow = pair.spawned.fellows[0]
    assert fellow.of(PauseCluster) == [PauseCluster("demo", 5, 40.0)]
    assert fellow.of(LogLevelsAre) == [LogLevelsAre({"metaproxy": "warn"})]
    pair.proxy.resume("demo")
    pair.loop.turn()
    assert [len(one.of(ResumeCluster)) for one in pair.spawned.fellows.values()] == [1, 1]


def test_one_that_is_gone_before_it_answers_is_left_out() -> None:
    pair = Pair()
    pair.proxy.pause("demo", 5, 60.0)
    found: list[object] = []
    pair.workers.decisions.answers().addCallback(found.append)
    pair.spawned.die(0)
    pair.loop.turn()
    assert len(found) == 1


def test_what_a_pause_that_ended_by_its_time_let_go_is_no_part_of_another_answer(hall: RealHall) -> None:
    client = hall.connect()
    hall.ask("POST", "/clusters/demo/pause?most=7&seconds=1")
    client.send(GET)
    hall.loop.turn()
    hall.loop.advance(2.0)
    hall.loop.turn()
    resumed = hall.ask("POST", "/clusters/demo/resume").json
    assert (resumed["released"], resumed["refused"], resumed["longest_wait_ms"]) == (0, 0, 0.0)
    client.close()


def test_one_that_is_busy_is_left_out_of_an_answer() -> None:
    pair = Pair()
    pair.spawned.fellows[0].answers[PauseCluster] = Deferred()
    pair.spawned.fellows[1].answers[PauseCluster] = 3
    pair.proxy.pause("demo", 5, 60.0)
    found = fired(pair.workers.decisions.answers())
    pair.loop.turn()
    assert found == []
    pair.proxy.network.clock.advance(PATIENCE)  # type: ignore[attr-defined]
    assert found == [[None, 3]]


def test_one_that_gets_another_configuration_meanwhile_hears_what_has_ended() -> None:
    pair = Pair()
    levels = LogLevels()
    pair.workers.decisions.follow(levels)
    pair.proxy.pause("demo", 5, 600.0)
    levels.set("metaproxy", "debug")
    pair.workers.members[0].state = STARTING
    pair.proxy.resume("demo")
    levels.set("metaproxy", None)
    pair.loop.turn()
    fellow = pair.spawned.fellows[0]
    assert len(fellow.of(ResumeCluster)) == 1
    assert fellow.of(LogLevelsAre)[-1] == LogLevelsAre({})


def test_a_cluster_that_comes_back_is_paused_in_a_worker_that_did_not_have_it() -> None:
    pair = Pair()
    pair.proxy.pause("demo", 5, 60.0)
    pair.loop.turn()
    for member in pair.workers.members:
        member.clusters = {}
    pair.workers.prepare(pair.config, [], {})
    pair.loop.turn()
    pair.workers.commit()
    pair.loop.turn()
    assert [len(one.of(PauseCluster)) for one in pair.spawned.fellows.values()] == [2, 2]
    pair.workers.prepare(pair.config, [], {})
    pair.loop.turn()
    pair.workers.commit()
    pair.loop.turn()
    assert [len(one.of(PauseCluster)) for one in pair.spawned.fellows.values()] == [2, 2]
