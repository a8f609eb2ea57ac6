from __future__ import annotations

import os
import subprocess
import sys
import time

from metaproxy.workers.usage import cpu_seconds, memory_bytes


def test_a_process_has_taken_cpu_time_and_memory() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert cpu_seconds(os.getpid()) >= 0.03
    assert 1 << 20 < memory_bytes(os.getpid()) < 1 << 40


def test_no_process_takes_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert [cpu_seconds(pid) for pid in (0, ended.pid)] == [0, 0]
    assert [memory_bytes(pid) for pid in (0, ended.pid)] == [0, 0]


def test_the_name_of_its_program_may_have_any_character() -> None:
    program = "import time\nopen('/proc/self/comm', 'w').write('a) b (c 9')\n"
    program += "while time.process_time() < 0.1: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0 < cpu_seconds(process.pid) < 10
        process.communicate(b"\n")
