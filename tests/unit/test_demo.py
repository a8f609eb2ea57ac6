"""However the demo ends, its children end with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from present import present

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0

CHILD = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid()) + chr(10)); signal.pause()"
DEMO = f"""
import signal, sys
from demo.processes import Processes, end_on_signals

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)  # as on a terminal, also where who runs the tests ignores them (nohup, &)
end_on_signals()
processes = Processes()
try:
    for pipe in sys.argv[1:3]:
        processes.start("-c", {CHILD!r}, pipe)
    signal.pause() if sys.argv[3] == "waits" else input()
    raise RuntimeError("a fault of the demo")
finally:
    if sys.argv[3] != "never stops":
        processes.stop()
"""


class Demo:
    """A process that started two children and waits; how: waits, fails, or 'never stops' (it does not clean up)."""

    def __init__(self, folder: Path, how: str) -> None:
        pipes = [folder / name for name in ("one", "two")]
        for pipe in pipes:
            os.mkfifo(pipe)
        self._ends = [os.open(pipe, os.O_RDWR) for pipe in pipes]  # also to write: then opening does not wait
        command = [sys.executable, "-c", DEMO, *map(str, pipes), how]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        environ.pop("MAKELEVEL", None)
        self.running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd=ROOT
        )
        self.children = [os.pidfd_open(self._told(end)) for end in self._ends]
        present(self.running.stdin).close()

    def _told(self, end: int) -> int:
        """The process id that a child writes when it runs."""
        assert select.select([end], [], [], PATIENCE)[0], "no child came up"
        return int(os.read(end, 100))

    def children_end(self) -> bool:
        """A descriptor of a process can be read once it has ended."""
        return all(select.select([one], [], [], PATIENCE)[0] for one in self.children)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    one = Demo(tmp_path, "waits")
    yield one
    one.running.kill()
    one.running.wait()
    for child in one.children:
        os.close(child)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel of Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV])
def test_whatever_signal_ends_it_its_children_end(demo: Demo, number: signal.Signals) -> None:
    demo.running.send_signal(number)
    demo.running.wait(PATIENCE)
    assert demo.children_end()


def test_a_signal_that_asks_it_to_end_is_in_its_exit_code(demo: Demo) -> None:
    demo.running.send_signal(signal.SIGTERM)
    assert demo.running.wait(PATIENCE) == 128 + signal.SIGTERM


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel of Linux")
@pytest.mark.parametrize("how", ["fails", "never stops"])
def test_when_it_fails_its_children_end_too(tmp_path: Path, how: str) -> None:
    one = Demo(tmp_path, how)
    assert one.running.wait(PATIENCE) == 1
    assert one.children_end()
