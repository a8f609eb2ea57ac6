"""
The databases behind the proxies: PostgreSQL, MariaDB and mongod, each of its own, with an account and data to ask for.

Lives here: where their programs are, starting them, filling them. Does not: proxies (`proxies`), what is asked
(`loads`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.processes import Running, free_ports, listens, wait_for
from bench.programs import ROOT, which

USER, PASSWORD = "app", "secret"
PEERS = ROOT / ".peers"
MONGOD = PEERS / "python" / "mongod" / "fiftyone" / "db" / "bin" / "mongod"
PYMONGO = PEERS / "python" / "main"
_POSTGRES = "/usr/lib/postgresql"
_START = 30.0
_SCALE = 4
"""pgbench: branches, which the clients of TPC-B wait for."""
ROWS = 10_000
"""sysbench: of its table; mongod: documents."""
_ACCOUNT = f"create database d; create user {USER}@'%' identified by '{PASSWORD}'; grant all on *.* to {USER}@'%';"


class Counted(NamedTuple):
    """What a load's own program says: queries that were answered, and the seconds that it took for them."""

    queries: int
    seconds: float


class Missing(Exception):
    """A program is not here; its text says what to run."""


def program(name: str) -> str:
    """The path of a program. Raises Missing."""
    path = which(name)
    if path is None:
        raise Missing(f"{name} is missing; run tests/interop/install, which installs it")
    return path


def run(command: list[str], **environment: str) -> str:
    """What a program prints. Raises ValueError, with the end of what it said, when it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise ValueError((done.stderr or done.stdout).strip()[-300:])
    return done.stdout


@contextmanager
def postgres(folder: Path) -> Iterator[int]:
    """Its port. It does not run as root, and is given to the user postgres then."""
    found = sorted(Path(_POSTGRES).glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise Missing(f"no PostgreSQL in {_POSTGRES}; run tests/interop/install, which installs it")
    (port,) = free_ports(1)
    home = folder / "postgres"
    home.mkdir()
    user = []
    if os.geteuid() == 0:
        folder.chmod(0o755)
        shutil.chown(home, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    word = home / "password"
    word.write_text(f"{PASSWORD}\n")
    word.chmod(0o644)
    run([
        *user, str(found[-1] / "initdb"), "-D", str(home / "data"), "-U", USER, f"--pwfile={word}", "--no-sync",
        "--auth-host=scram-sha-256", "--auth-local=trust", "-E", "UTF8", "--locale=C",
    ])  # fmt: skip
    settings = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(home), "fsync": "off",
        "synchronous_commit": "off", "max_connections": "200",
    }  # fmt: skip
    command = [*user, str(found[-1] / "postgres"), "-D", str(home / "data")]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    at_socket = ["-h", str(home), "-p", str(port), "-U", USER]
    with _started("PostgreSQL", command, folder, lambda: _says(["pg_isready", *at_socket])):
        run([program("pgbench"), "-i", "-q", "-s", str(_SCALE), *at_socket, "postgres"])
        yield port


@contextmanager
def mariadb(folder: Path) -> Iterator[int]:
    """Its port; the database is d."""
    (port,) = free_ports(1)
    home = folder / "mariadb"
    home.mkdir()
    as_user = ["--user=root"] if os.geteuid() == 0 else []
    run([
        program("mariadb-install-db"), "--no-defaults", *as_user, f"--datadir={home}/data",
        "--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={home}",
    ])  # fmt: skip
    command = [
        program("mariadbd"), "--no-defaults", *as_user, f"--datadir={home}/data", "--bind-address=127.0.0.1",
        f"--port={port}", f"--socket={home}/s", f"--pid-file={home}/pid", "--skip-name-resolve", "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0", "--max-connections=200", f"--tmpdir={home}",
    ]  # fmt: skip
    at_socket = ["--no-defaults", "-S", f"{home}/s", "-uroot"]
    with _started("MariaDB", command, folder, lambda: _says(["mariadb-admin", *at_socket, "ping"])):
        run([program("mariadb"), *at_socket, "-e", _ACCOUNT])
        run([*sysbench(port), "oltp_read_write", "prepare"])
        yield port


def sysbench(port: int) -> list[str]:
    """The command line without the name of a test."""
    return [
        program("sysbench"), "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}",
        f"--mysql-user={USER}", f"--mysql-password={PASSWORD}", "--mysql-db=d", "--tables=1", f"--table-size={ROWS}",
    ]  # fmt: skip


@contextmanager
def mongodb(folder: Path) -> Iterator[int]:
    """Its port. Logins are known, and not asked for."""
    if not MONGOD.exists():
        raise Missing(f"no {MONGOD}; run tests/interop/install, which installs it")
    (port,) = free_ports(1)
    home = folder / "mongod"
    home.mkdir()
    command = [
        str(MONGOD), "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(home), "--nounixsocket",
        "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false",
    ]  # fmt: skip
    with _started("mongod", command, folder, lambda: listens(port)):
        run(mongo_load(port, "fill", ROWS))
        yield port


def mongo_load(port: int, *arguments: object) -> list[str]:
    """The command line of `mongo_load`."""
    return [
        sys.executable,
        str(Path(__file__).with_name("mongo_load.py")),
        str(PYMONGO),
        str(port),
        *map(str, arguments),
    ]


@contextmanager
def _started(name: str, command: list[str], folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    with Running(command, folder / f"{name}.log") as process:
        wait_for(f"{name} is not ready", _START, process, ready)
        yield


def _says(command: list[str]) -> bool:
    """Whether a program ends well."""
    return subprocess.run([program(command[0]), *command[1:]], capture_output=True, timeout=10).returncode == 0
