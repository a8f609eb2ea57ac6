"""
istiod's port that speaks TLS, and knows who asks by the token of a service account.

Lives here: its own authority, a token that it takes, and one that it does not. Does not: what it sends
(test_istio_gateway.py).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from istio_peers import NODE, Istiod, gateway, host, istio, service_entry
from kube_peers import Cluster
from proxied import Proxy
from running import eventually

Proxies = Callable[[Mapping[str, Any]], Proxy]
PORT = 23880
SECRET = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret"


@pytest.fixture(scope="module")
def secure(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Istiod]:
    """An istiod with an authority of its own, which it keeps in a secret."""
    istiod = Istiod(tmp_path_factory.mktemp("secure"), cluster.kubeconfig, secure=True)
    yield istiod
    istiod.stop()


@pytest.fixture
def listened(cluster: Cluster) -> Iterator[None]:
    """A service behind a port of the gateway."""
    route = {"match": [{"port": PORT}], "route": [{"destination": {"host": host("raw"), "port": {"number": PORT}}}]}
    found = [
        service_entry("raw", "dubbo", PORT, v1=7001), gateway(dubbo=PORT),
        istio("VirtualService", "raw", {"hosts": ["*"], "gateways": ["mesh/edge"], "tcp": [route]}, "mesh"),
    ]  # fmt: skip
    cluster.apply(*found)
    yield
    for each in found:
        cluster.delete(each)


def config(cluster: Cluster, secure: Istiod, folder: Path, token: str) -> dict[str, Any]:
    secret = cluster.ask("GET", SECRET)
    (folder / "root.pem").write_bytes(base64.b64decode(secret["data"]["ca-cert.pem"]))
    (folder / "token").write_text(token)
    tls = {"ca": str(folder / "root.pem"), "server_name": "istiod.istio-system.svc"}
    return {
        "node": NODE,
        "secrets": {"istiod": {"file": str(folder / "token")}},
        "xds": [{"name": "istiod", "server": secure.secure, "tls": tls, "token": {"secret": "istiod"}}],
    }


def test_a_service_account_is_known_by_its_token(
    cluster: Cluster, secure: Istiod, listened: None, proxy: Proxies, tmp_path: Path
) -> None:
    running = proxy(config(cluster, secure, tmp_path, cluster.token_of("mesh", "metaproxy", "istio-ca")))
    assert eventually(lambda: f"0.0.0.0_{PORT}" in json.dumps(running.admin("/listeners")), 10)


def test_a_token_that_istiod_does_not_take_is_said_with_its_word(
    cluster: Cluster, secure: Istiod, tmp_path: Path, proxy: Proxies
) -> None:
    found = config(cluster, secure, tmp_path, cluster.token_of("mesh", "metaproxy", "somebody-else"))
    found["xds"][0]["initial_fetch_timeout"] = "1s"
    running = proxy(found)
    (server,) = running.admin("/xds")["servers"]
    assert not server["connected"] and "UNAUTHENTICATED" in server["reason"]
