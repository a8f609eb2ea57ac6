"""
`python -m bench.workers`: what several workers cost, and how evenly they share the work, beside Envoy's threads.

On a machine with two cores, which carry load and backend as well, requests a second say nothing about it: so it is CPU
a request, of one worker and of two, and the busiest worker's part of the work over its fair share.

Lives here: the run and its table. Does not: subjects (`subjects`), the load (`loads`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.latency import DEPTH
from bench.loads import Case, LoadFailed, backends
from bench.processes import Cores, NotStarted, Running, cpu_of_tasks
from bench.programs import programs
from bench.run import SMALL, WARMUP, Starter
from bench.subjects import WORKERS, Subject

LOADS = [(64, 1), (16, 16), (4, 64)]


@dataclass(frozen=True, slots=True)
class Measured:
    """cpu: µs a request, of all processes and threads. busiest: the busiest worker's work over its fair share."""

    cpu: float
    busiest: float


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        help="requests a second in an open loop over 64 connections, in place of as many as go: in a closed loop a "
        "connection whose worker gets more of its core asks more",
    )
    options = parser.parse_args()
    found = programs()
    print(f"{'':28}{'CPU µs':>9}{'of one':>9}{'busiest':>9}")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        backends(found["load"].path, found["redis-server"].path, ["dubbo"], (SMALL,), Path(folder)) as behind,
    ):
        starter = Starter(found, Cores(), Path(folder), behind, spread=True)
        run = _Run(starter, options.rounds, options.seconds, options.rate)
        for connections, depth in [(64, DEPTH)] if options.rate else LOADS:
            case = Case("dubbo", "", connections, depth, SMALL, routes=1)
            print(f"\n{case}")
            _rows(case, run)


@dataclass(frozen=True, slots=True)
class _Run:
    starter: Starter
    rounds: int
    seconds: float
    rate: float

    def measure(self, subject: Subject, case: Case) -> Measured:
        """Raises NotStarted or LoadFailed."""
        with self.starter.started(subject, case.protocol, case.routes) as (port, process):
            assert process is not None
            before = _workers(process)
            result = self.starter.behind.ask(case, port, WARMUP, self.seconds, process, self.rate)
            work = {name: spent - before.get(name, 0.0) for name, spent in _workers(process).items()}
        if result.cpu is None or result.errors:
            raise LoadFailed(f"{result.errors} errors: {result.first_error}")
        return Measured(result.cpu, max(work.values()) * len(work) / (sum(work.values()) or 1.0))


def _rows(case: Case, run: _Run) -> None:
    alone: dict[str, float] = {}
    for count, subjects in WORKERS.items():
        for place, subject in enumerate(subjects):
            try:
                rounds = [run.measure(subject, case) for _ in range(run.rounds)]
            except (NotStarted, LoadFailed) as error:
                print(f"  {subject.name:26}{error}")
                continue
            cpu, busiest = median(one.cpu for one in rounds), median(one.busiest for one in rounds)
            kind = str(place)
            alone.setdefault(kind, cpu)
            print(f"  {subject.name:26}{cpu:9.2f}{cpu / alone[kind]:9.2f}{busiest:9.2f}" if count > 1 else
                  f"  {subject.name:26}{cpu:9.2f}")  # fmt: skip


def _workers(process: Running) -> Mapping[str, float]:
    """CPU seconds by worker: the threads that Envoy calls so, or all processes but the first, if there are others."""
    ids = process.ids()
    tasks = {pid: cpu_of_tasks(pid) for pid in ids}
    threads = {name: spent for found in tasks.values() for name, spent in found.items() if name.startswith("wrk:")}
    if threads:
        return threads
    working = ids[1:] if len(ids) > 1 else ids
    return {str(pid): sum(tasks[pid].values()) for pid in working}


if __name__ == "__main__":
    main()
