"""
What else acts on PostgreSQL's statements, with psycopg and real servers: limits by user and database, faults, policies,
mirrors with compared results, recordings, the tap.

Lives here: that each of these does with statements what it does with requests of any protocol, where logins pass and
where clients borrow connections. Does not: routes, kept answers (test_postgres.py, test_postgres_pooling.py).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
WAYS = ("passing", "pooled")
FAULTS: list[dict[str, Any]] = [
    {"match": {"application_name": "denied"}, "error": {"kind": "denied", "message": "not today"}},
    {"match": {"application_name": "late"}, "delay": "300ms"},
    {"match": {"application_name": "gone"}, "reset": True},
]
SELECTS = {"command": {"in": ["query", "execute"]}, "statement": "select"}
LIMITS: list[dict[str, Any]] = [
    {"limit": 3, "per": "1h", "match": {"database": "small", **SELECTS}, "key": ["database"]},
    {"limit": 5, "per": "1h", "match": {"application_name": "limited", **SELECTS}, "key": ["user"]},
]
DENY = {"action": "deny", "permissions": [{"statement": "drop"}]}


class Mesh(NamedTuple):
    """ports: where logins pass, and where clients borrow connections and are mirrored."""

    proxy: Proxy
    main: PostgreSQL
    shadow: PostgreSQL
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("postgres")
    main, shadow = PostgreSQL(free_port()), PostgreSQL(free_port())
    for server in (main, shadow):
        server.ask("create role ann login superuser password 'secret'")
        server.ask("create database small")
    ports = {name: free_port() for name in WAYS}
    filters = [
        {"rbac": {"policies": {"kept": DENY}}},
        {"local_rate_limit": {"conditions": LIMITS}},
        {"fault": {"faults": [{"percentage": 100, **one} for one in FAULTS]}},
    ]
    pooled = {"name": "postgres", "users": {"app": "secret", "ann": "secret"}}
    mirror = {"cluster": "shadow", "compare": True}
    credentials = {"user": "app", "password": "secret"}
    config = {
        "record": {"folder": str(folder / "recordings")},
        "listeners": [
            listener("passing", ports["passing"], "postgres", [{"cluster": "passing"}], filters=filters),
            listener("pooled", ports["pooled"], pooled, [{"cluster": "main", "mirror": mirror}], filters=filters),
        ],
        "clusters": [
            cluster("passing", main.port),
            cluster("main", main.port, credentials=credentials),
            cluster("shadow", shadow.port, credentials=credentials),
        ],
    }
    yield Mesh(shared_proxy(config), main, shadow, ports)
    main.stop()
    shadow.stop()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connect(mesh: Mesh, way: str, **options: Any) -> Any:
    import psycopg

    base: dict[str, Any] = {"user": "app", "password": "secret", "dbname": "postgres", "autocommit": True}
    return psycopg.connect(host="127.0.0.1", port=mesh.ports[way], **{**base, **options})


def one(connection: Any, text: str, *values: Any) -> Any:
    return connection.execute(text, values or None).fetchone()[0]


def passes(connection: Any, times: int) -> int:
    """How many of so many selects are not limited."""
    import psycopg

    passed = 0
    for _ in range(times):
        try:
            passed += one(connection, "select 1")
        except psycopg.errors.ConfigurationLimitExceeded:
            pass
    return passed


def test_each_user_has_a_limit_of_its_own(mesh: Mesh, way: str) -> None:
    found = {}
    for user in ("app", "ann"):
        with connect(mesh, way, user=user, application_name="limited") as c, connect(mesh, way, user=user) as other:
            found[user] = passes(c, 8), passes(other, 8)
    assert found == {"app": (5, 8), "ann": (5, 8)}


def test_a_database_has_a_limit_for_all_its_users(mesh: Mesh, way: str) -> None:
    with connect(mesh, way, dbname="small") as app, connect(mesh, way, dbname="small", user="ann") as ann:
        assert (passes(app, 2), passes(ann, 4), passes(app, 2)) == (2, 1, 0)
    with connect(mesh, way) as c:
        assert passes(c, 8) == 8


def test_faults_are_errors_delays_and_lost_connections(mesh: Mesh, way: str) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="not today"):
        connect(mesh, way, application_name="denied")
    before = time.monotonic()
    with connect(mesh, way, application_name="late") as c:
        assert one(c, "select 1") == 1
    assert time.monotonic() - before > 0.56
    with pytest.raises(psycopg.OperationalError):
        connect(mesh, way, application_name="gone")


def test_policies_refuse_statements_and_clients_go_on(mesh: Mesh, way: str) -> None:
    import psycopg

    with connect(mesh, way) as c:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute("select 1; drop table nothing")
        assert one(c, "select 2") == 2


def test_statements_are_mirrored_and_their_answers_compared(mesh: Mesh) -> None:
    def compared() -> int:
        return mesh.proxy.counted("metaproxy_mirror_compared_total")

    def differed() -> int:
        return mesh.proxy.counted("metaproxy_mirror_differences_total")

    for server in (mesh.main, mesh.shadow):
        server.ask("create table mirrored as select g as a, 'x'::text as b from generate_series(1, 100) g")
    with connect(mesh, "pooled") as c:
        before, different = compared(), differed()
        for number in range(1, 11):
            assert one(c, "select b from mirrored where a = %s", number) == "x"
        for number in range(1, 11):  # by a prepared statement
            assert c.execute("select b from mirrored where a = %s", (number,), prepare=True).fetchone() == ("x",)
        assert len(c.execute("select * from mirrored order by a").fetchall()) == 100
        assert eventually(lambda: compared() >= before + 21)
        assert differed() == different
        mesh.shadow.ask("update mirrored set b = 'y' where a = 3")
        assert one(c, "select b from mirrored where a = 3") == "x"
        assert eventually(lambda: differed() == different + 1)


def test_a_recording_is_answered_the_same_by_the_same_data_and_not_by_others(mesh: Mesh, way: str) -> None:
    mesh.main.ask("drop table if exists recorded")
    mesh.main.ask("create table recorded (a int primary key); insert into recorded select generate_series(1, 50)")
    mesh.proxy.command("record", "--detach", f"tape-{time.time_ns()}.jsonl", "--json")
    with connect(mesh, way) as c:
        for number in range(1, 21):
            assert one(c, "select a from recorded where a = %s", number) == number
        assert one(c, "select count(*) from recorded") == 50
        c.execute("insert into recorded values (1000)")
    file = Path(json.loads(mesh.proxy.command("record", "--stop", "--json"))["file"])
    assert eventually(lambda: '{"end": ' in file.read_text())
    mesh.main.ask("delete from recorded where a = 1000")
    to = ["--to", f"127.0.0.1:{mesh.main.port}", "--compare", "--speed", "max", "--json"]
    protocol = "{name: postgres, users: {nobody: none}}"
    to += ["--protocol", protocol, "--credential", "user=app", "--credential", "password=secret"]
    again = json.loads(mesh.proxy.command("replay", file, *to))
    assert (again["differences"], again["failed"]) == ([], [])
    assert again["compared"] >= 22
    second = json.loads(mesh.proxy.command("replay", file, *to, expect=1))  # the row is there now
    assert {one["operation"] for one in second["differences"]} >= {"insert"}


def test_the_tap_shows_statements_as_they_end(mesh: Mesh, way: str) -> None:
    lines: list[str] = []

    def look() -> None:
        match = ("--match", "application_name=tapped", "--match", "statement=values")
        lines.extend(mesh.proxy.command("tap", *match, "--limit", "2", "--json").splitlines())

    looking = threading.Thread(target=look)
    looking.start()
    with connect(mesh, way, application_name="tapped") as c:
        assert eventually(lambda: one(c, "values (%s)", "why") != "why" or not looking.is_alive(), 10, 0.2)
    looking.join(10)
    request = json.loads(lines[0])["request"]["metadata"]
    assert (request["user"], request["database"], request["statement"]) == ("app", "postgres", "values")
