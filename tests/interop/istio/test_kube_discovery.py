"""
Endpoints from a real Kubernetes API server, with real Dubbo peers behind them.

Lives here: rights of a service account, changes of EndpointSlices, the server's death under load. Does not: what slices
say (tests/unit/kubernetes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import catalogue
import pytest
from catalogue import Clients, Start
from kube_peers import Cluster, endpoint_slice
from proxied import Proxy, listener
from running import eventually, free_port
from steady import Steady, calls_of

pytestmark = pytest.mark.peer("npm")
Proxies = Callable[[Mapping[str, Any]], Proxy]
WHO = [{"method": "whoami"}]


@pytest.fixture(scope="module")
def servers(start: Start) -> dict[str, int]:
    """Providers by name: the port of each on 127.0.0.1, which is 10.9.9.9 to who comes from the API."""
    ports = {name: free_port() for name in ("alpha", "beta")}
    for name, port in ports.items():
        start(catalogue.dubbo_server("npm", name, port))
    return ports


def config(port: int, kubeconfig: Path) -> dict[str, Any]:
    found = {"kubernetes": "shop/cart:tcp-dubbo", "kubeconfig": str(kubeconfig)}
    return {
        "listeners": [listener("front", port, "dubbo", [{"cluster": "cart"}])],
        "clusters": [{"name": "cart", "discovery": found}],
    }


def test_calls_follow_the_slices_and_go_on_while_the_api_server_is_dead(
    cluster: Cluster, servers: dict[str, int], proxy: Proxies, clients: Clients
) -> None:
    alpha, beta = (endpoint_slice("cart", servers[name], name=f"cart-{name}") for name in ("alpha", "beta"))
    cluster.apply(alpha)
    port = free_port()
    running = proxy(config(port, cluster.kubeconfig_of("mesh", "metaproxy")))
    with Steady(calls_of(clients(catalogue.dubbo_client("npm")), port, calls=WHO)) as load:
        load.more()
        assert set(load.answers) == {"alpha"}
        cluster.apply(beta)
        load.until("beta")
        cluster.delete(alpha)
        load.until("beta")
        cluster.kill()
        load.more(50)
        cluster.start()
        cluster.apply(alpha)
        cluster.delete(beta)
        load.until("alpha", 20)
    failures = running.stats()['metaproxy_cluster_discovery_failures_total{cluster="cart"}']
    assert failures > 0, "it was away, and nobody was told"
    running.stop()


def test_many_slices_are_read_in_several_pages_by_a_user_with_a_certificate(cluster: Cluster, proxy: Proxies) -> None:
    subject = {"kind": "User", "name": "prober", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "metaproxy-discovery"}
    cluster.apply({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "prober"},
        "subjects": [subject], "roleRef": role,
    })  # fmt: skip
    slices = [endpoint_slice("many", 20000 + number) for number in range(230)]
    cluster.apply(*slices)
    found = config(free_port(), cluster.kubeconfig_with_certificate("prober"))
    found["clusters"][0]["discovery"]["kubernetes"] = "shop/many"
    running = proxy(found)
    (shown,) = running.admin("/clusters")["clusters"]
    assert len(shown["endpoints"]) == 230
    for each in slices:
        cluster.delete(each)
    assert eventually(lambda: running.admin("/clusters")["clusters"][0]["endpoints"] == [], 10)
