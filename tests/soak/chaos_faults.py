"""
What goes wrong in the chaos test, and when.

Lives here: `storm`, one thing after the other, with anything else beside it; `alone`, one thing while all else is well,
in a window in which waits are measured. Does not: servers (chaos_servers.py), the balance (test_chaos.py).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from calls import Caller
from chaos_load import Load, all_ended
from chaos_neighbours import Report
from chaos_servers import Server, Space
from stream_callers import Streams

HANG = 2.5
"""Seconds that a server hangs alone, or that clients read nothing: longer than `request_timeout`."""
KINDS = ("hung redis", "slow readers", "hung dubbo", "hung thrift", "hung http", "slow streams")
"""What goes wrong alone."""
STORM = ("kill", "stall", "cut", "slow", "slow streams")


@dataclass
class Window:
    """
    Seconds of the system's monotonic clock in which `kind` was all that went wrong. affected: the listeners whose
    clients may wait for it.
    """

    kind: str
    affected: tuple[str, ...]
    begin: float
    end: float

    def longest(self, reports: dict[str, Report]) -> tuple[float, str, float]:
        """The longest wait of a client that is not affected, its listener, and when it was sent, from the beginning."""
        return max(
            (wait, name, sent - self.begin)
            for name, report in reports.items()
            if name not in self.affected
            for sent, wait in report.waits
            if sent <= self.end and sent + wait >= self.begin and (self.kind in KINDS or sent + wait <= self.end)
        )


def allowed() -> float:
    """
    Seconds that a neighbour may wait: CHAOS_WAIT, else 0.25 on a machine with nothing else to do, and far more in CI
    and on a busy one, where it waits for a core.
    """
    busy = "CI" in os.environ or os.getloadavg()[0] > 1.0
    return float(os.environ.get("CHAOS_WAIT", "5" if busy else "0.25"))


def storm(
    groups: dict[str, list[Server]], space: Space, load: Load, until: float, done: Counter[str], seed: int
) -> None:
    """One thing after the other goes wrong and right again; never all servers of a kind at once."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        server = rng.choice([server for group in groups.values() for server in group])
        what = STORM[sum(done[each] for each in STORM) % len(STORM)]
        done[what] += 1
        if what == "kill":
            server.kill()
            time.sleep(rng.uniform(0.2, 1.0))
            server.start()
            done["restart"] += 1
        elif what == "stall":
            server.signal(signal.SIGSTOP)
            time.sleep(rng.uniform(0.3, 2.0))
            server.signal(signal.SIGCONT)
        elif what in ("slow", "slow streams"):
            readers: Sequence[Caller | Streams] = load.slow_readers() if what == "slow" else load.slow_streams()
            time.sleep(rng.uniform(0.3, 2.0))
            load.read_on(readers)
        else:
            space.cut()
            time.sleep(rng.uniform(0.5, 2.5))
            space.join()
        time.sleep(rng.uniform(0.1, 0.5))


def nothing(seconds: float) -> Window:
    """All is well: what neighbours wait then is what the machine costs."""
    begin = time.monotonic()
    time.sleep(seconds)
    return Window("nothing", (), begin, time.monotonic())


def alone(kind: str, groups: dict[str, list[Server]], load: Load) -> Window:
    """One fault of KINDS under load, until all that it held up has its end."""
    begin = time.monotonic()
    affected: tuple[str, ...] = ()
    callers: Sequence[Caller | Streams]
    if kind in ("slow readers", "slow streams"):
        callers = load.slow_readers() if kind == "slow readers" else load.slow_streams()
        time.sleep(HANG)
        load.read_on(callers)
    else:
        name = kind.removeprefix("hung ")
        affected = (name,)
        server = groups[name][0]
        server.signal(signal.SIGSTOP)
        callers = load.burst(name)
        time.sleep(HANG)
        server.signal(signal.SIGCONT)
    assert all_ended(callers), f"{kind}: {sum(caller.owed for caller in callers)} requests have no end"
    return Window(kind, affected, begin, time.monotonic())
