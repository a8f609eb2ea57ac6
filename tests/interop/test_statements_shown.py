"""
What the proxy says of the statements of real servers, PostgreSQL and MariaDB: over its API, at the command line, on its
page.

Lives here: statements of psycopg, PyMySQL and mysql-connector, and who looks. Does not: fingerprints of SQL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import mysql_peers
import postgres_peers
import pytest
from chromium import Browser, Page
from mysql_peers import MariaDB
from postgres_peers import PostgreSQL
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python", "mariadb", "mysql-python", "chromium")
sys.path += [str(postgres_peers.PYTHON), str(mysql_peers.PYTHON)]

SECRET = "hunter2"
"""A value that statements have, and that may not be shown."""
ROUTES = [
    {"name": "no-drops", "match": {"statement": "drop"}, "reply": {"error": "denied", "message": "no drops"}},
    {"name": "all", "cluster": "db"},
]


class Shop(NamedTuple):
    """
    Listener `always` counts statements always, `looked` while somebody looks; `mysql`, where logins pass, and `lent`,
    where clients borrow connections, are MariaDB's and count always.
    """

    proxy: Proxy
    always: int
    looked: int
    mysql: int
    lent: int


@pytest.fixture(scope="module")
def shop(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    server, other = PostgreSQL(free_port()), MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"))
    server.ask("create table orders (number int primary key, who text)")
    other.ask("create table d.orders (number int primary key, who text)")
    ports = [free_port() for _ in range(4)]
    users = {"name": "mysql", "users": {"app": "secret"}}
    listeners = [
        listener("always", ports[0], "postgres", ROUTES, statements=True),
        listener("looked", ports[1], "postgres", ROUTES),
        listener("mysql", ports[2], "mysql", [ROUTES[0], {"cluster": "maria"}], statements=True),
        listener("lent", ports[3], users, [ROUTES[0], {"cluster": "lends"}], statements=True),
    ]
    clusters = [
        cluster("db", server.port),
        cluster("maria", other.port),
        cluster("lends", other.port, credentials={"user": "app", "password": "secret"}),
    ]
    yield Shop(shared_proxy({"listeners": listeners, "clusters": clusters}), *ports)
    server.stop()
    other.stop()


def buy(port: int) -> None:
    """Statements with values in them, one with a parameter, one that fails, one that the proxy refuses."""
    import psycopg

    address: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "app", "password": "secret"}
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as c:
        cursor = psycopg.ClientCursor(c)
        for number in range(20):
            cursor.execute(f"insert into orders values ({number}, '{SECRET}') on conflict do nothing")
            cursor.execute(f"select who from orders where number < {number}")
            c.execute("select number from orders where who = %s limit 3", (SECRET,), prepare=True)
        cursor.execute("select pg_sleep(0.3)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            cursor.execute(f"select * from {SECRET[:6]}s where who = '{SECRET}'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            cursor.execute("drop table orders")


def asked(shop: Shop, **parameters: str) -> Any:
    found = shop.proxy.admin(f"/statements?{urlencode({'count': 'false', **parameters})}")
    assert SECRET not in str(found)
    return found


def by_text(found: Any) -> dict[tuple[str, str], Any]:
    return {(row["command"], row["text"]): row for row in found["statements"]}


def test_real_statements_are_shown_with_their_latency_and_without_a_value(shop: Shop) -> None:
    buy(shop.always)
    found = by_text(asked(shop, listener="always"))
    select = found["query", "select who from orders where number<?"]
    assert (select["calls"], select["errors"], select["user"], select["database"]) == (20, 0, "app", "postgres")
    assert 0 < select["latency_ms"]["p50"] <= select["latency_ms"]["p99"]
    assert found["execute", "select number from orders where who=? limit ?"]["calls"] == 20
    slow = found["query", "select pg_sleep(?)"]
    assert slow["slowest"]["duration_ms"] > 290
    assert slow["slowest"]["endpoint"].startswith("127.0.0.1:")
    assert found["query", "select* from hunters where who=?"]["outcomes"] == {"error": 1}
    refused = found["query", "drop table orders"]
    assert (refused["outcomes"], refused["cluster"]) == ({"denied": 1}, "-")
    assert asked(shop, listener="always", sort="slowest", limit="1")["statements"][0]["text"] == "select pg_sleep(?)"


def test_rows_of_answers_that_come_in_pieces_are_counted(shop: Shop) -> None:
    import psycopg

    address: dict[str, Any] = {"host": "127.0.0.1", "port": shop.always, "user": "app", "password": "secret"}
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as c:
        rows = psycopg.ClientCursor(c).execute("select n, repeat('x', 1000) from generate_series(1, 4000) as n")
        assert rows.rowcount == 4000
    (row,) = (one for one in asked(shop, listener="always")["statements"] if "generate_series" in one["text"])
    assert (row["rows"], row["response_bytes"] > 4_000_000) == (4000, True)


def test_where_they_are_not_counted_always_they_are_from_the_first_look_on(shop: Shop) -> None:
    buy(shop.looked)
    assert asked(shop, listener="looked", count="true")["statements"] == []
    buy(shop.looked)
    assert by_text(asked(shop, listener="looked"))["query", "select who from orders where number<?"]["calls"] == 20


def test_the_command_line_shows_the_same(shop: Shop) -> None:
    buy(shop.always)
    said = shop.proxy.command("top", "--statements", "--listener", "always", "--sort", "calls")
    (row,) = (line for line in said.splitlines() if line.endswith("select who from orders where number<?"))
    assert row.split()[1:5] == ["app", "postgres", "db", "query"]
    assert SECRET not in said


def buy_from_mysql(port: int) -> None:
    """As `buy`, with other drivers; and many rows, which come in pieces."""
    import mysql.connector
    import pymysql

    login: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "app", "password": "secret", "database": "d"}
    with (
        pymysql.connect(autocommit=True, **login) as c,
        c.cursor() as cursor,
        closing(
            mysql.connector.connect(
                use_pure=True, ssl_disabled=True, autocommit=True, collation="utf8mb4_general_ci", **login
            )
        ) as other,
        other.cursor(prepared=True) as prepared,
    ):
        cursor.execute("truncate orders")
        for number in range(20):
            cursor.execute(f"insert into orders values ({number}, '{SECRET}')")
            cursor.execute(f"select who from orders where number < {number}")
            prepared.execute("select number from orders where who = ? limit 3", (SECRET,))
            prepared.fetchall()
        assert cursor.execute("select seq, repeat('x', 1000) from seq_1_to_4000") == 4000
        cursor.execute("select sleep(0.3)")
        with pytest.raises(pymysql.err.ProgrammingError):
            cursor.execute(f"select * from {SECRET[:6]}s where who = '{SECRET}'")
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("drop table orders")


@pytest.mark.parametrize(("name", "to"), [("mysql", "maria"), ("lent", "lends")])
def test_statements_of_mysql_are_shown_with_their_latency_rows_and_bytes(shop: Shop, name: str, to: str) -> None:
    buy_from_mysql(getattr(shop, name))
    found = by_text(asked(shop, listener=name))
    select = found["query", "select who from orders where number<?"]
    assert (select["calls"], select["errors"], select["user"], select["database"]) == (20, 0, "app", "d")
    assert select["rows"] == sum(range(20))
    assert 0 < select["latency_ms"]["p50"] <= select["latency_ms"]["p99"]
    executed = found["stmt_execute", "select number from orders where who=? limit ?"]
    assert (executed["calls"], executed["rows"]) == (20, sum(min(3, number + 1) for number in range(20)))
    (many,) = (row for (_, text), row in found.items() if "seq_1_to" in text)
    assert (many["rows"], many["response_bytes"] > 4_000_000) == (4000, True)
    slow = found["query", "select sleep(?)"]
    assert slow["latency_ms"]["p99"] >= 290
    assert (slow["slowest"]["duration_ms"] > 290, slow["cluster"]) == (True, to)
    assert found["query", "select* from hunters where who=?"]["outcomes"] == {"error": 1}
    refused = found["query", "drop table orders"]
    assert (refused["outcomes"], refused["cluster"]) == ({"denied": 1}, "-")
    said = shop.proxy.command("top", "--statements", "--listener", name, "--sort", "calls")
    (row,) = (line for line in said.splitlines() if line.endswith("select who from orders where number<?"))
    assert row.split()[1:5] == ["app", "d", to, "query"]
    assert SECRET not in said


@pytest.fixture
def page(shop: Shop, tmp_path: Path) -> Iterator[Page]:
    browser = Browser(tmp_path)
    page = browser.open(f"{shop.proxy.url}/")
    yield page
    assert page.complaints == []
    browser.stop()


def rows(page: Page) -> list[str]:
    found: list[str] = page.run("[...document.querySelectorAll('.sql tbody tr')].map(one => one.textContent)")
    return found


def test_the_page_shows_them_counts_the_others_when_asked_to_and_taps_one(shop: Shop, page: Page) -> None:
    buy(shop.always)
    assert eventually(lambda: any("select who from orders where number<?" in row for row in rows(page)), 15), (
        page.text()
    )
    buy_from_mysql(shop.mysql)
    assert eventually(lambda: any("select sleep(?)" in row and "mysql" in row for row in rows(page)), 15), rows(page)
    page.click("#statements .tools button")
    assert page.shows("Counting", "#statements")

    def counted() -> bool:
        buy(shop.looked)
        return any("select pg_sleep(?)" in row and "looked" in row for row in rows(page))

    assert eventually(counted, 20), rows(page)
    page.write("#statements .find", "hunters")
    assert eventually(lambda: all("hunters" in row for row in rows(page)))
    page.click(".sql button.text")
    assert page.shows("Listening", "#tap")
    buy(shop.always)
    buy(shop.looked)
    buy_from_mysql(shop.mysql)
    assert page.shows("select", "#tap .exchanges")
    lines = page.run("[...document.querySelectorAll('.exchanges > li')].map(one => one.textContent)")
    assert all("fingerprint" in line and "hunters" in line for line in lines), lines
    assert SECRET not in page.text("#statements")
