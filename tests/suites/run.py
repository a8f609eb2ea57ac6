"""
The test suites of drivers, with a server and with metaproxy between them: `make interop-suites`.

Each suite runs on its server, and then each way through the proxy. What passes direct must pass through the proxy; the
differences are printed, and those that only prove that a proxy is there stand in `expected.txt`, each with its reason.
Fetches nothing: docs/how-to/run-driver-suites.md tells how the suites get here. Lives here: starting, comparing. Does
not: what a suite is (`drivers`), what it runs on (`servers`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from drivers import SUITES, Suite
from servers import SERVERS

from proxied import Proxy, cluster, listener  # isort: skip  # of tests/interop, which servers.py makes importable
from running import free_port  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = Path(__file__).with_name("expected.txt")
DIRECT = "direct"
BOUNDS = ("max_connections", "max_pending", "max_requests")
MANY = 20000
"""Connections at a time: some tests leave theirs open."""
Results = dict[str, str]
NAMESPACE = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""For suites that name ports: ports of its own, and nothing that is left of a run that was stopped."""


@dataclass(frozen=True)
class Asked:
    """folder: where the suites are. limit: seconds of a run. more: arguments of what runs a suite."""

    folder: Path
    limit: float
    more: str


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make interop-suites", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"some of {', '.join(SUITES)}; all by default")
    parser.add_argument("--folder", type=Path, default=ROOT / ".suites", help="where the suites are")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that one run may take")
    parser.add_argument("--way", help="the only way through the proxy that is taken")
    parser.add_argument("--more", default="", help="further arguments of what runs the suite, such as '-k NAME'")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.suites or [name for name in SUITES if (options.folder / name).is_dir()]
    unknown = [name for name in names if name not in SUITES or not (options.folder / name).is_dir()]
    if unknown or not names:
        print(f"not there: {', '.join(unknown) or options.folder}; see docs/how-to/run-driver-suites.md")
        return 2
    asked = Asked(options.folder.resolve(), options.limit, options.more)
    if options.inside is not None:
        return _inside(names[0], options.inside, asked)
    return max(_compare(name, options.way, asked) for name in names)


def _compare(name: str, only: str | None, asked: Asked) -> int:
    """Runs a suite direct and each way through the proxy, and prints what differs; 1 if that is more than expected."""
    ways = [way for way, how in SERVERS[SUITES[name].server].ways.items() if only == way or not (only or how.asked)]
    if not ways:
        print(f"{name}: no way called {only}; there are {', '.join(SERVERS[SUITES[name].server].ways)}")
        return 2
    direct = _results(name, DIRECT, asked)
    return max(int(not direct), *(_differences(name, direct, way, asked) for way in ways))


def _results(name: str, way: str, asked: Asked) -> Results:
    """What a run gave; nothing if it did not end as it should."""
    suite, reports = SUITES[name], _reports(asked.folder / name, way)
    command = [
        sys.executable, __file__, name, "--folder", asked.folder, "--limit", asked.limit, f"--more={asked.more}",
        "--inside", way,
    ]  # fmt: skip
    began = time.monotonic()
    alone = NAMESPACE if SERVERS[suite.server].port else ()
    ended = subprocess.run([*alone, *map(str, command)], check=False)
    results = suite.results(reports) if ended.returncode == 0 else {}
    counted = Counter(results.values())
    figures = ", ".join(f"{counted[each]} {each}" for each in ("passed", "failed", "skipped"))
    print(f"{name} {way}: {figures} in {time.monotonic() - began:.0f} s", flush=True)
    if not results:
        print(f"{name} {way}: no results; see {reports}")
    return results


def _differences(name: str, direct: Results, way: str, asked: Asked) -> int:
    proxied = _results(name, way, asked)
    if not proxied:
        return 1
    differing = _differing(direct, proxied)
    reasons = expected(name, way)
    for test, (one, other) in differing.items():
        reason = f"; expected: {reasons[test]}" if test in reasons else ""
        print(f"  {test}: {one} direct, {other} {way}{reason}")
    lost = [test for test, (one, _) in differing.items() if test not in reasons and one != "failed"]
    print(f"{name} {way}: {len(differing)} differ, {len(lost)} of them worse through the proxy and not expected")
    for test in reasons.keys() - differing.keys():
        print(f"  {test}: expected to differ, and does not")
    return int(bool(lost))


def _differing(direct: Results, proxied: Results) -> dict[str, tuple[str, str]]:
    every = sorted(direct.keys() | proxied.keys())
    pairs = {test: (direct.get(test, "absent"), proxied.get(test, "absent")) for test in every}
    return {test: pair for test, pair in pairs.items() if pair[0] != pair[1]}


def expected(name: str, way: str) -> dict[str, str]:
    """The tests of a suite that fail that way, with the reason: lines of `suite | way | test | reason`, * for any."""
    lines = [line.split(" | ", 3) for line in EXPECTED.read_text().splitlines() if line and not line.startswith("#")]
    return {test: reason for suite, through, test, reason in lines if suite == name and through in ("*", way)}


def _reports(folder: Path, way: str) -> Path:
    return folder / f"reports-{way}"


def _inside(name: str, way: str, asked: Asked) -> int:
    """A server on the port that the suite is given or names, or the proxy there and a server behind it."""
    suite, folder = SUITES[name], asked.folder / name
    kind = SERVERS[suite.server]
    if kind.port:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    reports = _reports(folder, way)
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    with ExitStack() as programs:
        port = kind.port or free_port()
        behind = port if way == DIRECT else free_port()
        for each in (behind, *suite.more_servers):
            home = reports / str(each)
            home.mkdir()
            start = kind.start if way == DIRECT or kind.ways[way].start is None else kind.ways[way].start
            programs.callback(start(each, home))
        if way != DIRECT:
            programs.callback(_proxy(suite, way, port, behind, reports))
        return _run(suite, folder, reports, port, asked)


def _run(suite: Suite, folder: Path, reports: Path, port: int, asked: Asked) -> int:
    """1 if the suite was stopped; whether tests fail is said by its reports."""
    suite.prepare(folder, port)
    with (reports / "output").open("wb") as output:
        program = subprocess.Popen(
            [*suite.command(folder, reports), *shlex.split(asked.more)],
            cwd=folder,
            env={**os.environ, **suite.environment(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            program.wait(asked.limit)
            return 0
        except subprocess.TimeoutExpired:
            print(f"stopped after {asked.limit:g} s")
            return 1
        finally:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()


def _proxy(suite: Suite, way: str, port: int, behind: int, directory: Path) -> Callable[[], object]:
    """Starts what stands between the two; what ends it."""
    through = SERVERS[suite.server].ways[way]
    if through.other is not None:
        home = directory / "other"
        home.mkdir()
        return through.other(port, behind, home)
    if through.config is not None:
        return Proxy(through.config(port, behind, directory), directory).stop
    front = listener(
        "front", port, dict(through.protocol), [{"cluster": "server"}], max_frame="512MiB", max_connections=MANY
    )
    server = cluster("server", behind, breaker=dict.fromkeys(BOUNDS, MANY), **through.cluster)
    return Proxy({"secrets": dict(through.secrets), "listeners": [front], "clusters": [server]}, directory).stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
