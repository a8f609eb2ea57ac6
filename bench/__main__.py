"""
`python -m bench`: the options, the header, the table.

Lives here: what a user says and sees. Does not: the run (`run`), the layout of the table (`table`).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.processes import Cores
from bench.programs import Program, machine, programs
from bench.run import WARMUP, Plan, run
from bench.subjects import ALL, SUBJECTS


def main() -> None:
    plan, json_file = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that what was started is ended
    found = programs()
    cores = Cores()
    redis = found["redis-server"]
    if redis.missing and "redis" in plan.protocols:
        print(f"bench: no rows for Redis, redis-server is {redis.missing}", file=sys.stderr)
        plan.protocols.remove("redis")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        table = run(plan, found, cores, Path(folder))
    header = heading(plan, found, cores, time.monotonic() - began)
    print("\n".join(f"{name + ':':14} {text}" for name, text in header.items()), end="\n\n")
    print(table.text())
    if json_file:
        json_file.write_text(json.dumps({**header, "rows": table.data()}, indent=1) + "\n")


def read_options() -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser("python -m bench", description="Compares metaproxy with other proxies.")
    parser.add_argument(
        "--quick", action="store_true", help="one round, fewer cases: a first look, no figures to quote"
    )
    parser.add_argument("--only", type=words, default="dubbo,thrift,redis", help=f"of {','.join(ALL)}; %(default)s")
    parser.add_argument("--loads", type=pairs, help="connections x in flight, such as 64x1,4x64; for all cases")
    parser.add_argument("--subjects", type=words, help="beginnings of names, such as metaproxy,envoy")
    parser.add_argument("--rounds", type=int, help="3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured of each row in each round; %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    options = parser.parse_args()
    if unknown := set(options.only) - set(ALL):
        parser.error(f"--only: no protocol {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    subjects = [one for one in SUBJECTS if options.subjects is None or one.name.startswith(tuple(options.subjects))]
    if not subjects:
        parser.error(f"--subjects: no name begins so; there are {'; '.join(one.name for one in SUBJECTS)}")
    rounds = options.rounds or (1 if options.quick else 3)
    return Plan(options.only, subjects, options.loads, rounds, options.seconds, options.quick), options.json


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def pairs(text: str) -> list[tuple[int, int]]:
    """Raises ValueError, which argparse reports."""
    return [(int(connections), int(depth)) for connections, depth in (word.split("x") for word in words(text))]


def heading(plan: Plan, found: dict[str, Program], cores: Cores, seconds: float) -> dict[str, str]:
    """What the figures were measured on and with."""
    where = f"{cores.count}; the proxy alone on {cores.proxy}; load, backend and bench on {cores.load}"
    if cores.count == 1:
        where = "ONE for everything: only CPU a request says something"
    rounds = (
        f"{plan.rounds} of {plan.seconds:g} s, each after {WARMUP:g} s of warming up; {seconds / 60:.1f} min in all"
    )
    versions = {name: program.missing or program.version for name, program in found.items()}
    return {"machine": machine(), "cores": where, "rounds": rounds, **versions}


if __name__ == "__main__":
    main()
