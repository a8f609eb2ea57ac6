"""
`python -m bench.instructions`: instructions a request of every protocol, counted by valgrind's callgrind.

They are the same on a busy machine, so a change of some percent is seen. Figures are kept in `instructions.json`, for
plain Python and for the compiled path. Lives here: counting, comparing, keeping. Does not: the path in one process and
what is said on it (`replay`).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.programs import COMPILED, ROOT, compiled_program, own_program
from bench.replay import ROWS, replay_of, settle

KEPT = ROOT / "bench" / "instructions.json"
LIMIT = 0.03
"""A change is reported from this share on."""
CYCLES = 4
"""Rounds that are counted, in each of which every client asks as many requests as it has in flight."""
SWITCHES = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
"""
TOOL = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--instr-atstart=no"]
_INSTALL = "apt-get install -y --no-install-recommends valgrind gcc libc6-dev"
_PATIENCE = 900.0


@dataclass(slots=True)
class Figures:
    """Instructions a request of each row, and the interpreter and compiler that they are of."""

    python: str
    compiler: str
    rows: dict[str, int] = field(default_factory=dict)


def build_of_python() -> tuple[str, str]:
    """The interpreter and how it was built, and the compiler of the machine: another of either gives other figures."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimized = [name for name in ("--enable-optimizations", "--with-lto") if name in flags]
    how = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    return f"{how}, built {' and '.join(optimized) or 'without --enable-optimizations'}", compiler


def read_kept(path: Path) -> dict[str, Figures]:
    """By data path; empty when nothing is kept. Raises SystemExit when the file holds something else."""
    if not path.exists():
        return {}
    try:
        return {name: Figures(**figures) for name, figures in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path} holds no figures ({error}); remove it and run: python -m bench.instructions --write")


def write_kept(path: Path, measured: dict[str, Figures]) -> None:
    """Rows that were not measured stay as they are, where they are of the same build."""
    kept = read_kept(path)
    for name, new in measured.items():
        old = kept.get(name)
        same = old is not None and (old.python, old.compiler) == (new.python, new.compiler)
        rows = {**(old.rows if old and same else {}), **new.rows}
        kept[name] = Figures(new.python, new.compiler, {row: rows[row] for row in ROWS if row in rows})
    text = {name: {"python": one.python, "compiler": one.compiler, "rows": one.rows} for name, one in kept.items()}
    path.write_text(json.dumps(text, indent=1, sort_keys=False) + "\n")


def changes(kept: Figures | None, new: Figures) -> dict[str, float]:
    """The rows that changed by more than the limit, with their change: 0.05 for 5 % more."""
    found = {row: count / kept.rows[row] - 1 for row, count in new.rows.items() if kept and kept.rows.get(row)}
    return {row: change for row, change in found.items() if abs(change) > LIMIT}


def line(row: str, name: str, count: int, kept: Figures | None) -> str:
    before = kept.rows.get(row) if kept else None
    change = f"{count / before - 1:+.1%}" if before else "new"
    mark = " !" if before and abs(count / before - 1) > LIMIT else ""
    return f"| {row} | {name} | {f'{before:,}' if before else '-'} | {count:,} | {change}{mark} |"


def verdict(kept: Figures | None, new: Figures, name: str) -> tuple[str, bool]:
    """What is said at the end of a data path's rows, and whether it is well."""
    changed = changes(kept, new)
    if kept is None:
        return f"{name}: nothing is kept to compare with; --write keeps these.", True
    if (kept.python, kept.compiler) != (new.python, new.compiler):
        which = f"kept with {kept.python}, {kept.compiler}; this is {new.python}, {new.compiler}"
        return f"{name}: figures of two builds say nothing of metaproxy: {which}.", True
    if not changed:
        return f"{name}: no row changed by more than {LIMIT:.0%}.", True
    rows = ", ".join(f"{row} {change:+.1%}" for row, change in changed.items())
    return f"{name}: changed by more than {LIMIT:.0%}: {rows}. When that is meant: --write.", False


# -- counting


def count_here(row: str, library: str) -> None:
    """Under callgrind: collects while the proxy works, and says how many requests that were."""
    replay, _ = replay_of(row.split())
    settle(replay)
    switches = ctypes.PyDLL(library)
    switches.start()
    for _ in range(CYCLES):
        replay.cycle(switches.toggle)
    print("requests", CYCLES * replay.size)


def count(row: str, library: str, compiled: bool) -> int:
    """Instructions a request of one row, in a process of its own. Raises SystemExit."""
    environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(COMPILED if compiled else ROOT)}
    environ["METAPROXY_PURE"] = "" if compiled else "1"
    out = f"--callgrind-out-file={Path(library).with_name(row)}.out"
    command = [*TOOL, out, sys.executable, "-m", "bench.instructions", "--count", row, library]
    done = subprocess.run(
        command,
        cwd=COMPILED if compiled else ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    requests = re.search(r"^requests (\d+)", done.stdout, re.M)
    collected = re.findall(r"Collected : (\d+)", done.stderr)
    if requests is None or not collected:
        raise SystemExit(f"{row}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return round(int(collected[-1]) / int(requests[1]))


def switch_library(folder: Path) -> str:
    """Raises SystemExit when valgrind or a C compiler is missing."""
    if shutil.which("valgrind") is None or shutil.which("cc") is None:
        raise SystemExit(f"bench.instructions needs valgrind and a C compiler; run: {_INSTALL}")
    source, library = folder / "switches.c", folder / "switches.so"
    source.write_text(SWITCHES)
    built = subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True)
    if built.returncode:
        raise SystemExit(f"bench.instructions needs valgrind's headers; run: {_INSTALL}\n{built.stderr}")
    return str(library)


def measure(name: str, rows: Sequence[str], counted: Callable[[str], int], kept: Figures | None) -> Figures:
    """Prints each row as it is counted, as many at a time as there are cores: they do not disturb each other."""
    new = Figures(*build_of_python())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, instructions in zip(rows, pool.map(counted, rows), strict=True):
            new.rows[row] = instructions
            print(line(row, name, instructions, kept), flush=True)
    return new


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.instructions", description=__doc__.strip().split("\n\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="beginnings of rows, such as dubbo, 'redis 64x1'; all")
    parser.add_argument("--paths", default="pure,compiled", help="of pure,compiled; %(default)s")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {KEPT.relative_to(ROOT)}")
    parser.add_argument("--count", nargs=2, metavar=("ROW", "LIBRARY"), help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    given.paths = [word.strip() for word in given.paths.split(",")]
    if unknown := set(given.paths) - {"pure", "compiled"}:
        parser.error(f"--paths: no path {', '.join(sorted(unknown))}; there are pure and compiled")
    asked = given.rows
    given.rows = [row for row in ROWS if not asked or row.startswith(tuple(asked))]
    if lost := [word for word in asked if not any(row.startswith(word) for row in ROWS)]:
        parser.error(f"no row begins with {lost[0]!r}; there are {', '.join(ROWS)}")
    return given


def main() -> int:
    given = read_options()
    if given.count:
        count_here(*given.count)
        return 0
    kept, measured, well = read_kept(KEPT), {}, True
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        library = switch_library(Path(folder))
        if "compiled" in given.paths and (missing := compiled_program(own_program()).missing):
            print(f"bench.instructions: no rows of the compiled path: {missing}", file=sys.stderr)
            given.paths.remove("compiled")
        print("| row | path | kept | instructions a request | |\n|---|---|---|---|---|", flush=True)
        for name in given.paths:
            counted = partial(count, library=library, compiled=name == "compiled")
            measured[name] = measure(name, given.rows, counted, kept.get(name))
    print()
    for name, new in measured.items():
        text, fine = verdict(kept.get(name), new, name)
        print(text)
        well = well and fine
    if given.write:
        write_kept(KEPT, measured)
        return 0
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
