"""
Programs that the interoperability tests start, talk to and end.

Lives here: a program that runs until it is ended (Program), a client program that is handed jobs (Jobs).
Does not: which programs there are and how each is called (catalogue.py), fixtures (conftest.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from free_ports import free_port as free_port

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".peers"
HERE = ROOT / "tests" / "interop" / "peers"

STARTED = 30.0  # seconds that a program has to become ready
ENDED = 5.0  # seconds that it has to end after TERM


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def eventually(check: Callable[[], Any], seconds: float = 5.0, every: float = 0.02) -> Any:
    """What `check` gives as soon as it is true, or at last when the time is over: for what nothing announces."""
    deadline = time.monotonic() + seconds
    while not (result := check()) and time.monotonic() < deadline:
        time.sleep(every)
    return result


class NotReady(Exception):
    """A program did not become ready, ended by itself, or gave no answer in time. The text has the end of its log."""


class Program:
    """
    A program in a session of its own. Ready once it prints the line "ready", or once `ready()` is true.

    log: what it writes to stderr, and to stdout but for the first line. seconds: that it has to become ready. It is
    ended by its pid: TERM, wait, KILL.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        cwd: Path | None = None,
        seconds: float = STARTED,
    ) -> None:
        self.log = log
        self._seconds = seconds
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(each) for each in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._await(ready or (lambda: b"ready\n" in log.read_bytes()), argv)
        except BaseException:
            self.stop()
            raise

    def _await(self, ready: Callable[[], bool], argv: Sequence[str | Path]) -> None:
        deadline = time.monotonic() + self._seconds
        while not ready():
            if self._process.poll() is not None:
                raise NotReady(f"{argv[0]} ended with {self._process.returncode}:\n{self.text()[-3000:]}")
            if time.monotonic() > deadline:
                raise NotReady(f"{argv} is not ready after {self._seconds:g} s:\n{self.text()[-3000:]}")
            time.sleep(0.02)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        if self.running:
            self._process.send_signal(number)
        if number == signal.SIGSTOP:  # its threads stop one after the other
            eventually(self._stands)

    def _stands(self) -> bool:
        """Whether all of its threads are stopped."""
        try:
            stats = [path.read_text() for path in Path(f"/proc/{self._process.pid}/task").glob("*/stat")]
        except OSError:  # one ended meanwhile
            return False
        return all(stat.rpartition(")")[2].split()[0] in "TtZX" for stat in stats)

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None when it still runs after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int | None:
        """Asks it to end, and ends it when it does not. Its exit status: negative when a signal ended it."""
        self.signal(signal.SIGTERM)
        if self.wait(ENDED) is None:
            self.kill()
        return self._process.returncode


class Jobs:
    """A client program that lives for many jobs: a line of stdin each, a line of JSON on stdout as its answer."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        encode: Callable[[Mapping[str, Any]], str] = json.dumps,
    ) -> None:
        self.argv, self.log, self._encode = argv, log, encode
        self._errors: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(
            [str(each) for each in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def start(self, **job: Any) -> None:
        """Hands over a job without waiting for it; `finish` has its results. One job at a time."""
        assert self._process.stdin is not None
        self._process.stdin.write(self._encode(job).encode() + b"\n")
        self._process.stdin.flush()

    def finish(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            line = b""
        if not line:
            self._process.kill()  # what it still says belongs to this job, not to the next
            self._process.wait()
            raise NotReady(f"{self.argv} gave no results:\n{self.log.read_text(errors='replace')[-3000:]}")
        results: list[dict[str, Any]] = json.loads(line)
        return results

    def run(self, **job: Any) -> list[dict[str, Any]]:
        """The results of the job's calls, in their order: {"value": ...} or {"error": {"class", "message"}}."""
        self.start(**job)
        return self.finish()

    def stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.terminate()
        try:
            self._process.wait(ENDED)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # of a job that it never read
            self._process.stdin.close()
        self._errors.close()
