"""
What istiod sends is what tests/golden/istiod has, from which unit tests translate it.

Lives here: a gateway's and a sidecar's messages, asked for once each with grpcio. Does not: metaproxy. RECORD=1 writes
the files again, for another version of istiod.
"""

from __future__ import annotations

import base64
import json
import os
import queue
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format
from istio_peers import (
    NODE,
    SIDECAR,
    Istiod,
    aeraki_objects,
    gateway,
    host,
    inbound_filter,
    istio,
    outbound_filter,
    service,
    service_entry,
    subsets,
)  # fmt: skip
from kube_peers import ADDRESS, Cluster, Object, endpoint_slice
from running import ROOT, eventually

from metaproxy.envoy.message_types import message_class

GOLDEN = ROOT / "tests" / "golden" / "istiod"
TYPES = {
    "clusters": "envoy.config.cluster.v3.Cluster",
    "listeners": "envoy.config.listener.v3.Listener",
    "endpoints": "envoy.config.endpoint.v3.ClusterLoadAssignment",
}
CART, HELLO, STOCK = "10.96.0.77", "240.240.0.10", "240.240.0.11"
OBJECTS: list[Object] = [
    service("cart", "dubbo", 20880, CART),
    endpoint_slice("cart", 20880, "tcp-metaprotocol-dubbo", "cart-golden"),
    service_entry("hello", "thrift", 9090, HELLO, v1=7011, v2=7012),
    subsets(
        "hello", "v1", "v2",
        loadBalancer={"consistentHash": {"httpHeaderName": "method"}},
        connectionPool={"tcp": {"maxConnections": 10, "connectTimeout": "3s"}},
        outlierDetection={"consecutive5xxErrors": 3, "interval": "10s", "baseEjectionTime": "30s"},
    ),
    istio("ServiceEntry", "web", {
        "hosts": ["web.test"], "addresses": ["240.240.0.9"], "resolution": "DNS", "location": "MESH_EXTERNAL",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "endpoints": [{"address": "localhost"}],
    }),
    gateway(dubbo=20880, thrift=9090),
    *aeraki_objects("dubbo", "cart", 20880),
    *aeraki_objects("thrift", "hello", 9090),
    outbound_filter("dubbo", "cart", CART, 20880),
    outbound_filter("thrift", "hello", HELLO, 9090),
    istio("ServiceEntry", "stock", {
        "hosts": [host("stock")], "addresses": [STOCK], "resolution": "STATIC", "location": "MESH_INTERNAL",
        "ports": [{"number": 21880, "name": "tcp-metaprotocol-dubbo", "protocol": "TCP"}],
        "workloadSelector": {"labels": SIDECAR["metadata"]["LABELS"]},
    }),
    istio("WorkloadEntry", "stock-1", {"address": ADDRESS, "labels": SIDECAR["metadata"]["LABELS"]}),
    inbound_filter("dubbo", "stock", 21880, SIDECAR["metadata"]["LABELS"]),
]  # fmt: skip


def ask(istiod: Istiod, node: Object, kind: str, names: list[str]) -> list[Any]:
    """The resources of one answer, each as JSON has it."""
    requests: queue.Queue[Any] = queue.Queue()
    sent = json_format.ParseDict(node, base_pb2.Node())
    url = f"type.googleapis.com/{TYPES[kind]}"
    requests.put(discovery_pb2.DiscoveryRequest(node=sent, type_url=url, resource_names=names))
    with grpc.insecure_channel(istiod.ads) as channel:
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        answer = next(iter(stub.StreamAggregatedResources(iter(requests.get, None), timeout=10)))
    return sorted((_plain(one) for one in answer.resources), key=json.dumps)


def settled(istiod: Istiod, node: Object, kind: str) -> list[Any]:
    """The same when istiod has read all that was written: it sends what it has read so far."""
    wanted = {"clusters": (host("cart"), f"|v1|{host('hello')}", "3s"), "listeners": ("codec.dubbo", "codec.thrift")}[
        kind
    ]
    found: list[Any] = []

    def is_settled() -> bool:
        nonlocal found
        before, found = found, ask(istiod, node, kind, [])
        return found == before and all(text in json.dumps(found) for text in wanted)

    assert eventually(is_settled, 10, every=0.5), f"istiod does not send {wanted}"
    return found


def _plain(packed: Any) -> Any:
    """A resource as JSON; its bytes in base64 where it holds a message that neither Envoy nor Aeraki has."""
    found = message_class(packed.type_url.rpartition("/")[2])
    assert found is not None, packed.type_url
    while True:
        try:
            return json.loads(json.dumps(json_format.MessageToDict(found.FromString(packed.value)), sort_keys=True))
        except TypeError as error:  # names the type of an Any that no module was imported for yet
            if message_class(str(error).rpartition("/")[2]) is None:
                return {"base64": base64.b64encode(packed.value).decode()}


@pytest.mark.parametrize("name", ["gateway", "sidecar"])
def test_the_golden_files_have_what_istiod_sends(cluster: Cluster, istiod: Istiod, name: str) -> None:
    node = {"gateway": NODE, "sidecar": SIDECAR}[name]
    cluster.apply(*OBJECTS)
    found: dict[str, list[Any]] = {kind: settled(istiod, node, kind) for kind in ("clusters", "listeners")}
    watched = sorted(one["name"] for one in found["clusters"] if one.get("type") == "EDS")
    found["endpoints"] = ask(istiod, node, "endpoints", watched)
    for each in OBJECTS:
        cluster.delete(each)
    file = GOLDEN / f"{name}.json"
    if os.environ.get("RECORD"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(Path(file).read_text())
