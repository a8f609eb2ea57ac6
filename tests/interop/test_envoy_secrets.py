"""
Certificates from an agent, as Istio's sidecars have them: listeners, clusters and secrets come over the socket of a
file, and certificates are exchanged while calls go on.

Lives here: two sidecars between real Thrift peers, each with a go-control-plane on its socket. Does not: certificates
in files (test_envoy_sidecar); what is done with each secret (tests/unit/xds).
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import catalogue
import pytest
from authority import Authority
from catalogue import Clients, Start
from proxied import Proxy
from running import answers, eventually, free_port
from steady import Steady, calls_of
from xds_peers import TYPE, GoControlPlane, Resource

TLS = f"{TYPE}envoy.extensions.transport_sockets.tls.v3"
DOMAIN = "spiffe://cluster.local/ns/demo/sa"
SLOW = 15.0
HELLO = [{"method": "sayHello", "args": ["Aeraki"]}]


def address(port: int) -> dict[str, Any]:
    return {"socketAddress": {"address": "127.0.0.1", "portValue": port}}


def secret_of(name: str) -> dict[str, Any]:
    """Where a context has its certificate from, as istiod writes it."""
    services = [{"envoyGrpc": {"clusterName": "sds-grpc"}}]
    config = {
        "apiType": "GRPC",
        "transportApiVersion": "V3",
        "setNodeOnFirstMessageOnly": True,
        "grpcServices": services,
    }
    return {
        "name": name,
        "sdsConfig": {"apiConfigSource": config, "initialFetchTimeout": "0s", "resourceApiVersion": "V3"},
    }


def context(side: str, names: dict[str, str], **more: Any) -> dict[str, Any]:
    common = {
        "alpnProtocols": ["istio-peer-exchange", "istio"],
        "tlsCertificateSdsSecretConfigs": [secret_of("default")],
        "combinedValidationContext": {
            "defaultValidationContext": {"matchSubjectAltNames": [names]},
            "validationContextSdsSecretConfig": secret_of("ROOTCA"),
        },
    }
    config = {"@type": f"{TLS}.{side}TlsContext", "commonTlsContext": common, **more}
    return {"name": "envoy.transport_sockets.tls", "typedConfig": config}


def listener(port: int, to: str, **chain: Any) -> Resource:
    proxy = {
        "statPrefix": to, "applicationProtocol": "thrift", "codec": {"name": "aeraki.meta_protocol.codec.thrift"},
        "routeConfig": {"name": to, "routes": [{"name": "all", "route": {"cluster": to}}]},
    }  # fmt: skip
    filter = {
        "@type": f"{TYPE}udpa.type.v1.TypedStruct",
        "typeUrl": f"{TYPE}aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy", "value": proxy,
    }  # fmt: skip
    filters = [{"name": "envoy.filters.network.meta_protocol_proxy", "typedConfig": filter}]
    return {
        "@type": f"{TYPE}envoy.config.listener.v3.Listener", "name": f"127.0.0.1_{port}", "address": address(port),
        "filterChains": [{"filters": filters, **chain}],
    }  # fmt: skip


def cluster(name: str, port: int, **more: Any) -> Resource:
    found = [{"lbEndpoints": [{"endpoint": {"address": address(port)}}]}]
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster", "name": name, "type": "STATIC", "connectTimeout": "1s",
        "loadAssignment": {"clusterName": name, "endpoints": found}, **more,
    }  # fmt: skip


def secrets(authority: Authority, name: str) -> list[Resource]:
    """What an agent serves to a workload: its own certificate, and whom it trusts."""
    issued = authority.issue(name, uri=f"{DOMAIN}/{name}")
    chain, key, ca = (
        {"inlineBytes": base64.b64encode(file.read_bytes()).decode()}
        for file in (issued.certificate, issued.key, authority.ca)
    )
    kind = {"@type": f"{TLS}.Secret"}
    return [
        {**kind, "name": "default", "tlsCertificate": {"certificateChain": chain, "privateKey": key}},
        {**kind, "name": "ROOTCA", "validationContext": {"trustedCa": ca}},
    ]


def has_asked_more(agent: GoControlPlane, than: int) -> bool:
    return len(agent.asked()) > than


class Sidecar:
    """A proxy whose bootstrap names two clusters at its agent's socket and nothing else, as Istio's does."""

    def __init__(self, start: Start, folder: Path, name: str, *resources: Resource) -> None:
        folder.mkdir()
        self._socket = folder / "socket"
        self._resources = resources
        self._name = name
        self.agent = GoControlPlane(start, folder, self._socket)

    def trusts(self, authority: Authority) -> None:
        self.agent.serve(*self._resources, *secrets(authority, self._name))

    def bootstrap(self) -> dict[str, Any]:
        pipe = [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(self._socket)}}}}]}]
        clusters = [
            {"name": name, "type": "STATIC", "connect_timeout": "1s", "http2_protocol_options": {},
             "load_assignment": {"cluster_name": name, "endpoints": pipe}}
            for name in ("xds-grpc", "sds-grpc")
        ]  # fmt: skip
        ads = {"ads": {}, "resource_api_version": "V3"}
        services = [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]
        return {
            "node": {"id": f"sidecar~127.0.0.1~{self._name}.demo~demo.svc.cluster.local", "cluster": self._name},
            "dynamic_resources": {
                "lds_config": ads, "cds_config": ads,
                "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": services},
            },
            "static_resources": {"clusters": clusters},
        }  # fmt: skip


def shakes_hands(port: int, authority: Authority) -> bool:
    """Whether a client with a certificate of an authority, and a listener, take each other's."""
    issued = authority.issue("probe", uri=f"{DOMAIN}/probe")
    context = ssl.create_default_context(cafile=authority.ca)
    context.check_hostname = False
    context.load_cert_chain(issued.certificate, issued.key)
    context.set_alpn_protocols(["istio"])
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as tls:
            tls.settimeout(0.3)
            return tls.recv(1) != b""  # TLS 1.3 tells a client here that its certificate was refused
    except TimeoutError:
        return True  # neither side speaks before the client does
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.peer("go-control-plane", "py")
def test_certificates_of_an_agent_are_exchanged_while_calls_go_on(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    behind, inside, outside = (free_port() for _ in range(3))
    start_here(catalogue.thrift_server("py", "t1", f"{behind}:framed:binary"), partial(answers, behind))
    tls = context("Downstream", {"prefix": "spiffe://cluster.local/"}, requireClientCertificate=True)
    server = Sidecar(
        start_here, tmp_path / "server", "server",
        listener(inside, "inbound|9090||", transportSocket=tls), cluster("inbound|9090||", behind),
    )  # fmt: skip
    tls = context("Upstream", {"exact": f"{DOMAIN}/server"}, sni="outbound_.9090_._.demo")
    client = Sidecar(
        start_here, tmp_path / "client", "client",
        listener(outside, "outbound|9090||demo"), cluster("outbound|9090||demo", inside, transportSocket=tls),
    )  # fmt: skip
    one = Authority(tmp_path, "one")
    for sidecar in (server, client):
        sidecar.trusts(one)
        sidecar.agent.run()
    proxies = [proxy(sidecar.bootstrap()) for sidecar in (server, client)]
    job = {"transport": "framed", "protocol": "binary", "mux": False, "calls": HELLO}
    with Steady(calls_of(clients(catalogue.thrift_client("py")), outside, **job)) as load:
        load.more(10)
        # A new certificate of the same authority, at either side.
        for sidecar in (server, client):
            asked = len(sidecar.agent.asked())
            sidecar.trusts(one)
            assert eventually(partial(has_asked_more, sidecar.agent, asked), SLOW)
        load.more(20)
    assert set(load.answers) == {"hello Aeraki from t1"}
    # Another authority: new connections are of it alone, the calls' own connection stays as it was.
    other = Authority(tmp_path, "two")
    assert (shakes_hands(inside, one), shakes_hands(inside, other)) == (True, False)
    server.trusts(other)
    client.trusts(other)
    assert eventually(lambda: shakes_hands(inside, other), SLOW)
    assert not shakes_hands(inside, one)
    for running in proxies:
        assert all(one["connected"] for one in running.admin("/xds")["servers"])
