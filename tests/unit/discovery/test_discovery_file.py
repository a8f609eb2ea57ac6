from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from metaproxy.discovery.file import MOST, File
from metaproxy.interfaces import IDiscovery
from metaproxy.units import Seconds


class Watched:
    def __init__(self, path: Path, text: str = "[a:1]") -> None:
        self.path, self.clock = path, Clock()
        if text:
            path.write_text(text)
        self.updates: list[object] = []
        self.failures: list[str] = []
        self.file = File(str(path), self.clock)
        self.file.start(self.updates.append, self.failures.append)

    def write(self, text: str) -> None:
        """As it should be written: beside it, and then renamed."""
        other = self.path.with_suffix(".new")
        other.write_text(text)
        os.replace(other, self.path)
        self.clock.advance(1.0)


def test_it_is_read_at_once_and_again_when_it_changed(tmp_path: Path) -> None:
    one = Watched(tmp_path / "demo.yaml", "[127.0.0.1:1, {address: 127.0.0.1:2, weight: 3}]")
    assert one.updates == [["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3}]]
    one.clock.pump([1.0] * 5)
    assert len(one.updates) == 1
    one.write(json.dumps({"endpoints": ["127.0.0.1:9"]}))
    assert one.updates[1:] == [["127.0.0.1:9"]]


def test_one_that_is_gone_or_broken_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    one = Watched(tmp_path / "demo.yaml")
    one.path.unlink()
    one.clock.pump([1.0] * 3)
    assert one.failures == [f"{one.path}: No such file or directory"]
    one.write("[a:1")
    one.write("{a: 1}")
    assert len(one.failures) == 3 and one.failures[2] == f"{one.path}: no list of endpoints"
    assert one.updates == [["a:1"]]


def test_one_that_is_not_there_yet_is_read_when_it_comes(tmp_path: Path) -> None:
    one = Watched(tmp_path / "demo.yaml", "")
    assert one.failures and not one.updates
    one.write("[a:1]")
    assert one.updates == [["a:1"]]


def test_one_that_is_too_large_is_refused(tmp_path: Path) -> None:
    one = Watched(tmp_path / "demo.yaml", "#" * (MOST + 1))
    assert one.failures == [f"{one.path}: more than {MOST} bytes"]


def test_it_is_looked_at_no_more_after_a_stop(tmp_path: Path) -> None:
    one = Watched(tmp_path / "demo.yaml")
    one.file.stop()
    assert one.clock.getDelayedCalls() == []
    one.file.stop()


def test_it_keeps_the_interface_and_wants_a_pause() -> None:
    assert verifyObject(IDiscovery, File("/x", Clock()))
    with pytest.raises(ValueError, match="without a pause"):
        File("/x", Clock(), Seconds(0.0))
