"""
Fixtures for a Kubernetes API server and an istiod on it.

Lives here: starting them, once for all tests of a run; `make interop-istio` names their binaries. Does not: what they
are (kube_peers.py, istio_peers.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from istio_peers import Istiod, definitions, istiod_program
from kube_peers import CRDS, RBAC, Cluster, kube_apiserver


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server with Aeraki's and Istio's kinds, the rights of deploy/kubernetes, and a few namespaces."""
    assert kube_apiserver().exists(), f"{kube_apiserver()} is not there; run make interop-istio, or set KUBE_APISERVER"
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for name in ("mesh", "shop", "istio-system"):
            cluster.namespace(name)
        cluster.apply_files(CRDS, RBAC)
        cluster.define(*definitions())
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def istiod(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Istiod]:
    """An istiod that reads all of the cluster."""
    assert istiod_program().exists(), f"{istiod_program()} is not there; run make interop-istio, or set ISTIOD"
    istiod = Istiod(tmp_path_factory.mktemp("istiod"), cluster.kubeconfig)
    yield istiod
    istiod.stop()
