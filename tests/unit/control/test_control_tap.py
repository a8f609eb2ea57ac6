"""`twistd metaproxy-control`: a check in a process of its own; its options, and what it prints, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from metaproxy.control.tap import Options, makeService

ROOT = Path(__file__).parents[3]


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "twisted", "metaproxy-control", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, cwd=ROOT)


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


def test_a_check_says_what_is_wrong_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1")
    done = twistd("--config", str(tmp_path), "--check")
    assert done.returncode == 1
    assert "a.yaml:1:1" in done.stderr and "Traceback" not in done.stderr


def test_a_check_of_what_is_right_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--config", str(tmp_path), "--check")
    assert (ended.value.code, capsys.readouterr().err) == (0, "")


def test_a_source_that_is_missing_is_a_mistake_of_usage() -> None:
    with pytest.raises(UsageError, match="--config FOLDER, --config etcd or --config kubernetes is missing"):
        parsed()


def test_a_source_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        makeService(parsed("--config", "no/such/folder"))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("no/such/folder:1:1: no such folder; write a folder")


def test_twistd_finds_it_by_name() -> None:
    (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "metaproxy-control"]
    assert maker.options is Options
    assert maker.makeService is makeService
