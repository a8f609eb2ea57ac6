"""
Records golden bytes of MySQL's real peers: `python tests/interop/record_mysql.py`, after tests/interop/install.

Lives here: which calls of which peers are recorded. Run by hand when a peer's version changes; the files are committed.
Does not: the relay and the files' form (capture.py).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from capture import Frame, Reads, exchange, runs, save
from mysql_peers import PYTHON, MariaDB
from running import free_port

sys.path.append(str(PYTHON))


def frames(reads: Reads) -> list[Frame]:
    return [{"from": side, "hex": data.hex()} for side, data in runs(reads)]


def pymysql_calls(directory: Path) -> list[tuple[str, Callable[[int], Any]]]:
    import pymysql

    def connected(use: Callable[[Any], Any], **options: Any) -> Callable[[int], Any]:
        def call(port: int) -> Any:
            base: dict[str, Any] = {"user": "app", "password": "secret", "database": "d"}
            with suppress(pymysql.Error), pymysql.connect(host="127.0.0.1", port=port, **{**base, **options}) as c:
                use(c)

        return call

    def queries(c: Any) -> None:
        with c.cursor() as k:
            k.execute("create or replace table t (a int, b varchar(20))")
            k.execute("insert into t values (1, 'one'), (2, null), (3, '')")
            k.execute("select a, b from t")
            with suppress(pymysql.Error):
                k.execute("select * from nowhere")
            k.execute("select a from t where false")
        c.ping()
        c.select_db("other")

    def several(c: Any) -> None:
        with c.cursor() as k:
            k.execute("select 1; insert into d.t values (4, 'four'); select a from d.t")
            while k.nextset():
                pass
            with suppress(pymysql.Error):
                k.execute("select 1; select nothing; select 2")
                k.nextset()

    def infile(c: Any) -> None:
        file = directory / "rows.csv"
        file.write_text("5,five\n6,six\n")
        with c.cursor() as k:
            k.execute(f"load data local infile '{file}' into table t fields terminated by ','")
            with suppress(pymysql.Error):
                k.execute("load data local infile '/nowhere.csv' into table t")
            k.execute("select count(*) from t")

    flags = pymysql.constants.CLIENT.MULTI_STATEMENTS
    return [
        ("statements, rows, an error, COM_PING, COM_INIT_DB", connected(queries)),
        ("several statements in one query, one of them wrong", connected(several, client_flag=flags)),
        ("LOAD DATA LOCAL, with a file and without", connected(infile, local_infile=True)),
        ("a wrong password", connected(queries, password="wrong")),
        ("transactions", connected(transactions)),
    ]


def transactions(c: Any) -> None:
    c.begin()
    with c.cursor() as k:
        k.execute("insert into t values (7, 'seven')")
    c.rollback()
    with c.cursor() as k:
        k.execute("select count(*) from t")
    c.autocommit(True)


def connector_calls() -> list[tuple[str, Callable[[int], Any]]]:
    import mysql.connector

    def connect(port: int) -> Any:
        return mysql.connector.connect(
            host="127.0.0.1", port=port, user="app", password="secret", database="d", use_pure=True, ssl_disabled=True
        )

    def prepared(port: int) -> None:
        with connect(port) as c, c.cursor(prepared=True) as k:
            k.execute("select ? + ?, a from t", (2, 3))
            k.fetchall()
            k.execute("select ? + ?, a from t", (4, 5))
            k.fetchall()
            with suppress(mysql.connector.Error):
                k.execute("select ? from nowhere", (1,))

    def changed(port: int) -> None:
        with connect(port) as c:
            c.cmd_change_user("app", "secret", "other")
            c.cmd_reset_connection()

    def long_data(port: int) -> None:
        import io

        with connect(port) as c, c.cursor(prepared=True) as k:
            k.execute("select length(?)", (io.BytesIO(b"x" * 10000),))
            k.fetchall()

    return [
        ("a prepared statement, executed twice; one that is wrong", prepared),
        ("COM_CHANGE_USER, COM_RESET_CONNECTION", changed),
        ("COM_STMT_SEND_LONG_DATA", long_data),
    ]


def mariadb_calls() -> list[tuple[str, Callable[[int], Any]]]:
    def program(*arguments: str) -> Callable[[int], Any]:
        base = ["mariadb", "--no-defaults", "-h", "127.0.0.1", "--skip-ssl"]
        return lambda port: subprocess.run(
            [*base, "-P", str(port), *arguments], capture_output=True, timeout=10, check=True
        )

    app = ("-uapp", "-psecret", "d")
    return [
        ("COM_FIELD_LIST and a query", program(*app, "-A", "-e", "select * from t limit 1")),
        ("the names of tables and columns, as for completion", program(*app, "--auto-rehash", "-e", "select 1")),
        ("a login by ed25519", program("-ued", "-psecret", "d", "-e", "select 1")),
        ("COM_STATISTICS", program(*app, "-e", "status")),
    ]


def main() -> None:
    directory = Path(tempfile.mkdtemp())
    server = MariaDB(free_port(), directory)
    try:
        version = server.ask("select version()").strip()
        for file, client, calls in (
            ("pymysql", "PyMySQL 1.2.4", pymysql_calls(directory)),
            ("connector", "mysql-connector-python 26.10.0", connector_calls()),
            ("mariadb", f"mariadb {version}", mariadb_calls()),
        ):
            exchanges = [exchange(server.port, frames, what, call) for what, call in calls]
            save(f"mysql/{file}.json", f"{client} -> {version}", exchanges)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
