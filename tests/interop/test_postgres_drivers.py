"""
Drivers in Java and Go, a load generator, and a server of PostgreSQL 18, with metaproxy between them.

Lives here: that each does through it what it does without, where logins pass and where connections are pooled. Does
not: what psycopg, asyncpg and pg do (test_postgres, test_postgres_pooling).
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
from postgres_peers import BIN, BIN_18, PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import PEERS, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
WAYS = pytest.mark.parametrize("way", ["passing", "pooled", "session"])
SAID = "sum=28 error=42703 rows=50 batch=20 copied=3 count=24 cancelled=57014"


class Mesh(NamedTuple):
    """Listeners in front of a server: logins pass, connections are lent for a transaction, or for a stay."""

    proxy: Proxy
    server: PostgreSQL
    passing: int
    pooled: int
    session: int

    def port(self, way: str) -> int:
        return {"passing": self.passing, "pooled": self.pooled, "session": self.session}[way]


def mesh_of(server: PostgreSQL, proxy: Callable[..., Proxy], **cluster_options: Any) -> Mesh:
    passing, pooled, session = free_port(), free_port(), free_port()
    stay = {"mode": "session", "per_endpoint": 8}
    users = {"name": "postgres", "users": {"app": "secret"}}
    credentials = {"user": "app", "password": "secret"}
    config = {
        "listeners": [
            listener("passing", passing, "postgres", [{"cluster": "passing"}]),
            listener("pooled", pooled, users, [{"cluster": "pooled"}]),
            listener("session", session, users, [{"cluster": "session"}]),
        ],
        "clusters": [
            cluster("passing", server.port, **cluster_options),
            cluster("pooled", server.port, credentials=credentials, connections={"per_endpoint": 3}, **cluster_options),
            cluster("session", server.port, credentials=credentials, connections=stay, **cluster_options),
        ],
    }
    return Mesh(proxy(config), server, passing, pooled, session)


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Any:
    server = PostgreSQL(free_port())
    yield mesh_of(server, shared_proxy)
    server.stop()


@pytest.fixture(scope="module")
def mesh_18(shared_proxy: Callable[..., Proxy]) -> Any:
    server = PostgreSQL(free_port(), bin=BIN_18)
    yield mesh_of(server, shared_proxy)
    server.stop()


def run(*argv: Any, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@WAYS
@pytest.mark.peer("pgjdbc")
def test_pgjdbc_in_each_of_its_query_modes(mesh: Mesh, way: str) -> None:
    java = [*catalogue.JAVA[:-2], "-cp", f"{PEERS}/java-postgres/classes:{PEERS}/java-postgres/lib/*"]
    url = f"jdbc:postgresql://127.0.0.1:{mesh.port(way)}/postgres"
    said = run(*java, "org.example.postgres.PostgresPeer", url, "app", "secret").splitlines()
    modes = ("simple", "extended", "extendedForPrepared", "extendedCacheEverything")
    assert said == [f"{mode} {SAID}" for mode in modes]


@WAYS
@pytest.mark.peer("pgx")
def test_pgx_with_batches_copies_and_deadlines(mesh: Mesh, way: str) -> None:
    said = run(PEERS / "bin" / "postgres-go", f"postgres://app:secret@127.0.0.1:{mesh.port(way)}/postgres")
    assert said.strip() == "sum=28 error=42703 batch=45 copied=3 count=3 late=true"


@WAYS
@pytest.mark.peer("pgbench")
def test_pgbench_in_each_of_its_query_modes_leaves_right_sums(mesh: Mesh, way: str) -> None:
    place = ["-h", "127.0.0.1", "-p", mesh.port(way), "-U", "app"]
    environment = {"PGPASSWORD": "secret", "PATH": "/usr/bin:/bin"}
    run(BIN / "pgbench", "-i", "-q", *place, "postgres", env=environment)
    for mode in ("simple", "extended", "prepared"):
        said = run(BIN / "pgbench", "-n", "-c", 6, "-j", 6, "-t", 20, "-M", mode, *place, "postgres", env=environment)
        assert re.search(r"transactions actually processed: 120/120\b.*failed transactions: 0 ", said, re.DOTALL)
    sums = "select sum(delta) from pgbench_history; select sum(abalance) from pgbench_accounts"
    assert len(set(mesh.server.ask(sums).split())) == 1


@WAYS
@pytest.mark.peer("postgres-18")
def test_a_client_of_protocol_3_2_has_its_cancels_reach_a_server_with_long_keys(mesh_18: Mesh, way: str) -> None:
    import psycopg

    with psycopg.connect(
        host="127.0.0.1", port=mesh_18.port(way), user="app", password="secret", dbname="postgres", autocommit=True,
        max_protocol_version="latest",
    ) as c:  # fmt: skip
        assert c.execute("show server_version").fetchone()[0].startswith("18.")
        late = threading.Timer(0.3, c.cancel_safe)
        late.start()
        begun = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            c.execute("select pg_sleep(20)")
        assert time.monotonic() - begun < 10
        late.join()
        assert c.execute("select 1").fetchone() == (1,)


@pytest.mark.peer("postgres-18")
def test_a_stream_of_replication_passes(mesh_18: Mesh) -> None:
    import psycopg

    for port, way in ((mesh_18.passing, "passing"), (mesh_18.pooled, "pooled")):
        conninfo = f"host=127.0.0.1 port={port} user=app password=secret dbname=postgres replication=database"
        c = psycopg.pq.PGconn.connect(conninfo.encode())
        assert c.status == psycopg.pq.ConnStatus.OK, c.error_message
        found = c.exec_(b"IDENTIFY_SYSTEM")
        assert found.ntuples == 1, (way, c.error_message)
        place = found.get_value(0, 2).decode()
        begun = c.exec_(f"START_REPLICATION PHYSICAL {place}".encode())
        assert begun.status == psycopg.pq.ExecStatus.COPY_BOTH, c.error_message
        mesh_18.server.ask(f"create table {way} (a int)")
        size, data = c.get_copy_data(0)
        assert size > 0
        assert bytes(data[:1]) in (b"w", b"k")
        c.finish()
