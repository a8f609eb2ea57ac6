"""
Real PostgreSQL clients that log in at metaproxy, which has few connections to the server.

Lives here: what psycopg, asyncpg and pg may rely on though their connections change, many clients at a time, a server
that ends. Does not: clients whose login passes (test_postgres).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from catalogue import Clients
from postgres_peers import PYTHON, PostgreSQL, pg_client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
CONNECTIONS = 20


class Mesh(NamedTuple):
    """Listeners that lend connections for a transaction, a stay, a statement, a transaction that is never idle."""

    proxy: Proxy
    server: PostgreSQL
    transaction: int
    session: int
    statement: int
    hasty: int


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = PostgreSQL(free_port())
    ports = {name: free_port() for name in ("transaction", "session", "statement", "hasty")}
    protocol = {"name": "postgres", "users": {"ann": "pencil"}}
    listeners = [
        listener(name, port, protocol, [{"cluster": name}], max_connections=4000) for name, port in ports.items()
    ]
    connections: dict[str, dict[str, Any]] = {
        "transaction": {"mode": "transaction", "per_endpoint": CONNECTIONS},
        "session": {"mode": "session", "per_endpoint": 3},
        "statement": {"mode": "statement", "per_endpoint": 3},
        "hasty": {"per_endpoint": 4, "idle_transaction_timeout": "1s"},
    }
    credentials, breaker = {"user": "app", "password": "secret"}, {"max_pending": 4000}
    clusters = [
        cluster(name, server.port, credentials=credentials, breaker=breaker, connections=options)
        for name, options in connections.items()
    ]
    yield Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), server, **ports)
    server.stop()


def psycopg_connect(port: int, **options: Any) -> Any:
    import psycopg

    base: dict[str, Any] = {"user": "ann", "password": "pencil", "dbname": "postgres", "autocommit": True}
    return psycopg.connect(host="127.0.0.1", port=port, **{**base, **options})


def one(connection: Any, text: str, *values: Any) -> Any:
    return connection.execute(text, values or None).fetchone()[0]


def test_a_client_logs_in_at_the_proxy_and_the_proxy_at_the_server(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.transaction) as c:
        assert one(c, "select current_user") == "app"
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "ann"'):
        psycopg_connect(mesh.transaction, password="wrong")
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        psycopg_connect(mesh.transaction, dbname="nowhere")


def test_a_thousand_clients_share_twenty_connections(mesh: Mesh) -> None:
    import asyncpg

    async def client(gate: asyncio.Semaphore, number: int) -> list[int]:
        async with gate:  # as many logins at a time as the machine has time for
            c = await asyncpg.connect(
                host="127.0.0.1", port=mesh.transaction, user="ann", password="pencil", database="postgres", timeout=60
            )
        everyone.append(c)
        while len(everyone) < 1000:
            await asyncio.sleep(0.05)
        found = [await c.fetchval("select $1::int", number + each) for each in range(3)]
        async with c.transaction():
            found.append(await c.fetchval("select $1::int", number))
        return found

    async def all_of_them() -> None:
        gate = asyncio.Semaphore(20)
        found = await asyncio.gather(*(client(gate, number) for number in range(1000)))
        assert found == [[number, number + 1, number + 2, number] for number in range(1000)]
        assert mesh.server.connections() <= CONNECTIONS
        for c in everyone:
            await c.close()

    everyone: list[Any] = []
    asyncio.run(all_of_them())


def test_settings_and_prepared_statements_follow_their_client(mesh: Mesh) -> None:
    clients = [psycopg_connect(mesh.transaction, options=f"-c statement_timeout={n + 1}min") for n in range(30)]
    for number, c in enumerate(clients):
        c.execute(f"set search_path to schema_{number}, public")
    for _ in range(4):
        for number, c in enumerate(clients):
            assert c.execute("select %s::int + 1", (number,), prepare=True).fetchone() == (number + 1,)
            assert one(c, "show search_path") == f"schema_{number}, public"
            assert one(c, "show statement_timeout") in (f"{number + 1}min",)
    assert mesh.server.connections() <= CONNECTIONS
    for c in clients:
        c.close()


def test_transactions_keep_their_connection_and_roll_back(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.transaction) as c:
        c.execute("create table if not exists accounts (a int)")
    a, b = psycopg_connect(mesh.transaction, autocommit=False), psycopg_connect(mesh.transaction)
    a.execute("insert into accounts values (1)")
    pids = {one(a, "select pg_backend_pid()") for _ in range(5)}
    assert len(pids) == 1
    assert one(b, "select count(*) from accounts") == 0
    a.commit()
    assert one(b, "select count(*) from accounts") == 1
    with pytest.raises(psycopg.errors.DivisionByZero):
        a.execute("select 1 / 0")
    a.rollback()
    assert one(a, "select 2") == 2
    a.close()
    b.close()


def test_a_transaction_that_is_idle_for_too_long_ends_and_nothing_else_does(mesh: Mesh) -> None:
    import psycopg

    mesh.server.ask("create table if not exists left_open (a int)")
    idle, busy, listening, keeping = (psycopg_connect(mesh.hasty) for _ in range(4))
    listening.execute("listen news")
    keeping.execute("create temp table own as select 7 as a")
    idle.execute("begin; insert into left_open values (1)")
    busy.execute("begin; insert into left_open values (2)")
    assert one(busy, "select 3 from pg_sleep(2.5)") == 3
    busy.execute("commit")
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        idle.execute("commit")
    assert idle.closed
    assert mesh.server.ask("select a from left_open") == "2"
    assert one(keeping, "select a from own") == 7
    with psycopg_connect(mesh.hasty) as other:  # on the connection of the one that was idle, which is the fourth
        other.execute("notify news, 'hello'")
    assert [heard.payload for heard in listening.notifies(timeout=5, stop_after=1)] == ["hello"]
    for c in (busy, listening, keeping):
        c.close()


def test_what_binds_a_client_stays_its_own(mesh: Mesh) -> None:
    with psycopg_connect(mesh.transaction) as c, psycopg_connect(mesh.transaction) as other:
        c.execute("listen news")
        c.execute("create temp table mine (a int)")
        c.execute("insert into mine values (1)")
        other.execute("notify news, 'hello'")
        assert [each.payload for each in c.notifies(timeout=5, stop_after=1)] == ["hello"]
        assert one(c, "select count(*) from mine") == 1
        assert one(other, "select to_regclass('mine') is null")


def test_a_session_has_a_connection_for_its_stay(mesh: Mesh) -> None:
    with psycopg_connect(mesh.session) as c:
        pid = one(c, "select pg_backend_pid()")
        c.execute("select pg_advisory_lock(7)")
        assert one(c, "select pg_backend_pid()") == pid
    with psycopg_connect(mesh.session) as c:
        assert one(c, "select pg_try_advisory_lock(7)")


def test_what_a_client_did_not_finish_is_rolled_back_and_not_committed_by_the_next(mesh: Mesh) -> None:
    import psycopg

    mesh.server.ask("create table unfinished (a int)")
    with suppress(psycopg.OperationalError), psycopg_connect(mesh.session) as c, c.pipeline():
        assert one(c, "insert into unfinished values (1) returning a") == 1  # psycopg asks for it by a Flush
        c.pgconn.finish()
    for _ in range(3):
        with psycopg_connect(mesh.session) as c:
            assert one(c, "select count(*) from unfinished") == 0


def test_transactions_are_refused_where_connections_are_lent_for_a_statement(mesh: Mesh) -> None:
    import psycopg

    with psycopg_connect(mesh.statement) as c:
        assert one(c, "select 1") == 1
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            c.execute("begin")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            c.execute("listen news")
        assert one(c, "select 2") == 2


def test_a_cancel_reaches_what_its_client_has_under_way_and_nothing_else(mesh: Mesh) -> None:
    import asyncpg

    async def sleeper(number: int) -> str:
        c = await asyncpg.connect(
            host="127.0.0.1", port=mesh.transaction, user="ann", password="pencil", database="postgres"
        )
        try:
            await c.fetchval("select pg_sleep($1)", 1.0, timeout=0.3 if number % 3 == 0 else 30)
        except TimeoutError:
            assert await c.fetchval("select $1::int", number) == number
            return "cancelled"
        finally:
            await c.close()
        return "done"

    async def all_of_them() -> None:
        found = await asyncio.gather(*(sleeper(number) for number in range(18)))
        assert found == ["cancelled" if number % 3 == 0 else "done" for number in range(18)]

    asyncio.run(all_of_them())


@pytest.mark.peer("node-pg")
def test_pg_of_node_names_statements(mesh: Mesh, clients: Clients) -> None:
    steps = [["named", "select $1::int + 1 as a", [[1], [2], [3]]], ["many", "select $1::int as a", 50]]
    results = clients(pg_client()).run(port=mesh.transaction, user="ann", password="pencil", steps=steps)
    assert [one["value"] for one in results] == [
        [[{"a": 2}], [{"a": 3}], [{"a": 4}]], [[{"a": number}] for number in range(50)],
    ]  # fmt: skip


def test_a_server_that_ends_costs_what_was_under_way_and_clients_go_on(mesh: Mesh) -> None:
    import psycopg

    idle, busy = psycopg_connect(mesh.transaction), psycopg_connect(mesh.transaction, autocommit=False)
    busy.execute("select 1")
    mesh.server.kill()
    with pytest.raises(psycopg.OperationalError):
        busy.execute("select 2")
    mesh.server.start()
    assert eventually(lambda: _answer(idle) == 3)
    assert busy.closed
    idle.close()


def _answer(connection: Any) -> Any:
    import psycopg

    try:
        return one(connection, "select 3")
    except psycopg.Error:
        return None
