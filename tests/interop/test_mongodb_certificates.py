"""
MONGODB-X509: drivers that log in at the proxy by a certificate, and the proxy at a real mongod by its own.

Lives here: who is taken for whom. Does not: TLS as such, SCRAM over it (test_mongodb_tls.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority, Issued
from catalogue import Start
from mongodb_peers import client
from proxied import Proxy, cluster, listener
from running import PEERS, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
NAME = r"CN=b\,\+ \"\C3\A9\",OU=\ z#,OU=x=y,O=Shop\, Ltd"
"""A subject with all that has to be escaped, as mongod writes it."""


class Mesh(NamedTuple):
    """listed: for subjects of the configuration; asking: for those that the server knows. own, odd, other: clients'."""

    listed: int
    asking: int
    ca: Path
    own: Path
    odd: Path
    other: Path


def _both(issued: Issued) -> Path:
    """Certificate and key in one file."""
    file = issued.certificate.with_suffix(".both")
    file.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    return file


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = tmp_path_factory.mktemp("mongod")
    authority = Authority(folder)
    issued, proxys = authority.issue("localhost", "localhost", "127.0.0.1"), authority.issue("proxy")
    own, other = authority.issue("app", unit=["Shop"]), authority.issue("other")
    odd = authority.issue('b,+ "é"', unit=("Shop, Ltd", "x=y", " z#"), file="odd")
    port = free_port()
    files = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(_both(issued)), "--tlsCAFile", str(authority.ca)]
    start(catalogue.mongod(port, folder, "--auth", "--tlsAllowConnectionsWithoutCertificates", *files))
    tls = {"tls": True, "tlsCAFile": str(authority.ca)}
    with closing(client(port, **tls)) as first:
        first.admin.command("createUser", "root", pwd="secret", roles=["root"])
    with closing(client(port, username="root", password="secret", **tls)) as admin:
        external = admin["$external"]
        external.command("createUser", "CN=proxy", roles=[{"role": "root", "db": "admin"}])
        external.command("createUser", NAME, roles=[{"role": "read", "db": "shop"}])
    ports = free_port(), free_port()
    asks = {"certificate": str(issued.certificate), "key": str(issued.key), "client_ca": str(authority.ca)}
    protocols: list[dict[str, Any]] = [{"certificates": ["CN=app,O=Shop"]}, {"auth_query": True}]
    deny = {"action": "deny", "permissions": [{"user": "CN=app,O=Shop@$external", "collection": "closed"}]}
    shared_proxy(
        {
            "listeners": [
                listener(
                    f"mongodb-{ours}", ours, {"name": "mongodb", **options}, [{"cluster": "one"}], tls=asks,
                    filters=[{"rbac": {"policies": {"closed": deny}}}],
                )
                for ours, options in zip(ports, protocols, strict=True)
            ],
            "clusters": [
                cluster(
                    "one", port, credentials={"mechanism": "MONGODB-X509"},
                    tls={
                        "ca": str(authority.ca), "server_name": "localhost",
                        "certificate": str(proxys.certificate), "key": str(proxys.key),
                    },
                )
            ],
        }
    )  # fmt: skip
    return Mesh(*ports, authority.ca, _both(own), _both(odd), _both(other))


def by_certificate(mesh: Mesh, port: int, file: Path, **options: Any) -> Any:
    certificate = {"tls": True, "tlsCAFile": str(mesh.ca), "tlsCertificateKeyFile": str(file)}
    return closing(client(port, authMechanism="MONGODB-X509", **certificate, **options))


def test_a_listed_subject_logs_in_and_the_proxy_by_its_own_certificate(mesh: Mesh) -> None:
    from pymongo.errors import OperationFailure

    with by_certificate(mesh, mesh.listed, mesh.own) as found:
        found.shop.orders.insert_one({"item": "x"})
        (server,) = found.shop.command("connectionStatus")["authInfo"]["authenticatedUsers"]
        assert server == {"user": "CN=proxy", "db": "$external"}
        with pytest.raises(OperationFailure) as caught:
            found.shop.closed.find_one()
    assert caught.value.code == 13


def test_a_subject_that_the_server_knows_logs_in(mesh: Mesh) -> None:
    with by_certificate(mesh, mesh.asking, mesh.odd) as found:
        assert found.shop.orders.count_documents({}) >= 0
    with by_certificate(mesh, mesh.asking, mesh.odd, username=NAME) as found:
        assert found.shop.orders.count_documents({}) >= 0


@pytest.mark.parametrize("where", ["listed", "asking"])
def test_another_subject_is_refused(mesh: Mesh, where: str) -> None:
    from pymongo.errors import OperationFailure

    with by_certificate(mesh, getattr(mesh, where), mesh.other) as found, pytest.raises(OperationFailure) as caught:
        found.shop.orders.find_one()
    assert caught.value.code == 18


def test_who_shows_no_certificate_is_refused(mesh: Mesh) -> None:
    from pymongo.errors import OperationFailure

    options = {"tls": True, "tlsCAFile": str(mesh.ca), "authMechanism": "MONGODB-X509"}
    with closing(client(mesh.listed, **options)) as found, pytest.raises(OperationFailure) as caught:
        found.shop.orders.find_one()
    assert caught.value.code == 18


_NODE = """
const { MongoClient } = require("mongodb");
const [uri] = process.argv.slice(1);
(async () => {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5000 });
  console.log(await client.db("shop").collection("orders").countDocuments() >= 0);
  await client.close();
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.peer("mongodb-node")
def test_another_driver_logs_in_so_too(mesh: Mesh) -> None:
    uri = f"mongodb://127.0.0.1:{mesh.listed}/?authMechanism=MONGODB-X509&authSource=$external&tls=true"
    uri += f"&tlsCAFile={mesh.ca}&tlsCertificateKeyFile={mesh.own}"
    modules = str(PEERS / "node-mongodb" / "node_modules")
    ran = subprocess.run(
        ["node", "-e", _NODE, uri], env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": modules},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.strip()) == (0, "true"), ran.stderr
