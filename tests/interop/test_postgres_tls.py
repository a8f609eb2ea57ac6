"""
TLS inside PostgreSQL's protocol with real peers: from clients to the proxy, and from the proxy to the server.

Lives here: psql, psycopg and asyncpg over TLS, where logins pass and where they end; TLS that begins at once. Does not:
what is said over it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from authority import Authority
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
METHODS = ("scram-sha-256", "md5", "password", "trust")


class Mesh(NamedTuple):
    """
    Listeners over TLS: where logins pass, and where they end, by each method; a server that takes no other connections.
    """

    ca: Path
    passing: int
    ending: int
    methods: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    server = PostgreSQL(free_port(), hba="hostnossl all all all reject", start=False)
    for source, name in ((issued.certificate, "server.crt"), (issued.key, "server.key")):
        server.add(Path(source), name)
    server.options = ("-c", "ssl=on", "-c", "ssl_cert_file=server.crt", "-c", "ssl_key_file=server.key")
    server.start()
    passing, methods = free_port(), {method: free_port() for method in METHODS}
    tls = {"certificate": str(issued.certificate), "key": str(issued.key), "start": "protocol"}
    users = {"name": "postgres", "users": {"ann": "pencil"}}
    to_server = {"ca": str(authority.ca), "server_name": "localhost", "start": "protocol"}
    credentials = {"user": "app", "password": "secret"}
    listeners = [
        listener("passing", passing, "postgres", [{"cluster": "passing"}], tls=tls),
        *(
            listener(method, port, {**users, "auth": method}, [{"cluster": "ending"}], tls={**tls, "optional": True})
            for method, port in methods.items()
        ),
    ]
    clusters = [
        cluster("passing", server.port, tls=to_server),
        cluster("ending", server.port, tls=to_server, credentials=credentials),
    ]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(authority.ca, passing, methods["scram-sha-256"], methods)
    server.stop()


def ask(
    mesh: Mesh, port: int, text: str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()", **options: Any
) -> Any:
    """The first value of the answer."""
    import psycopg

    base: dict[str, Any] = {"user": "app", "password": "secret", "dbname": "postgres", "sslmode": "verify-full"}
    with psycopg.connect(host="localhost", port=port, sslrootcert=str(mesh.ca), **{**base, **options}) as c:
        assert c.pgconn.ssl_in_use == (options.get("sslmode") != "disable")
        return c.execute(text).fetchone()[0]


def test_both_sides_speak_tls_where_the_login_passes(mesh: Mesh) -> None:
    assert ask(mesh, mesh.passing) is True


def test_both_sides_speak_tls_where_the_login_ends(mesh: Mesh) -> None:
    assert ask(mesh, mesh.ending, user="ann", password="pencil") is True


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sslmode", ["verify-full", "disable"])
def test_a_client_logs_in_by_the_method_of_its_listener(mesh: Mesh, method: str, sslmode: str) -> None:
    """Which one that was the client says: it takes no other."""
    import psycopg

    port, takes = mesh.methods[method], "none" if method == "trust" else method
    options: dict[str, Any] = {"user": "ann", "require_auth": takes, "sslmode": sslmode}
    if method == "password" and sslmode == "disable":
        with pytest.raises(psycopg.OperationalError, match="only taken over TLS"):
            ask(mesh, port, password="pencil", **options)
        return
    assert ask(mesh, port, "select current_user", password="pencil", **options) == "app"
    if method != "trust":
        for wrong in ("secret", "pencils"):
            with pytest.raises(psycopg.OperationalError, match='authentication failed for user "ann"'):
                ask(mesh, port, password=wrong, **options)
    with pytest.raises(psycopg.OperationalError):
        ask(mesh, port, password="pencil", **{**options, "user": "nobody"})


def test_a_client_without_tls_is_refused_where_it_is_required_and_served_where_it_is_optional(mesh: Mesh) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="TLS is required"):
        ask(mesh, mesh.passing, sslmode="disable")
    assert ask(mesh, mesh.ending, user="ann", password="pencil", sslmode="disable") is True


def test_tls_may_begin_at_once(mesh: Mesh) -> None:
    assert ask(mesh, mesh.ending, user="ann", password="pencil", sslnegotiation="direct") is True
    assert ask(mesh, mesh.passing, sslnegotiation="direct") is True


def test_a_cancel_over_tls_reaches_the_server(mesh: Mesh) -> None:
    import asyncpg

    async def talk() -> None:
        c = await asyncpg.connect(
            host="localhost", port=mesh.ending, user="ann", password="pencil", database="postgres", ssl="require"
        )
        with pytest.raises(TimeoutError):
            await c.fetchval("select pg_sleep(20)", timeout=0.3)
        assert await c.fetchval("select 1", timeout=5) == 1
        await c.close()

    asyncio.run(talk())
