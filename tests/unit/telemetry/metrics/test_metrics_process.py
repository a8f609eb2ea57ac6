"""What metrics say of the process itself: what those of the client library say, and never all descriptors at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import CollectorRegistry

from metaproxy.telemetry.metrics import process
from metaproxy.telemetry.metrics.collector import exposition
from metaproxy.telemetry.metrics.process import AT_ONCE, process_metrics


def values(metrics: Iterator[Metric]) -> dict[str, float]:
    return {sample.name: sample.value for metric in metrics for sample in metric.samples}


def test_names_kinds_texts_and_values_are_those_of_the_client_library() -> None:
    theirs, ours = list(ProcessCollector(registry=CollectorRegistry()).collect()), list(process_metrics())
    assert {(one.name, one.type, one.documentation) for one in ours} == {
        (one.name, one.type, one.documentation) for one in theirs
    }
    expected, found = values(iter(theirs)), values(iter(ours))
    assert found.keys() == expected.keys()
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert found[name] == pytest.approx(expected[name])
    for name in ("process_cpu_seconds_total", "process_virtual_memory_bytes", "process_resident_memory_bytes"):
        assert found[name] == pytest.approx(expected[name], rel=0.2, abs=1.0)


def test_each_open_descriptor_is_counted() -> None:
    before = values(process_metrics())["process_open_fds"]
    opened = [os.open("/", os.O_RDONLY) for _ in range(7)]
    try:
        assert values(process_metrics())["process_open_fds"] == before + 7
    finally:
        for one in opened:
            os.close(one)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A /proc of a kernel before 6.2, which does not count descriptors, with 2 1/2 portions of them."""
    for name in ("self/stat", "stat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(Path("/proc", name).read_bytes())
    folder = tmp_path / "self" / "fd"
    folder.mkdir()
    for number in range(AT_ONCE * 5 // 2):
        (folder / str(number)).touch()
    monkeypatch.setattr(process, "KERNEL_COUNTS", False)
    return str(tmp_path)


def test_where_the_kernel_does_not_count_them_they_are_counted_in_portions(old: str) -> None:
    pieces = [one for one in process_metrics(old) if one.name == "process_open_fds"]
    assert [len(one.samples) for one in pieces] == [0, 0, 0, 1]
    text = b"".join(exposition(process_metrics(old), "")[1]).decode()
    found = [one for one in read_text(text) if one.name == "process_open_fds"]
    assert [(one.type, [sample.value for sample in one.samples]) for one in found] == [("gauge", [AT_ONCE * 2.5])]


def test_where_there_is_no_proc_there_are_no_metrics(tmp_path: Path) -> None:
    assert list(process_metrics(str(tmp_path))) == []


def test_where_they_can_not_be_listed_their_number_is_left_out(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", lambda folder: os.stat("/does/not/exist"))
    assert {one.name for one in process_metrics(old)} == {one.name for one in process_metrics()} - {"process_open_fds"}


def test_where_the_start_of_the_machine_is_not_known_that_of_the_process_is_left_out(old: str) -> None:
    Path(old, "stat").write_text("cpu  1 2 3\n")
    names = {one.name for one in process_metrics(old)}
    assert "process_start_time_seconds" not in names and "process_open_fds" in names
