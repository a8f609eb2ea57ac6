"""
`python -m bench.overload`: what a proxy still does when three times as much is asked as it can do.

Lives here: the shapes of the load, the admin API's clock, the table. Does not: the open loop (`load.c`, `loads`),
subjects and their start (`subjects`, `run`).
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from types import TracebackType

from bench.loads import Case, LoadFailed, Result, backends
from bench.processes import Cores, NotStarted, Running
from bench.programs import machine, programs
from bench.run import SMALL, WARMUP, Starter
from bench.subjects import Setting, Subject, overloaded

SHAPES = ((4, 64), (64, 1), (64, 16), (1000, 1))
"""Connections x requests that each may have in flight: what is due while all are taken is given up by the client."""
PATIENCE = 0.005
"""Seconds for which the client keeps what is due: a client that queues without end is late by its own doing."""
SETTLING = 2.0
"""Seconds of the overload before it is measured."""
CALMING = 3.0
"""Seconds in which a proxy forgets what was before."""
PROBE_EVERY = 0.05
PROBE_TIMEOUT = 10.0
SCRAPE_EVERY = 20
"""Of so many questions one is for /metrics, and the others for /healthz: a scrape costs as much as 500 requests."""


class AdminClock:
    """
    Asks the admin API while the block runs. seconds: that each answer took; cpu: those that the proxy computed
    meanwhile. On a core that the proxy has to itself the two are equal, as it always has something to do.
    """

    def __init__(self, port: int, process: Running | None) -> None:
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.failures = 0
        self._ids = process.ids() if process is not None else []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> AdminClock:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(PROBE_TIMEOUT + 1)

    def _run(self) -> None:
        number = 0
        while not self._over.wait(PROBE_EVERY):
            number += 1
            page = "/healthz" if number % SCRAPE_EVERY else "/metrics"
            began, before = time.monotonic(), self._computed()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PROBE_TIMEOUT)
                connection.request("GET", page)
                connection.getresponse().read()
                connection.close()
            except (OSError, http.client.HTTPException):
                self.failures += 1
            self.seconds.append(time.monotonic() - began)
            self.cpu.append(self._computed() - before)

    def _computed(self) -> float:
        """Seconds of the proxy's CPU time so far; the clock's number is made as clock_getcpuclockid(3) does it."""
        return sum(time.clock_gettime((~id << 3) | 2) for id in self._ids)


@dataclass(slots=True)
class Round:
    """
    most: the closed loop's result; over: that of the open loop. admin, admin_cpu: see AdminClock, under the overload;
    admin_failures: of its answers.
    """

    most: Result
    over: Result
    admin: list[float]
    admin_cpu: list[float]
    admin_failures: int

    def goodput(self) -> float:
        """What was answered well, as a share of the maximum."""
        return self.over.requests_per_second / self.most.requests_per_second

    def by_cpu(self) -> float:
        """The same by a second of the proxy's CPU time: what others do on its core does not count."""
        return (self.most.cpu or 0.0) / (self.over.cpu or 1.0)


@dataclass(slots=True)
class Row:
    subject: str
    case: Case
    rounds: list[Round] = field(default_factory=list)
    failure: str = ""

    def line(self) -> str:
        name = f"{self.subject:16} {self.case.connections:>5}x{self.case.depth:<4}"
        if not self.rounds:
            return f"{name} {self.failure}"
        due = sum(one.over.due for one in self.rounds) or 1
        shares = [sum(getattr(one.over, kind) for one in self.rounds) / due for kind in ("refused", "unsent")]
        most = median(one.most.requests_per_second for one in self.rounds)
        p99 = median(one.over.p99 for one in self.rounds)
        closed = median(one.most.p99 for one in self.rounds)
        waited = median(one.over.proxy_waited or 0.0 for one in self.rounds)
        figures = f"{most:>9.0f} {closed:>9.1f} {median(one.goodput() for one in self.rounds):>8.0%}"
        figures += f" {median(one.by_cpu() for one in self.rounds):>8.0%}"
        figures += f" {shares[0]:>8.0%} {shares[1]:>8.0%} {p99:>8.1f}"
        for kind in ("admin", "admin_cpu"):
            found = [seconds for one in self.rounds for seconds in getattr(one, kind)] or [0.0]
            figures += f" {1e3 * median(found):>5.0f} {1e3 * max(found):>5.0f}"
        figures += f" {waited:>7.0%}"
        failures = sum(one.admin_failures for one in self.rounds)
        return f"{name} {figures}{f'  admin: {failures} failed' if failures else ''}{self.failure}"


HEADING = (
    f"{'':16} {'load':>10} {'maximum/s':>9} {'its p99':>9} {'goodput':>8} {'by CPU':>8} {'refused':>8} {'unsent':>8}"
    f" {'p99 ms':>8} {'admin':>5} {'worst':>5} {'CPU':>5} {'worst':>5} {'wait':>7}"
)


def table(rows: Iterable[Row]) -> str:
    return "\n".join((HEADING, *(row.line() for row in rows)))


class _Admin:
    """A subject's command, which notes where the admin API is."""

    def __init__(self, subject: Subject) -> None:
        self.port = 0
        self._command = subject.command

    def command(self, setting: Setting) -> list[str]:
        self.port = setting.admin
        return self._command(setting)


def measure(rows: Sequence[Row], subject: Subject, starter: Starter, times: float, seconds: float) -> None:
    """One round: each row's maximum, then `times` as much, then the maximum again: machines vary."""
    admin = _Admin(subject)
    protocol = rows[0].case.protocol
    try:
        with starter.started(replace(subject, command=admin.command), protocol, 1) as (port, process):
            for row in rows:

                def ask(*given: float, case: Case = row.case) -> tuple[Result, AdminClock]:
                    with AdminClock(
                        admin.port, process
                    ) as clock:  # which costs some of the proxy's time, here as there
                        result = starter.behind.ask(case, port, given[0], given[1], process, *given[2:])
                    time.sleep(CALMING)
                    return result, clock

                before, _ = ask(WARMUP, seconds / 2)
                over, clock = ask(SETTLING, seconds, times * before.requests_per_second, PATIENCE)
                after, _ = ask(WARMUP, seconds / 2)
                row.rounds.append(Round(_mean(before, after), over, clock.seconds, clock.cpu, clock.failures))
    except (NotStarted, LoadFailed) as error:
        rows[0].failure = f" not measured: {error}"


def _mean(one: Result, other: Result) -> Result:
    """Of what is used of a maximum."""
    return replace(
        one,
        requests_per_second=(one.requests_per_second + other.requests_per_second) / 2,
        cpu=((one.cpu or 0.0) + (other.cpu or 0.0)) / 2,
        p99=(one.p99 + other.p99) / 2,
    )


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.overload", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--only", choices=("dubbo", "thrift", "redis"), default="dubbo")
    parser.add_argument("--lags", default="0s,50ms", help="overload.max_lag of each subject; %(default)s")
    parser.add_argument("--loads", default=",".join(f"{one}x{other}" for one, other in SHAPES), help="%(default)s")
    parser.add_argument("--times", type=float, default=3.0, help="how much of its maximum is asked; %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each overload; %(default)s")
    parser.add_argument("--compiled", action="store_true", help="the compiled data path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that what was started is ended
    shapes = [tuple(map(int, text.split("x"))) for text in given.loads.split(",")]
    command = "get" if given.only == "redis" else ""
    cases = [Case(given.only, command, connections, depth, SMALL, 1) for connections, depth in shapes]
    subjects = [overloaded(lag, given.compiled) for lag in given.lags.split(",")]
    rows = {subject.name: [Row(subject.name, case) for case in cases] for subject in subjects}
    found, cores = programs(given.compiled), Cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with backends(found["load"].path, found["redis-server"].path, [given.only], (SMALL,), folder) as behind:
            starter = Starter(found, cores, folder, behind)
            for number in range(given.rounds):
                for subject in subjects:
                    print(f"round {number + 1}/{given.rounds}: {subject.name}", file=sys.stderr)
                    measure(rows[subject.name], subject, starter, given.times, given.seconds)
    print(f"{machine()}; {cores.count} cores; {given.only}, {given.times:g} times its maximum, {given.rounds} rounds")
    print(table(row for several in rows.values() for row in several))
    if given.json:
        with suppress(KeyError):
            given.json.write_text(json.dumps([asdict(row) for several in rows.values() for row in several], indent=1))


if __name__ == "__main__":
    main()
