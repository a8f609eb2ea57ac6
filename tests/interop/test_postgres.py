"""
Real PostgreSQL clients and a server with metaproxy between them, where the login passes.

Lives here: what psycopg, asyncpg, pg and psql do through it, and what routes and filters do to them. Does not: the
codec's bytes.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue import Clients
from postgres_peers import PYTHON, PostgreSQL, pg_client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
MEBI = 1 << 20


class Mesh(NamedTuple):
    """Listener `port` leads to the server; `limited` lets a user have three selects an hour; `none` leads nowhere."""

    proxy: Proxy
    server: PostgreSQL
    port: int
    limited: int
    none: int
    log: Path


ROUTES = [
    {"name": "no-drops", "match": {"statement": "drop"}, "reply": {"error": "denied", "message": "no drops"}},
    {"name": "slow", "match": {"statement": "do"}, "cluster": "db", "timeout": "300ms"},
    {"name": "all", "cluster": "db"},
]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = PostgreSQL(free_port())
    port, limited, none = (free_port() for _ in range(3))
    log = tmp_path_factory.mktemp("log") / "access.log"
    rate = {"limit": 3, "per": "1h", "key": ["statement"]}
    listeners = [
        listener("port", port, "postgres", ROUTES, access_log=[{"file": str(log), "format": "json"}]),
        listener("limited", limited, "postgres", [{"cluster": "db"}], filters=[{"local_rate_limit": rate}]),
        listener("none", none, "postgres", [{"cluster": "gone"}]),
    ]
    clusters = [cluster("db", server.port), cluster("gone", free_port())]
    yield Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), server, port, limited, none, log)
    server.stop()


def psycopg_connect(port: int, **options: Any) -> Any:
    import psycopg

    base: dict[str, Any] = {"user": "app", "password": "secret", "dbname": "postgres", "autocommit": True}
    return psycopg.connect(host="127.0.0.1", port=port, **{**base, **options})


def one(connection: Any, text: str, *values: Any) -> Any:
    """The first value of the first row."""
    return connection.execute(text, values or None).fetchone()[0]


# -- what clients do


def test_psycopg_asks_prepares_and_pipelines(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.port) as c:
        assert one(c, "select %s::int + 1", 1) == 2
        assert len(c.execute("select repeat('x', 100) from generate_series(1, 20000)").fetchall()) == 20000
        with pytest.raises(psycopg.errors.UndefinedTable):
            c.execute("select * from nowhere")
        for number in range(8):
            assert c.execute("select %s::int", (number,), prepare=True).fetchone() == (number,)
        with c.pipeline():
            first, second = c.execute("select 1"), c.execute("select %s::int", (2,))
            assert (first.fetchone(), second.fetchone()) == ((1,), (2,))
            c.execute("select 3")
        with pytest.raises(psycopg.errors.DivisionByZero), c.pipeline():
            c.execute("select 1")
            c.execute("select 1 / 0")
            c.execute("select 2")
        assert one(c, "select 4") == 4


def test_copy_passes_both_ways_and_an_error_in_it_ends_it(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.port) as c:
        c.execute("create temporary table t (a int, b text)")
        with c.cursor().copy("copy t from stdin") as copy:
            for number in range(50_000):
                copy.write_row((number, "x" * 50))
        assert one(c, "select count(*) from t") == 50_000
        with c.cursor().copy("copy t to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 50_000
        with pytest.raises(psycopg.errors.InvalidTextRepresentation), c.cursor().copy("copy t from stdin") as copy:
            for _ in range(10_000):
                copy.write("no number\tx\n")
        assert one(c, "select count(*) from t") == 50_000


def test_values_of_many_bytes_pass_both_ways_in_little_memory(mesh: Mesh) -> None:
    with psycopg_connect(mesh.port) as c:
        before = mesh.proxy.memory()
        mesh.proxy.forget_peak()
        assert one(c, "select length(%s)", "y" * 40_000_000) == 40_000_000
        assert len(one(c, "select repeat('z', 40000000)")) == 40_000_000
        assert mesh.proxy.peak() - before < 16 * MEBI


def test_notifications_come_as_events(mesh: Mesh) -> None:
    with psycopg_connect(mesh.port) as c, psycopg_connect(mesh.port) as other:
        c.execute("listen news")
        before = mesh.proxy.outcomes().get("event", 0)
        other.execute("notify news, 'hello'")
        (heard,) = c.notifies(timeout=5, stop_after=1)
        assert heard.payload == "hello"
        assert mesh.proxy.outcomes()["event"] > before


def test_asyncpg_prepares_copies_and_scrolls(mesh: Mesh) -> None:
    import asyncpg

    async def talk() -> None:
        c = await asyncpg.connect(host="127.0.0.1", port=mesh.port, user="app", password="secret", database="postgres")
        assert await c.fetchval("select $1::int + 1", 1) == 2
        statement = await c.prepare("select $1::int * 2")
        assert [await statement.fetchval(number) for number in range(3)] == [0, 2, 4]
        async with c.transaction():
            found = [row[0] async for row in c.cursor("select generate_series(1, 100)", prefetch=7)]
        assert found == list(range(1, 101))
        await c.execute("create temporary table t (a int, b text)")
        assert await c.copy_records_to_table("t", records=[(number, "k") for number in range(5000)]) == "COPY 5000"
        rows = io.BytesIO()
        await c.copy_from_query("select * from t", output=rows)
        assert rows.getvalue().count(b"\n") == 5000
        await c.executemany("insert into t values ($1, $2)", [(number, "q") for number in range(1000)])
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no drops"):
            await c.execute("drop table t")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no drops"):
            await c.fetch("drop table t")
        with pytest.raises(TimeoutError):  # it cancels what takes too long
            await c.fetch("select pg_sleep(30)", timeout=0.3)
        assert await c.fetchval("select count(*) from t") == 6000
        await c.close()

    asyncio.run(talk())


@pytest.mark.peer("node-pg")
def test_pg_of_node_asks_names_statements_and_is_refused(mesh: Mesh, clients: Clients) -> None:
    steps = [
        ["query", "select $1::int as a", [4]], ["several", "select 1 as a; select 2 as a"],
        ["named", "select $1::int + 1 as a", [[1], [2], [3]]], ["query", "drop table t", []],
        ["many", "select $1::int as a", 50],
    ]  # fmt: skip
    results = clients(pg_client()).run(port=mesh.port, steps=steps)
    assert [one.get("value") for one in results[:3]] == [
        [{"a": 4}], [[{"a": 1}], [{"a": 2}]], [[{"a": 2}], [{"a": 3}], [{"a": 4}]],
    ]  # fmt: skip
    assert "no drops" in json.dumps(results[3])
    assert results[4]["value"] == [[{"a": number}] for number in range(50)]


def test_psql_goes_on_behind_an_error_of_ours(mesh: Mesh) -> None:
    place = ["-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(mesh.port), "-U", "app", "-d", "postgres"]
    commands = ["-c", "select 1", "-c", "drop table t", "-c", "select 2"]
    environment = {"PGPASSWORD": "secret", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["psql", *place, *commands], capture_output=True, text=True, timeout=30, env=environment)
    assert (done.stdout.split(), "no drops" in done.stderr) == (["1", "2"], True)


def test_a_wrong_password_is_the_servers_error(mesh: Mesh) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg_connect(mesh.port, password="wrong")


# -- what routes and filters do


def test_a_statement_that_a_route_refuses_makes_its_transaction_fail(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.port) as c:
        c.execute("create temporary table t (a int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), c.transaction():
            c.execute("insert into t values (1)")
            c.execute("drop table t")
        assert one(c, "select count(*) from t") == 0


def test_a_user_over_its_rate_gets_an_error_and_goes_on(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.limited) as c:
        assert [one(c, "select 1") for _ in range(3)] == [1, 1, 1]
        with pytest.raises(psycopg.Error) as caught:
            c.execute("select 1")
        assert caught.value.sqlstate == "53400"
        assert c.execute("values (1)").fetchone() == (1,)


def test_a_statement_over_its_time_is_a_cancelled_one(mesh: Mesh) -> None:
    import psycopg

    c = psycopg_connect(mesh.port)
    with pytest.raises(psycopg.errors.QueryCanceled):
        c.execute("do $$ begin perform pg_sleep(20); end $$")
    assert c.closed


def test_a_server_that_is_not_there_is_an_error_of_the_login(mesh: Mesh) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="connect to"):
        psycopg_connect(mesh.none)


def test_metrics_and_the_access_log_show_each_statement(mesh: Mesh) -> None:
    with psycopg_connect(mesh.port) as c:
        before = mesh.proxy.outcomes().get("ok", 0)
        for _ in range(10):
            c.execute("select 1")
        assert mesh.proxy.outcomes()["ok"] - before >= 10
    assert eventually(lambda: "select" in mesh.log.read_text())
