"""
Files that lines are appended to without making the data path wait.

Lives here: `LogFile`, which collects lines in memory and has a thread write them; `LogFiles`, the ones that are open.
Does not: what a line says.

The path appends to a list. Ten times a second, or when enough has come together, what is there is handed to a thread,
one hand-over at a time. What a slow disk or an unread pipe does not take stays in memory up to a bound; lines beyond it
are dropped and counted.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.support.log_throttle import LogThrottle

log = Logger()

FLUSH_EVERY = 0.1
"""Seconds that a line waits at most before it is handed to the thread."""
FLUSH_SIZE = 64 << 10
"""Characters after which it is not waited for that."""
MAX_BUFFER = 4 << 20
"""Characters kept in memory for one file."""
PATIENCE = 0.1
"""Seconds for which the thread waits for room in a pipe; then it gives the rest back until the next hand-over."""
LAST_CHANCE = 2.0
"""Seconds that the end of the process waits for files to take what is left."""

Run = Callable[[Callable[[], "_Written"]], "Deferred[_Written]"]
"""Runs a function in a thread; the Deferred fires in the reactor's."""


class LogCounts:
    """What all files count. lines: written; dropped: lost, as the buffer was full or writing failed."""

    __slots__ = ("dropped", "errors", "lines")

    def __init__(self) -> None:
        self.lines = 0
        self.dropped = 0
        self.errors = 0


class _Written:
    """What became of a hand-over. rest: bytes that the file did not take; error: why it takes none at all, or None."""

    __slots__ = ("error", "rest")

    def __init__(self, rest: bytes, error: OSError | None = None) -> None:
        self.rest = rest
        self.error = error


class LogFile:
    """
    One file, opened when the first line is there, and by the thread. `write` is for the reactor's thread only.

    clock: the reactor's; run: see Run.
    """

    def __init__(self, path: str, clock: IReactorTime, run: Run, counts: LogCounts) -> None:
        self.path = path
        self.clock = clock
        self._run = run
        self.counts = counts
        self._lines: list[str] = []
        self._size = 0
        self._rest = b""
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._fd = -1
        self._reopen = False
        self._let_go = False
        self._log_throttle = LogThrottle(clock.seconds)

    def write(self, line: str) -> None:
        """line: with its line break. Costs an append; never raises, never waits."""
        size = self._size + len(line)
        if size > MAX_BUFFER:
            self.counts.dropped += 1
            return
        self._size = size
        self._lines.append(line)
        if self._writing is None:
            if size >= FLUSH_SIZE:
                self.flush()
            elif self._timer is None:
                self._timer = self.clock.callLater(FLUSH_EVERY, self._due)

    def reopen(self) -> None:
        """The file was moved away: the next line goes to a new one of the same name, which is made at once."""
        self._reopen = True
        self.flush()

    def let_go(self) -> None:
        """No configuration names it any more: it is closed; a line of an exchange under way still gets there."""
        self._let_go = True
        self.flush()

    # -- handing over

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Hands over what is there, unless a hand-over is under way."""
        if self._writing is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        before = self._rest
        self._writing = Deferred()
        self._run(lambda: self._put(before, lines)).addCallbacks(self._put_done, self._put_failed, (len(lines),))

    def _put_done(self, written: _Written, lines: int) -> None:
        self.counts.lines += lines
        before, self._rest = len(self._rest), written.rest
        if written.error is not None:
            lost = written.rest.count(b"\n")
            self._rest = b""
            self.counts.lines -= lost
            self.counts.dropped += lost
            self.counts.errors += 1
            self._complain(written.error)
        self._size = len(self._rest) + sum(map(len, self._lines))
        self._over(slow=bool(self._rest) and len(self._rest) >= before)

    def _put_failed(self, failure: Failure) -> None:
        """Our bug, or a thread pool that takes no more work (the reactor is at its end)."""
        self.counts.errors += 1
        self._size = sum(map(len, self._lines))
        log.failure("{path}: lines were lost", failure=failure, path=self.path)
        self._over(slow=True)

    def _over(self, slow: bool) -> None:
        done, self._writing = self._writing, None
        if self._size >= FLUSH_SIZE and not slow:
            self.flush()
        elif self._size or self._reopen:
            self._timer = self.clock.callLater(FLUSH_EVERY, self._due)
        if done is not None:
            done.callback(None)

    def _complain(self, error: OSError) -> None:
        if self._log_throttle.allows():
            log.error("access log {path}: {error}; lines are lost", path=self.path, error=error.strerror or error)

    def flushed(self) -> Deferred[None]:
        """Fires when all that is there now was handed over and taken, or refused."""
        done: Deferred[None] = Deferred()

        def look(_: object) -> None:
            if self._writing is not None:
                self._writing.addCallback(look)
            elif self._lines:
                self.flush()
                look(None)
            else:
                done.callback(None)

        look(None)
        return done

    def finish(self) -> None:
        """At the end of the process, when no thread runs: writes what is left, as far as the file takes it."""
        lines, self._lines = self._lines, []
        self._let_go = True
        self._put(self._rest, lines)

    # -- in the thread, one call at a time

    def _put(self, before: bytes, lines: list[str]) -> _Written:
        data = before + "".join(lines).encode("utf-8", "backslashreplace")
        try:
            if self._reopen:
                self._reopen = False
                self._close()
                self._open()
            if data:
                if self._fd < 0:
                    self._open()
                data = self._append(data)
        except OSError as error:
            self._close()
            return _Written(data, error)
        if self._let_go and not data:
            self._close()
        return _Written(data)

    def _append(self, data: bytes) -> bytes:
        """Writes until all is written or the pipe is full; what is left."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                if not room.poll(PATIENCE * 1000):
                    break
        return bytes(left)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        standard = _STANDARD.get(self.path)
        if standard is not None and stat.S_ISREG(os.fstat(standard).st_mode):
            # Its opener may write to that file, too: with one position for both, neither overwrites the other.
            self._fd = os.dup(standard)
            return
        try:
            self._fd = os.open(self.path, flags, 0o640)
        except OSError:
            # Standard output may be a socket, or another user's pipe: neither can be opened a second time.
            if standard is None:
                raise
            self._fd = os.dup(standard)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


class LogFiles(Service):
    """
    The files that are written, by path: the same path is the same file.

    clock: the reactor; run: see Run, the reactor's thread pool by default.
    """

    name = "log files"

    def __init__(self, clock: IReactorTime, run: Run | None = None) -> None:
        self.counts = LogCounts()
        self._clock = clock
        self._run = run or self._in_thread
        self._files: dict[str, LogFile] = {}

    def _in_thread(self, call: Callable[[], _Written]) -> Deferred[_Written]:
        reactor = IReactorThreads(self._clock)
        return deferToThreadPool(reactor, reactor.getThreadPool(), call)

    def open(self, path: str) -> LogFile:
        """The file at that path; it is touched when there is a line for it."""
        if path not in self._files:
            self._files[path] = LogFile(path, self._clock, self._run, self.counts)
        return self._files[path]

    def single(self, path: str) -> LogFile:
        """Return a file of the caller's own, with counts of its own. The caller must end it (`let_go`, `finish`)."""
        return LogFile(path, self._clock, self._run, LogCounts())

    def keep(self, paths: Iterable[str]) -> None:
        """Closes the files that are none of these, once what they have is written."""
        kept = set(paths)
        for path in [path for path in self._files if path not in kept]:
            self._files.pop(path).let_go()

    def reopen(self) -> None:
        """After a rotation: every file is closed, and opened again by its name."""
        for file in self._files.values():
            file.reopen()

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start."""
        return self.counts.dropped

    def startService(self) -> None:
        super().startService()
        at_end: Callable[..., object] | None = getattr(self._clock, "addSystemEventTrigger", None)
        if at_end is not None:  # a test's clock has no end
            at_end("after", "shutdown", self._finish)

    def stopService(self) -> Deferred[None]:
        """
        Fires when what is there is written, or LAST_CHANCE has passed. Exchanges that end later (other services may
        still drain) are written as well, the last ones when the reactor has stopped.
        """
        super().stopService()
        flushed: Deferred[list[tuple[bool, None]]] = DeferredList([file.flushed() for file in self._files.values()])
        flushed.addTimeout(LAST_CHANCE, self._clock, onTimeoutCancel=lambda result, timeout: None)
        return flushed.addCallback(lambda _: None)

    def _finish(self) -> None:
        for file in self._files.values():
            file.finish()
