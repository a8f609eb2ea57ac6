"""
Real PostgreSQL clients whose users only the server knows (`auth_query`), and who are the same users at the server.

Lives here: logins by SCRAM and md5, roles that change. Does not: users of the configuration (test_postgres_pooling).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
MODES = ("transaction", "session", "pool")
ROLES = """
set password_encryption = 'scram-sha-256';
create role ann login password 'pencil';
set password_encryption = 'md5';
create role max login password 'marker';
create role old login password 'worn' valid until '2001-01-01';
create role pooler login password 'rubber';
create schema pooler;
create function pooler.known(wanted text, out name text, out kept text) language sql security definer as $$
  select rolname, rolpassword from pg_authid
  where rolname = wanted and rolcanlogin and coalesce(rolvaliduntil > now(), true)
$$;
revoke all on function pooler.known from public;
grant usage on schema pooler to pooler;
grant execute on function pooler.known to pooler;
"""
ASKED = "select name, kept from pooler.known($1)"


class Mesh(NamedTuple):
    server: PostgreSQL
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Any:
    server = PostgreSQL(free_port(), auth="md5")  # as which SCRAM passes for who has it
    server.ask(ROLES)
    protocol = {"name": "postgres", "auth": "md5", "auth_query": ASKED}
    ports = {mode: free_port() for mode in (*MODES, "app", "scram")}
    listeners = [listener(name, port, protocol, [{"cluster": name}]) for name, port in ports.items() if name != "scram"]
    listeners.append(
        listener("scram", ports["scram"], {"name": "postgres", "auth_query": ASKED}, [{"cluster": "transaction"}])
    )
    own = {"user": "pooler", "password": "rubber", "login_as": "client"}
    clusters = [
        cluster(mode, server.port, credentials=own, connections={"mode": mode, "per_endpoint": 3}) for mode in MODES
    ]
    everyone = {"user": "app", "password": "secret"}
    clusters.append(cluster("app", server.port, credentials=everyone, connections={"per_endpoint": 3}))
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(server, ports)
    server.stop()


def user_of(port: int, user: str, password: str) -> str:
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=port, user=user, password=password, dbname="postgres") as c:
        row = c.execute("select current_user").fetchone()
        assert row is not None
        return str(row[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("user", "password"), [("ann", "pencil"), ("max", "marker")], ids=["scram", "md5"])
def test_clients_are_the_same_users_at_the_server(mesh: Mesh, user: str, password: str, mode: str) -> None:
    assert [user_of(mesh.ports[mode], user, password) for _ in range(3)] == [user] * 3


def test_clients_may_be_another_user_at_the_server(mesh: Mesh) -> None:
    assert user_of(mesh.ports["app"], "ann", "pencil") == "app"


@pytest.mark.parametrize(("user", "password"), [("ann", "wrong"), ("max", "pencil"), ("old", "worn"), ("nobody", "x")])
def test_others_are_refused_as_the_server_would(mesh: Mesh, user: str, password: str) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError, match=f'password authentication failed for user "{user}"'):
        user_of(mesh.ports["transaction"], user, password)


def test_by_scram_alone_only_users_with_a_verifier_log_in(mesh: Mesh) -> None:
    import asyncpg

    assert user_of(mesh.ports["scram"], "ann", "pencil") == "ann"

    async def enters(password: str) -> None:
        await asyncpg.connect(
            host="127.0.0.1", port=mesh.ports["scram"], user="max", password=password, database="postgres"
        )

    for password in ("marker", ""):
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(enters(password))


def test_a_password_that_changes_counts_for_the_next_login(mesh: Mesh) -> None:
    import psycopg

    mesh.server.ask("create role eve login password 'first'")
    port = mesh.ports["transaction"]
    assert user_of(port, "eve", "first") == "eve"
    mesh.server.ask("alter role eve password 'second'")
    assert user_of(port, "eve", "second") == "eve"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        user_of(port, "eve", "first")


def test_many_users_share_few_connections(mesh: Mesh) -> None:
    import asyncpg

    names = [f"user_{number}" for number in range(20)]
    mesh.server.ask("".join(f"create role {name} login password '{name}';" for name in names))

    async def client(name: str) -> list[str]:
        c = await asyncpg.connect(
            host="127.0.0.1", port=mesh.ports["transaction"], user=name, password=name, database="postgres"
        )
        found = [await c.fetchval("select current_user::text") for _ in range(3)]
        await c.close()
        return found

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(client(name) for name in names))

    assert asyncio.run(all_of_them()) == [[name] * 3 for name in names]
