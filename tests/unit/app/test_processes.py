"""Which processes there are: this one alone, or this one as the supervisor of workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from loop import fired
from stand import Stand
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from metaproxy.app import processes
from metaproxy.app.processes import Processes, spawn
from metaproxy.app.worker_process import LINE
from metaproxy.config.model import Config
from metaproxy.proxy.listener import Listener
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.workers.handed import HandingListener


class Spawning:
    """A reactor, as far as processes are started by it."""

    def __init__(self) -> None:
        self.spawned: list[Any] = []

    def __call__(self, *arguments: Any, **options: Any) -> str:
        self.spawned.append((arguments, options))
        return "the process"


@pytest.fixture
def spawning(monkeypatch: pytest.MonkeyPatch) -> Spawning:
    found = Spawning()
    reactor: Any = type("Reactor", (), {"spawnProcess": staticmethod(found)})()
    monkeypatch.setattr(processes, "IReactorProcess", lambda given: reactor)
    return found


def processes_of(tmp_path: Path) -> tuple[Processes, Stand]:
    stand = Stand(tmp_path, "{}")
    reactor: Any = stand.network.clock
    return Processes(stand.configuration, stand.proxy, reactor), stand


@pytest.mark.parametrize("count", [1])
def test_one_process_is_alone(tmp_path: Path, count: int) -> None:
    found, stand = processes_of(tmp_path)
    found.begin(Config(workers=count))
    assert (found.workers, found.admin(), found.reopens()) == (None, None, [])
    found.follow(LogLevels())
    assert fired(found.counted()) == [None]
    assert stand.proxy.make_listener is Listener
    assert stand.configuration.workers is None


def test_with_more_this_one_is_their_supervisor_and_its_listeners_give_connections_away(tmp_path: Path) -> None:
    found, stand = processes_of(tmp_path)
    found.begin(Config(workers=3))
    assert found.workers is not None
    assert len(found.workers.members) == 3
    assert stand.configuration.workers is found.workers
    make: Any = stand.proxy.make_listener
    assert make.func is HandingListener
    assert found.admin() is not None
    assert found.reopens() == [found.workers.reopen_logs]
    levels = LogLevels()
    found.follow(levels)
    assert len(levels.changed) == 1
    assert fired(found.counted()) == [None]  # none is ready
    assert [one.cpu for one in found.workers.members] == [None] * 3


def test_the_first_configuration_says_how_many_there_are_until_the_end(tmp_path: Path) -> None:
    found, _ = processes_of(tmp_path)
    found.begin(Config(workers=2))
    before = found.workers
    found.begin(Config(workers=5))
    assert found.workers is before


def test_each_can_be_kept_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 1})
    found, _ = processes_of(tmp_path)
    found.begin(Config(workers=3, pin_workers=True))
    assert found.workers is not None
    assert [one.cpu for one in found.workers.members] == [1, 3, 1]


def test_a_process_has_its_end_of_the_line_and_the_same_code(spawning: Spawning) -> None:
    reactor: Any = None
    assert spawn(reactor, 4, 0, 17, None, lambda how: None) == "the process"  # type: ignore[comparison-overlap]
    ((arguments, options),) = spawning.spawned
    _, program, command, environment = arguments
    assert program == sys.executable
    assert "main(4)" in command[-1] and "affinity" not in command[-1]
    assert options["childFDs"] == {0: 0, 1: 1, 2: 2, LINE: 17}
    assert environment["PYTHONPATH"].split(os.pathsep)[0] in sys.path


def test_a_process_begins_on_its_cpu(spawning: Spawning) -> None:
    reactor: Any = None
    spawn(reactor, 4, 0, 17, 2, lambda how: None)
    assert "sched_setaffinity(0, [2])" in spawning.spawned[0][0][2][-1]


@pytest.mark.parametrize(
    ("reason", "how"),
    [(ProcessDone(0), "status 0"), (ProcessTerminated(1), "status 1"), (ProcessTerminated(None, 9), "signal 9")],
)
def test_how_a_process_ended_is_told(spawning: Spawning, reason: Exception, how: str) -> None:
    told: list[str] = []
    reactor: Any = None
    spawn(reactor, 4, 0, 17, None, told.append)
    spawning.spawned[0][0][0].processExited(Failure(reason))
    assert told == [how]
