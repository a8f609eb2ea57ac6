"""
What a client may rely on though it borrows connections for its transactions, feature by feature of PostgreSQL, and
which of them keep the connection: the table of docs/how-to/postgres.md.

There is one server connection for all. Lives here: a test for each line of that table. Does not: many clients
(test_postgres_pooling.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def port(shared_proxy: Callable[..., Proxy]) -> Iterator[int]:
    server, found = PostgreSQL(free_port()), free_port()
    protocol = {"name": "postgres", "users": {"app": "secret"}}
    few = {"per_endpoint": 1, "queue_timeout": "400ms"}
    clusters = [cluster("db", server.port, credentials={"user": "app", "password": "secret"}, connections=few)]
    shared_proxy({"listeners": [listener("db", found, protocol, [{"cluster": "db"}])], "clusters": clusters})
    yield found
    server.stop()


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    import psycopg

    opened = []

    def connect(**options: Any) -> Any:
        base: dict[str, Any] = {"user": "app", "password": "secret", "dbname": "postgres", "autocommit": True}
        opened.append(psycopg.connect(host="127.0.0.1", port=port, **{**base, **options}))
        return opened[-1]

    yield connect
    for c in opened:
        c.close()


@pytest.fixture
def other(connect: Connect) -> Any:
    """Another client."""
    return connect()


def one(connection: Any, text: str, *values: Any, **options: Any) -> Any:
    return connection.execute(text, values or None, **options).fetchone()[0]


def lent(other: Any) -> bool:
    """Whether another client gets the connection, on which it does what may disturb the first one."""
    import psycopg

    try:
        assert one(other, "select 1") == 1
    except psycopg.errors.TooManyConnections:
        return False
    other.execute("set search_path to elsewhere")
    other.execute("set work_mem to '7MB'")
    other.execute("reset all")
    return True


def test_startup_parameters(connect: Connect, other: Any) -> None:
    c = connect(options="-c datestyle=German -c work_mem=5MB", application_name="mine")
    assert lent(other)
    assert [one(c, f"show {name}") for name in ("datestyle", "work_mem", "application_name")] == [
        "German, DMY", "5MB", "mine",
    ]  # fmt: skip


def test_set_and_reset(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("set search_path to mine, public")
    c.execute("set work_mem to '9MB'")
    c.execute("reset work_mem")
    assert lent(other)
    assert (one(c, "show search_path"), one(c, "show work_mem")) == ("mine, public", "4MB")


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["set time zone interval '-08:00' hour to minute"], "timezone"),
        (["set application_name to 'a'\n'b'"], "application_name"),
        (["set session_replication_role to replica", "set role weak"], "session_replication_role"),
        (["set role strong", "set session_replication_role to replica"], "session_replication_role"),
        (["set role strong", "set session_replication_role to replica", "reset role"], "session_replication_role"),
        (["set role strong", "set work_mem to '7MB'", "reset all"], "work_mem"),
        ([f"set a.b{number} to {number}" for number in range(70)], "a.b69"),
    ],
)
def test_settings_that_are_hard_to_make_again(connect: Connect, other: Any, texts: list[str], name: str) -> None:
    c = connect()
    c.execute("drop role if exists weak, strong; create role weak; create role strong superuser")
    for text in texts:
        c.execute(text)
    before = one(c, "select concat(current_setting(%s), ' ', current_user)", name)
    lent(other)
    assert one(c, "select concat(current_setting(%s), ' ', current_user)", name) == before


def test_set_that_is_rolled_back(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("set work_mem to '9MB'")
    c.rollback()
    assert lent(other)
    assert one(c, "show work_mem") == "4MB"


def test_set_before_commit_and_chain(connect: Connect, other: Any) -> None:
    c = connect()
    for text in ("begin", "set work_mem to '9MB'", "commit and chain", "set work_mem to '10MB'", "rollback"):
        c.execute(text)
    lent(other)
    assert one(c, "show work_mem") == "9MB"


def test_set_local_and_its_function(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("set local work_mem to '9MB'")
    assert one(c, "select set_config('work_mem', '8MB', true)") == "8MB"
    c.commit()
    assert lent(other)
    assert one(c, "show work_mem") == "4MB"


def test_set_config_of_the_session(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("select set_config('work_mem', '9MB', false)")
    assert not lent(other)
    assert one(c, "show work_mem") == "9MB"


def test_listen(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("listen news")
    assert not lent(other)
    c.execute("notify news, 'hello'")
    assert [heard.payload for heard in c.notifies(timeout=5, stop_after=1)] == ["hello"]


def test_notify(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("notify news, 'hello'")
    assert lent(other)


def test_cursors(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("declare passing cursor for select generate_series(1, 10)")
    assert c.execute("fetch 2 from passing").fetchall() == [(1,), (2,)]
    c.commit()
    assert lent(other)


def test_cursors_with_hold(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("declare held cursor with hold for select generate_series(1, 10)")
    c.commit()
    assert not lent(other)
    assert c.execute("fetch 2 from held").fetchall() == [(1,), (2,)]


def test_prepared_statements_of_the_protocol(connect: Connect, other: Any) -> None:
    c = connect()
    for number in range(3):
        assert one(c, "select %s::int + 1", number, prepare=True) == number + 1
        assert lent(other)
        assert one(other, "select %s::int + 2", number, prepare=True) == number + 2


def test_prepared_statements_are_planned_again_when_a_table_changes(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("create table if not exists changing (a int)")
    assert one(c, "select count(a) from changing", prepare=True) == 0
    other.execute("alter table changing add b int; insert into changing values (1, 2)")
    assert one(c, "select count(a) from changing", prepare=True) == 1


def test_prepare_and_deallocate_in_sql(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("prepare twice as select $1 * 2")
    assert not lent(other)
    assert one(c, "execute twice(21)") == 42
    c.execute("deallocate twice")


def test_temporary_tables_that_end_with_their_transaction(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("create temp table short (a int) on commit drop")
    c.execute("insert into short values (1)")
    assert one(c, "select count(*) from short") == 1
    c.commit()
    assert lent(other)


def test_temporary_tables(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("create temp table longer (a int) on commit preserve rows")
    c.execute("insert into longer values (1)")
    assert not lent(other)
    assert one(c, "select count(*) from longer") == 1


def test_load(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("load 'auto_explain'")
    assert not lent(other)


def test_advisory_locks_of_a_transaction(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("select pg_advisory_xact_lock(1)")
    c.commit()
    assert lent(other)


def test_advisory_locks_of_the_session(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("select pg_advisory_lock(2)")
    assert not lent(other)
    assert one(c, "select pg_advisory_unlock(2)")


@pytest.mark.parametrize("name", ['"pg_advisory_lock"', 'U&"pg_\\0061dvisory_lock"'])
def test_functions_whose_names_are_written_otherwise(connect: Connect, other: Any, name: str) -> None:
    c = connect()
    c.execute(f"select {name}(6)")
    assert not lent(other)
    c.close()
    assert one(other, "select pg_try_advisory_lock(6)")


def test_sequences(connect: Connect, other: Any) -> None:
    c = connect(autocommit=False)
    c.execute("create sequence numbers")
    c.commit()
    assert one(c, "select nextval('numbers')") == one(c, "select lastval()") == 1
    c.commit()
    assert lent(other)


def test_blocks(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("do $$ begin perform 1; end $$")
    assert lent(other)
    c.execute("create role limited")
    c.execute("do $$ begin execute 'set role limited'; end $$")
    assert not lent(other)
    assert one(c, "select current_user") == "limited"
    c.close()
    assert one(other, "select current_user") == "app"


def test_a_cancel_of_what_waits_for_a_connection(connect: Connect, other: Any) -> None:
    import psycopg

    c = connect()
    c.execute("create table waited (a int)")
    c.execute("begin")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.execute, "insert into waited values (1)")
        while not waiting.done():
            other.cancel()
        assert isinstance(waiting.exception(), psycopg.errors.QueryCanceled)
    c.execute("rollback")
    assert one(other, "select count(*) from waited") == 0


def test_discard_all_lends_the_connection_again(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("select pg_advisory_lock(3)")
    assert not lent(other)
    c.execute("discard all")
    assert lent(other)
    assert one(other, "select pg_try_advisory_lock(3)")


def test_what_a_client_leaves_is_gone_before_another_has_the_connection(connect: Connect, other: Any) -> None:
    c = connect()
    c.execute("create temp table left_behind (a int)")
    c.execute("select pg_advisory_lock(4)")
    c.close()
    assert one(other, "select to_regclass('left_behind') is null and pg_try_advisory_lock(4)")
