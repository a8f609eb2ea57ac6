"""
Real MongoDB clients whose users only the server knows (`auth_query`), and who are the same users there.

Lives here: logins by both kinds of SCRAM, users that change, drivers in four languages. Does not: users of the
configuration (test_mongodb_users.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import MONGODB_DRIVERS, Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
SEES_USERS = {"resource": {"db": "", "collection": ""}, "actions": ["viewUser"]}


class Mesh(NamedTuple):
    """own: clients are themselves at the server; one: all of them are one user there; blind: its user sees none."""

    server: int
    own: int
    one: int
    blind: int


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    port = server(start, tmp_path_factory.mktemp("mongod"), "--auth")
    with closing(client(port)) as first:
        first.admin.command("createUser", "root", pwd="secret", roles=["root"])
    with root(port) as admin:
        admin.admin.command("createRole", "sees", privileges=[SEES_USERS], roles=[])
        admin.admin.command("createUser", "pooler", pwd="rubber", roles=["sees"])
        admin.admin.command("createUser", "blind", pwd="rubber", roles=[])
        admin.shop.command("createUser", "ann", pwd="pencil", roles=["readWrite"])
        admin.shop.command("createUser", "old", pwd="worn", roles=["readWrite"], mechanisms=["SCRAM-SHA-1"])
    ports = [free_port() for _ in range(3)]
    deny = {"action": "deny", "permissions": [{"command": "drop", "collection": "kept"}]}
    mine = {"action": "deny", "permissions": [{"user": "ann@shop", "collection": "closed"}]}
    rules = [{"rbac": {"policies": {"kept": deny, "mine": mine}}}]
    protocol = {"name": "mongodb", "auth_query": True}
    logins = {
        "own": {"user": "pooler", "password": "rubber", "login_as": "client"},
        "one": {"user": "root", "password": "secret"},
        "blind": {"user": "blind", "password": "rubber"},
    }
    shared_proxy(
        {
            "listeners": [
                listener(name, ours, protocol, [{"cluster": name}], filters=rules)
                for name, ours in zip(logins, ports, strict=True)
            ],
            "clusters": [
                cluster(name, port, credentials=credentials, connections={"per_endpoint": 3})
                for name, credentials in logins.items()
            ],
        }
    )
    return Mesh(port, *ports)


def root(port: int) -> Any:
    return closing(client(port, username="root", password="secret"))


def user(port: int, name: str = "ann", password: str = "pencil", database: str = "shop", **options: Any) -> Any:
    return closing(client(port, username=name, password=password, authSource=database, **options))


def names(found: Any) -> list[str]:
    """As whom the server knows a client."""
    users = found.shop.command("connectionStatus")["authInfo"]["authenticatedUsers"]
    return [f"{one['user']}@{one['db']}" for one in users]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "DEFAULT"])
def test_clients_are_the_same_users_at_the_server(mesh: Mesh, mechanism: str) -> None:
    from pymongo.errors import OperationFailure

    with user(mesh.own, authMechanism=mechanism) as found:
        found.shop.orders.insert_one({"item": "x"})
        assert names(found) == ["ann@shop"]
        with pytest.raises(OperationFailure) as caught:
            found.other.orders.find_one()
        assert caught.value.code == 13


def test_a_user_with_one_mechanism_logs_in_by_it(mesh: Mesh) -> None:
    with user(mesh.own, "old", "worn") as found:
        assert names(found) == ["old@shop"]


def test_clients_may_be_one_user_at_the_server_and_themselves_for_rules(mesh: Mesh) -> None:
    from pymongo.errors import OperationFailure

    with user(mesh.one) as found:
        assert names(found) == ["root@admin"]
        with pytest.raises(OperationFailure) as caught:
            found.shop.closed.find_one()
        assert caught.value.code == 13
    with root(mesh.one) as found:  # of the database admin
        assert found.shop.closed.find_one() is None


@pytest.mark.parametrize(
    ("name", "password", "database"), [("ann", "wrong", "shop"), ("nobody", "x", "shop"), ("ann", "pencil", "admin")]
)
def test_others_are_refused_as_the_server_would(mesh: Mesh, name: str, password: str, database: str) -> None:
    from pymongo.errors import OperationFailure

    with user(mesh.own, name, password, database) as found, pytest.raises(OperationFailure) as caught:
        found.shop.orders.find_one()
    assert caught.value.code == 18


def test_a_user_that_may_not_see_others_is_an_error_of_the_login(mesh: Mesh) -> None:
    from pymongo.errors import PyMongoError

    with user(mesh.blind) as found, pytest.raises(PyMongoError, match="auth_query failed: Unauthorized"):
        found.shop.orders.find_one()


def test_a_password_that_changes_counts_for_the_next_login(mesh: Mesh) -> None:
    from pymongo.errors import OperationFailure

    with root(mesh.server) as admin:
        admin.shop.command("createUser", "eve", pwd="first", roles=["readWrite"])
        with user(mesh.own, "eve", "first") as found:
            assert names(found) == ["eve@shop"]
        admin.shop.command("updateUser", "eve", pwd="second")
    with user(mesh.own, "eve", "second") as found:
        assert names(found) == ["eve@shop"]
    with user(mesh.own, "eve", "first") as found, pytest.raises(OperationFailure) as caught:
        names(found)
    assert caught.value.code == 18


def test_many_users_share_few_connections(mesh: Mesh) -> None:
    everyone = [f"user{number}" for number in range(12)]
    with root(mesh.server) as admin:
        for name in everyone:
            admin.shop.command("createUser", name, pwd=name, roles=["readWrite"])

    def work(name: str) -> list[list[str]]:
        with user(mesh.own, name, name) as found:
            return [names(found) for _ in range(3)]

    with ThreadPoolExecutor(len(everyone)) as pool:
        assert list(pool.map(work, everyone)) == [[[f"{name}@shop"]] * 3 for name in everyone]
    with root(mesh.server) as admin:
        operations = admin.admin.aggregate([{"$currentOp": {"allUsers": True, "idleConnections": True}}])
        assert sum(one.get("appName") == "metaproxy" for one in operations) <= 9


@pytest.mark.parametrize("driver", [pytest.param(name, marks=pytest.mark.peer(name)) for name in MONGODB_DRIVERS])
def test_other_drivers_log_in_so_too(mesh: Mesh, driver: str) -> None:
    uri = f"mongodb://root:secret@127.0.0.1:{mesh.own}/"
    command = catalogue.mongodb_driver(driver, uri, replica_set=False)
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["large"] == 1000
