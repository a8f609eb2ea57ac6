"""
MongoDB over TLS, which begins with the connection: from drivers to the proxy, and from the proxy to a replica set whose
members ask for TLS and a login.

Lives here: drivers in four languages where logins pass, and where they end; who is refused. Does not: what is said over
it (test_mongodb.py, test_mongodb_users.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority
from catalogue import MONGODB_DRIVERS, Start
from mongodb_peers import ReplicaSet, client
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
USERS = {"passing": ("root", "secret"), "ending": ("app", "pencil")}


class Mesh(NamedTuple):
    """passing: logins go to the set; ending: they end at the proxy; named: only for clients with a certificate."""

    proxy: Proxy
    ca: Path
    store: Path
    own: Path
    passing: int
    ending: int
    named: int


def _filters() -> list[dict[str, Any]]:
    deny = {"action": "deny", "permissions": [{"command": "drop", "collection": "kept"}]}
    return [{"rbac": {"policies": {"kept": deny}}}]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = tmp_path_factory.mktemp("mongod")
    authority = Authority(folder)
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    app = authority.issue("app", uri="spiffe://mesh/app")
    both, own = folder / "server.pem", folder / "app.pem"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    own.write_bytes(app.certificate.read_bytes() + app.key.read_bytes())
    files = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both), "--tlsCAFile", str(authority.ca)]
    members = ReplicaSet(
        start,
        folder,
        *files,
        "--tlsAllowConnectionsWithoutCertificates",
        login=("root", "secret"),
        about={"tls": True, "tlsCAFile": str(authority.ca)},
    )
    passing, ending, named = (free_port() for _ in range(3))
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    users = {"name": "mongodb", "users": {"app": "pencil"}}
    of_set = {
        "topology": "replica_set",
        "topology_interval": "200ms",
        "tls": {"ca": str(authority.ca), "server_name": "localhost"},
    }
    mine = {"rbac": {"policies": {"app": {"principals": [{"source.identity": "spiffe://mesh/app"}]}}}}
    asks = {**tls, "client_ca": str(authority.ca), "require_client_certificate": True}
    proxy = shared_proxy(
        {
            "listeners": [
                listener("passing", passing, "mongodb", routes("passing"), tls=tls, filters=_filters()),
                listener("ending", ending, users, routes("ending"), tls=tls, filters=_filters()),
                listener("named", named, users, routes("ending"), tls=asks, filters=[mine]),
            ],
            "clusters": [
                cluster("passing", *members.ports, **of_set),
                cluster("ending", *members.ports, credentials={"user": "root", "password": "secret"}, **of_set),
            ],
        }
    )
    return Mesh(proxy, authority.ca, _store(folder, authority.ca), own, passing, ending, named)


def routes(name: str) -> list[dict[str, Any]]:
    return [{"cluster": name, "subset": {"role": "primary"}}]


def _store(folder: Path, ca: Path) -> Path:
    """The authority, as Java reads it."""
    store = folder / "ca.p12"
    options = ["-storetype", "PKCS12", "-storepass", "pencil", "-noprompt", "-alias", "ca"]
    subprocess.run(
        ["keytool", "-importcert", "-file", ca, "-keystore", store, *options], check=True, capture_output=True
    )
    return store


@pytest.mark.parametrize("where", ["passing", "ending"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_both_sides_speak_tls(mesh: Mesh, where: str, mechanism: str) -> None:
    user, password = USERS[where]
    options = {"tls": True, "tlsCAFile": str(mesh.ca), "replicaSet": "rs0", "authMechanism": mechanism}
    with closing(client(getattr(mesh, where), username=user, password=password, **options)) as found:
        found.shop.orders.drop()
        found.shop.orders.insert_many([{"_id": number, "item": "x" * 100} for number in range(300)])
        assert len(list(found.shop.orders.find({}, batch_size=50))) == 300
        found.shop.orders.insert_one({"_id": 1000, "data": b"x" * 5_000_000})
        assert len(found.shop.orders.find_one({"_id": 1000})["data"]) == 5_000_000


def test_large_messages_pass_both_ways_in_little_memory(mesh: Mesh) -> None:
    options = {"tls": True, "tlsCAFile": str(mesh.ca), "replicaSet": "rs0"}
    with closing(client(mesh.ending, username="app", password="pencil", **options)) as found:
        large = found.shop.large
        before = mesh.proxy.memory()
        mesh.proxy.forget_peak()
        for number in range(6):  # the cache of these servers takes no more at a time
            large.insert_one({"_id": number, "data": b"x" * 7_000_000})
        assert sum(len(one["data"]) for one in large.find()) == 6 * 7_000_000
        assert mesh.proxy.peak() - before < 40 << 20
        large.drop()


@pytest.mark.parametrize("where", ["passing", "ending"])
@pytest.mark.parametrize("driver", [pytest.param(name, marks=pytest.mark.peer(name)) for name in MONGODB_DRIVERS])
def test_other_drivers_speak_it_too(mesh: Mesh, driver: str, where: str) -> None:
    user, password = USERS[where]
    uri = f"mongodb://{user}:{password}@127.0.0.1:{getattr(mesh, where)}/?replicaSet=rs0&tls=true"
    java = f"-Djavax.net.ssl.trustStore={mesh.store} -Djavax.net.ssl.trustStorePassword=pencil"
    if driver != "mongodb-java":
        uri += f"&tlsCAFile={mesh.ca}"
    command = catalogue.mongodb_driver(driver, uri, replica_set=True)
    env = {**os.environ, **command.env, "JAVA_TOOL_OPTIONS": java}
    ran = subprocess.run(command.argv, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["committed"] is True


def test_a_client_without_tls_is_refused(mesh: Mesh) -> None:
    from pymongo.errors import ServerSelectionTimeoutError

    with (
        closing(client(mesh.passing, serverSelectionTimeoutMS=700)) as found,
        pytest.raises(ServerSelectionTimeoutError),
    ):
        found.admin.command("ping")


def test_a_certificate_says_who_may_pass(mesh: Mesh) -> None:
    from pymongo.errors import PyMongoError

    options = {"username": "app", "password": "pencil", "tls": True, "tlsCAFile": str(mesh.ca)}
    with closing(client(mesh.named, tlsCertificateKeyFile=str(mesh.own), **options)) as found:
        assert found.admin.command("ping")["ok"] == 1
    with (
        closing(client(mesh.named, serverSelectionTimeoutMS=700, **options)) as found,
        pytest.raises(PyMongoError),
    ):
        found.admin.command("ping")
