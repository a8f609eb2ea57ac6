"""
Real MySQL clients whose users only the server knows (`auth_query`), and who are the same users at the server.

Lives here: MariaDB with mysql_native_password, and go-mysql-server with caching_sha2_password over TLS; accounts that
change. Does not: users of the configuration (test_mysql_users).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from authority import Authority
from catalogue import Clients
from mysql_peers import PYTHON, MariaDB, mysql2_client
from proxied import Proxy, cluster, listener
from running import PEERS, Program, free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
MODES = ("transaction", "session")
ACCOUNTS = """
create user ann@'%' identified by 'pencil'; grant all on *.* to ann@'%';
create user max@'%' identified by 'marker'; grant all on *.* to max@'%';
create user old@'%' identified by 'worn' account lock;
create user pooler@'%' identified by 'rubber';
create database pooler;
create sql security definer view pooler.known as
  select User as name, json_value(Priv, '$.authentication_string') as kept from mysql.global_priv
  where json_value(Priv, '$.plugin') = 'mysql_native_password' and not ifnull(json_value(Priv, '$.account_locked'), 0);
grant select on pooler.known to pooler@'%';
"""
ASKED = "select name, kept from pooler.known where name = ?"


class Mesh(NamedTuple):
    server: MariaDB
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"))
    server.ask(ACCOUNTS)
    protocol = {"name": "mysql", "auth_query": ASKED}
    ports = {name: free_port() for name in (*MODES, "app")}
    own = {"user": "pooler", "password": "rubber", "login_as": "client"}
    clusters = [
        cluster(mode, server.port, credentials=own, connections={"mode": mode, "per_endpoint": 3}) for mode in MODES
    ]
    everyone = {"user": "app", "password": "secret"}
    clusters.append(cluster("app", server.port, credentials=everyone, connections={"per_endpoint": 3}))
    listeners = [listener(name, port, protocol, [{"cluster": name}]) for name, port in ports.items()]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(server, ports)
    server.stop()


def connect(port: int, user: str, password: str, **options: Any) -> Any:
    import pymysql

    base: dict[str, Any] = {"database": "d", "ssl_disabled": True}
    return pymysql.connect(host="127.0.0.1", port=port, user=user, password=password, **{**base, **options})


def user_of(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("select current_user()")
        ((name,),) = cursor.fetchall()
    return str(name).removesuffix("@%")


def user_at(port: int, user: str, password: str, **options: Any) -> str:
    with connect(port, user, password, **options) as connection:
        return user_of(connection)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("user", "password"), [("ann", "pencil"), ("max", "marker")])
def test_clients_are_the_same_users_at_the_server(mesh: Mesh, user: str, password: str, mode: str) -> None:
    assert [user_at(mesh.ports[mode], user, password) for _ in range(3)] == [user] * 3


def test_clients_may_be_another_user_at_the_server(mesh: Mesh) -> None:
    assert user_at(mesh.ports["app"], "ann", "pencil") == "app"


@pytest.mark.parametrize(
    ("user", "password"), [("ann", "wrong"), ("max", "pencil"), ("old", "worn"), ("ed", "secret"), ("no' one", "x")]
)
def test_others_are_refused_as_the_server_would(mesh: Mesh, user: str, password: str) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError, match=f"Access denied for user '{user}'") as refused:
        connect(mesh.ports["transaction"], user, password)
    assert refused.value.args[0] == 1045


def test_a_password_that_changes_counts_for_the_next_login(mesh: Mesh) -> None:
    import pymysql

    mesh.server.ask("create user eve@'%' identified by 'first'; grant all on d.* to eve@'%'")
    port = mesh.ports["transaction"]
    assert user_at(port, "eve", "first") == "eve"
    mesh.server.ask("alter user eve@'%' identified by 'second'")
    assert user_at(port, "eve", "second") == "eve"
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        connect(port, "eve", "first")


def test_many_users_share_few_connections(mesh: Mesh) -> None:
    names = [f"user_{number}" for number in range(12)]
    accounts = (f"create user {name}@'%' identified by '{name}'; grant all on d.* to {name}@'%';" for name in names)
    mesh.server.ask("".join(accounts))
    clients = [connect(mesh.ports["transaction"], name, name) for name in names]
    for _ in range(3):
        assert [user_of(client) for client in clients] == names
    for client in clients:
        client.close()


def test_the_rights_of_the_user_count(mesh: Mesh) -> None:
    import pymysql

    mesh.server.ask("create user low@'%' identified by 'low'; grant select on d.* to low@'%'")
    with connect(mesh.ports["transaction"], "low", "low") as client, client.cursor() as cursor:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute("create table low (a int)")
        assert refused.value.args[0] == 1142
        cursor.execute("select 1")


def test_other_drivers_in_python(mesh: Mesh) -> None:
    import mysql.connector
    import MySQLdb

    base: dict[str, Any] = {"host": "127.0.0.1", "user": "ann", "database": "d"}
    for mode in MODES:
        c = MySQLdb.connect(**base, port=mesh.ports[mode], passwd="pencil")
        k = c.cursor()
        k.execute("select current_user()")
        assert k.fetchall() == (("ann@%",),)
        c.close()
        login = {**base, "port": mesh.ports[mode], "password": "pencil"}
        with mysql.connector.connect(**login, use_pure=True, ssl_disabled=True) as m, m.cursor(prepared=True) as k:
            k.execute("select ?, current_user()", (5,))
            assert k.fetchall() == [(5, "ann@%")]
            m.cmd_change_user("max", "marker", "other")
            k = m.cursor()
            k.execute("select current_user(), database()")
            assert k.fetchall() == [("max@%", "other")]


@pytest.mark.peer("mysql2")
def test_mysql2_changes_its_user(mesh: Mesh, clients: Clients) -> None:
    client = clients(mysql2_client())
    who = ["query", "select current_user() as who, database() as at"]
    steps = [
        ["query", "set @a = 5"], who, ["changeUser", {"user": "max", "password": "marker", "database": "other"}], who,
    ]  # fmt: skip
    for mode in MODES:
        said = client.run(port=mesh.ports[mode], user="ann", password="pencil", steps=steps)
        assert [each["value"] for each in said[1::2]] == [
            [{"who": "ann@%", "at": "d"}], [{"who": "max@%", "at": "other"}],
        ]  # fmt: skip


# -- caching_sha2_password


class Strong(NamedTuple):
    """ca: of the listener's certificate; port: of the proxy; bare: of one without TLS."""

    ca: Path
    port: int
    bare: int


@pytest.fixture(scope="module")
def strong(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """go-mysql-server, whose account `sha2` has caching_sha2_password."""
    folder = tmp_path_factory.mktemp("mysql-8")
    authority = Authority(folder)
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    there, port, bare = free_port(), free_port(), free_port()
    files = [str(issued.certificate), str(issued.key)]
    server = Program([str(PEERS / "bin" / "mysql-full"), str(there), *files], folder / "full")
    near = {"certificate": files[0], "key": files[1], "start": "protocol"}
    far = {"ca": str(authority.ca), "server_name": "localhost", "start": "protocol"}
    asked = "select User, authentication_string from mysql.user where User = ?"
    protocol = {"name": "mysql", "auth_query": asked}
    own = {"user": "native", "password": "secret", "login_as": "client"}
    listeners = [
        listener("tls", port, protocol, [{"cluster": "full"}], tls=near),
        listener("bare", bare, protocol, [{"cluster": "full"}]),
    ]
    shared_proxy({"listeners": listeners, "clusters": [cluster("full", there, credentials=own, tls=far)]})
    yield Strong(authority.ca, port, bare)
    server.stop()


@pytest.mark.peer("mysql-full")
def test_a_password_said_over_tls_logs_in_at_the_server(strong: Strong) -> None:
    import pymysql

    # Not mysql-connector, whose collation only COM_CHANGE_USER brings back, which this server does not know.
    secure: dict[str, Any] = {"ssl_ca": str(strong.ca), "ssl_verify_cert": True, "ssl_disabled": False}
    secure["autocommit"] = True
    for user in ("sha2", "native"):
        with connect(strong.port, user, "secret", **secure) as client, client.cursor() as cursor:
            cursor.execute("select user()")
            assert str(cursor.fetchall()[0][0]).startswith(user)
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            connect(strong.port, user, "wrong", **secure)


@pytest.mark.peer("mysql-full")
def test_it_is_not_asked_for_without_tls(strong: Strong) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError, match="only taken over TLS") as refused:
        connect(strong.bare, "sha2", "secret")
    assert refused.value.args[0] == 1045
