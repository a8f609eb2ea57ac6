"""
What the demo starts, and how all of it ends with it.

Lives here: `Processes`, and `end_on_signals`. Does not: what is started.

A child is in a session of its own, so that Ctrl-C reaches the demo only, which ends its children in order. However the
demo itself ends, by a signal, an error or SIGKILL, the kernel kills the children that are left.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parent.parent
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def end_with_parent(number: signal.Signals, parent: int) -> None:
    """Have the kernel send this process a signal when its parent, of the process id `parent`, ends. On Linux."""
    if not sys.platform.startswith("linux"):
        return
    if _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it ended before it could be said
        os.kill(os.getpid(), number)


def end_on_signals() -> None:
    """SIGTERM and SIGHUP end the process as Ctrl-C does: with what stands in `finally`. `nohup` goes on to hold."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    if "MAKELEVEL" in os.environ:
        end_with_parent(signal.SIGTERM, os.getppid())


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Processes:
    """The children. `stop` is to be called in the end; what it could not end, the kernel does."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, environ: dict[str, str] | None = None) -> None:
        """Runs Python with these arguments."""
        parent = os.getpid()
        self._running.append(
            subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **(environ or {})},
                stdout=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=lambda: end_with_parent(signal.SIGKILL, parent),
            )
        )  # fmt: skip

    def check(self) -> None:
        """Raises SystemExit when one has ended."""
        for one in self._running:
            if one.poll() is not None:
                raise SystemExit(f"{one.args!r} ended with status {one.returncode}")

    def stop(self) -> None:
        for one in self._running:
            one.terminate()
        for one in self._running:
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
