"""
Long results and long data of COPY through a real process, `make soak`: SOAK_STREAM sets their size (4294967296).

Lives here: SELECT, COPY out and COPY in of PostgreSQL, where logins pass and where clients borrow connections. Does
not: single values that are long (tests/interop/test_postgres.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from long_streams import LINES, LONG, MIB, ROW, WAYS, check_little_memory, need, proxied
from postgres_peers import PYTHON, PostgreSQL
from running import free_port

sys.path.append(str(PYTHON))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    need("postgres", "postgres-python")
    found = PostgreSQL(free_port())
    found.ask("create table dropped (a text)")
    yield found
    found.stop()


def select(c: Any) -> int:
    rows = c.cursor().stream(f"select repeat('x', {MIB}) from generate_series(1, {LONG // MIB})")
    return sum(len(row[0]) for row in rows)


def copy_out(c: Any) -> int:
    text = f"copy (select repeat('x', {ROW - 1}) from generate_series(1, {LONG // ROW})) to stdout"
    with c.cursor().copy(text) as copy:
        return sum(len(data) for data in copy)


def copy_in(c: Any) -> int:
    """The server reads all rows, and keeps none."""
    with c.cursor().copy("copy dropped from stdin where false") as copy:
        for _ in range(LONG // MIB):
            copy.write(LINES)
    return LONG


@WAYS
@pytest.mark.parametrize("ask", [select, copy_out, copy_in], ids=["SELECT", "COPY out", "COPY in"])
def test_long_results_and_data_take_little_memory(
    ask: Any, way: str, server: PostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    who = {"user": "app", "password": "secret", "dbname": "postgres"}
    with (
        proxied("postgres", way, server.port, tmp_path) as (proxy, port),
        psycopg.connect(host="127.0.0.1", port=port, **who) as c,
    ):
        c.execute("select 1")
        check_little_memory(f"{ask.__name__}, {way}", proxy, lambda: ask(c), capsys)
        assert c.execute("select 2").fetchone() == (2,)
