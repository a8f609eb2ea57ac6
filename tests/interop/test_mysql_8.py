"""
Servers that speak MySQL 8's protocol and have accounts of caching_sha2_password: go-mysql-server, which asks for the
password itself each time, and one made of Vitess's protocol code, which is content with a proof.

Lives here: logins that pass, and logins of the proxy's own, over TLS and without it. Does not: MariaDB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from authority import Authority
from mysql_peers import PYTHON
from proxied import Proxy, cluster, listener
from running import PEERS, Program, free_port

pytestmark = pytest.mark.peer("mysql-full", "mysql-quick", "mysql-python")
sys.path.append(str(PYTHON))


class Mesh(NamedTuple):
    """
    Listeners of the server that asks for the password (`full`) and of the other (`quick`), where logins pass over TLS
    on both sides; and `ends`, where they end, by cluster. Both servers want TLS for caching_sha2_password.
    """

    ca: Path
    full: int
    quick: int
    ends: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mysql-8")
    authority = Authority(folder)
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    servers = {name: free_port() for name in ("full", "quick")}
    programs = [
        Program(
            [str(PEERS / "bin" / f"mysql-{name}"), str(port), str(issued.certificate), str(issued.key)], folder / name
        )
        for name, port in servers.items()
    ]
    near = {"certificate": str(issued.certificate), "key": str(issued.key), "start": "protocol"}
    far = {"ca": str(authority.ca), "server_name": "localhost", "start": "protocol"}
    users = {"name": "mysql", "users": {"ann": "pencil"}}
    clusters = [cluster(name, port, tls=far) for name, port in servers.items()]
    passing = [free_port(), free_port()]
    listeners = [
        listener(name, port, "mysql", [{"cluster": name}], tls=near)
        for name, port in zip(servers, passing, strict=True)
    ]
    ends = {}
    accounts = {"full-native": "native", "full-sha2": "sha2", "full-plain-native": "native", "quick": "app"}
    for way, user in accounts.items():
        ends[way] = free_port()
        listeners.append(listener(f"{way}-ends", ends[way], users, [{"cluster": f"{way}-ends"}]))
        there = {} if "plain" in way else {"tls": far}
        credentials = {"user": user, "password": "secret"}
        clusters.append(cluster(f"{way}-ends", servers[way.split("-")[0]], credentials=credentials, **there))
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(authority.ca, passing[0], passing[1], ends)
    for program in programs:
        program.stop()


def pymysql_client(mesh: Mesh, port: int, user: str, password: str = "secret", tls: bool = False, **more: Any) -> Any:
    import pymysql

    secure: dict[str, Any] = {"ssl_ca": str(mesh.ca), "ssl_verify_cert": True} if tls else {"ssl_disabled": True}
    return pymysql.connect(host="127.0.0.1", port=port, user=user, password=password, database="d", **secure, **more)


def ask(client: Any, text: str, *values: Any) -> Any:
    with client.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


@pytest.mark.parametrize("user", ["native", "sha2"])
def test_a_whole_password_passes_over_tls_on_both_sides(mesh: Mesh, user: str) -> None:
    import pymysql

    with pymysql_client(mesh, mesh.full, user, tls=True) as client:
        assert ask(client, "select 1 + %s", 4) == ((5,),)
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        pymysql_client(mesh, mesh.full, user, "wrong", tls=True)


def test_a_proof_passes(mesh: Mesh) -> None:
    with pymysql_client(mesh, mesh.quick, "app", tls=True) as client:
        assert ask(client, "select 5") == (("select 5",),)
        assert len(ask(client, "big 3000")) == 3000


def test_connector_prepares_statements_over_tls(mesh: Mesh) -> None:
    import mysql.connector

    for port, user, found in ((mesh.full, "sha2", 5), (mesh.quick, "app", "select ?+? 2 3")):
        login: dict[str, Any] = {"port": port, "user": user, "password": "secret", "ssl_ca": str(mesh.ca)}
        with mysql.connector.connect(host="127.0.0.1", use_pure=True, **login) as c, c.cursor(prepared=True) as k:
            k.execute("select ?+?", (2, 3))
            assert k.fetchall() == [(found,)]


@pytest.mark.parametrize("way", ["full-native", "full-sha2", "full-plain-native"])
def test_the_proxy_logs_in_and_clients_share_its_connections(mesh: Mesh, way: str) -> None:
    first, second = (pymysql_client(mesh, mesh.ends[way], "ann", "pencil") for _ in range(2))
    ask(second, "use other")
    assert (ask(first, "select database()"), ask(second, "select database()")) == ((("d",),), (("other",),))
    ask(first, f"create table {way.replace('-', '_')} (a int primary key)")
    first.begin()
    ask(first, f"insert into {way.replace('-', '_')} values (1)")
    first.rollback()
    for client in (first, second):
        client.close()


def test_the_proxy_s_own_proof_is_enough(mesh: Mesh) -> None:
    import pymysql

    client = pymysql_client(mesh, mesh.ends["quick"], "ann", "pencil")
    assert ask(client, "select 7") == (("select 7",),)
    with pytest.raises(pymysql.err.ProgrammingError, match="no such table"):
        ask(client, "fail x")
    client.close()


def test_a_server_need_not_know_change_user_for_clients_with_other_characters(mesh: Mesh) -> None:
    for charset in ("utf8mb4", "latin1", "utf8mb4"):
        client = pymysql_client(mesh, mesh.ends["quick"], "ann", "pencil", charset=charset)
        assert ask(client, "select 7") == (("select 7",),)
        client.close()
