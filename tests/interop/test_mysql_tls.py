"""
TLS inside MySQL's protocol with real peers: from clients to the proxy, and from the proxy to MariaDB.

Lives here: PyMySQL, mysqlclient, mysql-connector and mysql2 over TLS, where logins pass and where they end. Does not:
what is said over it; caching_sha2_password (test_mysql_8.py).
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
from running import free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
CIPHER = "show session status like 'Ssl_cipher'"


class Mesh(NamedTuple):
    """
    Listeners where logins pass: `both` sides have TLS, `near` the client's alone, `far` the server's alone; and
    `ending`, where logins end, and TLS is asked of servers. ca: of all certificates.
    """

    ca: Path
    both: int
    near: int
    far: int
    ending: int


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    files = (f"--ssl-cert={issued.certificate}", f"--ssl-key={issued.key}", f"--ssl-ca={authority.ca}")
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"), *files)
    server.ask("create user tls@'%' identified by 'secret' require ssl; grant all on *.* to tls@'%'")
    near = {"certificate": str(issued.certificate), "key": str(issued.key), "start": "protocol"}
    far = {"ca": str(authority.ca), "server_name": "localhost", "start": "protocol"}
    users = {"name": "mysql", "users": {"ann": "pencil"}}
    both, half, upper, ending = (free_port() for _ in range(4))
    credentials = {"user": "tls", "password": "secret"}
    listeners = [
        listener("both", both, "mysql", [{"cluster": "far"}], tls=near),
        listener("near", half, "mysql", [{"cluster": "plain"}], tls={**near, "optional": True}),
        listener("far", upper, "mysql", [{"cluster": "far"}]),
        listener("ending", ending, users, [{"cluster": "ending"}], tls={**near, "optional": True}),
    ]
    clusters = [
        cluster("plain", server.port),
        cluster("far", server.port, tls=far),
        cluster("ending", server.port, tls=far, credentials=credentials),
    ]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(authority.ca, both, half, upper, ending)
    server.stop()


def ask(mesh: Mesh, port: int, text: str = CIPHER, *, plain: bool = False, **options: Any) -> Any:
    """What PyMySQL gets, over TLS unless plain."""
    import pymysql

    base: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "ssl_ca": str(mesh.ca)}
    base |= {"ssl_verify_cert": True, "ssl_verify_identity": True}
    if plain:
        base = {key: value for key, value in base.items() if not key.startswith("ssl")} | {"ssl_disabled": True}
    with pymysql.connect(host="localhost", port=port, **{**base, **options}) as c, c.cursor() as k:
        k.execute(text)
        return k.fetchall()


def test_both_sides_speak_tls_where_the_login_passes(mesh: Mesh) -> None:
    ((_, cipher),) = ask(mesh, mesh.both)
    assert cipher.startswith("TLS_")
    assert ask(mesh, mesh.both, "select current_user()", user="tls") == (("tls@%",),)


def test_or_one_of_them(mesh: Mesh) -> None:
    import pymysql

    assert ask(mesh, mesh.near) == (("Ssl_cipher", ""),)
    assert ask(mesh, mesh.near, plain=True) == (("Ssl_cipher", ""),)
    ((_, cipher),) = ask(mesh, mesh.far, plain=True)
    assert cipher.startswith("TLS_")
    for plain in (True, False):
        with pytest.raises(pymysql.err.OperationalError) as refused:
            ask(mesh, mesh.near, user="tls", plain=plain)
        assert refused.value.args[0] == 1045


def test_both_sides_speak_tls_where_the_login_ends(mesh: Mesh) -> None:
    for plain in (True, False):
        ((_, cipher),) = ask(mesh, mesh.ending, user="ann", password="pencil", plain=plain)
        assert cipher.startswith("TLS_")


def test_a_client_without_tls_is_refused_where_it_is_required(mesh: Mesh) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError) as refused:
        ask(mesh, mesh.both, plain=True)
    assert refused.value.args[0] == 3159


def test_a_wrong_password_is_the_server_s_error_on_any_of_these_ways(mesh: Mesh) -> None:
    import pymysql

    for port, plain in ((mesh.both, False), (mesh.near, False), (mesh.far, True), (mesh.ending, False)):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied") as refused:
            ask(mesh, port, password="wrong", plain=plain)
        assert refused.value.args[0] == 1045


def test_other_drivers_in_python(mesh: Mesh) -> None:
    import mysql.connector
    import MySQLdb

    for port, user, password in ((mesh.both, "tls", "secret"), (mesh.ending, "ann", "pencil")):
        login: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": user, "database": "d"}
        c = MySQLdb.connect(**login, passwd=password, ssl={"ca": str(mesh.ca)})
        k = c.cursor()
        k.execute("select %s + 1", (1,))
        assert k.fetchall() == ((2,),)
        c.close()
        with (
            mysql.connector.connect(**login, password=password, ssl_ca=str(mesh.ca), use_pure=True) as m,
            m.cursor(prepared=True) as k,
        ):
            k.execute("select ? + 1", (1,))
            assert k.fetchall() == [(2,)]


@pytest.mark.peer("mysql2")
def test_mysql2(mesh: Mesh, clients: Clients) -> None:
    client = clients(mysql2_client())
    steps = [["query", "select 5 as a"], ["execute", "select ? as b", ["x"]], ["ping"]]
    for port, user, password in ((mesh.both, "tls", "secret"), (mesh.ending, "ann", "pencil")):
        options = {"ssl": {"ca": mesh.ca.read_text()}}
        said = client.run(port=port, user=user, password=password, steps=steps, options=options)
        assert [each["value"] for each in said] == [[{"a": 5}], [{"b": "x"}], "pong"]
