"""
MariaDB and the programs that speak to it.

Lives here: a server with an account and a database, client programs in JavaScript. Does not: what they are asked.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from catalogue import Command, node_command
from running import PEERS, Program, eventually

PYTHON = PEERS / "python" / "mysql"
"""PyMySQL, mysqlclient and mysql-connector, for tests that use them in their own process."""
_ACCOUNTS = """
create database d; create database other;
create user app@'%' identified by 'secret'; grant all on *.* to app@'%' with grant option;
create user ed@'%' identified via ed25519 using password('secret'); grant all on *.* to ed@'%';
"""


@cache
def _installed() -> Path:
    """
    A directory of data as a server of its own begins with: to copy it takes a tenth of the time of making it. Each has
    a directory for temporary tables, too: a server that starts removes those of others.
    """
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    atexit.register(shutil.rmtree, folder)
    install = ["mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal"]
    subprocess.run(
        [*install, "--skip-test-db", f"--datadir={folder}/data", f"--tmpdir={folder}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "data"


class MariaDB:
    """A server of its own, with the databases d and other, and the users app and ed, whose passwords are `secret`."""

    def __init__(self, port: int, directory: Path, *options: str) -> None:
        self.port = port
        self._socket = directory / "s"
        self._argv = [
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={directory}/data", "--bind-address=127.0.0.1",
            f"--port={port}", f"--socket={self._socket}", f"--pid-file={directory}/pid", "--skip-name-resolve",
            f"--tmpdir={directory}",
            "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--plugin-load-add=auth_ed25519",
            "--local-infile=1", "--max-allowed-packet=64M", *options,
        ]  # fmt: skip
        self._log = directory / "log"
        subprocess.run(["cp", "-r", "--sparse=always", _installed(), directory / "data"], check=True, timeout=60)
        self.start()
        self.ask(_ACCOUNTS)

    def replicates(self, primary: MariaDB) -> None:
        """From now on it follows the primary, whose accounts and data it has anyway; nothing else writes to it."""
        master = f"master_host='127.0.0.1', master_port={primary.port}, master_user='app', master_password='secret'"
        here = primary.ask("select @@gtid_binlog_pos").strip()
        self.ask(
            f"reset master; set global gtid_slave_pos='{here}';"
            f"change master to {master}, master_use_gtid=slave_pos, master_connect_retry=1; start slave;"
            "set global read_only=1"
        )

    def promote(self) -> None:
        """From a replica it becomes a primary, once it has carried out all that it got."""
        self.ask("stop slave io_thread")
        idle = "select count(*) from information_schema.processlist where state like 'Slave has read all relay log%'"
        assert eventually(lambda: self.ask(idle).strip() == "1", 10)
        self.ask("stop slave; reset slave all; set global read_only=0")

    def start(self) -> None:
        self.program = Program(self._argv, self._log, ready=self._answers)

    def _answers(self) -> bool:
        ping = ["mariadb-admin", "--no-defaults", "-S", str(self._socket), "-uroot", "ping"]
        return subprocess.run(ping, capture_output=True, timeout=10).returncode == 0

    def ask(self, text: str) -> str:
        """What the client program prints for a text of SQL that root says on the server's own socket."""
        argv = ["mariadb", "--no-defaults", "-S", str(self._socket), "-uroot", "-N", "-e", text]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def connections(self) -> int:
        """How many of app's there are."""
        return int(self.ask("select count(*) from information_schema.processlist where user = 'app'"))

    def drained(self) -> bool:
        """Whether app has no connection any more, within some seconds."""
        return bool(eventually(lambda: self.connections() == 0))

    def stop(self) -> None:
        self.program.stop()

    def kill(self) -> None:
        self.program.kill()


def mysql2_client() -> Command:
    return _node_client("mysql2_client.js")


def mariadb_client() -> Command:
    return _node_client("mariadb_client.js")


def _node_client(name: str) -> Command:
    command = node_command(f"mysql/{name}")
    return Command(command.argv, {"NODE_PATH": str(PEERS / "node-mysql" / "node_modules")})
