"""
Starting what is measured and what it is measured with, each on its core, and ending it by its id.

Lives here: processes, ports, cores, memory. Does not: their options (`subjects`), what they are asked (`loads`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_GRACE = 3.0
"""Seconds to end after TERM, before KILL."""
_TICK = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A process ended at once, or never answered; its text is for the table."""


class Cores:
    """Which core is whose: the proxy has the last one to itself; load, backend and bench share the first."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.proxy, self.load = cores[-1], cores[0]
        self.count = len(cores)
        os.sched_setaffinity(0, {self.load})  # inherited by everything without a setting of its own


class Running:
    """A process and its log, ended when the block ends."""

    def __init__(self, command: list[str], log: Path, folder: Path | None = None) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raises NotStarted, with the end of the log, when the process is gone."""
        if self._process.poll() is not None:
            raise NotStarted(f"ended with status {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-300:] or "its log is empty"

    def first_words(self) -> str:
        """The first line of the log; empty while it is not written."""
        line, end, _ = self._log.read_text().partition("\n")
        return line if end else ""

    def ids(self) -> list[int]:
        """The process and its descendants."""
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    found.extend(int(child) for child in children.read_text().split())
        return found

    def waited(self) -> dict[str, float]:
        """Seconds that each of its threads was ready to run and did not, because others had the core."""
        tasks = [task for pid in self.ids() for task in Path(f"/proc/{pid}/task").iterdir()]
        return {task.name: _waited(task / "schedstat") for task in tasks}

    def cpu(self) -> float:
        """Seconds of user and system time, of the process and its descendants."""
        return sum(_cpu(pid) for pid in self.ids())

    def forget_peak(self) -> None:
        """Lets the peak of memory begin again, where the kernel allows it."""
        for pid in self.ids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """MiB that were resident at most since `forget_peak`, of the process and its descendants."""
        return sum(_peak(pid) for pid in self.ids()) / 1024


def listens(port: int) -> bool:
    """Whether a server answers there, on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what: str, seconds: float, process: Running, ready: Callable[[], object]) -> None:
    """Asks `ready` until it says so. Raises NotStarted when the process ends before, or after these seconds."""
    deadline = time.monotonic() + seconds
    while not ready():
        process.check()
        if time.monotonic() > deadline:
            raise NotStarted(f"{what} not within {seconds:g} s: {process.last_words()}")
        time.sleep(0.02)


def _cpu(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    return 0.0


def cpu_of_tasks(pid: int) -> dict[str, float]:
    """Seconds of user and system time of each thread of a process, by its name; of those of one name together."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
            spent = fields.split()
            found[name] = found.get(name, 0.0) + (int(spent[11]) + int(spent[12])) / _TICK
    return found


def _waited(schedstat: Path) -> float:
    with suppress(OSError):
        return int(schedstat.read_text().split()[1]) / 1e9
    return 0.0


def _peak(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
