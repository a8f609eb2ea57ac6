"""
`python -m bench`: the options, the rounds, the table.

Lives here: which cases and subjects there are in a run and in which order. Does not: the rest of the bench.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.loads import MANY_ROUTES, Backends, Case, LoadFailed, backends, fill_redis
from bench.processes import Cores, NotStarted, Running, free_ports, wait_for
from bench.programs import Program, machine, programs
from bench.subjects import ALL, SUBJECTS, Setting, Subject
from bench.table import Table

RPC_LOADS = [(1, 1), (64, 1), (16, 16), (4, 64)]
REDIS_LOADS = [(64, 1), (64, 16)]
HEAVY_LOADS = [(64, 1), (4, 64)]
"""For 16 KiB bodies and for 1,000 routes, unless --loads says otherwise."""
SMALL, LARGE = 64, 16 * 1024
WARMUP = 0.2
PATIENCE = 20.0
"""Seconds until a proxy must have answered its first request."""


def main() -> None:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    found = programs()
    cores = Cores()
    began = time.monotonic()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run(options, found, cores, table, Path(folder))
    header = heading(options, found, cores, time.monotonic() - began)
    print("\n".join(f"{name + ':':14} {text}" for name, text in header.items()), end="\n\n")
    print(table.text())
    if options.json:
        options.json.write_text(json.dumps({**header, "rows": table.data()}, indent=1) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description="Compares metaproxy with other proxies.")
    parser.add_argument(
        "--quick", action="store_true", help="one round, fewer loads; for a first look, not for figures"
    )
    parser.add_argument("--only", type=words, default=["dubbo", "thrift", "redis"], help="dubbo,thrift,theader,redis")
    parser.add_argument("--loads", type=pairs, help="connections x in flight, such as 64x1,4x64")
    parser.add_argument("--subjects", type=words, help="beginnings of names, such as metaproxy,envoy")
    parser.add_argument("--rounds", type=int, help="3 unless told")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured for each row of each round; 1 unless told")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every figure of every round there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    if unknown := set(options.only) - set(ALL):
        parser.error(f"--only: no protocol {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    if not chosen(options.subjects):
        names = ", ".join(subject.name for subject in SUBJECTS)
        parser.error(f"--subjects: none begins so; there are {names}")
    return options


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def pairs(text: str) -> list[tuple[int, int]]:
    """Raises ValueError, which argparse reports."""
    return [(int(connections), int(depth)) for connections, depth in (word.split("x") for word in words(text))]


def chosen(names: list[str] | None) -> list[Subject]:
    return [one for one in SUBJECTS if names is None or one.name.startswith(tuple(names))]


def cases(protocol: str, options: argparse.Namespace) -> Iterator[Case]:
    """The cases of a protocol, those with one number of routes together."""
    if protocol == "redis":
        loads = options.loads or REDIS_LOADS
        for body in (SMALL,) if options.quick else (SMALL, LARGE):
            for command in ("get", "set"):
                yield from (Case(protocol, command, *load, body, routes=1) for load in loads)
        return
    heavy = options.loads or HEAVY_LOADS
    light = heavy if options.quick else options.loads or RPC_LOADS
    yield from (Case(protocol, "", *load, SMALL, routes=1) for load in light)
    if not options.quick:
        yield from (Case(protocol, "", *load, LARGE, routes=1) for load in heavy)
        yield from (Case(protocol, "", *load, SMALL, routes=MANY_ROUTES) for load in heavy)


def run(options: argparse.Namespace, found: dict[str, Program], cores: Cores, table: Table, folder: Path) -> None:
    """Every round goes through all subjects, each started anew, so that what disturbs the machine disturbs all."""
    protocols = [name for name in options.only if name != "redis" or not found["redis-server"].missing]
    if len(protocols) < len(options.only):
        print(f"bench: no Redis rows: {found['redis-server'].missing}", file=sys.stderr)
    with backends(found["load"].path, found["redis-server"].path, set(protocols), folder) as behind:
        for number in range(options.rounds):
            for protocol in protocols:
                if protocol == "redis" and number == 0:
                    for body in (SMALL, LARGE):
                        fill_redis(behind.port("redis"), body)
                for subject in chosen(options.subjects):
                    if protocol in subject.protocols:
                        print(f"round {number + 1}/{options.rounds}: {protocol}, {subject.name}", file=sys.stderr)
                        measure_subject(subject, protocol, options, found, cores, behind, table, folder)


def measure_subject(
    subject: Subject,
    protocol: str,
    options: argparse.Namespace,
    found: dict[str, Program],
    cores: Cores,
    behind: Backends,
    table: Table,
    folder: Path,
) -> None:
    """One round of a subject: once started for each number of routes, and measured under each case of it."""
    own = list(cases(protocol, options))
    for routes in sorted({case.routes for case in own}):
        rows = [table.row(case, subject) for case in own if case.routes == routes and (routes == 1 or subject.routed)]
        if not rows or any(row.failure for row in rows):
            continue
        try:
            with started(subject, protocol, routes, found, cores, behind, folder) as (port, process):
                for row in rows:
                    try:
                        row.rounds.append(behind.ask(row.case, port, WARMUP, options.seconds, process))
                    except LoadFailed as error:
                        row.failure = str(error)
        except NotStarted as error:
            for row in rows:
                row.failure = f"not measured: {error}"


@contextmanager
def started(
    subject: Subject,
    protocol: str,
    routes: int,
    found: dict[str, Program],
    cores: Cores,
    behind: Backends,
    folder: Path,
) -> Iterator[tuple[int, Running | None]]:
    """The port to ask and the proxy's process, once it answered a request. Raises NotStarted."""
    if not subject.program:
        yield behind.port(protocol), None
        return
    program = found[subject.program]
    if program.missing:
        raise NotStarted(program.missing)
    listen, admin = free_ports(2)
    setting = Setting(program.path, protocol, routes, listen, admin, behind.port(protocol), folder)
    command = subject.command(setting)
    with Running(command, folder / "proxy.log", cores.proxy, subject.folder) as process:
        wait_for("a first answer", PATIENCE, process, lambda: answers(behind, protocol, listen))
        yield listen, process


def answers(behind: Backends, protocol: str, port: int) -> bool:
    probe = Case(protocol, "get" if protocol == "redis" else "", connections=1, depth=1, body=SMALL, routes=1)
    try:
        return behind.ask(probe, port, warmup=0, seconds=0.02).errors == 0
    except LoadFailed:
        return False


def heading(options: argparse.Namespace, found: dict[str, Program], cores: Cores, seconds: float) -> dict[str, str]:
    """What the figures were measured on and with."""
    where = f"proxy on core {cores.proxy}; load, backend and bench on core {cores.load}"
    if cores.shared:
        where = "ONE core for everything: latencies and requests/s say little"
    rounds = (
        f"{options.rounds} of {options.seconds:g} s after {WARMUP:g} s of warming up; {seconds / 60:.1f} min in all"
    )
    versions = {name: program.missing or program.version for name, program in asdict_programs(found).items()}
    return {"machine": machine(), "cores": where, "rounds": rounds, **versions}


def asdict_programs(found: dict[str, Program]) -> dict[str, Program]:
    """The programs under the names that the table shows; the load generator's version is its compiler's."""
    return {("load, backend" if name == "load" else name): program for name, program in found.items()}


if __name__ == "__main__":
    main()
