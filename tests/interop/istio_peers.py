"""
A real istiod, and what Aeraki would write for it.

Lives here: `Istiod`; Istio's kinds for an API server that has nothing of Istio; a gateway with services behind it, and
the EnvoyFilter and VirtualService that Aeraki makes of a MetaRouter for it. Does not: assertions. The binary is named
by ISTIOD, or was built by `make interop-istio`.
"""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import Any

from kube_peers import ADDRESS, PLURALS, Object
from running import PEERS, Program, free_port

NETWORKING = "networking.istio.io"
GATEWAY_LABELS = {"app": "metaproxy-gateway"}
MANAGER = {"manager": "Aeraki"}
NODE = {"id": f"router~{ADDRESS}~gateway.mesh~mesh.svc.cluster.local", "cluster": "gateway.mesh",
        "metadata": {"NAMESPACE": "mesh", "LABELS": GATEWAY_LABELS, "CLUSTER_ID": "Kubernetes"}}  # fmt: skip
"""The node of a gateway, as istiod wants it."""
SIDECAR: Object = {"id": f"sidecar~{ADDRESS}~cart-1.shop~shop.svc.cluster.local", "cluster": "cart.shop",
           "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "cart"}, "CLUSTER_ID": "Kubernetes"}}  # fmt: skip
"""The node of a proxy beside a server."""


def istiod_program() -> Path:
    """The program, wherever it is."""
    return Path(os.environ.get("ISTIOD") or PEERS / "bin" / "pilot-discovery")


class Istiod:
    """
    istiod on an API server. ads: the address of its plaintext port, the same after a restart; secure: of the port that
    speaks TLS and asks for tokens, "" for none.
    """

    def __init__(self, directory: Path, kubeconfig: Path, secure: bool = False) -> None:
        self._directory = directory
        self._kubeconfig = kubeconfig
        self.secure = f"127.0.0.1:{free_port()}" if secure else ""
        self._ads, self._http = free_port(), free_port()
        self.ads = f"127.0.0.1:{self._ads}"
        (directory / "mesh.yaml").write_text("{}\n")
        self._program: Program | None = None
        self.start()

    def start(self) -> None:
        assert self._program is None
        authority = ("true", "istiod") if self.secure else ("false", "none")
        env = {"ENABLE_CA_SERVER": authority[0], "PILOT_CERT_PROVIDER": authority[1], "POD_NAME": "istiod",
               "POD_NAMESPACE": "istio-system", "GOMAXPROCS": "2", "HOME": str(self._directory)}  # fmt: skip
        self._program = Program(
            [istiod_program(), "discovery", "--registries", "Kubernetes", "--kubeconfig", self._kubeconfig,
             "--meshConfig", self._directory / "mesh.yaml", "--grpcAddr", self.ads, "--httpAddr",
             f"127.0.0.1:{self._http}", "--monitoringAddr", f"127.0.0.1:{free_port()}",
             f"--secureGRPCAddr={self.secure}",
             "--httpsAddr=", "--ctrlz_port", "0", "--log_output_level", "default:info"],
            self._directory / "istiod.log", env, self._ready, cwd=self._directory,
        )  # fmt: skip

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._program is not None
        self._program.kill()
        self._program = None

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()


def definitions() -> list[Object]:
    """Istio's kinds that are needed, without their schemas: istiod checks what it reads."""
    kinds = ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService", "Gateway", "EnvoyFilter")
    return [_definition(kind) for kind in kinds]


def _definition(kind: str) -> Object:
    plural, anything = PLURALS[kind], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    versions = ["v1alpha3"] if kind == "EnvoyFilter" else ["v1", "v1beta1", "v1alpha3"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{NETWORKING}"},
        "spec": {
            "group": NETWORKING, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": not at, "subresources": {"status": {}}, "schema": schema}
                for at, version in enumerate(versions)
            ],
        },
    }  # fmt: skip


def istio(kind: str, name: str, spec: Object, namespace: str = "shop", **metadata: Any) -> Object:
    """An object of Istio's."""
    version = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    metadata = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": f"{NETWORKING}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


# -- a gateway


def host(service: str) -> str:
    return f"{service}.shop.svc.cluster.local"


def service(name: str, protocol: str, port: int, address: str) -> Object:
    """A Service of Kubernetes without a selector: its EndpointSlices are written by the test."""
    ports = [{"name": f"tcp-metaprotocol-{protocol}", "port": port, "protocol": "TCP"}]
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": address, "ports": ports}}


def service_entry(name: str, protocol: str, port: int, address: str = "", **versions: int) -> Object:
    """A service with a server on 127.0.0.1 for each version, by its port."""
    port_name = f"tcp-metaprotocol-{protocol}"
    endpoints = [
        {"address": "127.0.0.1", "ports": {port_name: number}, "labels": {"version": version}}
        for version, number in versions.items()
    ]
    return istio("ServiceEntry", name, {
        "hosts": [host(name)], "addresses": [address] if address else [], "endpoints": endpoints,
        "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{"number": port, "name": port_name, "protocol": "TCP", "targetPort": port}],
    })  # fmt: skip


def subsets(name: str, *versions: str, **policy: Any) -> Object:
    """A DestinationRule with a subset for each version."""
    return istio("DestinationRule", name, {
        "host": host(name), **({"trafficPolicy": policy} if policy else {}),
        "subsets": [{"name": version, "labels": {"version": version}} for version in versions],
    })  # fmt: skip


def gateway(**ports: int) -> Object:
    """The Gateway `edge`, with a port for each protocol."""
    servers = [
        {"port": {"number": port, "name": f"tcp-metaprotocol-{protocol}", "protocol": "TCP"}, "hosts": ["*"]}
        for protocol, port in ports.items()
    ]
    return istio("Gateway", "edge", {"selector": GATEWAY_LABELS, "servers": servers}, "mesh")


def aeraki_objects(protocol: str, name: str, port: int) -> list[Object]:
    """What Aeraki writes for a MetaRouter that lists the gateway: it has istiod put its own filter in place."""
    route = {"match": [{"port": port}], "route": [{"destination": {"host": host(name), "port": {"number": port}}}]}
    spec = {"hosts": ["*"], "gateways": ["mesh/edge"], "tcp": [route]}
    value = meta_protocol_filter(protocol, name, port)
    return [
        istio("VirtualService", f"aeraki-vs-mesh.edge-{port}", spec, "mesh", labels=MANAGER),
        _filter(f"aeraki-gateway-outbound-edge.mesh-{port}", f"0.0.0.0_{port}", value, "mesh", GATEWAY_LABELS),
    ]


def meta_protocol_filter(protocol: str, name: str, port: int) -> Object:
    """A MetaProtocolProxy as Aeraki writes it: a TypedStruct with JSON's spelling, routes from `aeraki-xds`."""
    kind = "type.googleapis.com/aeraki.meta_protocol_proxy"
    source = {"resourceApiVersion": "V3", "apiConfigSource": {
        "apiType": "GRPC", "transportApiVersion": "V3",
        "grpcServices": [{"envoyGrpc": {"clusterName": "aeraki-xds"}}],
    }}  # fmt: skip
    stats = {"@type": f"{kind}.filters.istio_stats.v1alpha.IstioStats", "destinationService": host(name)}
    return {
        "name": "envoy.filters.network.meta_protocol_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url": f"{kind}.v1alpha.MetaProtocolProxy",
            "value": {
                "statPrefix": f"outbound|{port}||{host(name)}",
                "rds": {"routeConfigName": f"{host(name)}_{port}", "configSource": source},
                "applicationProtocol": protocol,
                "codec": {"name": f"aeraki.meta_protocol.codec.{protocol}"},
                "metaProtocolFilters": [
                    {"name": "aeraki.meta_protocol.filters.metadata_exchange"},
                    {"name": "aeraki.meta_protocol.filters.istio_stats", "config": stats},
                    {"name": "aeraki.meta_protocol.filters.router"},
                ],
            },
        },
    }


def outbound_filter(protocol: str, name: str, address: str, port: int) -> Object:
    """What Aeraki writes for every proxy that calls a service: its filter in the listener of the service's address."""
    value = meta_protocol_filter(protocol, name, port)
    return _filter(f"aeraki-outbound-{host(name)}-{address}-{port}", f"{address}_{port}", value)


def inbound_filter(protocol: str, name: str, port: int, labels: dict[str, str]) -> Object:
    """What Aeraki writes for the proxies beside a service's servers, which listen on the service's port."""
    value, cluster = meta_protocol_filter(protocol, name, port), f"inbound|{port}||"
    proxy = value["typed_config"]["value"]
    del proxy["rds"]
    proxy["statPrefix"] = cluster
    proxy["routeConfig"] = {"name": cluster, "routes": [{"name": "default", "route": {"cluster": cluster}}]}
    return _filter(f"aeraki-inbound-{host(name)}-{port}", "virtualInbound", value, labels=labels, port=port)


def _filter(
    name: str,
    listener: str,
    value: Object,
    namespace: str = "istio-system",
    labels: dict[str, str] | None = None,
    port: int = 0,
) -> Object:
    """An EnvoyFilter of Aeraki's. labels: of the proxies that it is for; port: of the filter chain."""
    chain = {**({"destinationPort": port} if port else {}), "filter": {"name": "envoy.filters.network.tcp_proxy"}}
    patch = {
        "applyTo": "NETWORK_FILTER", "match": {"listener": {"name": listener, "filterChain": chain}},
        "patch": {"operation": "REPLACE", "value": value},
    }  # fmt: skip
    selector = {"workloadSelector": {"labels": labels}} if labels else {}
    return istio("EnvoyFilter", name, {**selector, "configPatches": [patch]}, namespace, labels=MANAGER)
