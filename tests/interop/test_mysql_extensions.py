"""
Parts of MySQL's protocol that only some drivers and servers have, through the proxy: session tracking (mysql2, the
mariadb connector, MariaDB), query attributes (mysql-connector, mysql-mimic), bulk execution (the mariadb connector,
MariaDB).

Lives here: that they do the same as without the proxy where logins pass, and what they do with `users`. Does not: the
commands that all have (test_mysql, test_mysql_users).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue import Clients, python_command
from mysql_peers import PYTHON, MariaDB, mariadb_client, mysql2_client
from proxied import Proxy, cluster, listener
from running import Program, eventually, free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
WAYS = ("passing", "pooled", "session")


class Mesh(NamedTuple):
    """ports: of the proxy, by how logins and connections are; `direct`: of the server. log: a line a command."""

    ports: dict[str, int]
    log: Path

    def bulks(self) -> int:
        return self.log.read_text().split().count("stmt_bulk_execute")

    def had(self, bulks: int) -> bool:
        return self.bulks() == bulks


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    tracked = ("--session-track-state-change=1", "--session-track-transaction-info=CHARACTERISTICS")
    variables = "autocommit,character_set_client,time_zone,last_gtid"
    options = (*tracked, f"--session-track-system-variables={variables}", "--log-bin=log", "--server-id=1")
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"), *options)
    ports = {"direct": server.port, **{way: free_port() for way in WAYS}}
    users = {"name": "mysql", "users": {"app": "secret"}}
    log = tmp_path_factory.mktemp("log") / "commands"
    log.touch()
    logs = [{"file": str(log), "format": "%REQ(command)%"}]
    listeners = [
        listener(way, ports[way], "mysql" if way == "passing" else users, [{"cluster": way}], access_log=logs)
        for way in WAYS
    ]
    credentials = {"user": "app", "password": "secret"}
    clusters = [
        cluster("passing", server.port),
        cluster("pooled", server.port, credentials=credentials, connections={"per_endpoint": 2}),
        cluster("session", server.port, credentials=credentials, connections={"mode": "session", "per_endpoint": 2}),
    ]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(ports, log)
    server.stop()


def values(said: list[dict[str, Any]]) -> list[Any]:
    return [each.get("value", each.get("error")) for each in said]


# -- session tracking


STEPS = [
    ["query", "use other"], ["query", "set names latin1"], ["query", "set autocommit = 0, time_zone = '+02:00'"],
    ["query", "start transaction read only"], ["query", "commit"], ["query", "set autocommit = 1"],
    ["query", "create or replace table d.tracked (a int)"], ["query", "insert into d.tracked values (1)"],
]  # fmt: skip


def tracked(result: dict[str, Any]) -> tuple[Any, ...]:
    """What the server said of the session's state, without the number of a transaction."""
    changes = result.get("stateChanges") or {}
    variables = {key: value for key, value in changes.get("systemVariables", {}).items() if key != "last_gtid"}
    return changes.get("schema"), variables, "last_gtid" in changes.get("systemVariables", {})


@pytest.mark.peer("mysql2")
def test_changes_of_the_session_are_heard_where_logins_pass(mesh: Mesh, clients: Clients) -> None:
    client = clients(mysql2_client())
    direct, passing = (
        [tracked(result) for result in values(client.run(port=mesh.ports[way], steps=STEPS))]
        for way in ("direct", "passing")
    )
    assert passing == direct
    assert passing[0][0] == "other"
    assert passing[1][1]["character_set_client"] == "latin1"
    assert passing[2][1] == {"autocommit": "OFF", "time_zone": "+02:00"}
    assert [gtid for _, _, gtid in passing[-2:]] == [True, True]


@pytest.mark.peer("mysql2")
def test_with_users_they_are_not_offered_and_drivers_go_on(mesh: Mesh, clients: Clients) -> None:
    client = clients(mysql2_client())
    steps = [*STEPS, ["query", "select database() as at, @@time_zone as zone"]]
    for way in ("pooled", "session"):
        said = values(client.run(port=mesh.ports[way], steps=steps))
        assert all(tracked(result) == (None, {}, False) for result in said[:-1])
        assert said[-1] == [{"at": "other", "zone": "+02:00"}]


# -- bulk execution


ROWS = [[number, f"row {number}" if number % 3 else None] for number in range(1000)]
MANY = [
    ["query", "create or replace table bulk (a int primary key, b longtext)"],
    ["batch", "insert into bulk values (?, ?)", ROWS],
    ["batch", "update bulk set b = ? where a = ?", [["other", 1], ["another", 2]]],
    ["batch", "insert into bulk values (?, ?)", [[5000, "x"], [1, "is there"]]],
    ["execute", "select count(*) as n, count(b) as b, max(length(b)) as l from bulk where a < ?", [1000]],
    ["batch", "insert into bulk values (?, ?)", [[6000, "y" * 100_000], [6001, "z" * 2_000_000]]],
    ["query", "select a, length(b) as l from bulk where a >= 6000"],
]


@pytest.mark.peer("mariadb-js")
def test_bulk_execution_does_the_same_through_the_proxy(mesh: Mesh, clients: Clients) -> None:
    client = clients(mariadb_client())
    found = {}
    for way in ("direct", *WAYS):
        if way in ("pooled", "session"):  # what is offered is known once a server was seen
            client.run(port=mesh.ports[way], steps=[["query", "select 1 as a"]])
        before = mesh.bulks()
        found[way] = values(client.run(port=mesh.ports[way], steps=MANY))
        if way != "direct":
            assert eventually(partial(mesh.had, before + 4), 5), "single statements"
    assert found["direct"][1] == 1000
    assert found["direct"][-1] == [{"a": 6000, "l": 100_000}, {"a": 6001, "l": 2_000_000}]
    assert "Duplicate entry '1'" in found["direct"][3]["message"]
    for way in WAYS:
        errors = found[way][3].pop("message"), found["direct"][3]["message"]
        assert all("Duplicate entry '1'" in text for text in errors)
        assert [*found[way][:3], *found[way][4:]] == [*found["direct"][:3], *found["direct"][4:]]


# -- query attributes


@pytest.fixture(scope="module")
def attributed(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    port = free_port()
    command = python_command("mysql/attributes.py", "mysql-mimic", str(port))
    server = Program(command.argv, tmp_path_factory.mktemp("mimic") / "log", command.env)
    ports = {"direct": port, "passing": free_port()}
    routes = [
        {"match": {"statement": "delete"}, "reply": {"error": "denied", "message": "no deletes"}}, {"cluster": "mimic"},
    ]  # fmt: skip
    listeners = [listener("passing", ports["passing"], "mysql", routes)]
    shared_proxy({"listeners": listeners, "clusters": [cluster("mimic", port)]})
    yield ports
    server.stop()


def connected(port: int) -> Any:
    import mysql.connector

    return mysql.connector.connect(
        host="127.0.0.1", port=port, user="app", password="secret", use_pure=True, ssl_disabled=True
    )


@pytest.mark.peer("mysql-mimic")
@pytest.mark.parametrize("prepared", [False, True])
def test_query_attributes_pass_where_logins_do(attributed: dict[str, int], prepared: bool) -> None:
    attributes = {"trace": "abc", "tenant": "blue" * 100, "number": 5}
    found = []
    for way in ("direct", "passing"):
        with connected(attributed[way]) as connection, connection.cursor(prepared=prepared) as cursor:
            for name, value in attributes.items():
                cursor.add_attribute(name, value)
            cursor.execute("select 1", ())
            found.append(cursor.fetchall())
    assert found[0] == found[1]
    assert json.loads(found[1][0][1])["trace"] == "abc"


@pytest.mark.peer("mysql-mimic")
def test_a_statement_behind_attributes_is_read_for_routes(attributed: dict[str, int]) -> None:
    import mysql.connector

    with connected(attributed["passing"]) as connection, connection.cursor() as cursor:
        cursor.add_attribute("trace", "delete from t")
        cursor.execute("select 1")
        cursor.fetchall()
        with pytest.raises(mysql.connector.Error, match="no deletes"):
            cursor.execute("delete from t")


def test_with_users_query_attributes_are_not_offered(mesh: Mesh) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with connected(mesh.ports["pooled"]) as connection, connection.cursor() as cursor:
            cursor.add_attribute("trace", "abc")
            cursor.execute("select 1")
            assert cursor.fetchall() == [(1,)]
    assert any("does not support Query Attributes" in str(each.message) for each in warned)
