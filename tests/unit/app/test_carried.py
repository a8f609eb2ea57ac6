from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest
from stand import Stand
from twisted.internet.defer import Deferred

from metaproxy.app.carried import Carried
from metaproxy.telemetry.log_levels import LogLevels

CONFIG: dict[str, Any] = {
    "runtime": {"canary": 10},
    "listeners": [{"name": "front", "listen": "127.0.0.1:7000", "protocol": "tcp", "routes": [{"cluster": "one"}]}],
    "clusters": [
        {
            "name": "one",
            "endpoints": ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
            "outlier": {},
            "health_check": {},
        }
    ],
}


class Side(Stand):
    """One of the two processes."""

    def __init__(self, folder: Path, config: dict[str, Any] = CONFIG) -> None:
        folder.mkdir()
        super().__init__(folder, json.dumps(config))
        assert self.errors == []
        self.levels = LogLevels()
        self.carried = Carried(self.proxy, self.configuration, self.levels)
        self.cluster = self.snapshot.clusters["one"]

    def endpoint(self, port: int) -> Any:
        return self.cluster.at(f"127.0.0.1:{port}")


def handed(old: Side) -> Any:
    """What arrives at the other process."""
    return json.loads(json.dumps(old.carried.state()))


def test_nothing_is_carried_of_a_proxy_as_its_configuration_has_it(tmp_path: Path) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    state = handed(old)
    assert state == {"live": {}, "log_levels": {}, "pauses": {}, "endpoints": {}, "counts": {}}
    assert new.carried.take(state) == []


def test_live_values_and_levels_are_carried_over(tmp_path: Path) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    assert old.configuration.set_live("canary", 30) == []
    old.levels.set("metaproxy.proxy", "debug")
    assert new.carried.take(handed(old)) == []
    assert new.configuration.config.runtime == {"canary": 30}
    assert new.levels.chosen == {"metaproxy.proxy": "debug"}


class Waiting:
    """Workers that have built a configuration when `built` fires."""

    def __init__(self) -> None:
        self.built: Deferred[list[str]] = Deferred()
        self.happened: list[str] = []

    def prepare(self, config: object, folders: object, stamps: object) -> Deferred[list[str]]:
        return self.built

    def commit(self) -> None:
        self.happened.append("commit")

    def discard(self) -> None:
        self.happened.append("discard")


@pytest.mark.parametrize(("lines", "runtime"), [([], 30), (["too much"], 10)])
def test_a_live_value_that_changed_meanwhile_is_in_force_once_all_workers_have_it(
    tmp_path: Path, lines: list[str], runtime: int
) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    old.configuration.set_live("canary", 30)
    workers: Any = Waiting()
    new.configuration.workers = workers
    assert new.carried.take(handed(old)) == []
    assert new.configuration.config.runtime == {"canary": 10}
    workers.built.callback(lines)
    for _ in range(20):
        new.network.clock.advance(0.01)
    assert new.configuration.config.runtime == {"canary": runtime}
    assert workers.happened == ["discard" if lines else "commit"]


def test_a_pause_goes_on_for_what_is_left_of_it(tmp_path: Path) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    old.proxy.pause("one", 50, 30.0)
    old.network.clock.advance(10)
    new.network.clock.advance(1000)  # another process's clock
    assert new.carried.take(handed(old)) == []
    assert {name: (pause.most, left) for name, (pause, left) in new.proxy.pauses().items()} == {"one": (50, 20.0)}
    new.network.clock.advance(20)
    assert new.proxy.pauses() == {}


def test_what_was_decided_about_endpoints_is_carried_over(tmp_path: Path) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    old.cluster.drain(old.endpoint(1))
    old.cluster.eject(old.endpoint(2))
    out = old.endpoint(3)
    out.ejected_until, out.ejections = old.network.clock.seconds() + 30.0, 2
    out.checked, out.healthy = True, False
    old.network.clock.advance(10)
    assert new.carried.take(handed(old)) == []
    assert new.endpoint(1).drained and not new.endpoint(1).ejected
    assert new.endpoint(2).ejected_until == inf
    three = new.endpoint(3)
    assert (three.ejected_until - new.network.clock.seconds(), three.ejections) == (20.0, 2)
    assert (three.checked, three.healthy) == (True, False)
    assert not any(one.usable for one in new.cluster.endpoints)


def test_an_ejection_that_nothing_would_end_is_left(tmp_path: Path) -> None:
    cluster = {"name": "one", "endpoints": ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]}
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new", {**CONFIG, "clusters": [cluster]})
    old.endpoint(3).ejected_until = old.network.clock.seconds() + 30.0
    old.endpoint(3).healthy = False
    new.carried.take(handed(old))
    assert new.endpoint(3).usable


def test_counters_go_on_from_what_was_counted_and_what_comes_later_is_added(tmp_path: Path) -> None:
    old, new = Side(tmp_path / "old"), Side(tmp_path / "new")
    counts, here = old.proxy.listeners["front"].counts, new.proxy.listeners["front"].counts
    counts.requests, here.requests = 5, 1
    assert new.carried.take(handed(old)) == []
    assert here.requests == 6
    counts.requests += 2
    assert new.carried.take_counts(json.loads(json.dumps(old.carried.counted()))) == []
    assert here.requests == 8 and old.carried.counted() == {}
    assert "counters of listener gone" in new.carried.take_counts({"listener\ngone": {"requests": 1}})[0]


def test_what_the_new_configuration_does_not_have_is_named(tmp_path: Path) -> None:
    new = Side(tmp_path / "new")
    state: dict[str, object] = {
        "live": {"gone": 1, "canary": 20},
        "log_levels": {"no space": "info", "metaproxy": "loud"},
        "pauses": {"gone": {"most": 1, "seconds": 1.0}},
        "endpoints": {"gone": {}, "one": {"127.0.0.1:9": {"drained": True}}},
        "orbits": {},
    }
    lines = new.carried.take(state)
    for word in (
        "'orbits'",
        "live value gone",
        "no space",
        "loud",
        "pause of cluster gone",
        "of cluster gone",
        ":9 of",
    ):
        assert any(word in line for line in lines), word
    assert new.configuration.config.runtime == {"canary": 20}
