"""
The objects of a mesh from a real Kubernetes API server, with real Dubbo peers behind them.

Lives here: changes of objects, what became of them in their status, other writers of it, the server's death under load.
Does not: what is made of objects (tests/unit/mesh), statuses without a server (tests/unit/kubernetes).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import catalogue
import pytest
from catalogue import Clients, Start
from istio_peers import host, service_entry, subsets
from kube_peers import Cluster, Object, path_of
from proxied import Proxy
from running import eventually, free_port
from steady import Steady, calls_of

pytestmark = pytest.mark.peer("npm")
Proxies = Callable[[Mapping[str, Any]], Proxy]
PORT = 21880
WHO = [{"method": "whoami"}]


@pytest.fixture(scope="module")
def servers(start: Start) -> dict[str, int]:
    """Providers by name: the port of each."""
    ports = {name: free_port() for name in ("alpha", "beta")}
    for name, port in ports.items():
        start(catalogue.dubbo_server("npm", name, port))
    return ports


def router(subset: str, **more: Any) -> Object:
    """A MetaRouter that sends all to a version."""
    destination = {"host": host("items"), "subset": subset}
    spec = {"hosts": [host("items")], "routes": [{"name": "all", "route": [{"destination": destination}]}], **more}
    metadata = {"name": "items", "namespace": "shop"}
    return {"apiVersion": "metaprotocol.aeraki.io/v1alpha1", "kind": "MetaRouter", "metadata": metadata, "spec": spec}


@pytest.fixture
def mesh(cluster: Cluster, servers: dict[str, int]) -> Iterator[None]:
    """A service with two versions, and a MetaRouter for the first."""
    found = [
        service_entry("items", "dubbo", PORT, "240.240.0.20", v1=servers["alpha"], v2=servers["beta"]),
        subsets("items", "v1", "v2"),
        router("v1"),
    ]
    cluster.apply(*found)
    yield
    for each in found:
        cluster.delete(each)


@pytest.fixture
def running(mesh: None, cluster: Cluster, proxy: Proxies) -> Proxy:
    """A proxy that has all of its configuration from there, with the rights of deploy/kubernetes."""
    return begun(cluster, proxy)


def begun(cluster: Cluster, proxy: Proxies, bind: str = "127.0.0.1") -> Proxy:
    api = {"kubeconfig": str(cluster.kubeconfig_of("mesh", "metaproxy"))}
    found = proxy({"crds": {"kubernetes": api, "bind": bind}, "node": {"metadata": {"NAMESPACE": "shop"}}})
    name = f"{bind}_{PORT}"
    assert eventually(lambda: name in json.dumps(found.admin("/listeners")), 15), found.log()[-3000:]
    return found


def condition(cluster: Cluster) -> dict[str, Any]:
    """What the status of the MetaRouter says of its newest version; {} while it says nothing of that."""
    found = cluster.get(router("v1"))
    said = [one for one in found.get("status", {}).get("conditions", []) if one["type"] == "Accepted"]
    return said[0] if said and said[0]["observedGeneration"] == found["metadata"]["generation"] else {}


def told(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = eventually(lambda: condition(cluster), 10)
    assert found, "the status says nothing"
    return found


def test_calls_follow_the_objects_and_go_on_while_the_api_server_is_dead(
    running: Proxy, cluster: Cluster, clients: Clients
) -> None:
    with Steady(calls_of(clients(catalogue.dubbo_client("npm")), PORT, calls=WHO)) as load:
        assert load.answers[-1] == "alpha"
        cluster.apply(router("v2"))
        load.until("beta")
        cluster.kill()
        load.more(50)
        cluster.start()
        cluster.apply(router("v1"))
        load.until("alpha", 20)
    assert told(cluster)["status"] == "True"


def test_the_status_says_what_became_of_each_version(running: Proxy, cluster: Cluster, clients: Clients) -> None:
    assert told(cluster)["status"] == "True"
    cluster.apply(router("v2", routess=[]))
    said = told(cluster)
    assert (said["status"], said["reason"]) == ("False", "Refused")
    assert "spec.routess" in said["message"] and "stays in force" in said["message"]
    assert calls_of(clients(catalogue.dubbo_client("npm")), PORT, calls=WHO)() == "alpha"
    cluster.ask("PATCH", path_of(router("v2")), {"spec": {"routess": None}}, "application/merge-patch+json")
    assert told(cluster)["status"] == "True"
    assert calls_of(clients(catalogue.dubbo_client("npm")), PORT, calls=WHO)() == "beta"


def test_two_proxies_agree_on_a_status_and_leave_it_alone(running: Proxy, cluster: Cluster, proxy: Proxies) -> None:
    begun(cluster, proxy, "127.0.0.2")
    cluster.apply(router("v2"))
    told(cluster)
    time.sleep(2.5)  # in which either would have written again
    before = cluster.get(router("v2"))["metadata"]["resourceVersion"]
    time.sleep(2.5)
    assert cluster.get(router("v2"))["metadata"]["resourceVersion"] == before


def test_what_another_manager_has_said_stays(mesh: None, cluster: Cluster, proxy: Proxies) -> None:
    own = {"type": "Accepted", "status": "Unknown", "reason": "Waiting", "message": "for us"}
    other = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
    written = {**router("v1"), "status": {"conditions": [own, other]}}
    del written["spec"]
    query = "/status?fieldManager=another"
    cluster.ask("PATCH", path_of(written) + query, written, "application/apply-patch+yaml")
    running = begun(cluster, proxy)
    assert eventually(lambda: "another manager has this field" in running.log(), 10)
    found = {one["type"]: one["status"] for one in cluster.get(router("v1"))["status"]["conditions"]}
    assert found == {"Accepted": "Unknown", "Ready": "True"}
