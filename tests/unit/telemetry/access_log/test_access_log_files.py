from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from observing import observing
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.support.log_throttle import PERIOD
from metaproxy.telemetry.access_log import files as log_files
from metaproxy.telemetry.access_log.files import FLUSH_EVERY, FLUSH_SIZE, MAX_BUFFER, LogFile, LogFiles


class FakeThread:
    """What is handed to it runs when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, call: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((call, done))
        return done

    def work(self) -> None:
        (call, done) = self.waiting.pop(0)
        done.callback(call())


class Desk:
    """Files with a clock and a thread that a test turns."""

    def __init__(self) -> None:
        self.clock, self.thread = Clock(), FakeThread()
        self.files = LogFiles(self.clock, self.thread)

    def settle(self) -> None:
        for _ in range(5):
            self.clock.advance(FLUSH_EVERY)
            while self.thread.waiting:
                self.thread.work()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_lines_are_written_a_tenth_of_a_second_later(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    file.write("one\n")
    file.write("two\n")
    desk.clock.advance(FLUSH_EVERY / 2)
    assert desk.thread.waiting == []
    desk.clock.advance(FLUSH_EVERY / 2)
    desk.thread.work()
    assert path.read_text() == "one\ntwo\n"
    assert desk.files.counts.lines == 2
    assert desk.clock.getDelayedCalls() == []


def test_many_lines_are_not_waited_for(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    for _ in range(FLUSH_SIZE // 1024):
        file.write("x" * 1023 + "\n")
    assert len(desk.thread.waiting) == 1
    assert desk.clock.getDelayedCalls() == []


def test_one_hand_over_at_a_time_and_order_stays(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    lines = [f"{number:01023}\n" for number in range(3 * FLUSH_SIZE // 1024)]
    for line in lines:
        file.write(line)
    assert len(desk.thread.waiting) == 1
    desk.settle()
    assert path.read_text() == "".join(lines)


def test_what_cant_be_kept_is_dropped_and_counted(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    line = "x" * 65535 + "\n"
    for _ in range(MAX_BUFFER // len(line) + 3):
        file.write(line)
    assert desk.files.dropped == 3
    desk.settle()
    assert path.stat().st_size == MAX_BUFFER
    file.write("again\n")
    desk.settle()
    assert path.read_text().endswith("\nagain\n")
    assert desk.files.dropped == 3


def test_a_file_is_appended_to_and_not_everybodys_to_read(desk: Any, path: Any) -> None:
    path.write_text("before\n")
    desk.files.open(str(path)).write("after\n")
    desk.files.open(str(path) + "2").write("new\n")
    desk.settle()
    assert path.read_text() == "before\nafter\n"
    assert os.stat(str(path) + "2").st_mode & 0o007 == 0


def test_who_names_one_path_writes_to_one_file(desk: Any, path: Any) -> None:
    assert desk.files.open(str(path)) is desk.files.open(str(path))
    assert desk.files.open(str(path)) is not desk.files.open(str(path) + "2")


def test_after_a_rotation_lines_go_to_a_new_file_that_is_made_at_once(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    file.write("old\n")
    desk.settle()
    path.rename(path.with_suffix(".1"))
    desk.files.reopen()
    desk.settle()
    assert path.read_text() == ""
    file.write("new\n")
    desk.settle()
    assert path.read_text() == "new\n"
    assert path.with_suffix(".1").read_text() == "old\n"


def test_a_rotation_during_a_hand_over_is_not_forgotten(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    file.write("old\n")
    desk.clock.advance(FLUSH_EVERY)
    desk.files.reopen()
    desk.thread.work()
    assert path.exists()
    path.unlink()
    file.reopen()
    desk.settle()
    assert path.exists()


def test_a_file_that_no_configuration_names_is_closed_and_still_takes_late_lines(desk: Any, path: Any) -> None:
    before = open_files()
    file = desk.files.open(str(path))
    file.write("one\n")
    desk.settle()
    assert open_files() == before + 1
    desk.files.keep([])
    desk.settle()
    assert open_files() == before
    file.write("late\n")
    desk.settle()
    assert open_files() == before
    assert path.read_text() == "one\nlate\n"
    assert desk.files.open(str(path)) is not file


def test_a_file_that_is_kept_stays_open(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path))
    desk.files.keep([str(path)])
    assert desk.files.open(str(path)) is file


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_an_error_loses_lines_and_is_told_once_a_minute(desk: Any, tmp_path: Path) -> None:
    told: list[Any] = []
    with observing(told.append):
        file = desk.files.open(str(tmp_path / "none" / "access.log"))
        for _ in range(3):
            file.write("one\ntwo\n")
            desk.settle()
        desk.clock.advance(PERIOD)
        file.write("three\n")
        desk.settle()
    assert desk.files.dropped == 7
    assert desk.files.counts.errors == 4
    assert [event["error"] for event in told if event.get("path")] == ["No such file or directory"] * 2


def test_a_file_that_can_be_written_again_is_written(desk: Any, path: Any) -> None:
    file = desk.files.open(str(path.parent / "later" / "access.log"))
    file.write("lost\n")
    desk.settle()
    (path.parent / "later").mkdir()
    file.write("kept\n")
    desk.settle()
    assert (path.parent / "later" / "access.log").read_text() == "kept\n"


def test_a_pipe_that_nobody_empties_keeps_lines_and_nobody_waiting(
    desk: Any, path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "PATIENCE", 0.001)
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = desk.files.open(str(path))
        lines = [f"{number:01023}\n" for number in range(1024)]
        for line in lines:
            file.write(line)
        desk.settle()
        got = b""
        assert desk.files.dropped == 0
        while len(got) < 1 << 20:
            got += os.read(reader, 1 << 20)
            desk.settle()
        assert got.decode() == "".join(lines)
    finally:
        os.close(reader)


def test_a_pipe_without_a_reader_is_an_error_and_no_wait(desk: Any, path: Any) -> None:
    os.mkfifo(path)
    desk.files.open(str(path)).write("one\n")
    desk.settle()
    assert desk.files.dropped == 1


def test_standard_output_that_is_a_socket_can_be_written(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    ours, theirs = socket.socketpair()
    monkeypatch.setattr(log_files, "_STANDARD", {"/dev/none-such/stdout": theirs.fileno()})
    desk.files.open("/dev/none-such/stdout").write("one\n")
    desk.settle()
    assert ours.recv(100) == b"one\n"
    ours.close()
    theirs.close()


def test_standard_output_that_is_a_file_keeps_one_position_for_all_who_write(
    desk: Any, path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.open("wb", buffering=0) as output:
        monkeypatch.setattr(log_files, "_STANDARD", {str(path): output.fileno()})
        output.write(b"log 1\n")
        file = desk.files.open(str(path))
        file.write("access\n")
        desk.settle()
        output.write(b"log 2\n")
    assert path.read_text() == "log 1\naccess\nlog 2\n"


def test_a_surrogate_does_not_end_the_log(desk: Any, path: Any) -> None:
    desk.files.open(str(path)).write("\udc80 ü\n")
    desk.settle()
    assert path.read_bytes() == "\\udc80 ü\n".encode()


def test_stopping_waits_for_what_is_there(desk: Any, path: Any) -> None:
    desk.files.startService()
    file = desk.files.open(str(path))
    file.write("one\n")
    desk.clock.advance(FLUSH_EVERY)
    file.write("two\n")
    stopped = desk.files.stopService()
    assert not stopped.called
    desk.settle()
    assert stopped.called
    assert path.read_text() == "one\ntwo\n"


def test_stopping_does_not_wait_for_ever(desk: Any, path: Any) -> None:
    desk.files.startService()
    desk.files.open(str(path)).write("one\n")
    stopped = desk.files.stopService()
    desk.clock.advance(log_files.LAST_CHANCE)
    assert stopped.called


def test_the_last_lines_are_written_when_the_reactor_has_stopped(path: Any) -> None:
    class FakeReactor(Clock):
        triggers: list[tuple[str, str, Callable[[], None]]] = []

        def addSystemEventTrigger(self, *trigger: Any) -> None:
            self.triggers.append(trigger)

    reactor = FakeReactor()
    files = LogFiles(reactor, FakeThread())
    files.startService()
    files.open(str(path)).write("last\n")
    ((phase, event, call),) = reactor.triggers
    assert (phase, event) == ("after", "shutdown")
    call()
    assert path.read_text() == "last\n"


def test_a_thread_pool_that_is_closed_costs_lines_and_nothing_else(path: Any) -> None:
    from twisted.internet.defer import fail

    clock = Clock()
    files = LogFiles(clock, lambda call: fail(RuntimeError("closed")))
    file = files.open(str(path))
    noted: list[Any] = []
    with observing(noted.append):
        file.write("one\n")
        clock.advance(FLUSH_EVERY)
    assert files.counts.errors == 1
    assert any("lines were lost" in (event.get("log_format") or "") for event in noted)


@pytest_twisted.ensureDeferred
async def test_with_the_reactors_threads_lines_arrive(path: Any) -> None:
    from twisted.internet import reactor

    files = LogFiles(reactor)
    file = files.open(str(path))
    for number in range(5000):
        file.write(f"{number}\n")
    await file.flushed()
    files.keep([])
    await file.flushed()
    assert path.read_text().split() == [str(number) for number in range(5000)]
    assert isinstance(file, LogFile)
