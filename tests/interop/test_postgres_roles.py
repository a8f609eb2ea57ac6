"""
A primary and a replica behind one address: reads and writes find their server by its role, also when that changes.

Lives here: a real replica that is promoted. Does not: what servers are asked (the codec), when (topology).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))


class Mesh(NamedTuple):
    """Listeners that lead to the primary, and to replicas."""

    proxy: Proxy
    primary: PostgreSQL
    replica: PostgreSQL
    writes: int
    reads: int


@pytest.fixture
def mesh(proxy: Callable[..., Proxy]) -> Any:
    primary = PostgreSQL(free_port())
    primary.ask("create table t (a int)")
    replica = primary.replica(free_port())
    writes, reads = free_port(), free_port()
    protocol = {"name": "postgres", "users": {"ann": "pencil"}}
    listeners = [
        listener(role, port, protocol, [{"cluster": "db", "subset": {"role": role}}])
        for role, port in (("primary", writes), ("replica", reads))
    ]
    credentials = {"user": "app", "password": "secret"}
    db = cluster("db", primary.port, replica.port, topology="primary_replica", credentials=credentials)
    yield Mesh(proxy({"listeners": listeners, "clusters": [db]}), primary, replica, writes, reads)
    replica.stop()
    primary.stop()


def ask(port: int, text: str) -> Any:
    """The first value of the answer, or None for an error."""
    import psycopg

    try:
        with psycopg.connect(
            host="127.0.0.1", port=port, user="ann", password="pencil", dbname="postgres", autocommit=True
        ) as c:
            return c.execute(text).fetchone()[0]
    except psycopg.Error:
        return None


def test_reads_and_writes_find_their_server_and_a_promoted_replica_takes_writes(mesh: Mesh) -> None:
    assert eventually(lambda: ask(mesh.writes, "select inet_server_port()") == mesh.primary.port)
    assert eventually(lambda: ask(mesh.reads, "select inet_server_port()") == mesh.replica.port)
    assert ask(mesh.writes, "insert into t values (1) returning a") == 1
    assert eventually(lambda: ask(mesh.reads, "select count(*) from t") == 1)
    mesh.primary.kill()
    mesh.replica.ask("select pg_promote()")
    assert eventually(lambda: ask(mesh.writes, "insert into t values (2) returning a") == 2, 15.0)
    assert ask(mesh.writes, "select count(*) from t") == 2
