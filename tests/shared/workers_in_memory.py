"""
Processes of workers, without processes.

Lives here: `Spawned`, what starts them; `Fellow`, the far end of a line, which answers as a test wants. Does not:
assertions; workers themselves.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from loop import Loop
from twisted.internet.error import ProcessExitedAlready

from metaproxy.workers.channel import Channel
from metaproxy.workers.messages import (
    Commit,
    Count,
    Discard,
    EndpointsAre,
    HandedConnection,
    Left,
    Prepare,
    Ready,
    Took,
)
from metaproxy.workers.sums import Report


class Fellow:
    """
    A worker's end. received: all messages; handed: the sockets of connections. answers: what it answers, by the type of
    the question; a Deferred for later, or what is called for each. takes: whether it says of connections that it has
    them. keep: called with each other message that has a descriptor.
    """

    def __init__(self, line: socket.socket, loop: Loop, pid: int) -> None:
        self.pid = pid
        self.takes = True
        self.received: list[Any] = []
        self.handed: list[tuple[HandedConnection, int]] = []
        self.answers: dict[type, Any] = {Prepare: [], Count: Report()}
        self.keep: Callable[[object, int], object] = lambda message, descriptor: None
        self.line = Channel(line, loop, self._received, lambda: None)

    def _received(self, message: object, descriptor: int) -> object:
        self.received.append(message)
        if isinstance(message, HandedConnection) and self.takes:
            self.line.tell(Took())
        if isinstance(message, HandedConnection) and descriptor >= 0:
            self.handed.append((message, descriptor))
        elif descriptor >= 0:
            self.keep(message, descriptor)
            os.close(descriptor)
        answer = self.answers.get(type(message))
        return answer() if callable(answer) else answer

    def ready(self) -> None:
        self.line.tell(Ready(self.pid, "pure"))

    def leave(self, listener: str, number: int = 1) -> None:
        """So many of its connections end."""
        for handed in [one for one in self.handed if one[0].listener == listener][:number]:
            self.handed.remove(handed)
            os.close(handed[1])
        self.line.tell(Left({listener: number}))

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.received if isinstance(one, kind)]

    @property
    def steps(self) -> list[str]:
        """What was done about configurations, in order."""
        return [type(one).__name__ for one in self.received if isinstance(one, Prepare | Commit | Discard)]

    @property
    def endpoints(self) -> list[EndpointsAre]:
        return self.of(EndpointsAre)

    def close(self) -> None:
        for _, descriptor in self.handed:
            os.close(descriptor)
        self.handed.clear()
        self.line.close()


class Process:
    def __init__(self, pid: int, ended: Callable[[str], None]) -> None:
        self.pid: int | None = pid
        self.signals: list[str] = []
        self.ended = ended
        self.over = False

    def signalProcess(self, signal: str) -> None:
        if self.over:
            raise ProcessExitedAlready
        self.signals.append(signal)


class Spawned:
    """
    Called in the place of `app.processes.spawn`. ready: whether they say so at once; fellows, processes: the newest of
    each number; refuse: OSError for the next so many.
    """

    def __init__(self, loop: Loop, ready: bool = True) -> None:
        self._loop = loop
        self.ready = ready
        self.started = 0
        self.refuse = 0
        self.cpus: list[int | None] = []
        self.fellows: dict[int, Fellow] = {}
        self.processes: dict[int, Process] = {}

    def __call__(self, number: int, line: int, cpu: int | None, ended: Callable[[str], None]) -> Process:
        if self.refuse:
            self.refuse -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.started += 1
        self.cpus.append(cpu)
        pid = 1000 * (number + 1) + self.started
        self.fellows[number] = Fellow(socket.socket(fileno=os.dup(line)), self._loop, pid)
        self.processes[number] = Process(pid, ended)
        if self.ready:
            self.fellows[number].ready()
        return self.processes[number]

    def die(self, number: int, how: str = "signal 9") -> None:
        """The process of a worker ends, and the system closes what it had."""
        self.fellows[number].close()
        self.processes[number].over = True
        self.processes[number].ended(how)
        self._loop.turn()
