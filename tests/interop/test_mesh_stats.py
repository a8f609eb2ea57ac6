"""
Who calls whom, as proxies on both sides of a Dubbo call tell each other and Prometheus.

Lives here: what is on the wire, Istio's metrics of both proxies. Does not: labels one by one (tests/unit/filters).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import catalogue
import pytest
from catalogue import Clients, Start
from google.protobuf.struct_pb2 import Struct
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer
SERVICE = "greeter.demo.svc.cluster.local"
KEY = "x-envoy-peer-metadata"


def node(name: str) -> dict[str, Any]:
    labels = {"app": f"{name}-app", "version": "v1", "service.istio.io/canonical-name": f"{name}-service"}
    metadata = {"WORKLOAD_NAME": name, "NAMESPACE": "demo", "CLUSTER_ID": "k8s", "LABELS": labels, "SECRET": "stays"}
    return {"id": f"sidecar~{name}", "metadata": metadata}


def pair(proxy: Callable[..., Proxy], server: int, exchange: bool = True, **options: Any) -> tuple[int, Proxy, Proxy]:
    """client -> front, outbound -> back, inbound -> server. front's port."""
    first, second = free_port(), free_port()
    made = []
    for name, port, up, to, direction, extra in (
        ("back", second, server, "app", "inbound", {"destination_service": SERVICE}),
        ("front", first, second, f"outbound|20880||{SERVICE}", "outbound", {}),
    ):
        filters: list[dict[str, Any]] = [{"istio_stats": {"direction": direction, **extra}}]
        if exchange:
            filters.insert(0, {"metadata_exchange": {"direction": direction, **options}})
        listeners = [listener("in", port, "dubbo", [{"cluster": to}], filters=filters)]
        made.append(proxy({"node": node(name), "listeners": listeners, "clusters": [cluster(to, up)]}))
    return first, made[1], made[0]


def counted(proxy: Proxy) -> list[tuple[dict[str, str], float]]:
    lines = re.findall(r"^istio_requests_total\{(.*)\} ([\d.]+)$", proxy.admin("/metrics"), re.M)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(number)) for labels, number in lines]


def call(clients: Clients, port: int, *methods: str) -> list[dict[str, Any]]:
    calls = [{"method": method, "args": [3, 4] if method == "add" else []} for method in methods]
    return clients(catalogue.dubbo_client("java")).run(port=port, calls=calls)


@peer("java")
def test_both_proxies_count_by_the_workloads_of_both_sides(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    server = free_port()
    start_here(catalogue.dubbo_server("java", "alpha", server))
    port, front, back = pair(proxy, server)
    (seen, *_) = call(clients, port, "attachments", "add", "add")
    told = Struct.FromString(base64.b64decode(seen["value"][KEY]))
    assert told["WORKLOAD_NAME"] == "front" and "SECRET" not in told.fields
    assert seen["value"]["x-envoy-peer-metadata-id"] == "sidecar~front"
    for one, reporter in ((front, "source"), (back, "destination")):
        ((labels, number),) = counted(one)
        assert number == 3
        assert labels == {
            "reporter": reporter, "request_protocol": "dubbo", "response_code": "0",
            "source_workload": "front", "source_workload_namespace": "demo", "source_cluster": "k8s",
            "source_app": "front-app", "source_version": "v1", "source_canonical_service": "front-service",
            "source_canonical_revision": "latest",
            "destination_workload": "back", "destination_workload_namespace": "demo", "destination_cluster": "k8s",
            "destination_app": "back-app", "destination_version": "v1",
            "destination_canonical_service": "back-service", "destination_canonical_revision": "latest",
            "destination_service_namespace": "demo", "destination_service": SERVICE,
            "destination_service_name": SERVICE,
        }  # fmt: skip
        text = one.admin("/metrics")
        for name in ("request_duration_milliseconds", "request_bytes", "response_bytes"):
            assert re.search(rf"^istio_{name}_count\{{.*\}} 3.0$", text, re.M), name


@peer("java")
def test_the_application_need_not_see_it(start_here: Start, clients: Clients, proxy: Callable[..., Proxy]) -> None:
    server = free_port()
    start_here(catalogue.dubbo_server("java", "alpha", server))
    port, _, back = pair(proxy, server, strip=True)
    (seen,) = call(clients, port, "attachments")
    assert KEY not in seen["value"] and "x-envoy-peer-metadata-id" not in seen["value"]
    assert counted(back)[0][0]["source_workload"] == "front"


@peer("java")
def test_without_the_exchange_the_other_side_is_unknown(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    server = free_port()
    start_here(catalogue.dubbo_server("java", "alpha", server))
    port, front, back = pair(proxy, server, exchange=False)
    (seen,) = call(clients, port, "attachments")
    assert KEY not in seen["value"]
    assert counted(front)[0][0]["destination_workload"] == counted(back)[0][0]["source_workload"] == "unknown"
    assert counted(front)[0][0]["source_workload"] == "front"


@peer("java")
def test_b23_calls_that_reach_nobody_count_as_failed(clients: Clients, proxy: Callable[..., Proxy]) -> None:
    port, front, back = pair(proxy, free_port())
    (result,) = call(clients, port, "add")
    assert "error" in result
    for one in (front, back):
        ((labels, number),) = counted(one)
        assert (labels["response_code"], number) == ("1", 1)
