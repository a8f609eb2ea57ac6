from __future__ import annotations

import json
from pathlib import Path

import pytest
from present import present
from stand import Stand
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent

from metaproxy.app.application import LOOK_EVERY
from metaproxy.config.build import Builder
from metaproxy.config.model import Config
from metaproxy.proxy.snapshot import Snapshot

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def config(weights: int = 1, port: int = 7000, listeners: int = 1, limit: int = 100, folder: Path = EXAMPLES) -> str:
    return json.dumps(
        {
            "plugins": [str(folder)],
            "listeners": [
                {
                    "name": f"front{number}", "listen": f"127.0.0.1:{port + number}", "protocol": "quill",
                    "filters": [{"local_rate_limit": {"limit": limit}}],
                    "routes": [{"name": "all", "clusters": {"one": weights, "two": 1}}],
                }
                for number in range(listeners)
            ],
            "clusters": [{"name": name, "endpoints": ["127.0.0.1:1"]} for name in ("one", "two")],
        }
    )  # fmt: skip


def test_a_configuration_is_read_checked_built_and_in_force(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    assert stand.errors == []
    assert stand.snapshot.version == 1
    assert stand.proxy.listeners["front0"].bound() == ["127.0.0.1:7000"]
    assert stand.configuration.reloads == {"applied": 1, "refused": 0}


def test_a_refused_configuration_leaves_the_old_one_in_force_and_is_shown(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    before = stand.snapshot
    stand.write(config().replace('"one": 1', '"oen": 1'))
    (error,) = stand.configuration.reload()
    assert "no cluster 'oen'; did you mean 'one'?" in error
    assert stand.snapshot is before
    assert stand.configuration.refused is not None and stand.configuration.refused["errors"] == [error]
    stand.write(config(weights=2))
    assert stand.configuration.reload() == []
    assert stand.configuration.refused is None


def test_a_file_that_has_vanished_is_an_error_and_no_more(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    stand.file.unlink()
    assert "No such file" in stand.configuration.reload()[0]
    assert stand.snapshot.version == 1


def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    stand.configuration.startService()
    stand.write(config(weights=3))
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == 2
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == 2
    stand.configuration.stopService()


def test_a_changed_drop_in_takes_effect_and_a_broken_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    source = (EXAMPLES / "quill.py").read_text()
    (folder / "quill.py").write_text(source)
    stand = Stand(tmp_path, config(folder=folder))
    stand.configuration.startService()
    codec = stand.snapshot.listeners["front0"].codec
    (folder / "quill.py").write_text(source + "\n# changed\n")
    stand.network.clock.advance(LOOK_EVERY)
    changed = stand.snapshot.listeners["front0"].codec
    assert changed is not codec
    (folder / "quill.py").write_text("1 / 0")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.listeners["front0"].codec is changed
    assert "ZeroDivisionError" in next(iter(stand.registry.errors.values()))
    stand.configuration.stopService()


def test_asking_changes_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    problems, difference = stand.configuration.check(config(weights=2, listeners=2))
    assert problems == []
    assert present(difference)["listeners"] == {"added": ["front1"], "changed": ["front0"], "removed": []}
    assert stand.snapshot.version == 1
    problems, _ = stand.configuration.check("listeners: 5")
    assert problems


def test_errors_name_the_text_that_has_them_and_not_the_file_in_force(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    problems, _ = stand.configuration.check("listeners: 5", "elsewhere/new.yaml")
    assert [str(one).partition(":")[0] for one in problems] == ["elsewhere/new.yaml"]
    (line,) = stand.configuration.apply_text("listeners: 5", "body")
    assert line.startswith("body:1:")
    assert stand.configuration.refused is not None
    assert stand.configuration.refused["source"] == "body"


def test_a_text_that_was_put_keeps_its_name_when_it_is_put_in_force_again(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    text = config(weights=2).replace("{", '{"runtime": {"canary": 1}, ', 1)
    assert stand.configuration.apply_text(text, "body") == []
    assert stand.configuration.config.source == "body"
    assert stand.configuration.set_live("canary", 2) == []
    assert stand.snapshot.version == 3
    assert stand.configuration.config.source == "body"


def test_an_address_that_can_not_be_had_leaves_everything_as_it_was(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    stand.network.taken = {7001}
    stand.write(config(listeners=2))
    assert "Address already in use" in stand.configuration.reload()[0]
    assert sorted(stand.proxy.listeners) == ["front0"]
    assert stand.snapshot.version == 1
    assert not stand.network.sockets[0].closed


def test_listeners_come_and_go(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config(listeners=2))
    first = stand.proxy.listeners["front0"]
    stand.write(config(listeners=1))
    stand.configuration.reload()
    assert stand.proxy.listeners == {"front0": first}
    assert [socket.closed for socket in stand.network.sockets] == [False, True]


def test_an_address_can_move_from_one_listener_to_another(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    stand.network.taken = set()
    stand.write(config().replace("front0", "other"))
    assert stand.configuration.reload() == []
    assert stand.proxy.listeners["other"].bound() == ["127.0.0.1:7000"]
    assert [socket.closed for socket in stand.network.sockets] == [False], "nobody who connects is turned away"


def test_what_did_not_change_stays_the_same_object(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    before = stand.snapshot
    stand.write(config(weights=2))
    stand.configuration.reload()
    after = stand.snapshot
    assert after.clusters["one"] is before.clusters["one"]
    old, new = before.listeners["front0"], after.listeners["front0"]
    assert new.codec is old.codec
    assert new.routes.routes[0].on_request == old.routes.routes[0].on_request, "the bucket keeps its tokens"
    assert new.routes.routes[0].targets[0].counts is old.routes.routes[0].targets[0].counts
    assert new.routes.routes[0].targets[0].weight == 2


def test_what_changed_is_made_anew(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    before = stand.snapshot
    stand.write(config(limit=5).replace('"endpoints"', '"request_timeout": "3s", "endpoints"'))
    stand.configuration.reload()
    after = stand.snapshot
    assert after.clusters["one"] is not before.clusters["one"]
    assert before.clusters["one"].retired
    old, new = before.listeners["front0"], after.listeners["front0"]
    assert new.routes.routes[0].on_request != old.routes.routes[0].on_request


# -- with workers


class Workers:
    """Worker processes, as the application sees them. lines: what they say of the next configuration."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.lines: Deferred[list[str]] = succeed([])
        self.configs: list[Config] = []

    def prepare(self, config: Config, folders: object, stamps: object) -> Deferred[list[str]]:
        self.steps.append("prepare")
        self.configs.append(config)
        return self.lines

    def commit(self) -> None:
        self.steps.append("commit")

    def discard(self) -> None:
        self.steps.append("discard")


def test_a_configuration_is_in_force_once_the_workers_have_built_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    workers = stand.configuration.workers = Workers()
    stand.write(config(weights=2))
    assert stand.configuration.reload() == []
    assert workers.steps == ["prepare", "commit"]
    assert workers.configs == [stand.configuration.config]


def test_workers_have_it_before_what_may_let_the_reactor_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New listeners accept by then, and hand over who comes."""
    stand = Stand(tmp_path, config())
    workers = stand.configuration.workers = Workers()
    commit = Builder.commit

    def committed(builder: Builder, snapshot: Snapshot) -> None:
        workers.steps.append("builder")
        commit(builder, snapshot)

    monkeypatch.setattr(Builder, "commit", committed)
    stand.write(config(weights=2))
    assert stand.configuration.reload() == []
    assert workers.steps == ["prepare", "commit", "builder"]


def test_one_that_the_workers_refuse_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    before = stand.snapshot
    workers = stand.configuration.workers = Workers()
    workers.lines = succeed(["key.pem: Permission denied"])
    stand.write(config(weights=2))
    (line,) = stand.configuration.reload()
    assert line.endswith("proxy.yaml: key.pem: Permission denied")
    assert workers.steps == ["prepare", "discard"]
    assert stand.snapshot is before
    assert stand.configuration.refused is not None
    workers.lines = succeed([])
    assert stand.configuration.reload() == []


def test_one_whose_addresses_can_not_be_had_is_in_force_in_no_worker(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    workers = stand.configuration.workers = Workers()
    stand.network.taken = {7001}
    stand.write(config(listeners=2))
    (line,) = stand.configuration.reload()
    assert "Address already in use" in line
    assert workers.steps == ["prepare", "discard"]


def test_a_reload_waits_for_slow_workers_and_the_reactor_goes_on(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    workers = stand.configuration.workers = Workers()
    workers.lines = Deferred()
    stand.write(config(weights=2))
    stand.configuration.soon(stand.configuration.reload)
    assert (workers.steps, stand.snapshot.version) == (["prepare"], 1)
    workers.lines.callback([])
    stand.network.clock.advance(0)
    assert (workers.steps, stand.snapshot.version) == (["prepare", "commit"], 2)


def test_the_first_configuration_is_announced_before_it_is_applied(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "nonsense: 1")
    seen: list[Config] = []
    stand.configuration.begins = seen.append
    stand.write(config())
    assert stand.configuration.reload() == []
    stand.write(config(weights=2))
    assert stand.configuration.reload() == []
    assert [len(one.listeners) for one in seen] == [1]


def test_a_change_of_the_number_of_processes_takes_effect_at_the_next_start(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    stand.write(json.dumps({**json.loads(config()), "workers": 2, "pin_workers": True}))
    with capturedLogs() as found:
        assert stand.configuration.reload() == []
    told = [formatEvent(one) for one in found]
    assert [one.rpartition(": ")[0].rpartition(" ")[2] for one in told if "next start" in str(one)] == [
        "workers",
        "pin_workers",
    ]
