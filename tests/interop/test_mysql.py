"""
Real MySQL clients and a MariaDB server with metaproxy between them, where the login passes.

Lives here: what PyMySQL, mysqlclient, mysql-connector, mysql2 and the mariadb program do through it, and what routes
and filters do to them. Does not: the codec's bytes.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue import Clients
from mysql_peers import PYTHON, MariaDB, mysql2_client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
MEBI = 1 << 20


class Mesh(NamedTuple):
    """Listener `port` leads to the server; `limited` lets a user have three selects an hour; `none` leads nowhere."""

    proxy: Proxy
    server: MariaDB
    port: int
    limited: int
    none: int
    both: int
    second: int

    def ports(self) -> tuple[int, int]:
        """Of the servers behind `both`."""
        return self.server.port, self.second


ROUTES = [
    {"name": "no-drops", "match": {"statement": "drop"}, "reply": {"error": "denied", "message": "no drops"}},
    {"match": {"user": "low", "statement": "do"}, "reply": {"error": "denied", "message": "not for low"}},
    {"name": "slow", "match": {"statement": "do"}, "cluster": "db", "timeout": "300ms"},
    {"name": "all", "cluster": "db"},
]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"))
    port, limited, none, both, second = (free_port() for _ in range(5))
    rate = {"limit": 3, "per": "1h", "key": ["statement"]}
    listeners = [
        listener("port", port, "mysql", ROUTES),
        listener("limited", limited, "mysql", [{"cluster": "db"}], filters=[{"local_rate_limit": rate}]),
        listener("none", none, "mysql", [{"cluster": "gone"}]),
        listener("both", both, "mysql", [{"cluster": "both"}]),
    ]
    clusters = [cluster("db", server.port), cluster("gone", free_port()), cluster("both", server.port, second)]
    proxy = shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(proxy, server, port, limited, none, both, second)
    server.stop()


def pymysql_connect(port: int, **options: Any) -> Any:
    import pymysql

    base: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "autocommit": True}
    return pymysql.connect(host="127.0.0.1", port=port, **{**base, **options})


def ask(connection: Any, text: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


# -- what clients do


def test_pymysql_reads_rows_errors_and_several_results(mesh: Mesh) -> None:
    import pymysql

    with pymysql_connect(mesh.port, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS) as c:
        assert ask(c, "select %s + 1, %s", 1, None) == ((2, None),)
        assert len(ask(c, "select seq, repeat('x', 100) from seq_1_to_20000")) == 20000
        with pytest.raises(pymysql.err.ProgrammingError, match="nowhere") as caught:
            ask(c, "select * from nowhere")
        assert caught.value.args[0] == 1146
        with c.cursor() as k:
            k.execute("select 1; select 2")
            assert (k.fetchall(), k.nextset(), k.fetchall(), k.nextset()) == (((1,),), True, ((2,),), None)
        c.ping()
        c.select_db("other")
        assert ask(c, "select database()") == (("other",),)


def test_a_wrong_password_is_the_servers_error(mesh: Mesh) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError, match="Access denied for user 'app'"):
        pymysql_connect(mesh.port, password="wrong")


def test_a_file_is_loaded_behind_another_result(mesh: Mesh, tmp_path: Path) -> None:
    import pymysql

    file = tmp_path / "rows"
    file.write_text("".join(f"{number},abc\n" for number in range(100_000)))
    flags = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with pymysql_connect(mesh.port, local_infile=True, client_flag=flags) as c:
        ask(c, "create temporary table t (a int, b text)")
        load = f"load data local infile '{file}' into table t fields terminated by ','"
        with c.cursor() as k:
            k.execute(f"{load}; select count(*) from t; {load}; select count(*) from t")
            counts = [k.fetchall()]
            while k.nextset():
                counts.append(k.fetchall())
        assert [count for count in counts if count] == [((100_000,),), ((200_000,),)]


def test_a_kill_reaches_its_own_server_alone(mesh: Mesh, tmp_path: Path) -> None:
    import pymysql

    second = MariaDB(mesh.second, tmp_path)
    for _ in range(60):  # so that numbers of one server are none of the other's
        pymysql_connect(mesh.second).close()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pymysql_connect(mesh.both)) for _ in range(4)]
        at = [[one for one in clients if ask(one, "select @@port") == ((port,),)] for port in mesh.ports()]
        (asking, neighbour), others = at
        with pytest.raises(pymysql.err.OperationalError, match="another server") as caught:
            ask(asking, f"kill {others[0].thread_id()}")
        assert caught.value.args[0] == 1094
        ask(asking, f"kill {neighbour.thread_id()}")
        with pytest.raises(pymysql.err.OperationalError):
            ask(neighbour, "select 1")
        assert [ask(one, "select 1") for one in (asking, *others)] == [((1,),)] * 3
    second.stop()


def test_values_of_several_packets_pass_both_ways_in_little_memory(mesh: Mesh) -> None:
    with pymysql_connect(mesh.port, max_allowed_packet=64 * MEBI) as c:
        before = mesh.proxy.memory()
        mesh.proxy.forget_peak()
        assert ask(c, "select length(%s)", "y" * 40_000_000) == ((40_000_000,),)
        ((value,),) = ask(c, "select repeat('z', 40000000)")
        assert value == "z" * 40_000_000
        assert mesh.proxy.peak() - before < 16 * MEBI


def test_mysqlclient_reads_rows_one_by_one_and_logs_in_by_ed25519(mesh: Mesh) -> None:
    import MySQLdb
    import MySQLdb.cursors

    c = MySQLdb.connect(host="127.0.0.1", port=mesh.port, user="ed", password="secret", database="d")
    k = c.cursor(MySQLdb.cursors.SSCursor)
    k.execute("select seq from seq_1_to_50000")
    assert sum(row[0] for row in k) == 50000 * 50001 // 2
    k.close()
    c.close()


def connector(mesh: Mesh) -> Any:
    import mysql.connector

    login: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "autocommit": True}
    return mysql.connector.connect(host="127.0.0.1", port=mesh.port, use_pure=True, ssl_disabled=True, **login)


def rows(connection: Any, text: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def test_connector_prepares_statements(mesh: Mesh) -> None:
    with connector(mesh) as c, c.cursor(prepared=True) as k:
        for number in range(3):
            k.execute("select ? + ?", (number, 3))
            assert k.fetchall() == [(number + 3,)]


def test_a_client_that_resets_its_connection_has_nothing_of_before(mesh: Mesh) -> None:
    import mysql.connector

    with connector(mesh) as c:
        before = rows(c, "select connection_id(), @@sql_mode, null, database()")
        with c.cursor(prepared=True) as k:
            k.execute("select ?", (1,))
            assert k.fetchall() == [(1,)]
            for text in ("set sql_mode = ''", "set @a = 5", "create temporary table own (a int)"):
                rows(c, text)
            c.cmd_reset_connection()
            assert rows(c, "select connection_id(), @@sql_mode, @a, database()") == before
            with pytest.raises(mysql.connector.errors.ProgrammingError) as gone:
                rows(c, "select * from own")
            assert gone.value.errno == 1146
            with pytest.raises(mysql.connector.errors.ProgrammingError) as gone:
                k.execute("select ?", (2,))
            assert gone.value.errno == 1243, "statements that were prepared before are not known any more"


def test_a_client_may_become_another_user_with_the_rights_of_that_one(mesh: Mesh) -> None:
    import mysql.connector

    mesh.server.ask(
        "create or replace user low@'%' identified by 'low-password'; grant select on other.* to low@'%';"
        "create or replace table d.kept (a int)"
    )
    with connector(mesh) as c:
        number = rows(c, "set @a = 5") or rows(c, "select connection_id()")
        c.cmd_change_user("low", "low-password", "other")
        assert rows(c, "select current_user(), database(), @a") == [("low@%", "other", None)]
        assert rows(c, "select connection_id()") == number
        with pytest.raises(mysql.connector.errors.ProgrammingError) as refused:
            rows(c, "insert into d.kept values (1)")
        assert refused.value.errno == 1142
        with pytest.raises(mysql.connector.errors.ProgrammingError, match="not for low") as refused:
            rows(c, "do 1")
        assert refused.value.errno == 1142


@pytest.mark.peer("mysql2")
def test_mysql2_does_the_same_as_without_the_proxy(mesh: Mesh, clients: Clients) -> None:
    jobs = clients(mysql2_client())
    steps = [
        ["query", "select 1 + 1 as a; select 2 as b"],
        ["execute", "select ? + ? as a", [1, 2]],
        ["execute", "select * from nowhere", []],
        ["prepare", "select ? as x", [[5], ["six"], [None]]],
        ["changeUser", {"user": "app", "password": "secret", "database": "other"}],
        ["query", "select database() as d"],
        ["many", "select ? as i", 50],
        ["ping"],
    ]
    through, direct = (jobs.run(port=port, steps=steps) for port in (mesh.port, mesh.server.port))
    assert through == direct and len(through) == len(steps)


def test_the_mariadb_program_completes_names(mesh: Mesh) -> None:
    argv = ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(mesh.port), "-uapp", "-psecret", "d", "-N"]
    done = subprocess.run([*argv, "--auto-rehash", "-e", "select 1"], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


# -- what the proxy does


def test_a_denied_statement_is_the_drivers_error_and_the_connection_goes_on(mesh: Mesh) -> None:
    import pymysql

    with pymysql_connect(mesh.port) as c:
        with pytest.raises(pymysql.err.OperationalError, match="no drops") as caught:
            ask(c, "/* hidden */ DROP table t")
        assert caught.value.args[0] == 1142
        assert ask(c, "select 1") == ((1,),)


def test_a_statement_that_takes_too_long_is_an_error(mesh: Mesh) -> None:
    import pymysql

    with pymysql_connect(mesh.port) as c, pytest.raises(pymysql.err.OperationalError, match="no answer within"):
        ask(c, "do sleep(1)")


def test_statements_are_limited_by_their_kind(mesh: Mesh) -> None:
    import pymysql

    with pymysql_connect(mesh.limited) as c:
        with pytest.raises(pymysql.err.Error) as caught:
            for _ in range(10):
                ask(c, "select 1")
        assert caught.value.args[0] == 1226
        assert ask(c, "show tables like 'nothing'") == ()


def test_a_server_that_is_not_there_is_an_error_in_place_of_a_greeting(mesh: Mesh) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError) as caught:
        pymysql_connect(mesh.none)
    assert caught.value.args[0] == 1429
    where = ["--skip-ssl", "-h127.0.0.1", f"-P{mesh.none}", "-uapp", "-psecret"]
    argv = ["mariadb", "--no-defaults", *where, "-e", "select 1"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=30).stderr
    assert "ERROR 1429" in said and "connect to" in said, "MariaDB's library takes errors of clients for malformed"


def test_a_client_that_goes_takes_its_server_connection_along(mesh: Mesh) -> None:
    connections = [pymysql_connect(mesh.port) for _ in range(5)]
    assert mesh.server.connections() >= 5
    for connection in connections:
        connection.close()
    assert mesh.server.drained()


def test_logs_tell_statements_and_users(mesh: Mesh) -> None:
    with pymysql_connect(mesh.port) as c:
        ask(c, "select 1")
    stats = eventually(mesh.proxy.stats)
    assert any('route="all"' in name and 'outcome="ok"' in name for name in stats)
    explained = mesh.proxy.admin(
        "/explain", "POST", b'{"listener": "port", "metadata": {"statement": "drop", "command": "query"}}'
    )
    assert explained["route"] == "no-drops"
