"""
All fuzz targets, as many at a time as there are cores: `make fuzz`, and a stage of `.ci/run`.

FUZZ_SECONDS: how long each runs. What is found is written to tests/fuzz/corpus/<codec>, where a unit test runs it again
(tests/unit/test_fuzz_findings.py); the inputs that led to new code are kept in .fuzz. Lives here: processes and what
they print. Does not: the targets.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORK = ROOT / ".fuzz"
NAMES = (
    "http", "http2", "grpc", "dubbo", "thrift", "redis", "mongodb", "mysql", "postgres", "kafka", "amqp", "brpc",
    "trpc", "auto",
)  # fmt: skip
SECONDS = 1800


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(NAMES)}; all by default")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.targets) - set(NAMES))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; write some of {', '.join(NAMES)}")
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not installed; it has no wheel for this machine or this version of Python")
        return 1 if os.environ.get("CI") else 0
    seconds = int(os.environ.get("FUZZ_SECONDS") or SECONDS)
    WORK.mkdir(exist_ok=True)
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        good = list(pool.map(lambda name: _run(name, seconds), options.targets or NAMES))
    return 0 if all(good) else 1


def _run(name: str, seconds: int) -> bool:
    """Runs one target, and prints what came of it."""
    command = [sys.executable, str(HERE / "fuzz_one.py"), name, f"-max_total_time={seconds}"]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    log = WORK / f"{name}.log"
    with log.open("wb") as out:
        status = subprocess.run(command, cwd=ROOT, env=os.environ | path, stdout=out, stderr=out).returncode
    text = log.read_text(errors="replace")
    runs = re.findall(r"number_of_executed_units: (\d+)|#(\d+)\s", text)
    count = max((int(one or two) for one, two in runs), default=0)
    if status == 0 and count:
        print(f"fuzz: {name}: {seconds} s, {count} runs, nothing found", flush=True)
        return True
    print(f"fuzz: {name}: failed after {count} runs, see {log.relative_to(ROOT)}:", flush=True)
    print("\n".join(line[:600] for line in text.splitlines()[-40:]), flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
