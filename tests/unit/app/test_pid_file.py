from __future__ import annotations

import os
from pathlib import Path

from metaproxy.app.pid_file import PidFile

PID = os.getpid()


def test_the_name_is_free_for_the_new_process_and_the_old_one_removes_its_own(tmp_path: Path) -> None:
    path = tmp_path / "twistd.pid"
    path.write_text("1")
    options: dict[str, object] = {"pidfile": str(path)}
    file = PidFile(options)
    file.set_aside()
    assert not path.exists()
    path.write_text("2")  # as twistd does in the new process
    file.leave()
    assert options["pidfile"] == f"{path}.{PID}" and (tmp_path / f"twistd.pid.{PID}").read_text() == "1"
    assert path.read_text() == "2"


def test_it_is_put_back_when_there_is_no_new_process(tmp_path: Path) -> None:
    path = tmp_path / "twistd.pid"
    path.write_text("1")
    file = PidFile({"pidfile": str(path)})
    file.set_aside()
    path.write_text("2")
    file.put_back()
    assert path.read_text() == "1" and not (tmp_path / f"twistd.pid.{PID}").exists()


def test_without_a_file_nothing_is_done(tmp_path: Path) -> None:
    for options in ({}, {"pidfile": ""}, {"pidfile": str(tmp_path / "missing")}):
        file = PidFile(dict(options))
        file.set_aside()
        file.put_back()
        file.leave()
    assert list(tmp_path.iterdir()) == []
