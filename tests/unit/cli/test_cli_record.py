from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from asking import Terminal

from metaproxy.cli.client import AdminError
from metaproxy.config.model import Config, Record


def studio(folder: Any) -> Terminal:
    terminal = Terminal()
    terminal.desk.configuration.config = Config(record=Record(folder=folder))
    return terminal


def test_it_starts_and_stops_a_recording(tmp_path: Path) -> None:
    terminal = studio(tmp_path)
    assert terminal.run("record", "one", "--detach", "--listener", "front", "--max-bytes", "1MiB", "--time", "5m") == 0
    assert terminal.out.splitlines() == [str(tmp_path / "one"), terminal.out.splitlines()[1]]
    assert "under way" in terminal.out
    terminal.traffic("echo")
    assert terminal.run("record", "--stop", "--json") == 0
    assert (terminal.json["exchanges"], terminal.json["ended_by"]) == (1, "request")


def test_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = studio(tmp_path)

    def interrupted(seconds: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    assert terminal.run("record") == 0
    assert "ended by request" in terminal.out
    assert terminal.desk.get("/record").json["recording"] is False


def test_it_comes_back_when_a_bound_is_reached_and_tells_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = studio(tmp_path)

    def work(seconds: Any) -> None:
        watcher: Any = terminal.desk.proxy.watchers[0]
        watcher.__self__.left_out["secret"] = 3
        terminal.desk.clock.advance(1)

    monkeypatch.setattr(time, "sleep", work)
    assert terminal.run("record", "--time", "2s") == 0
    assert "ended by max_seconds" in terminal.out
    assert "left out: 3 secret" in terminal.out


def test_there_is_nothing_to_stop() -> None:
    with pytest.raises(AdminError, match="nothing is being recorded"):
        Terminal().run("record", "--stop")
