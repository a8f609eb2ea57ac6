"""
Istio's sidecar, as Envoy bootstraps say it: mutual TLS by SPIFFE names between two proxies, chains by TLS and ALPN, and
redirected connections that are handed over.

Lives here: real Thrift and Redis peers, the kernel's NAT. Does not: istiod (tests/interop/istio), single fields
(tests/unit/envoy).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority, Issued
from catalogue import Clients, Start
from proxied import Proxy
from redirected import ask, in_a_namespace, listens
from running import answers, free_port

TYPE = "type.googleapis.com/"
TLS = f"{TYPE}envoy.extensions.transport_sockets.tls.v3"
META = f"{TYPE}aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"
NETWORK = f"{TYPE}envoy.extensions.filters.network"
DOMAIN = "spiffe://cluster.local/ns/demo/sa"


def address(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def endpoint(port: int, metadata: dict[str, str] | None = None, host: str = "127.0.0.1") -> dict[str, Any]:
    matched = {"metadata": {"filter_metadata": {"envoy.transport_socket_match": metadata}}} if metadata else {}
    return {"endpoint": {"address": address(port, host)}, **matched}


def cluster(name: str, *endpoints: dict[str, Any], **more: Any) -> dict[str, Any]:
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": list(endpoints)}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **more}


def context(side: str, issued: Issued, ca: Path, names: dict[str, str], alpn: list[str], **more: Any) -> dict[str, Any]:
    common = {
        "alpn_protocols": alpn,
        "tls_certificates": [
            {"certificate_chain": {"filename": str(issued.certificate)}, "private_key": {"filename": str(issued.key)}}
        ],
        "validation_context": {"trusted_ca": {"filename": str(ca)}, "match_subject_alt_names": [names]},
    }
    config = {"@type": f"{TLS}.{side}TlsContext", "common_tls_context": common, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def thrift(to: str) -> list[dict[str, Any]]:
    """A filter of Aeraki behind Istio's, as istiod sends them."""
    exchange = {
        "@type": f"{TYPE}udpa.type.v1.TypedStruct",
        "type_url": f"{TYPE}envoy.tcp.metadataexchange.config.MetadataExchange",
        "value": {"protocol": "istio-peer-exchange", "enable_discovery": True},
    }
    proxy = {
        "@type": META, "stat_prefix": to, "application_protocol": "thrift",
        "codec": {"name": "aeraki.meta_protocol.codec.thrift"},
        "route_config": {"name": to, "routes": [{"name": "all", "route": {"cluster": to}}]},
    }  # fmt: skip
    return [
        {"name": "istio.metadata_exchange", "typed_config": exchange},
        {"name": "envoy.filters.network.meta_protocol_proxy", "typed_config": proxy},
    ]


class Pair(NamedTuple):
    """A server's sidecar that takes mutual TLS and plain connections at one port, and what calls it."""

    server: Proxy
    port: int
    call: Callable[[int], dict[str, Any]]
    authority: Authority


ISTIO = ["istio-peer-exchange", "istio"]


@pytest.fixture
def served(start: Start, proxy: Callable[[Any], Proxy], clients: Clients, tmp_path: Path) -> Pair:
    authority = Authority(tmp_path, "ca")
    server = authority.issue("server", uri=f"{DOMAIN}/server", file="server")
    behind, port = free_port(), free_port()
    start(catalogue.thrift_server("py", "t1", f"{behind}:framed:binary"), partial(answers, behind))
    names = {"prefix": "spiffe://cluster.local/"}
    tls = context(
        "Downstream", server, authority.ca, names, ["istio-peer-exchange", "h2"], require_client_certificate=True
    )
    inbound = {
        "name": "virtualInbound", "traffic_direction": "INBOUND", "address": address(port),
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector"}],
        "filter_chains": [
            {
                "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ISTIO},
                "transport_socket": tls, "filters": thrift("inbound|9090||"),
            },
            {"filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": thrift("inbound|9090||")},
        ],
    }  # fmt: skip
    clusters = [cluster("inbound|9090||", endpoint(behind))]
    running = proxy({"static_resources": {"listeners": [inbound], "clusters": clusters}})
    jobs = clients(catalogue.thrift_client("py"))

    def call(where: int) -> dict[str, Any]:
        asked = {"method": "sayHello", "args": ["Aeraki"]}
        (found,) = jobs.run(port=where, transport="framed", protocol="binary", mux=False, calls=[asked])
        return dict(found)

    return Pair(running, port, call, authority)


def outbound(served: Pair, proxy: Callable[[Any], Proxy], issued: Issued, server: str) -> int:
    """A client's sidecar with a certificate, that calls only servers of a name. Its port."""
    port = free_port()
    tls = context("Upstream", issued, served.authority.ca, {"exact": server}, ISTIO, sni="outbound_.9090_._.demo")
    matches = [
        {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": tls},
        {
            "name": "tlsMode-disabled", "match": {},
            "transport_socket": {
                "name": "envoy.transport_sockets.raw_buffer",
                "typed_config": {"@type": f"{TYPE}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
            },
        },
    ]  # fmt: skip
    to = cluster("outbound|9090||demo", endpoint(served.port, {"tlsMode": "istio"}), transport_socket_matches=matches)
    front = {"name": "out", "traffic_direction": "OUTBOUND", "address": address(port),
             "filter_chains": [{"filters": thrift("outbound|9090||demo")}]}  # fmt: skip
    proxy({"static_resources": {"listeners": [front], "clusters": [to]}})
    return port


def connections(proxy: Proxy, listener: str) -> int:
    """How many a listener has taken."""
    name = f'metaproxy_listener_connections_total{{listener="{listener}",'
    (found,) = [one for one in str(proxy.admin("/metrics")).splitlines() if one.startswith(name)]
    return int(float(found.rpartition(" ")[2]))


@pytest.mark.peer("py")
def test_two_sidecars_speak_mutual_tls_by_spiffe_names(served: Pair, proxy: Callable[[Any], Proxy]) -> None:
    client = served.authority.issue("client", uri=f"{DOMAIN}/client", file="client")
    port = outbound(served, proxy, client, f"{DOMAIN}/server")
    assert served.call(port).get("value") == "hello Aeraki from t1"
    assert connections(served.server, "virtualInbound/chain/0") == 1
    assert connections(served.server, "virtualInbound/chain/1") == 0


@pytest.mark.peer("py")
def test_clients_without_a_mesh_are_served_at_the_same_port(served: Pair) -> None:
    assert served.call(served.port).get("value") == "hello Aeraki from t1"


@pytest.mark.peer("py")
@pytest.mark.parametrize("wrong", ["client", "server"])
def test_a_name_that_is_not_asked_for_is_refused_by_either_side(
    served: Pair, proxy: Callable[[Any], Proxy], wrong: str
) -> None:
    domain = "spiffe://elsewhere/ns/demo/sa" if wrong == "client" else DOMAIN
    client = served.authority.issue("client", uri=f"{domain}/client", file="client")
    port = outbound(served, proxy, client, f"{DOMAIN}/{'server' if wrong == 'client' else 'other'}")
    assert "error" in served.call(port)


RULES = """
table ip nat {
  chain out {
    type nat hook output priority -100;
    ip saddr 127.0.0.2 tcp dport { 7000, 7002 } redirect to :15001
  }
}
"""


@pytest.mark.peer("redis-server", "nft")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace")
def test_redirected_connections_go_to_the_listener_of_their_address_or_pass_through(
    start_here: Start, proxy: Callable[[Any], Proxy], tmp_path: Path
) -> None:
    def body() -> None:
        for port in (7000, 7002):
            (tmp_path / str(port)).mkdir()
            command = catalogue.redis_server(port, tmp_path / str(port), "--bind", "10.9.9.9", "--protected-mode", "no")
            start_here(command, partial(listens, "10.9.9.9", port))
            ask(("10.9.9.9", port), b"SET who %d" % port)
        redis = {
            "@type": f"{NETWORK}.redis_proxy.v3.RedisProxy", "stat_prefix": "r", "settings": {"op_timeout": "5s"},
            "prefix_routes": {"catch_all_route": {"cluster": "redis"}},
        }  # fmt: skip
        pass_on = {"@type": f"{NETWORK}.tcp_proxy.v3.TcpProxy", "stat_prefix": "p", "cluster": "PassthroughCluster"}
        virtual = {
            "name": "virtualOutbound", "use_original_dst": True, "address": address(15001, "0.0.0.0"),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": pass_on}]}],
        }  # fmt: skip
        named = {
            "name": "10.9.9.9_7000", "bind_to_port": False, "address": address(7000, "10.9.9.9"),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": redis}]}],
        }  # fmt: skip
        through = {"name": "PassthroughCluster", "type": "ORIGINAL_DST", "connect_timeout": "1s",
                   "lb_policy": "CLUSTER_PROVIDED"}  # fmt: skip
        to = cluster("redis", endpoint(7000, host="10.9.9.9"))
        running = proxy({"static_resources": {"listeners": [virtual, named], "clusters": [through, to]}})
        assert ask(("10.9.9.9", 7000), b"GET who", "127.0.0.2") == b"$4\r\n7000\r\n"
        assert ask(("10.9.9.9", 7002), b"GET who", "127.0.0.2") == b"$4\r\n7002\r\n"
        assert b"PONG" in ask(("10.9.9.9", 7002), b"PING", "127.0.0.2")
        assert connections(running, "10.9.9.9_7000") == 1
        running.stop()

    in_a_namespace(body, RULES)
