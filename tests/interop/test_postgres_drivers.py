"""
Drivers in Java and Go, and a load generator, with metaproxy between them and the server.

Lives here: that each does through it what it does without, where logins pass and where connections are pooled. Does
not: what psycopg, asyncpg and pg do (test_postgres, test_postgres_pooling).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import catalogue
import pytest
from postgres_peers import BIN, PYTHON, PostgreSQL
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


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Iterator[Mesh]:
    server = PostgreSQL(free_port())
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
            cluster("passing", server.port),
            cluster("pooled", server.port, credentials=credentials, connections={"per_endpoint": 3}),
            cluster("session", server.port, credentials=credentials, connections=stay),
        ],
    }
    yield Mesh(shared_proxy(config), server, passing, pooled, session)
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
