"""
The test suites of Redis drivers, with a server and with metaproxy between them: `make interop-suites`.

Each suite runs twice, once direct and once through `mode: pinned`, in a network namespace of its own, since the suites
name ports. What passes direct must pass through the proxy; the differences are printed, and those that only prove that
a proxy is there stand in `expected.txt`, each with its reason. Fetches nothing: docs/how-to/run-driver-suites.md tells
how the suites get here. Lives here: starting, comparing. Does not: what a suite is (`drivers`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from drivers import SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = Path(__file__).with_name("expected.txt")
PORT, BEHIND = 6379, 6399
WAYS = ("direct", "proxied")
BOUNDS = ("max_connections", "max_pending", "max_requests")
MANY = 20000
"""Connections at a time: some tests leave theirs open."""
ENDS_IN = 15.0
Results = dict[str, str]
NAMESPACE = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Ports of its own, and nothing that is left of a run that was stopped."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make interop-suites", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"some of {', '.join(SUITES)}; all by default")
    parser.add_argument("--folder", type=Path, default=ROOT / ".suites", help="where the suites are")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that one run may take")
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.suites or [name for name in SUITES if (options.folder / name).is_dir()]
    unknown = [name for name in names if name not in SUITES or not (options.folder / name).is_dir()]
    if unknown or not names:
        print(f"not there: {', '.join(unknown) or options.folder}; see docs/how-to/run-driver-suites.md")
        return 2
    if options.inside is not None:
        return _inside(SUITES[names[0]], options.folder / names[0], options.inside, options.limit)
    return max(_compare(name, options.folder, options.limit) for name in names)


def _compare(name: str, folder: Path, limit: float) -> int:
    """Runs a suite both ways, and prints what differs; 1 if that is more than expected."""
    suite, results = SUITES[name], {}
    for way in WAYS:
        command = [sys.executable, __file__, name, "--folder", folder, "--limit", limit, "--inside", way]
        began = time.monotonic()
        subprocess.run([*NAMESPACE, *map(str, command)], check=False)
        results[way] = suite.results(_reports(folder / name, way))
        counted = Counter(results[way].values())
        figures = ", ".join(f"{counted[each]} {each}" for each in ("passed", "failed", "skipped"))
        print(f"{name} {way}: {figures} in {time.monotonic() - began:.0f} s", flush=True)
        if not results[way]:
            print(f"{name}: no results; see {_reports(folder / name, way)}")
            return 1
    differing = _differing(*(results[way] for way in WAYS))
    reasons = expected(name)
    for test, change in differing.items():
        print(f"  {test}: {change}{'; expected: ' + reasons[test] if test in reasons else ''}")
    lost = [test for test, change in differing.items() if test not in reasons and not change.startswith("failed")]
    print(f"{name}: {len(differing)} differ, {len(lost)} of them worse through the proxy and not expected", flush=True)
    return int(bool(lost))


def _differing(direct: Results, proxied: Results) -> dict[str, str]:
    every = sorted(direct.keys() | proxied.keys())
    pairs = {test: (direct.get(test, "absent"), proxied.get(test, "absent")) for test in every}
    return {test: f"{one} direct, {other} proxied" for test, (one, other) in pairs.items() if one != other}


def expected(name: str) -> dict[str, str]:
    """The tests of a suite that fail through any proxy, with the reason: lines of `suite | test | reason`."""
    lines = [line.split(" | ", 2) for line in EXPECTED.read_text().splitlines() if line and not line.startswith("#")]
    return {test: reason for suite, test, reason in lines if suite == name}


def _reports(folder: Path, way: str) -> Path:
    return folder / f"reports-{way}"


def _inside(suite: Suite, folder: Path, way: str, limit: float) -> int:
    """In the namespace: a server on the port that the suite names, or the proxy there and a server behind it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    reports = _reports(folder, way)
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    programs = []
    try:
        for port in (PORT if way == "direct" else BEHIND, *suite.more_servers):
            programs.append(_server(port, reports))
        if way == "proxied":
            programs.append(_proxy(reports))
        _wait_for(PORT)
        return _run(suite, folder, reports, limit)
    finally:
        for program in reversed(programs):
            program.send_signal(signal.SIGTERM)
        for program in programs:
            try:
                program.wait(ENDS_IN)
            except subprocess.TimeoutExpired:
                program.kill()


def _run(suite: Suite, folder: Path, reports: Path, limit: float) -> int:
    with (reports / "output").open("wb") as output:
        program = subprocess.Popen(
            suite.command(folder, reports),
            cwd=folder,
            env={**os.environ, **suite.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return program.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            print(f"stopped after {limit:g} s")
            return 1


def _server(port: int, directory: Path) -> subprocess.Popen[bytes]:
    home = directory / str(port)
    home.mkdir()
    options = ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--dir", str(home)]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), *options]
    return subprocess.Popen(command, stdout=(home / "log").open("wb"), stderr=subprocess.STDOUT)


def _proxy(directory: Path) -> subprocess.Popen[bytes]:
    config = {
        "listeners": [
            {
                "name": "redis",
                "listen": f"127.0.0.1:{PORT}",
                "protocol": {"name": "redis", "mode": "pinned"},
                "max_frame": "512MiB",
                "max_connections": MANY,
                "routes": [{"cluster": "redis"}],
            }
        ],
        "clusters": [
            {"name": "redis", "endpoints": [f"127.0.0.1:{BEHIND}"], "breaker": dict.fromkeys(BOUNDS, MANY)},
        ],
    }
    file = directory / "metaproxy.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    twistd = Path(sys.executable).with_name("twistd")
    command = [str(twistd), "-n", "--pidfile=", "metaproxy", "--config", str(file)]
    return subprocess.Popen(command, stdout=(directory / "proxy.log").open("wb"), stderr=subprocess.STDOUT, cwd=ROOT)


def _wait_for(port: int) -> None:
    for _ in range(100):
        answer = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False)
        if answer.stdout == b"PONG\n":
            return
        time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
