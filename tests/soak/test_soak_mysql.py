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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from long_streams import LINES, LONG, MIB, ROW, WAYS, check_little_memory, need, proxied
from mysql_peers import PYTHON, MariaDB
from running import free_port

sys.path.append(str(PYTHON))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    need("mariadb", "mysql-python")
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
        with pipe.open("wb") as file:
            for _ in range(LONG // MIB):
                file.write(LINES)

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


@WAYS
@pytest.mark.parametrize("ask", [select, load_data_local], ids=["SELECT", "LOAD DATA LOCAL"])
def test_long_results_and_files_take_little_memory(
    ask: Any, way: str, server: MariaDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pymysql

    with proxied("mysql", way, server.port, tmp_path) as (proxy, port):
        c = pymysql.connect(host="127.0.0.1", port=port, user="app", password="secret", database="d", local_infile=True)
        with c, c.cursor() as cursor:
            cursor.execute("select 1")
            check_little_memory(f"{ask.__name__}, {way}", proxy, lambda: ask(c, tmp_path), capsys)
            cursor.execute("select 2")
            assert cursor.fetchone() == (2,)
