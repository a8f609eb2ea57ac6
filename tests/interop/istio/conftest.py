"""
Fixtures for a Kubernetes API server, and for what runs on it.

Lives here: starting them, once for all tests of a run; `make interop-istio` names their binaries. Does not: what they
are (kube_peers.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kube_peers import CRDS, RBAC, Cluster, kube_apiserver


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server with Aeraki's kinds, the rights of deploy/kubernetes and the namespaces `mesh` and `shop`."""
    assert kube_apiserver().exists(), f"{kube_apiserver()} is not there; run make interop-istio, or set KUBE_APISERVER"
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for name in ("mesh", "shop"):
            cluster.namespace(name)
        cluster.apply_files(CRDS, RBAC)
        yield cluster
    finally:
        cluster.stop()
