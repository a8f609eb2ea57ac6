"""
What the proxy says of the statements of a real PostgreSQL server: over its API, at the command line, on its page.

Lives here: psycopg's statements between the two, and who looks. Does not: fingerprints of SQL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from chromium import Browser, Page
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python", "chromium")
sys.path.append(str(PYTHON))

COMMAND = Path(sys.executable).with_name("metaproxy")
SECRET = "hunter2"
"""A value that statements have, and nobody may see."""
ROUTES = [
    {"name": "no-drops", "match": {"statement": "drop"}, "reply": {"error": "denied", "message": "no drops"}},
    {"name": "all", "cluster": "db"},
]


class Shop(NamedTuple):
    """Listener `always` counts statements always, `looked` while somebody looks."""

    proxy: Proxy
    always: int
    looked: int


@pytest.fixture(scope="module")
def shop(shared_proxy: Callable[..., Proxy]) -> Iterator[Shop]:
    server = PostgreSQL(free_port())
    server.ask("create table orders (number int primary key, who text)")
    always, looked = free_port(), free_port()
    listeners = [
        listener("always", always, "postgres", ROUTES, statements=True),
        listener("looked", looked, "postgres", ROUTES),
    ]
    yield Shop(shared_proxy({"listeners": listeners, "clusters": [cluster("db", server.port)]}), always, looked)
    server.stop()


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
    argv = [str(COMMAND), "top", "--statements", "--listener", "always", "--sort", "calls"]
    environment = {**os.environ, "METAPROXY_ADMIN": shop.proxy.url}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.endswith("select who from orders where number<?"))
    assert row.split()[1:5] == ["app", "postgres", "db", "query"]
    assert SECRET not in done.stdout


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
    assert page.shows("select", "#tap .exchanges")
    lines = page.run("[...document.querySelectorAll('.exchanges > li')].map(one => one.textContent)")
    assert all("fingerprint" in line and "hunters" in line for line in lines), lines
    assert SECRET not in page.text("#statements")
