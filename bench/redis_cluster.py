"""
`python -m bench.redis_cluster`: a Redis Cluster by redis-benchmark, with and without a proxy between.

Lives here: three nodes, the subjects, their loads and one table. Does not: one Redis server (`run`). What each row
costs is the proxy's CPU clock over the load, divided by the commands.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from bench.envoy import redis_cluster
from bench.processes import Cores, NotStarted, Running, free_ports, listens, wait_for
from bench.programs import COMPILED, machine, programs

HOST = "127.0.0.1"
NODES = 3
_START = 15.0
LOADS = ((64, 1), (64, 16))
"""Connections, and commands in flight on each."""
COMMANDS = ("set", "get")
_RATE = re.compile(r"([\d.]+) requests per second(?:, p50=([\d.]+))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject listens, the nodes behind it, and a folder for its files."""

    listen: int
    admin: int
    nodes: list[int]
    folder: Path


@dataclass(frozen=True, slots=True)
class Subject:
    """
    command: None without a proxy: redis-benchmark takes it for a cluster then, as it does not with one of one node.
    slot: all keys are of one slot.
    """

    name: str
    command: Callable[[Place, dict[str, str]], list[str]] | None
    slot: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one round: commands a second, the median of their latency in ms, µs of the proxy's CPU for each."""

    rate: float
    p50: float
    cost: float


def _metaproxy(place: Place, found: dict[str, str]) -> list[str]:
    limits = dict.fromkeys(("max_connections", "max_pending", "max_requests"), 100_000)
    seeds = [f"{HOST}:{port}" for port in place.nodes[:2]]
    cluster = {"name": "nodes", "topology": "cluster", "endpoints": seeds, "breaker": limits}
    listener = {
        "name": "bench",
        "listen": f"{HOST}:{place.listen}",
        "protocol": {"name": "redis", "databases": 1},
        "routes": [{"cluster": "nodes"}],
    }
    config = {"listeners": [listener], "clusters": [cluster], "admin": {"listen": f"{HOST}:{place.admin}"}}
    file = place.folder / "metaproxy.yaml"
    file.write_text(yaml.safe_dump(config))
    return [found["metaproxy"], "-n", "--pidfile=", "metaproxy", "-c", str(file)]


def _compiled(place: Place, found: dict[str, str]) -> list[str]:
    """The same, from a copy of the tree whose data path is compiled."""
    return ["env", "-u", "METAPROXY_PURE", f"PYTHONPATH={COMPILED}", *_metaproxy(place, found)]


def _envoy(place: Place, found: dict[str, str]) -> list[str]:
    file = place.folder / "envoy.json"
    file.write_text(json.dumps(redis_cluster(place.listen, place.admin, place.nodes[0])))
    return [found["envoy"], "-c", str(file), "--concurrency", "1", "-l", "error"]


def _haproxy(place: Place, found: dict[str, str]) -> list[str]:
    file = place.folder / "haproxy.cfg"
    file.write_text(
        "global\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"listen l\n bind {HOST}:{place.listen}\n server s {HOST}:{place.nodes[0]}\n"
    )
    return [found["haproxy"], "-f", str(file)]


SUBJECTS = (
    Subject("no proxy, --cluster", None),
    Subject("metaproxy", _metaproxy),
    Subject("compiled metaproxy", _compiled),
    Subject("envoy redis_proxy, envoy.clusters.redis", _envoy),
    Subject("haproxy tcp, one node and one slot", _haproxy, slot=True),
)


@contextmanager
def nodes(folder: Path, found: dict[str, str]) -> Iterator[list[int]]:
    """Masters that share all slots; the first slot is the first one's."""
    ports = free_ports(2 * NODES)
    with ExitStack() as stack:
        for place, port in enumerate(ports[:NODES]):
            home = folder / f"node{place}"
            home.mkdir()
            command = [
                found["redis-server"], "--bind", HOST, "--port", str(port), "--save", "", "--dir", str(home),
                "--cluster-enabled", "yes", "--cluster-port", str(ports[NODES + place]),
            ]  # fmt: skip
            process = stack.enter_context(Running(command, home / "log"))
            wait_for("redis-server", _START, process, lambda port=port: listens(port))  # type: ignore[misc]
        where = [f"{HOST}:{port}" for port in ports[:NODES]]
        made = [found["redis-cli"], "--cluster", "create", *where, "--cluster-yes"]
        subprocess.run(made, capture_output=True, timeout=60, check=True)
        for port in ports[:NODES]:
            wait_for("the cluster", _START, process, lambda port=port: _is_whole(port, found))  # type: ignore[misc]
        yield ports[:NODES]


def _is_whole(port: int, found: dict[str, str]) -> bool:
    asked = [found["redis-cli"], "-p", str(port), "cluster", "info"]
    return "cluster_state:ok" in subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False).stdout


def load(
    subject: Subject, command: str, port: int, size: tuple[int, int], count: int, program: str
) -> tuple[float, float]:
    """Commands a second and the median of their latency. Raises ValueError for errors among the answers."""
    connections, depth = size
    asked = [program, "-p", str(port), "-c", str(connections), "-P", str(depth), "-n", str(count), "-r", "1000", "-q"]
    if subject.slot:  # {06S} is of slot 0
        key = "{06S}:__rand_int__"
        asked += [command, key] if command == "get" else [command, key, "xxx"]
    else:
        asked += [*([] if subject.command else ["--cluster"]), "-t", command]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True).stdout
    found = _RATE.findall(said)
    if not found or "rror" in said:
        raise ValueError(f"redis-benchmark said {said[-300:]!r}")
    return float(found[-1][0]), float(found[-1][1] or 0)


def run(found: dict[str, str], cores: Cores, count: int, folder: Path) -> dict[tuple[str, str], Figure | str]:
    """One round: by load and subject a figure, or why there is none."""
    rows: dict[tuple[str, str], Figure | str] = {}
    with nodes(folder, found) as ports:
        for number, subject in enumerate(SUBJECTS):
            home = folder / f"subject{number}"
            home.mkdir()
            with ExitStack() as stack:
                port, process = ports[0], None
                if subject.command is not None:
                    port, admin = free_ports(2)
                    command = subject.command(Place(port, admin, ports, home), found)
                    process = stack.enter_context(Running(["taskset", "-c", str(cores.proxy), *command], home / "log"))
                    wait_for(subject.name, _START, process, lambda port=port: _pings(port, found))  # type: ignore[misc]
                for size in LOADS:
                    for command_name in COMMANDS:
                        key = f"{command_name.upper()}, {size[0]} x {size[1]}", subject.name
                        try:
                            load(subject, command_name, port, size, count // 10, found["redis-benchmark"])
                            before = process.cpu() if process is not None else 0.0
                            rate, p50 = load(subject, command_name, port, size, count, found["redis-benchmark"])
                            used = process.cpu() - before if process is not None else 0.0
                            rows[key] = Figure(rate, p50, used * 1e6 / count)
                        except (ValueError, subprocess.SubprocessError) as error:
                            rows[key] = str(error)
    return rows


def _pings(port: int, found: dict[str, str]) -> bool:
    asked = [found["redis-cli"], "-p", str(port), "get", "x"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False)
    return answer.returncode == 0 and not answer.stdout.startswith(("ERR", "NOAUTH", "upstream", "no "))


def table(rounds: list[dict[tuple[str, str], Figure | str]]) -> str:
    lines = ["| load | between | commands/s | p50 ms | CPU µs of the proxy |", "|---|---|---|---|---|"]
    for key in dict.fromkeys(key for rows in rounds for key in rows):
        figures = [found for rows in rounds if isinstance(found := rows.get(key, ""), Figure)]
        if not figures:
            lines.append(f"| {key[0]} | {key[1]} | {next(rows[key] for rows in rounds if key in rows)} | | |")
            continue
        rate, p50, cost = (median(getattr(one, name) for one in figures) for name in ("rate", "p50", "cost"))
        lines.append(f"| {key[0]} | {key[1]} | {rate:,.0f} | {p50:.2f} | {f'{cost:.1f}' if cost else ''} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.redis_cluster", description="A Redis Cluster beside proxies.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=40_000, help="commands of each load in each round; %(default)s")
    options = parser.parse_args()
    own = programs()
    found = {name: own[name].path for name in ("metaproxy", "envoy")}
    for tool in ("redis-server", "redis-cli", "redis-benchmark", "haproxy", "taskset"):
        path = shutil.which(tool)
        if path is None:
            raise SystemExit(f"bench.redis_cluster: {tool} is missing; run tests/interop/install, which installs it")
        found[tool] = path
    cores = Cores()
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
            try:
                rounds.append(run(found, cores, options.count, Path(folder)))
            except NotStarted as error:
                raise SystemExit(f"bench.redis_cluster: {error}") from None
    print(f"{own['metaproxy'].version}; Envoy {own['envoy'].version}; {machine()}; {options.rounds} rounds\n")
    print(table(rounds))


if __name__ == "__main__":
    main()
