"""
A team without Kubernetes: MetaRouters in a folder, a control plane that serves them, a metaproxy that runs them.

Lives here: what arrives at the proxy. Does not: what each field of a MetaRouter does (tests/unit/mesh).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from controlled import ControlPlane
from proxied import Proxy
from running import eventually, free_port

ENTRY = """
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: demo, namespace: demo}
spec:
  hosts: [demo.svc.local]
  addresses: [127.0.10.1]
  ports: [{number: PORT, name: tcp-metaprotocol-dubbo, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, labels: {version: v1}}]
"""
ROUTER = """
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: demo, namespace: demo}
spec:
  hosts: [demo.svc.local]
  routes: [{name: NAME, route: [{destination: {host: demo.svc.local}}]}]
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    folder = tmp_path / "mesh"
    folder.mkdir()
    (folder / "entry.yaml").write_text(ENTRY.replace("PORT", str(free_port())))
    (folder / "router.yaml").write_text(ROUTER.replace("NAME", "first"))
    made = ControlPlane(str(folder), {}, tmp_path)
    yield made
    made.stop()


def routes(proxy: Proxy) -> list[str]:
    """Return the names of the routes of the listener that there is."""
    listeners = json.loads(proxy.ask("/routes")[1])["listeners"]
    return [one["name"] for listener in listeners for one in listener["routes"]]


def test_a_metarouter_is_a_route_of_the_proxy_and_its_change_too(
    plane: ControlPlane, proxy: Callable[[Mapping[str, Any]], Proxy], tmp_path: Path
) -> None:
    node = {"id": "sidecar~127.0.0.9~client.demo~demo.svc.cluster.local"}
    server = {"name": "control", "server": f"127.0.0.1:{plane.port}", "transport": "delta"}
    made = proxy({"node": node, "xds": server})
    assert eventually(lambda: routes(made) == ["first"], 15)
    listener = json.loads(made.ask("/listeners")[1])["listeners"][0]
    assert (listener["protocol"], listener["state"]) == ("dubbo", "LISTENING")
    (tmp_path / "mesh" / "router.yaml").write_text(ROUTER.replace("NAME", "second"))
    assert eventually(lambda: routes(made) == ["second"], 15)
    assert [one["state"] for one in plane.get("/fleet")["nodes"]] == ["in force"]


def test_a_metarouter_that_the_webhook_would_refuse_is_refused_with_its_place(
    plane: ControlPlane, tmp_path: Path
) -> None:
    before = plane.versions()
    (tmp_path / "mesh" / "router.yaml").write_text(ROUTER.replace("[demo.svc.local]", "[]"))
    assert eventually(lambda: plane.get("/fleet")["refused"], 15)
    assert "router.yaml:2:1" in plane.get("/fleet")["refused"][0]
    assert plane.versions() == before
