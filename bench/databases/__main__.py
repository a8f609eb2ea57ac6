"""
`python -m bench.databases`: what a query costs through each proxy, with real servers and their own load generators.

Lives here: options, rounds, the table. Does not: what is started (`servers`, `proxies`), what is asked (`loads`). What
each row costs is the proxy's CPU clock over the load, divided by the queries that were answered.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.databases import servers
from bench.databases.kafka import kafka
from bench.databases.loads import LOADS, Load
from bench.databases.proxies import ENOUGH, EVERY, FEW, PROXIES, Place, Proxy
from bench.databases.rabbit import rabbitmq
from bench.processes import Cores, NotStarted, Running, free_ports, listens, wait_for
from bench.programs import install_debian, machine, own_program

_START = 15.0
_WARMUP = 1.0
_SERVERS: dict[str, Callable[[Path], AbstractContextManager[int]]] = {
    "postgres": servers.postgres,
    "mysql": servers.mariadb,
    "mongodb": servers.mongodb,
    "amqp": rabbitmq,
    "kafka": kafka,
}
NONE = "none"


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One round of a load through a proxy, or through None. cost: µs of the proxy's CPU a query; rate: queries a second;
    failure: what went wrong instead.
    """

    load: str
    proxy: Proxy | None
    cost: float = 0.0
    rate: float = 0.0
    failure: str = ""


@contextmanager
def _started(proxy: Proxy, place: Place, cores: Cores) -> Iterator[Running]:
    place.folder.mkdir()
    place.folder.chmod(0o755)
    pinned = ["taskset", "-c", str(cores.proxy), *proxy.command(place)]
    with Running(pinned, place.folder / "log") as process:
        wait_for(f"{proxy.name} does not listen", _START, process, lambda: listens(place.listen))
        yield process


def _measured(load: Load, proxy: Proxy | None, process: Running | None, port: int, seconds: float) -> Figure:
    load.run(port, _WARMUP)
    before, began = process.cpu() if process else 0.0, time.monotonic()
    queries = load.run(port, seconds)
    used, taken = (process.cpu() if process else 0.0) - before, time.monotonic() - began
    if isinstance(queries, servers.Counted):
        queries, taken = queries
    if not queries:
        raise ValueError("no query was answered within the load's time")
    return Figure(load.name, proxy, used * 1e6 / queries, queries / taken)


def measure(load: Load, proxy: Proxy | None, backend: int, folder: Path, cores: Cores, seconds: float) -> Figure:
    """A load through a proxy that is started for it, after a short one; None: no proxy."""
    try:
        if proxy is None:
            return _measured(load, None, None, backend, seconds)
        listen, admin = free_ports(2)
        shared = FEW if load.crowd else ENOUGH
        place = Place(load.database, listen, admin, backend, shared, folder / f"proxy-{listen}")
        with _started(proxy, place, cores) as process:
            return _measured(load, proxy, process, listen, seconds)
    except (NotStarted, ValueError, OSError, subprocess.SubprocessError) as error:
        return Figure(load.name, proxy, failure=str(error).strip().splitlines()[-1][:120])


def subjects(load: Load, wanted: tuple[str, ...]) -> Iterator[Proxy | None]:
    """Those that a load is measured through. A crowd needs one that lends connections."""
    if not load.crowd and NONE.startswith(wanted):
        yield None
    for proxy in PROXIES:
        fits = load.database in proxy.databases and (proxy.pools or not load.crowd)
        if fits and proxy.name.startswith(wanted) and not (load.crowd and "session" in proxy.name):
            yield proxy


def table(figures: list[Figure]) -> str:
    """A line a load and proxy: medians of the rounds."""
    lines = ["| load | proxy | CPU µs a query | of PgBouncer's | queries/s |", "|---|---|---|---|---|"]
    rows: dict[tuple[str, str], list[Figure]] = {}
    for one in figures:
        rows.setdefault((one.load, one.proxy.name if one.proxy else NONE), []).append(one)
    bases = {
        load: statistics.median(one.cost for one in same if not one.failure)
        for (load, _), same in rows.items()
        if same[0].proxy is not None and same[0].proxy.base and any(not one.failure for one in same)
    }
    for load, name in sorted(rows, key=lambda key: [one.name for one in LOADS].index(key[0])):
        well = [one for one in rows[load, name] if not one.failure]
        if not well:
            lines.append(f"| {load} | {name} | {rows[load, name][0].failure} | | |")
            continue
        cost, rate = (statistics.median(getattr(one, key) for one in well) for key in ("cost", "rate"))
        ratio = f"{cost / bases[load]:.2f}" if load in bases and name != NONE else ""
        failed = f" ({len(rows[load, name]) - len(well)} rounds failed)" if len(well) < len(rows[load, name]) else ""
        shown = f"{cost:.1f}{failed}" if name != NONE else ""
        lines.append(f"| {load} | {name} | {shown} | {ratio} | {rate:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.databases", description="Databases beside other proxies.")
    parser.add_argument("--only", default=",".join(EVERY), help="databases; %(default)s")
    parser.add_argument(
        "--loads", default="", help="beginnings of loads' names, such as 'pgbench read-only, simple;mongo'"
    )
    parser.add_argument(
        "--proxies", default="", help=f"beginnings of names, such as 'metaproxy;pgbouncer, transaction;{NONE}'"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load in each round; %(default)s")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    install_debian(("pgbouncer", "sysbench"))
    cores = Cores()
    figures: list[Figure] = []
    for database in options.only.split(","):
        loads = [
            one for one in LOADS if one.database == database and one.name.startswith(tuple(options.loads.split(";")))
        ]
        with tempfile.TemporaryDirectory(prefix="bench-databases-") as name:
            folder = Path(name)
            try:
                with _SERVERS[database](folder) as backend:
                    for number in range(options.rounds):
                        for load in loads:
                            for proxy in subjects(load, tuple(options.proxies.split(";"))):
                                told = proxy.name if proxy else NONE
                                print(f"round {number + 1}/{options.rounds}: {load.name}, {told}", file=sys.stderr)
                                figures.append(measure(load, proxy, backend, folder, cores, options.seconds))
            except (servers.Missing, NotStarted, ValueError) as error:
                print(f"bench.databases: no rows for {database}: {error}", file=sys.stderr)
    print(f"{own_program().version}; {machine()}; {options.rounds} rounds of {options.seconds:g} s\n")
    print(table(figures))


if __name__ == "__main__":
    main()
