"""
Reads go to a replica of PostgreSQL, writes to the primary, whichever that is.

Lives here: a real primary and its streaming replica behind one cluster. Does not: clients that say by
the port which role they want (test_postgres_roles.py).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy
from running import eventually, free_port
from split_pair import SplitPair, Writers, check_written, lose_primary

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))


class Pair(SplitPair[PostgreSQL]):
    """A pair of PostgreSQL."""

    def __init__(self, proxy: Callable[..., Proxy]) -> None:
        primary = PostgreSQL(free_port())
        retry = {"attempts": 5, "on": ["connect", "reset"], "backoff": "200ms..1s"}
        protocol = {"name": "postgres", "users": {"app": "pw"}}
        super().__init__(proxy, protocol, primary, primary.replica(free_port()), retry=retry)

    def connect(self) -> psycopg.Connection[Any]:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=app password=pw dbname=postgres sslmode=disable"
        return psycopg.connect(where, autocommit=True)


@pytest.fixture
def pair(proxy: Callable[..., Proxy]) -> Iterator[Pair]:
    made = Pair(proxy)
    yield made
    made.stop()


def port_of(
    connection: psycopg.Connection[Any], text: str = "select setting from pg_settings where name = 'port'"
) -> int:
    (port,) = connection.execute(text).fetchone() or ("0",)
    return int(port)


def test_statements_go_where_they_may_and_own_writes_are_read(pair: Pair) -> None:
    with pair.connect() as one:
        assert {port_of(one) for _ in range(3)} == {pair.replica.port}
        one.execute("create table t (n int primary key)")
        for number in range(50):
            one.execute("insert into t values (%s)", (number,))
            assert one.execute("select count(*) from t").fetchone() == (number + 1,)
        with one.transaction():
            assert port_of(one) == pair.primary.port, "a transaction stays where it began"
        assert eventually(lambda: port_of(one) == pair.replica.port, 5), "the replica has them by now"


def test_a_client_reads_its_writes_while_the_replica_has_not_got_them_and_others_read_on(pair: Pair) -> None:
    with pair.connect() as one, pair.connect() as other:
        one.execute("create table v (n int)")
        assert eventually(lambda: port_of(one) == pair.replica.port, 5)
        pair.replica.ask("select pg_wal_replay_pause()")
        one.execute("insert into v values (1)")
        assert one.execute("select count(*) from v").fetchone() == (1,)
        assert (port_of(one), port_of(other)) == (pair.primary.port, pair.replica.port)
        assert other.execute("select count(*) from v").fetchone() == (0,), "it has not written"
        assert eventually(lambda: "lagging" in pair.roles(), 10), "for longer than max_replica_lag"
        assert port_of(other) == pair.primary.port
        pair.replica.ask("select pg_wal_replay_resume()")
        assert eventually(lambda: {port_of(one), port_of(other)} == {pair.replica.port}, 10)


def test_statements_that_a_driver_prepares_are_read_from_the_replica_as_well(pair: Pair) -> None:
    """asyncpg asks for a description first, by a part that goes on: that, and what follows it, is the primary's."""
    import asyncpg

    async def ports() -> list[int]:
        where = f"postgres://app:pw@127.0.0.1:{pair.port}/postgres?sslmode=disable"
        connection = await asyncpg.connect(where)
        text = "select setting from pg_settings where name = $1"
        found = [int(await connection.fetchval(text, "port"))]
        await asyncio.sleep(1)  # till the replica is known to have what that might have changed
        found += [int(await connection.fetchval(text, "port")) for _ in range(3)]
        async with connection.transaction():
            found.append(int(await connection.fetchval(text, "port")))
        await connection.execute("create table if not exists a (n int)")
        await connection.executemany("insert into a values ($1)", [(number,) for number in range(20)])
        assert await connection.fetchval("select count(*) from a") == 20
        await connection.close()
        return found

    found = asyncio.run(ports())
    assert found == [pair.primary.port, *([pair.replica.port] * 3), pair.primary.port]


def test_reads_go_on_when_the_replica_is_lost(pair: Pair) -> None:
    """They may be sent again, so that no client sees it."""
    failed: list[Exception] = []
    read = 0
    over = threading.Event()

    def go_on() -> None:
        nonlocal read
        with pair.connect() as connection:
            while not over.is_set():
                try:
                    assert connection.execute("select 1").fetchone() == (1,)
                    read += 1
                except Exception as error:
                    failed.append(error)
                    return

    threads = [threading.Thread(target=go_on) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: read > 200, 10)
    pair.replica.kill()
    before = read
    assert eventually(lambda: read > before + 200 or bool(failed), 10)
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert eventually(lambda: pair.roles() == ["primary", ""], 5)


def write(connection: psycopg.Connection[Any], number: int) -> None:
    connection.execute("insert into w values (%s)", (number,))


def test_the_primary_is_lost_and_the_replica_takes_over(pair: Pair) -> None:
    """How long until writes work; no acknowledged write is lost, none is carried out twice."""
    import psycopg

    with pair.connect() as one:
        one.execute("create table w (n bigint)")
    with Writers(
        pair.connect, write, psycopg.Error, lambda error: error.sqlstate, lambda connection: bool(connection.closed)
    ) as writers:
        assert writers.have_written(200)
        assert pair.primary.ask("select count(*) from pg_stat_replication") == "1"
        pair.primary.ask("alter system set synchronous_standby_names = '*'")
        pair.primary.ask("select pg_reload_conf()")
        assert eventually(lambda: pair.primary.ask("select sync_state from pg_stat_replication") == "sync", 10)
        assert writers.have_written(100)
        lose_primary(pair, writers)
    check_written(writers, pair.replica.ask("select n from w"), {"08006", "08001"})
    assert eventually(lambda: pair.roles() == ["", "primary"], 5)
    with pair.connect() as one:
        assert port_of(one) == pair.replica.port, "there is no replica, so the primary is read"
