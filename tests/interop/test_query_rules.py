"""
Rules for statements of real clients: who asks what decides where it goes, whether, how often, and with which words.

Lives here: one configuration of rules, put before PostgreSQL (psycopg) and before MariaDB (PyMySQL). Does not: reads
and writes (test_postgres_splitting, test_mysql_splitting).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import mysql_peers
import postgres_peers
import pytest
from proxied import Proxy, cluster, listener
from running import eventually, free_port

from metaproxy.codecs.sql import MYSQL, POSTGRES, outline

DENIED = {"postgres": "42501", "mysql": 1142}
LIMITED = {"postgres": "53400", "mysql": 1226}
PASSWORDS = {"ann": "pencil", "bob": "rubber", "eve": "paper"}
NEITHER = ["begin", "start", "commit", "end", "rollback", "savepoint", "release", "set", "reset", "show"]
"""Statements that neither read nor write, which drivers send by themselves."""
SLOW = "select count(*) from hot as a, hot as b where a.n > 1"
REPLY = {"error": "denied", "message": "not by this way"}


def routes(fingerprint: str) -> list[dict[str, Any]]:
    whole = {"statement": {"in": ["delete", "update"]}, "normalized": {"regex": r"(delete from|update) \w+( set .*)?"}}
    writes = {"statement": {"in": ["insert", "update", "delete"]}}
    rename = {"statement": {"regex": r"(?i)\bold_t\b", "to": "t"}}
    twice = {"local_rate_limit": {"limit": 2, "per": "1h"}}
    return [
        {"name": "secrets", "match": {"tables": {"in": ["secrets", "d.secrets"]}}, "reply": REPLY},
        {"name": "whole-tables", "match": whole, "reply": REPLY},
        {"name": "known-slow", "match": {"fingerprint": fingerprint}, "reply": REPLY},
        {"name": "reports", "match": {"user": "bob", **writes}, "reply": REPLY},
        {"name": "clients", "match": {"application_name": "tool"}, "cluster": "db"},
        {"name": "elsewhere", "match": {"database": "other"}, "cluster": "db"},
        {"name": "outside", "match": {"source.address": {"cidr": "10.0.0.0/8"}}, "reply": REPLY},
        {"name": "renamed", "match": {"tables": "old_t"}, "cluster": "db", "rewrite": rename},
        {"name": "catalogue", "match": {"tables": "catalogue", "read_only": "true"}, "cluster": "db", "cache": "1m"},
        {"name": "hot", "match": {"tables": "hot"}, "cluster": "db", "filters": twice},
        {
            "name": "copied", "match": {"tables": "copied", "read_only": "true"}, "cluster": "db",
            "mirror": [{"cluster": "shadow", "compare": True}],
        },
        {"name": "rest", "cluster": "db"},
    ]  # fmt: skip


class Stage:
    """A server behind the rules, whose name it has: postgres or mysql."""

    def __init__(self, name: str, server: Any, proxy: Callable[..., Proxy]) -> None:
        self.name, self.server, self.port = name, server, free_port()
        users = PASSWORDS
        dialect = POSTGRES if name == "postgres" else MYSQL
        options = {"credentials": {"user": "app", "password": "secret"}, "connections": {"per_endpoint": 5}}
        policy = {"action": "deny", "permissions": [{"statement": "truncate"}], "principals": [{"user": "ann"}]}
        keeps = {"action": "deny", "permissions": [{"statement": "delete"}], "principals": [{"user": "bob"}]}
        writes = {"read_only": "false", "statement": {"present": True}, "not": {"statement": {"in": NEITHER}}}
        reads = {"action": "deny", "permissions": [writes], "principals": [{"user": "eve"}]}
        policies = {"no-ddl": policy, "bob-deletes-nothing": keeps, "eve-reads": reads}
        filters = [{"rbac": {"policies": policies}}, {"local_rate_limit": {"limit": 100_000, "per": "1s"}}]
        found = routes(outline(SLOW, dialect).fingerprint)
        protocol = {"name": name, "users": users}
        clusters = [cluster(one, server.port, **options) for one in ("db", "shadow")]
        listeners = [listener("sql", self.port, protocol, found, filters=filters)]
        self.proxy = proxy({"listeners": listeners, "clusters": clusters})

    def connect(self, user: str = "ann", application: str = "", database: str = "") -> Any:
        password = PASSWORDS[user]
        if self.name == "mysql":
            import pymysql

            return pymysql.connect(
                host="127.0.0.1", port=self.port, user=user, password=password, database=database or "d",
                autocommit=True, ssl_disabled=True, program_name=application or "test",
            )  # fmt: skip
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname=database or "postgres",
            autocommit=True, application_name=application or "test",
        )  # fmt: skip

    def ask(self, connection: Any, text: str, *values: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return [tuple(row) for row in cursor.fetchall()]

    def ask_prepared(self, text: str, *values: Any, times: int) -> list[Any]:
        """The rows of each of so many runs of a statement that the driver has the server prepare."""
        if self.name == "mysql":
            import mysql.connector

            one: Any = mysql.connector.connect(
                host="127.0.0.1", port=self.port, user="ann", password="pencil", database="d",
                ssl_disabled=True, autocommit=True, use_pure=True,
            )  # fmt: skip
            cursor, how = one.cursor(prepared=True), {}
        else:
            one = self.connect()
            cursor, how = one.cursor(), {"prepare": True}
        found = []
        for _ in range(times):
            cursor.execute(text, values, **how)
            found.append([tuple(row) for row in cursor.fetchall()])
        cursor.close()
        one.close()
        return found

    def run(self, connection: Any, text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    def error(self, connection: Any, text: str) -> Any:
        """The code of the error that a statement is answered with; the connection works behind it."""
        import psycopg
        import pymysql

        with pytest.raises((psycopg.Error, pymysql.Error)) as caught:
            self.run(connection, text)
        assert self.ask(connection, "select 1") == [(1,)]
        return caught.value.args[0] if self.name == "mysql" else caught.value.sqlstate

    def through(self, route: str) -> int:
        """How many statements a route has had."""
        counted = self.proxy.stats().items()
        return int(sum(v for k, v in counted if k.startswith("metaproxy_exchanges_total") and f'route="{route}"' in k))


TABLES = """
create table t (n int); create table secrets (n int); create table hot (n int); create table copied (n int);
create table catalogue (n int); insert into catalogue values (1); insert into t values (1), (2)
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("postgres", marks=pytest.mark.peer("postgres", "postgres-python", "mysql-python")),
        pytest.param("mysql", marks=pytest.mark.peer("mariadb", "mysql-python", "postgres-python")),
    ],
)
def stage(
    request: pytest.FixtureRequest, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    sys.path[:0] = [str(mysql_peers.PYTHON), str(postgres_peers.PYTHON)]
    if request.param == "postgres":
        server: Any = postgres_peers.PostgreSQL(free_port())
        server.ask("create database other")
        server.ask(TABLES)
    else:
        server = mysql_peers.MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"))
        server.ask("use d; " + TABLES)
    yield Stage(request.param, server, shared_proxy)
    server.stop()


def test_statements_are_refused_by_their_tables(stage: Stage) -> None:
    with stage.connect() as one:
        assert stage.error(one, "select * from t join secrets using (n)") == DENIED[stage.name]
        assert stage.ask(one, "select 'secrets' from t where n = 1") == [("secrets",)]


def test_statements_are_refused_by_their_words(stage: Stage) -> None:
    with stage.connect() as one:
        assert stage.error(one, "DELETE FROM t") == DENIED[stage.name]
        assert stage.error(one, "update t set n = 1 -- where n = 2") == DENIED[stage.name]
        stage.run(one, "delete from t where n = 99")


def test_statements_are_refused_by_their_fingerprint(stage: Stage) -> None:
    with stage.connect() as one:
        assert stage.error(one, SLOW.replace("> 1", "> 1000").upper().replace("HOT", "hot")) == DENIED[stage.name]


def test_statements_are_refused_by_who_asks(stage: Stage) -> None:
    with stage.connect("bob") as bob, stage.connect() as ann:
        assert stage.ask(bob, "select count(*) from t")
        assert stage.error(bob, "insert into t values (3)") == DENIED[stage.name]
        stage.run(ann, "insert into t values (3)")
        assert stage.error(ann, "truncate table hot") == DENIED[stage.name], "by rbac"


@pytest.mark.parametrize("number", range(3))
def test_statements_are_refused_that_have_such_a_one_within(stage: Stage, number: int) -> None:
    texts = {
        "postgres": (
            "with gone as (delete from t returning n) select * from gone",
            "explain analyze delete from t where n > 0",
            "do $$begin delete from t; end$$",
        ),
        "mysql": (
            "analyze format=json delete from t where n > 0",
            "begin not atomic delete from t; end",
            "prepare s from 'delete from t where n > 0'",
        ),
    }
    with stage.connect("bob") as bob, stage.connect() as ann:
        before = stage.ask(ann, "select count(*) from t")
        assert stage.error(bob, texts[stage.name][number]) == DENIED[stage.name]
        assert stage.ask(ann, "select count(*) from t") == before


def test_a_user_may_be_kept_to_reads_in_transactions_as_drivers_begin_them(stage: Stage) -> None:
    with stage.connect("eve") as eve:
        stage.run(eve, "begin")
        assert stage.ask(eve, "select n from t where n = %s", 1) == [(1,)]
        stage.run(eve, "commit")
        for text in ("insert into t values (7)", "drop table t", "explain analyze delete from t"):
            assert stage.error(eve, text) == DENIED[stage.name], text
        if stage.name == "postgres":
            assert stage.error(eve, "begin; insert into t values (7); commit") == DENIED[stage.name]
    with stage.connect() as ann:
        assert stage.ask(ann, "select n from t where n = 7") == []


def test_clients_databases_and_addresses_choose_the_route(stage: Stage) -> None:
    before = stage.through("clients"), stage.through("elsewhere")
    with stage.connect(application="tool") as one:
        assert stage.ask(one, "select 1") == [(1,)]
    with stage.connect(database="other") as other:
        assert stage.ask(other, "select 1") == [(1,)]
    assert stage.through("clients") > before[0]
    assert stage.through("elsewhere") > before[1]
    assert stage.through("outside") == 0


def test_statements_are_rewritten(stage: Stage) -> None:
    with stage.connect() as one:
        assert stage.ask(one, "select n from old_t where n = %s", 2) == [(2,)]


def test_prepared_statements_are_rewritten(stage: Stage) -> None:
    assert stage.ask_prepared("select n from OLD_T where n = %s", 2, times=3) == [[(2,)]] * 3


def test_answers_are_kept_for_all_clients(stage: Stage) -> None:
    with stage.connect() as one, stage.connect() as other:
        text = "select n from catalogue where n < %s order by n"
        assert stage.ask(one, text, 10) == [(1,)]
        stage.run(one, "insert into catalogue values (2)")
        assert stage.ask(other, text, 10) == [(1,)], "for a minute"
        assert stage.ask(other, text, 11) == [(1,), (2,)], "another question"
        other.begin() if stage.name == "mysql" else stage.run(other, "begin")
        assert stage.ask(other, text, 10) == [(1,), (2,)], "within a transaction it is what is true there"
        other.rollback()


def test_statements_are_limited(stage: Stage) -> None:
    with stage.connect() as one:
        for _ in range(2):
            stage.run(one, "select n from hot")
        assert stage.error(one, "select n from hot") == LIMITED[stage.name]


def test_reads_are_copied_and_compared(stage: Stage) -> None:
    def counted(name: str) -> int:
        counters = stage.proxy.stats().items()
        return int(sum(value for key, value in counters if key.startswith(f"metaproxy_mirror_{name}_total")))

    def rows() -> int:
        return int(stage.server.ask("select count(*) from " + ("d." if stage.name == "mysql" else "") + "copied"))

    names = ("compared", "requests", "differences")
    before, had = [counted(name) for name in names], rows()
    with stage.connect() as one:
        for number in range(5):
            stage.ask(one, "select n from copied where n > %s", number)
        # A row that none of the reads sees: their copies may reach the server, which is the same one, behind it.
        stage.run(one, "insert into copied values (-1)")
    assert eventually(lambda: counted("compared") - before[0] == 5, 5)
    assert [counted(name) - was for name, was in zip(names, before, strict=True)] == [5, 5, 0]
    assert rows() - had == 1
