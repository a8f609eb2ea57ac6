"""
Long results and long files of LOAD DATA LOCAL through a real process, `make soak`: SOAK_STREAM sets their size
(4294967296).

Lives here: SELECT and LOAD DATA LOCAL of MariaDB, where logins pass and where clients borrow connections. Does not:
single values that are long (tests/interop/test_mysql.py).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
from catalogue import missing  # noqa: E402
from mysql_peers import PYTHON, MariaDB  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import free_port  # noqa: E402

sys.path.append(str(PYTHON))

LONG = int(os.environ.get("SOAK_STREAM", 4 << 30))
MIB = 1 << 20
ROW = 1 << 16


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    for peer in ("mariadb", "mysql-python"):
        if reason := missing(peer):
            pytest.skip(reason)
    found = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"), "--skip-log-bin")
    found.ask("create table d.counted (n int)")
    yield found
    found.stop()


def select(c: Any, folder: Path) -> int:
    from pymysql.cursors import SSCursor

    with c.cursor(SSCursor) as rows:
        rows.execute(f"select repeat('x', {MIB}) from seq_1_to_{LONG // MIB}")
        return sum(len(row[0]) for row in rows)


def load_data_local(c: Any, folder: Path) -> int:
    """The file is a pipe; the server reads its lines, and keeps a number for each."""
    pipe = folder / "lines"
    os.mkfifo(pipe)

    def write() -> None:
        data = (b"x" * (ROW - 1) + b"\n") * (MIB // ROW)
        with pipe.open("wb") as file:
            for _ in range(LONG // MIB):
                file.write(data)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with c.cursor() as cursor:
        cursor.execute("delete from d.counted")
        lines = cursor.execute(f"load data local infile '{pipe}' into table d.counted (@line) set n = length(@line)")
        c.commit()
        cursor.execute("select sum(n + 1) from d.counted")
        (kept,) = cursor.fetchone()
    writer.join(10)
    assert lines == LONG // ROW
    return int(kept)


@pytest.mark.parametrize("way", ["passing", "pooled"])
@pytest.mark.parametrize("ask", [select, load_data_local], ids=["SELECT", "LOAD DATA LOCAL"])
def test_long_results_and_files_take_little_memory(
    ask: Any, way: str, server: MariaDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pymysql

    port = free_port()
    protocol = "mysql" if way == "passing" else {"name": "mysql", "users": {"app": "secret"}}
    credentials = {"credentials": {"user": "app", "password": "secret"}} if way == "pooled" else {}
    listeners = [listener("db", port, protocol, [{"cluster": "db", "timeout": "0s"}])]
    proxy = Proxy({"listeners": listeners, "clusters": [cluster("db", server.port, **credentials)]}, tmp_path)
    try:
        c = pymysql.connect(host="127.0.0.1", port=port, user="app", password="secret", database="d", local_infile=True)
        with c, c.cursor() as cursor:
            cursor.execute("select 1")
            proxy.forget_peak()
            base, began = proxy.memory(), time.monotonic()
            passed = ask(c, tmp_path)
            seconds, taken = time.monotonic() - began, proxy.peak() - base
            cursor.execute("select 2")
            assert cursor.fetchone() == (2,)
    finally:
        proxy.stop()
    with capsys.disabled():
        rate = f"{LONG / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
        print(f"\n{LONG / MIB:.0f} MiB of {ask.__name__}, {way}: {rate}")
    assert passed == LONG
    assert taken < 64 * MIB
