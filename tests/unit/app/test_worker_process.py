"""The start of a worker's process: where its log goes. The process itself is in tests/interop/test_workers.py."""

from __future__ import annotations

import socket

import pytest
from loop import Loop
from twisted.logger import Logger, LogPublisher

from metaproxy.app.worker_process import Lines
from metaproxy.workers.channel import Channel
from metaproxy.workers.member import MOST_WAITING
from metaproxy.workers.messages import Line


class Logged:
    def __init__(self) -> None:
        self.loop = Loop()
        self.lines: list[object] = []
        ours, theirs = socket.socketpair()
        self.line = Channel(ours, self.loop, lambda message, descriptor: self.lines.append(message), lambda: None)
        self.publisher = LogPublisher(Lines(Channel(theirs, self.loop, lambda message, descriptor: None, lambda: None)))

    def log(self, namespace: str = "metaproxy.cluster") -> Logger:
        return Logger(namespace, observer=self.publisher)

    def sent(self) -> list[object]:
        self.loop.turn()
        return self.lines


def test_what_is_logged_goes_to_the_supervisor() -> None:
    logged = Logged()
    logged.log().warn("{server} is gone", server="a:1")
    assert logged.sent() == [Line("warn", "metaproxy.cluster", "a:1 is gone")]


def test_a_failure_comes_with_its_trace() -> None:
    logged = Logged()
    try:
        raise ZeroDivisionError("our bug")
    except ZeroDivisionError:
        logged.log().failure("wrong")
    (line,) = logged.sent()
    assert isinstance(line, Line)
    assert line.text.startswith("wrong\n") and "our bug" in line.text


def test_what_is_logged_of_the_line_itself_does_not_go_over_it(capsys: pytest.CaptureFixture[str]) -> None:
    logged = Logged()
    logged.log("metaproxy.workers.channel").error("broken")
    assert logged.sent() == []
    assert "broken" in capsys.readouterr().err


def test_what_a_supervisor_that_hangs_does_not_take_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logged = Logged()
    for number in range(3 * MOST_WAITING):
        logged.log().info("line {number}", number=number)
    aside = capsys.readouterr().err.splitlines()
    logged.loop.turn(4000)
    assert len(logged.lines) + len(aside) == 3 * MOST_WAITING
    assert aside[-1] == f"line {3 * MOST_WAITING - 1}"
