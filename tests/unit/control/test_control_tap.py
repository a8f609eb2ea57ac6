"""`twistd metaproxy-control`, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "twisted", "metaproxy-control", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, cwd=ROOT)


def test_a_check_says_what_is_wrong_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1")
    done = twistd("--config", str(tmp_path), "--check")
    assert done.returncode == 1
    assert "a.yaml:1:1" in done.stderr


def test_a_check_of_what_is_right_ends_with_0(tmp_path: Path) -> None:
    done = twistd("--config", str(tmp_path), "--check")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--config", "no/such/folder"]])
def test_a_source_that_is_missing_is_an_error(arguments: list[str]) -> None:
    done = twistd(*arguments)
    assert done.returncode
    assert "Traceback" not in done.stderr
