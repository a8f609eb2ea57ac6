"""
Long results and long data of COPY through a real process, `make soak`: SOAK_STREAM sets their size (4294967296).

Lives here: SELECT, COPY out and COPY in of PostgreSQL, where logins pass and where clients borrow connections. Does
not: single values that are long (tests/interop/test_postgres.py).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
from catalogue import missing  # noqa: E402
from postgres_peers import PYTHON, PostgreSQL  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import free_port  # noqa: E402

sys.path.append(str(PYTHON))

LONG = int(os.environ.get("SOAK_STREAM", 4 << 30))
MIB = 1 << 20
ROW = 1 << 16


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    for peer in ("postgres", "postgres-python"):
        if reason := missing(peer):
            pytest.skip(reason)
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
    data = (b"x" * (ROW - 1) + b"\n") * (MIB // ROW)
    with c.cursor().copy("copy dropped from stdin where false") as copy:
        for _ in range(LONG // MIB):
            copy.write(data)
    return LONG


@pytest.mark.parametrize("way", ["passing", "pooled"])
@pytest.mark.parametrize("ask", [select, copy_out, copy_in], ids=["SELECT", "COPY out", "COPY in"])
def test_long_results_and_data_take_little_memory(
    ask: Any, way: str, server: PostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    port = free_port()
    protocol = "postgres" if way == "passing" else {"name": "postgres", "users": {"app": "secret"}}
    credentials = {"credentials": {"user": "app", "password": "secret"}} if way == "pooled" else {}
    listeners = [listener("db", port, protocol, [{"cluster": "db", "timeout": "0s"}])]
    proxy = Proxy({"listeners": listeners, "clusters": [cluster("db", server.port, **credentials)]}, tmp_path)
    try:
        with psycopg.connect(host="127.0.0.1", port=port, user="app", password="secret", dbname="postgres") as c:
            c.execute("select 1")
            proxy.forget_peak()
            base, began = proxy.memory(), time.monotonic()
            passed = ask(c)
            seconds, taken = time.monotonic() - began, proxy.peak() - base
            assert c.execute("select 2").fetchone() == (2,)
    finally:
        proxy.stop()
    with capsys.disabled():
        rate = f"{LONG / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
        print(f"\n{LONG / MIB:.0f} MiB of {ask.__name__}, {way}: {rate}")
    assert passed == LONG
    assert taken < 64 * MIB
