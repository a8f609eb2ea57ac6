"""
docs/how-to/canary.md, run as it is written: commands in their order, with free ports in the place of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import ROOT, Program, answers, eventually, free_port

PAGE = ROOT / "docs" / "how-to" / "canary.md"
CONFIG = ROOT / "conf" / "canary.yaml"
PORTS = ("9901", "20880", "20881", "20882")


def commands() -> list[str]:
    """The indented lines of the page."""
    return re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL), re.MULTILINE)


class Reader:
    """Somebody who types what the page says. done: each command with what it printed."""

    def __init__(self, directory: Path) -> None:
        self.ports = {port: str(free_port()) for port in PORTS}
        self.config = directory / "canary.yaml"
        self.config.write_text(
            self.mine(CONFIG.read_text().replace("runtime:", "admin: {listen: 127.0.0.1:9901}\nruntime:", 1))
        )
        self._directory = directory
        self._programs: list[Program] = []
        bin = str(Path(sys.executable).parent)
        self._env = {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def mine(self, text: str) -> str:
        return re.sub(
            "|".join(self.ports), lambda found: self.ports[found[0]], text.replace("conf/canary.yaml", "canary.yaml")
        )

    def type(self, command: str) -> str:
        command = self.mine(command)
        if command.endswith(" &"):
            self._start(command[:-2])
            return ""
        ran = subprocess.run(
            ["bash", "-c", command], cwd=self._directory, env={**os.environ, **self._env}, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
        return ran.stdout

    def _start(self, command: str) -> None:
        port = next(
            iter(re.findall(r"\b\d{4,5}\b", command)), self.ports["9901"]
        )  # the proxy's admin API is there last
        users = "dubbo_users" in command
        ready = (lambda: True) if users else (lambda: answers(int(port)))
        log = self._directory / f"{len(self._programs)}.log"
        self._programs.append(Program(["bash", "-c", f"exec {command}"], log, self._env, ready, cwd=self._directory))

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['9901']}{path}", timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        for program in reversed(self._programs):
            program.stop()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    pytest.importorskip("dubbo", reason="the demo's library: pip install '.[demo]'")
    reader = Reader(tmp_path)
    yield reader
    reader.stop()


def answered(text: str) -> dict[str, int]:
    """What demo.dubbo_users prints: version -> calls."""
    return {name: int(number) for name, number in re.findall(r"^(\S+): (\d+)$", text, re.MULTILINE)}


def mirrored(reader: Reader) -> dict[str, Any]:
    stable = reader.ask("/routes")["listeners"][0]["routes"][1]
    (mirror,) = stable["mirrors"]
    return dict(mirror)


def test_the_canary_goes_from_one_percent_to_all_by_the_commands_of_the_page(reader: Reader) -> None:
    steps = iter(commands())

    def until(start: str) -> str:
        """Types the commands up to the next that begins so, and gives what that one printed."""
        for command in steps:
            if command.startswith(". .venv"):
                continue  # done by hand before the tests
            printed = reader.type(command)
            if command.startswith(start):
                return printed
        raise AssertionError(f"the page has no further command {start!r}")

    until("python -m demo.dubbo_users")
    assert eventually(lambda: reader.ask("/routes")["listeners"][0]["routes"][1]["targets"][0]["exchanges"] > 50, 20)
    assert reader.ask("/routes")["listeners"][0]["routes"][0]["targets"][0]["exchanges"] == 0

    until("curl -X PUT -d 10 127.0.0.1:9901/runtime/shadow")
    assert eventually(lambda: mirrored(reader)["differences"] > 3, 20)
    assert mirrored(reader)["failures"] == 0
    until("curl -X DELETE 127.0.0.1:9901/runtime/shadow")
    assert reader.ask("/runtime")["runtime"]["shadow"] == {"value": 0, "default": 0, "overridden": False}

    # 1000 users, each drawn by its name and so the same in every run.
    assert 2 <= answered(until("python -m demo.dubbo_users")).get("v2", 0) <= 25
    assert json.loads(until("curl -s '127.0.0.1:9901/flows"))["seconds"] > 0
    half = answered(until("python -m demo.dubbo_users"))
    assert half.keys() == {"v1", "v2"}
    assert 430 <= half["v2"] <= 570
    until("curl -X PUT -d 0")
    assert answered(reader.type("python -m demo.dubbo_users 127.0.0.1:20880 100")) == {"v1": 100}
    assert answered(until("python -m demo.dubbo_users")) == {"v2": 1000}

    reader.config.write_text(reader.config.read_text().replace("{canary: 0, shadow: 0}", "{canary: 100, shadow: 0}"))
    until("curl -X DELETE 127.0.0.1:9901/runtime/canary")
    settled = {"value": 100, "default": 100, "overridden": False}
    assert eventually(lambda: reader.ask("/runtime")["runtime"]["canary"] == settled, 10)
    assert list(steps) == []


def test_users_stay_with_their_version_while_the_share_grows(reader: Reader) -> None:
    for command in commands()[1:4]:
        reader.type(command)
    by_share = {}
    for share in (10, 50):
        reader.type(f"curl -X PUT -d {share} 127.0.0.1:9901/runtime/canary")
        by_share[share] = [
            answered(reader.type("python -m demo.dubbo_users 127.0.0.1:20880 200"))["v2"] for _ in range(2)
        ]
    assert by_share[10][0] == by_share[10][1] < by_share[50][0] == by_share[50][1]


def test_the_page_shows_the_routes_as_the_configuration_has_them() -> None:
    shown = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    config = re.sub(r" +#.*", "", CONFIG.read_text())
    for part in shown[1].split("...\n"):
        assert part in config
