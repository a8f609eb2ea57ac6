"""
One worker, as the supervisor knows it: its process, the line to it, what it has.

Lives here: `Member`, its life from the start of the process to its end. Does not: which of them gets a connection, what
is done to all (`supervisor`).
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.logger import Logger, LogLevel

from metaproxy.config import model
from metaproxy.workers import usage
from metaproxy.workers.channel import Channel
from metaproxy.workers.messages import HandedConnection, Left, Line, Ready, Took

log = Logger()

STARTING, READY, ENDING, GONE = "starting", "ready", "ending", "gone"
MOST_WAITING = 1024
"""Messages that a worker did not take yet; one that has more gets no connection."""


class Process(Protocol):
    """The process of a worker."""

    @property
    def pid(self) -> int | None: ...

    def signalProcess(self, signal: str) -> None:
        """Raises twisted.internet.error.ProcessExitedAlready."""


Spawn = Callable[[int, int, int | None, Callable[[str], None]], Process]
"""
Called with a worker's number, its end of the line, its CPU, None for any, and what is to be called with how it ended.
"""


class Member:
    """
    number: from 0. connections: those that it was given and that have not ended, by listener; total: of all; given:
    with those that have ended; untaken: those that it has not said that it has. state: one of STARTING, READY, ENDING,
    GONE. restarts, lost: how often it was started again, and the connections that went with it. listeners, clusters:
    the sections that it has, by name; cpu: the one that it stays on, None for any. quiet: whether it has not answered
    for a while, see watch.Watch.
    """

    def __init__(
        self,
        number: int,
        reactor: object,
        spawn: Spawn,
        ready: Callable[[Member], None],
        gone: Callable[[Member], None],
        cpu: int | None = None,
    ) -> None:
        self.number = number
        self.state = GONE
        self.pid = 0
        self.data_path = ""
        self.started = 0.0
        self.restarts = -1
        self.lost = 0
        self.why = ""
        self.connections: Counter[str] = Counter()
        self.total = self.given = 0
        self.untaken: deque[tuple[HandedConnection, int]] = deque()
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {}
        self.version = 0
        self.cpu = cpu
        self.quiet = False
        self.channel: Channel | None = None
        self._process: Process | None = None
        self._reactor = reactor
        self._spawn = spawn
        self._on_ready = ready
        self._on_gone = gone

    def start(self) -> None:
        """Start its process. Raises OSError when there can be none."""
        ours, theirs = socket.socketpair()
        self.state, self.why, self.quiet = STARTING, "", False
        self.restarts += 1
        self.started = time.time()
        self.listeners, self.clusters, self.version = {}, {}, 0
        try:
            process = self._spawn(self.number, theirs.fileno(), self.cpu, self._ended)
        except BaseException:
            self.state = GONE
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        self.pid = process.pid or 0
        self.channel = Channel(ours, self._reactor, self._received, self._line_lost)

    @property
    def takes(self) -> bool:
        """Whether it can be given a connection."""
        line = self.channel
        return self.answers and line is not None and line.is_open and line.waiting < MOST_WAITING

    @property
    def answers(self) -> bool:
        """Whether it can be asked something."""
        return self.state == READY and self.channel is not None and not self.quiet

    @property
    def cpu_seconds(self) -> float:
        """CPU time that its process has taken."""
        return usage.cpu_seconds(self.pid if self._process is not None else 0)

    @property
    def memory_bytes(self) -> int:
        """Resident memory of its process."""
        return usage.memory_bytes(self.pid if self._process is not None else 0)

    def hand(self, message: HandedConnection, descriptor: int) -> bool:
        """
        Give it a connection. Return whether it is on its way. A copy is kept until it says that it has it: the system
        closes the connections of a process that ends before its line, so that who comes back at once comes too early.
        Raises OSError.
        """
        kept = os.dup(descriptor)
        if self.channel is None or not self.channel.tell(message, descriptor):
            os.close(kept)
            return False
        self.untaken.append((message, kept))
        self.connections[message.listener] += 1
        self.total += 1
        self.given += 1
        return True

    def _took(self) -> None:
        if self.untaken:
            os.close(self.untaken.popleft()[1])

    def take_back(self) -> list[tuple[HandedConnection, int]]:
        """Return what it was handed and never had before it ended, with the descriptors, which are the caller's."""
        untaken, self.untaken = list(self.untaken), deque()
        return untaken

    def note_left(self, listener: str, number: int = 1) -> None:
        """So many have ended."""
        self.connections[listener] -= number
        self.total -= number

    def kill(self) -> None:
        """End its process at once."""
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")

    def _received(self, message: object, descriptor: int) -> object:
        if isinstance(message, Took):
            self._took()
        elif isinstance(message, Left):
            for listener, number in message.connections.items():
                self.note_left(listener, number)
        elif isinstance(message, Ready):
            self.pid, self.data_path = message.pid, message.data_path
            self._on_ready(self)
        elif isinstance(message, Line):
            level = LogLevel.lookupByName(message.level)
            of_it = Logger(message.namespace or log.namespace)
            of_it.emit(level, "worker {number}: {text}", number=self.number, text=message.text)
        return None

    def _line_lost(self) -> None:
        """Its end of the line is closed: the process is about to end, and is ended if it is not."""
        self.state, self.channel = ENDING, None
        self.kill()

    def _ended(self, how: str) -> None:
        if self.channel is not None:
            self.channel.read_rest()  # which of the connections it has
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self._process = None
        self.state, self.why, self.quiet = GONE, how, False
        self.lost += self.total - len(self.untaken)
        self.connections.clear()
        self.total = 0
        self._on_gone(self)
