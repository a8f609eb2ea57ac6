"""
MySQL's drivers in Java and Go, with metaproxy between them and MariaDB.

Lives here: that each does through it what it does without, where logins pass and where connections are pooled, cancels
included. Does not: drivers in Python and JavaScript (test_mysql, test_mysql_users).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
from mysql_peers import MariaDB
from proxied import Proxy, cluster, listener
from running import PEERS, free_port

pytestmark = pytest.mark.peer("mariadb")
WAYS = pytest.mark.parametrize("way", ["direct", "passing", "pooled"])


class Mesh(NamedTuple):
    """A server, and two listeners in front of it: logins pass, connections are pooled."""

    direct: int
    passing: int
    pooled: int


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"), "--log-bin=bin", "--server-id=1")
    server.ask("create table d.g (a int) engine=innodb")
    passing, pooled = free_port(), free_port()
    users = {"name": "mysql", "users": {"app": "secret"}, "version": "5.5.5-10.11.6-MariaDB"}
    credentials = {"user": "app", "password": "secret"}
    listeners = [
        listener("passing", passing, "mysql", [{"cluster": "passing"}]),
        listener("pooled", pooled, users, [{"cluster": "pooled"}]),
    ]
    clusters = [
        cluster("passing", server.port),
        cluster("pooled", server.port, credentials=credentials, connections={"per_endpoint": 2}),
    ]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(server.port, passing, pooled)
    server.stop()


def run(*argv: Any) -> list[str]:
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    return done.stdout.splitlines()


def java(url: str) -> list[str]:
    """What the program in Java says of each of its three kinds of statements."""
    classes = ["-cp", f"{PEERS}/java-mysql/classes:{PEERS}/java-mysql/lib/*"]
    said = run(*catalogue.JAVA[:-2], *classes, "org.example.mysql.MySQLPeer", url, "app", "secret")
    return [line.partition(" ")[2] for line in said]


@WAYS
@pytest.mark.peer("connector-j")
def test_connector_j_with_each_kind_of_statement_and_a_cancel(mesh: Mesh, way: str) -> None:
    did = "sum=28 error=1054 batch=20 rows=20 count=0 cancelled=0 then=5"
    assert java(f"jdbc:mysql://127.0.0.1:{getattr(mesh, way)}/d?sslMode=DISABLED") == [did] * 3


@WAYS
@pytest.mark.peer("mariadb-j")
def test_mariadb_s_connector_with_bulk_execution_and_statements_that_it_does_not_wait_for(mesh: Mesh, way: str) -> None:
    did = "sum=28 error=1054 batch=20 rows=20 count=0 cancelled=1969 then=5"
    options = "sslMode=disable&useBulkStmts=true"
    assert java(f"jdbc:mariadb://127.0.0.1:{getattr(mesh, way)}/d?{options}") == [did] * 3


@WAYS
@pytest.mark.peer("go-sql-driver")
@pytest.mark.parametrize("options", ["", "?interpolateParams=true&multiStatements=true"])
def test_go_sql_driver_with_its_pool_of_connections(mesh: Mesh, way: str, options: str) -> None:
    said = run(PEERS / "bin" / "mysql-driver", f"app:secret@tcp(127.0.0.1:{getattr(mesh, way)})/d{options}")
    assert said == ["sum=28 error=1054 within=2 count=0"]


def test_a_replica_s_stream_passes_where_logins_do_and_is_refused_by_name_elsewhere(mesh: Mesh) -> None:
    def dump(port: int) -> subprocess.CompletedProcess[str]:
        place = ["--host=127.0.0.1", f"--port={port}", "--user=app", "--password=secret", "--skip-ssl"]
        argv = ["mariadb-binlog", "--no-defaults", "-R", "--to-last-log", *place, "bin.000001"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30)

    direct, passed = dump(mesh.direct), dump(mesh.passing)
    assert (passed.returncode, direct.returncode) == (0, 0), passed.stderr
    assert "create table d.g" in passed.stdout
    assert passed.stdout == direct.stdout
    refused = dump(mesh.pooled)
    assert refused.returncode != 0
    assert "replication" in refused.stderr
