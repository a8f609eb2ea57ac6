"""
What else acts on MySQL's statements, with PyMySQL, mysql-connector and real servers: limits by user and database,
faults, policies, mirrors with compared results, recordings, the tap, the access log.

Lives here: that each of these does with statements what it does with requests of any protocol, where logins pass and
where clients borrow connections. Does not: routes, kept answers (test_mysql.py, test_query_rules.py).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mysql_peers import PYTHON, MariaDB
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
WAYS = ("passing", "pooled")
FAULTS: list[dict[str, Any]] = [
    {"match": {"application_name": "denied"}, "error": {"kind": "denied", "message": "not today"}},
    {"match": {"application_name": "late"}, "delay": "300ms"},
    {"match": {"statement": "do"}, "error": {"kind": "denied", "message": "no wishes"}},
    {"match": {"statement": "values"}, "reset": True},
]
SELECTS = {"command": {"in": ["query", "stmt_execute"]}, "statement": "select"}
LIMITS: list[dict[str, Any]] = [
    {"limit": 3, "per": "1h", "match": {"database": "other", **SELECTS}, "key": ["database"]},
    {"limit": 5, "per": "1h", "match": {"application_name": "limited", **SELECTS}, "key": ["user"]},
]
DENY = {"action": "deny", "permissions": [{"statement": "drop"}]}
FIELDS = {name: f"%REQ({name})%" for name in ("user", "database", "application_name", "command", "statement", "tables")}


class Mesh(NamedTuple):
    """
    ports: where logins pass, and where clients borrow connections and are mirrored; of either a second one lets a user
    have two statements at a time. logs: what each of the first two writes.
    """

    proxy: Proxy
    main: MariaDB
    shadow: MariaDB
    ports: dict[str, int]
    logs: dict[str, Path]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("mysql")
    main, shadow = (MariaDB(free_port(), tmp_path_factory.mktemp(name)) for name in ("main", "shadow"))
    for server in (main, shadow):
        server.ask("create user ann@'%' identified by 'secret'; grant all on *.* to ann@'%'")
    ports = {name: free_port() for way in WAYS for name in (way, f"{way}-few")}
    logs = {way: folder / way for way in WAYS}
    filters = [
        {"rbac": {"policies": {"kept": DENY}}},
        {"local_rate_limit": {"conditions": LIMITS}},
        {"fault": {"faults": [{"percentage": 100, **one} for one in FAULTS]}},
    ]
    few = [{"concurrency_limit": {"limit": 2, "key": ["user"]}}]
    pooled = {"name": "mysql", "users": {"app": "secret", "ann": "secret"}}
    protocols = {"passing": "mysql", "pooled": pooled}
    routes: dict[str, Any] = {
        "passing": [{"cluster": "passing"}],
        "pooled": [{"cluster": "main", "mirror": {"cluster": "shadow", "compare": True}}],
    }
    credentials = {"user": "app", "password": "secret"}
    listeners = []
    for way in WAYS:
        log = [{"file": str(logs[way]), "fields": FIELDS | {"outcome": "%OUTCOME%", "cluster": "%UPSTREAM_CLUSTER%"}}]
        wide = {"filters": filters, "access_log": log}
        listeners.append(listener(way, ports[way], protocols[way], routes[way], **wide))
        listeners.append(listener(f"{way}-few", ports[f"{way}-few"], protocols[way], routes[way], filters=few))
    config = {
        "record": {"folder": str(folder / "recordings")},
        "listeners": listeners,
        "clusters": [
            cluster("passing", main.port),
            cluster("main", main.port, credentials=credentials),
            cluster("shadow", shadow.port, credentials=credentials),
        ],
    }
    yield Mesh(shared_proxy(config), main, shadow, ports, logs)
    main.stop()
    shadow.stop()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connect(mesh: Mesh, way: str, **options: Any) -> Any:
    """A client by PyMySQL."""
    import pymysql

    base: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "autocommit": True}
    return pymysql.connect(host="127.0.0.1", port=mesh.ports[way], **{**base, **options})


def connector(mesh: Mesh, way: str) -> Any:
    """A client by mysql-connector, which prepares statements at the server."""
    import mysql.connector

    login: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "autocommit": True}
    return mysql.connector.connect(host="127.0.0.1", port=mesh.ports[way], use_pure=True, ssl_disabled=True, **login)


def ask(connection: Any, text: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


def prepared(connection: Any, text: str, *values: Any) -> Any:
    with connection.cursor(prepared=True) as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


def passes(connection: Any, times: int) -> int:
    """How many of so many selects are not limited; the others have the error of a limit."""
    import pymysql

    passed = 0
    for _ in range(times):
        try:
            passed += ask(connection, "select 1") == ((1,),)
        except pymysql.err.OperationalError as error:
            assert error.args[0] == 1226
    return passed


def test_each_user_has_a_limit_of_its_own(mesh: Mesh, way: str) -> None:
    found = {}
    for user in ("app", "ann"):
        with connect(mesh, way, user=user, program_name="limited") as c, connect(mesh, way, user=user) as other:
            found[user] = passes(c, 8), passes(other, 8)
    assert found == {"app": (5, 8), "ann": (5, 8)}


def test_a_database_has_a_limit_for_all_its_users(mesh: Mesh, way: str) -> None:
    with connect(mesh, way, database="other") as app, connect(mesh, way, user="ann") as ann:
        ann.select_db("other")
        assert (passes(app, 2), passes(ann, 4), passes(app, 2)) == (2, 1, 0)
        ann.select_db("d")
        assert passes(ann, 8) == 8


def stand(server: MariaDB) -> int:
    """How many statements wait for the table d.gate."""
    return int(server.ask("select count(*) from information_schema.processlist where info like '%from gate'"))


def test_a_user_has_so_many_statements_at_a_time(mesh: Mesh, way: str) -> None:
    import pymysql

    mesh.main.ask("create or replace table d.gate (a int)")
    holder = pymysql.connect(host="127.0.0.1", port=mesh.main.port, user="app", password="secret", database="d")
    ask(holder, "lock tables gate write")
    with ThreadPoolExecutor(2) as pool, connect(mesh, f"{way}-few", user="ann") as ann:
        clients = [connect(mesh, f"{way}-few") for _ in range(3)]
        asked = [pool.submit(ask, client, "select count(*) + 5 from gate") for client in clients[:2]]
        assert eventually(lambda: stand(mesh.main) == 2)
        with pytest.raises(pymysql.err.OperationalError) as refused:
            ask(clients[2], "select 1")
        assert refused.value.args[0] == 1040
        assert ask(ann, "select 1") == ((1,),)
        ask(holder, "unlock tables")
        assert [each.result(5) for each in asked] == [((5,),)] * 2
        assert ask(clients[2], "select 1") == ((1,),)
        for client in (*clients, holder):
            client.close()


def test_faults_are_errors_delays_and_lost_connections(mesh: Mesh, way: str) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError, match="not today") as denied:
        connect(mesh, way, program_name="denied")
    assert denied.value.args[0] == 1045
    before = time.monotonic()
    with connect(mesh, way, program_name="late") as c:
        assert ask(c, "select 1") == ((1,),)
    assert time.monotonic() - before > 0.56
    with connect(mesh, way) as c:
        with pytest.raises(pymysql.err.OperationalError, match="no wishes") as denied:
            ask(c, "do 1")
        assert denied.value.args[0] == 1142
        assert ask(c, "select 1") == ((1,),)
        with pytest.raises(pymysql.err.OperationalError) as lost:
            ask(c, "values (1)")
        assert lost.value.args[0] == 2013
        assert not c.open


def test_policies_refuse_statements_and_clients_go_on(mesh: Mesh, way: str) -> None:
    import mysql.connector
    import pymysql

    flags = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with connect(mesh, way, client_flag=flags) as c:
        with pytest.raises(pymysql.err.OperationalError) as caught:
            ask(c, "select 1; drop table nothing")
        assert caught.value.args[0] == 1142
        assert ask(c, "select 2") == ((2,),)
    with closing(connector(mesh, way)) as c:
        with pytest.raises(mysql.connector.errors.ProgrammingError) as refused:
            prepared(c, "drop table nothing")
        assert refused.value.errno == 1142
        assert prepared(c, "select ?", 3) == [(3,)]


def test_statements_are_mirrored_and_their_answers_compared(mesh: Mesh) -> None:
    def compared() -> int:
        return mesh.proxy.counted("metaproxy_mirror_compared_total")

    def differed() -> int:
        return mesh.proxy.counted("metaproxy_mirror_differences_total")

    for server in (mesh.main, mesh.shadow):
        server.ask("use d; create table mirrored as select seq as a, 'x' as b from seq_1_to_100")
    with connect(mesh, "pooled") as c, closing(connector(mesh, "pooled")) as preparing:
        before, different = compared(), differed()
        for number in range(1, 11):
            assert ask(c, "select b from mirrored where a = %s", number) == (("x",),)
            assert prepared(preparing, "select b from mirrored where a = ?", number) == [("x",)]
        assert len(ask(c, "select * from mirrored order by a")) == 100
        assert eventually(lambda: compared() >= before + 21)
        assert differed() == different
        mesh.shadow.ask("update d.mirrored set b = 'y' where a = 3")
        assert ask(c, "select b from mirrored where a = 3") == (("x",),)
        assert eventually(lambda: differed() == different + 1)
        assert prepared(preparing, "select b from mirrored where a = ?", 3) == [("x",)]
        assert eventually(lambda: differed() == different + 2)


def test_a_recording_is_answered_the_same_by_the_same_data_and_not_by_others(mesh: Mesh, way: str) -> None:
    """Of statements in texts: the ids of those that are prepared are another connection's."""
    mesh.main.ask("use d; create or replace table recorded (a int primary key)")
    mesh.main.ask("use d; insert into recorded select seq from seq_1_to_50")
    mesh.proxy.command("record", "--detach", f"tape-{time.time_ns()}.jsonl", "--json")
    with connect(mesh, way) as c:
        for number in range(1, 21):
            assert ask(c, "select a from d.recorded where a = %s", number) == ((number,),)
        assert ask(c, "select count(*) from d.recorded") == ((50,),)
        if way == "pooled":  # where the login passes its database is not recorded, as nothing of it is
            assert ask(c, "select a, database() from recorded where a = 7") == ((7, "d"),)
        ask(c, "insert into d.recorded values (1000)")
        ask(c, "create or replace user hush@'%' identified by 'hunter2'")
    file = Path(json.loads(mesh.proxy.command("record", "--stop", "--json"))["file"])
    assert eventually(lambda: '{"end": ' in file.read_text())
    frames = [json.loads(line).get("request", {}).get("frame", "") for line in file.read_text().splitlines()]
    recorded = b"".join(map(b64decode, frames))
    assert (b"insert into" in recorded, b"hunter2" in recorded) == (True, False)
    mesh.main.ask("delete from d.recorded where a = 1000")
    to = ["--to", f"127.0.0.1:{mesh.main.port}", "--compare", "--speed", "max", "--json"]
    protocol = "{name: mysql, users: {nobody: none}}"
    to += ["--protocol", protocol, "--credential", "user=app", "--credential", "password=secret"]
    again = json.loads(mesh.proxy.command("replay", file, *to, expect=None))
    assert again["differences"] == []
    assert {one["operation"] for one in again["failed"]} <= {"-"}, "what is confidential was not recorded"
    assert again["compared"] >= 22
    second = json.loads(mesh.proxy.command("replay", file, *to, expect=1))  # the row is there now
    assert {one["operation"] for one in second["differences"]} == {"insert", "select"}


def test_the_tap_shows_statements_as_they_end(mesh: Mesh, way: str) -> None:
    lines: list[str] = []

    def look() -> None:
        match = ("--match", "application_name=tapped", "--match", "statement=show")
        lines.extend(mesh.proxy.command("tap", *match, "--limit", "2", "--json").splitlines())

    looking = threading.Thread(target=look)
    looking.start()
    with connect(mesh, way, program_name="tapped") as c:
        assert eventually(lambda: ask(c, "show tables like 'x'") == () and not looking.is_alive(), 10, 0.2)
    looking.join(10)
    request = json.loads(lines[0])["request"]["metadata"]
    assert (request["user"], request["database"], request["statement"]) == ("app", "d", "show")
    assert request["normalized"] == "show tables like ?"


def test_the_access_log_has_who_asked_what_of_which_tables(mesh: Mesh, way: str) -> None:
    import pymysql

    mesh.main.ask("create or replace table other.logged (a int)")
    with connect(mesh, way, user="ann", program_name="logging") as c:
        assert ask(c, "select * from other.logged") == ()
        with pytest.raises(pymysql.err.OperationalError):
            ask(c, "drop table other.logged")

    def found() -> list[Any]:
        lines = [json.loads(line) for line in mesh.logs[way].read_text().splitlines()]
        return [line for line in lines if line["application_name"] == "logging" and line["tables"]]

    assert eventually(lambda: len(found()) == 2)
    who = {"user": "ann", "database": "d", "application_name": "logging", "command": "query", "tables": "other.logged"}
    to = {"passing": "passing", "pooled": "main"}[way]
    assert found() == [
        {**who, "statement": "select", "outcome": "ok", "cluster": to},
        {**who, "statement": "drop", "outcome": "denied", "cluster": None},
    ]
