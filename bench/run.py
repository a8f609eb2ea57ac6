"""
A run: every subject under every case, round by round.

Lives here: which cases there are, the order, starting subjects and giving up on those that do not start. Does not:
options (`__main__`), what a subject is (`subjects`), how a load is asked (`loads`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.loads import MANY_ROUTES, Backends, Case, LoadFailed, backends
from bench.processes import Cores, NotStarted, Running, free_ports, wait_for
from bench.programs import Program
from bench.subjects import Setting, Subject
from bench.table import Row, Table

RPC_LOADS = [(1, 1), (64, 1), (16, 16), (4, 64)]
REDIS_LOADS = [(64, 1), (64, 16)]
HEAVY_LOADS = [(64, 1), (4, 64)]
"""For 16 KiB bodies and for 1,000 routes, unless the loads are given."""
SMALL, LARGE = 64, 16 * 1024
WARMUP = 0.2
PATIENCE = 20.0
"""Seconds until a proxy must have answered its first request."""
SPREAD = "import os, sys; os.sched_setaffinity(0, [{cores}]); os.execvp(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Plan:
    """loads: (connections, in flight), or None for each protocol's own. quick: small bodies, one route, fewer loads."""

    protocols: list[str]
    subjects: list[Subject]
    loads: list[tuple[int, int]] | None
    rounds: int
    seconds: float
    quick: bool

    def cases(self, protocol: str) -> list[Case]:
        small, large, many = [], [], []
        for connections, depth in self.loads or self._own_loads(protocol):
            case = Case(protocol, "", connections, depth, SMALL, routes=1)
            heavy = not self.quick and (self.loads or protocol == "redis" or (connections, depth) in HEAVY_LOADS)
            small.append(case)
            large += [replace(case, body=LARGE)] if heavy else []
            many += [replace(case, routes=MANY_ROUTES)] if heavy and protocol != "redis" else []
        if protocol == "redis":
            return [replace(case, command=command) for case in small + large for command in ("get", "set")]
        return small + large + many

    def _own_loads(self, protocol: str) -> list[tuple[int, int]]:
        if protocol == "redis":
            return REDIS_LOADS
        return HEAVY_LOADS if self.quick else RPC_LOADS


def _is_plain(case: Case) -> bool:
    """What the cost of a feature is measured with."""
    return case.body == SMALL and case.routes == 1 and (case.connections, case.depth) in HEAVY_LOADS


def run(plan: Plan, programs: dict[str, Program], cores: Cores, folder: Path) -> Table:
    """
    Every round goes through all subjects, each started afresh, so that what disturbs the machine disturbs all alike.

    folder: a temporary one, for configurations and logs.
    """
    table = Table()
    load, redis = programs["load"], programs["redis-server"]
    with backends(load.path, redis.path, plan.protocols, (SMALL, LARGE), folder) as behind:
        bench = _Bench(plan, Starter(programs, cores, folder, behind), table)
        for number in range(plan.rounds):
            for protocol in plan.protocols:
                for subject in plan.subjects:
                    if protocol in subject.protocols:
                        print(f"round {number + 1}/{plan.rounds}: {protocol}, {subject.name}", file=sys.stderr)
                        bench.measure(subject, protocol)
    return table


@dataclass(frozen=True, slots=True)
class Starter:
    """
    Starts subjects before the backends, each on the proxy's core; spread: on that of the load as well. folder: for
    configurations and logs.
    """

    programs: dict[str, Program]
    cores: Cores
    folder: Path
    behind: Backends
    spread: bool = False

    @contextmanager
    def started(self, subject: Subject, protocol: str, routes: int) -> Iterator[tuple[int, Running | None]]:
        """The port to ask and the proxy's process, once it has answered a request. Raises NotStarted."""
        if not subject.program:
            yield self.behind.port(protocol), None
            return
        program = self.programs[subject.program]
        if program.missing:
            raise NotStarted(program.missing)
        listen, admin = free_ports(2)
        setting = Setting(program.path, protocol, routes, listen, admin, self.behind.port(protocol), self.folder)
        with Running(
            [*self._pinned(), *subject.command(setting)], self.folder / "proxy.log", subject.folder
        ) as process:
            wait_for("a first answer", PATIENCE, process, lambda: self._answers(protocol, listen))
            yield listen, process

    def _pinned(self) -> list[str]:
        """What the command of a subject stands behind."""
        if not self.spread:
            return [self.programs["load"].path, "pin", str(self.cores.proxy)]
        cores = sorted({self.cores.load, self.cores.proxy})
        return [sys.executable, "-c", SPREAD.format(cores=", ".join(map(str, cores)))]

    def _answers(self, protocol: str, port: int) -> bool:
        probe = Case(protocol, "get" if protocol == "redis" else "", connections=1, depth=1, body=SMALL, routes=1)
        try:
            return self.behind.ask(probe, port, warmup=0, seconds=0.02).errors == 0
        except LoadFailed:
            return False


@dataclass(frozen=True, slots=True)
class _Bench:
    plan: Plan
    starter: Starter
    table: Table

    def measure(self, subject: Subject, protocol: str) -> None:
        """One round of a subject: started once for each number of routes, then asked every case with as many."""
        cases = [one for one in self.plan.cases(protocol) if not subject.feature or _is_plain(one)]
        for routes in sorted({case.routes for case in cases if case.routes == 1 or subject.routed}):
            rows = [self.table.row(case, subject) for case in cases if case.routes == routes]
            if any(row.failure for row in rows):
                continue
            try:
                with self.starter.started(subject, protocol, routes) as (port, process):
                    for row in rows:
                        self._ask(row, port, process)
            except NotStarted as error:
                for row in rows:
                    row.failure = row.failure or f"not measured: {error}"

    def _ask(self, row: Row, port: int, process: Running | None) -> None:
        try:
            row.rounds.append(self.starter.behind.ask(row.case, port, WARMUP, self.plan.seconds, process))
        except LoadFailed as error:
            row.failure = str(error)
            if process is not None:
                process.check()
