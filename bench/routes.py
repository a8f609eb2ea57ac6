"""
`python -m bench.routes`: what 1,000 routes cost over one, asked for in turn with one request a client.

It is a matter of the processor's caches, and what a process gets of them changes from start to start and from minute to
minute, by more than what is looked for. So a proxy with one route and one with 1,000 run side by side, are asked in
turn, in short windows, and both are started several times.

Lives here: the run and its table. Does not: subjects (`subjects`), the load (`loads`).
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import quantiles

from bench.loads import MANY_ROUTES, Case, LoadFailed, backends
from bench.processes import Cores, NotStarted, Running
from bench.programs import programs
from bench.run import SMALL, WARMUP, Starter
from bench.subjects import SUBJECTS, Subject

PROTOCOLS = ("dubbo", "thrift")
NUMBERS = (1, MANY_ROUTES)
TITLES = f"{'':34}{'1 route':>9}{'of the windows':>20}{'1,000':>9}{'of the windows':>20}{'more':>9}"


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.routes", description=__doc__)
    parser.add_argument("--subjects", default="metaproxy,compiled", metavar="NAMES", help="beginnings of names")
    parser.add_argument("--load", type=load, default="64x1", help="connections x in flight, such as 4x64; %(default)s")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--windows", type=int, default=8, help="of each start; 2 or more")
    parser.add_argument("--seconds", type=float, default=0.4, help="of a window")
    options = parser.parse_args()
    wanted = tuple(options.subjects.split(","))
    subjects = [one for one in SUBJECTS if one.routed and not one.feature and one.name.startswith(wanted)]
    if not subjects:
        parser.error(f"no subject begins with any of {options.subjects}: write beginnings of {names()}")
    if options.starts < 1 or options.windows < 2:
        parser.error("write --starts of 1 or more and --windows of 2 or more")
    connections, depth = options.load
    found = programs()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        backends(found["load"].path, found["redis-server"].path, list(PROTOCOLS), (SMALL,), Path(folder)) as behind,
    ):
        run = _Run(Starter(found, Cores(), Path(folder), behind), options.starts, options.windows, options.seconds)
        for protocol in PROTOCOLS:
            cases = [Case(protocol, "", connections, depth, SMALL, number) for number in NUMBERS]
            print(f"{protocol}, {connections}x{depth}, {SMALL} B: µs of the proxy's CPU a request\n{TITLES}")
            for subject in subjects:
                if protocol in subject.protocols:
                    print(run.row(subject, cases), flush=True)


def load(text: str) -> tuple[int, int]:
    """Raises ValueError, which argparse reports."""
    connections, depth = map(int, text.split("x"))
    return connections, depth


def names() -> str:
    return "; ".join(one.name for one in SUBJECTS if one.routed and not one.feature)


class _Run:
    """starts, windows: how often; seconds: of a window."""

    def __init__(self, starter: Starter, starts: int, windows: int, seconds: float) -> None:
        self._starter = starter
        self._starts, self._windows, self._seconds = starts, windows, seconds
        self._numbers = count()

    def row(self, subject: Subject, cases: list[Case]) -> str:
        found: dict[Case, list[float]] = {case: [] for case in cases}
        try:
            for _ in range(self._starts):
                self._side_by_side(subject, found)
        except (NotStarted, LoadFailed) as error:
            return f"  {subject.name:32}{error}"
        row, medians = f"  {subject.name:32}", []
        for costs in found.values():
            low, middle, high = quantiles(costs, n=4)
            medians.append(middle)
            row += f"{middle:9.2f}{f'{low:.2f} .. {high:.2f}':>20}"
        return f"{row}{medians[1] / medians[0] - 1:+9.1%}"

    def _side_by_side(self, subject: Subject, found: dict[Case, list[float]]) -> None:
        """Raises NotStarted or LoadFailed."""
        with ExitStack() as running:
            up: list[tuple[Case, int, Running | None]] = []
            for case in found:
                folder = self._starter.folder / str(next(self._numbers))  # of its own, as several run at a time
                folder.mkdir()
                starter = replace(self._starter, folder=folder)
                port, process = running.enter_context(starter.started(subject, case.protocol, case.routes))
                up.append((case, port, process))
            for window in range(self._windows + 1):
                for case, port, process in up:
                    result = self._starter.behind.ask(case, port, WARMUP, self._seconds, process)
                    if result.errors or result.cpu is None:
                        raise LoadFailed(f"{result.errors} errors: {result.first_error}")
                    if window:  # in the first, connections and routes are met for the first time
                        found[case].append(result.cpu)


if __name__ == "__main__":
    main()
