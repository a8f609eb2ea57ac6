"""Listeners at clients and before servers."""

from __future__ import annotations

import pytest
from mesh_stand import ENTRY, HOST, Stand

from metaproxy.mesh.generator.node import ProxyNode, node_of

SERVER = ProxyNode(namespace="demo", labels={"app": "hello"}, addresses=("127.0.0.11",))


def test_a_service_has_a_listener_at_its_own_address_where_that_is_one_of_this_machine() -> None:
    stand = Stand().hello()
    assert list(stand.resources.listeners) == ["127.0.10.1_20880"]
    assert stand.one("listeners", "127.0.10.1_20880")["traffic_direction"] == "OUTBOUND"


@pytest.mark.parametrize("addresses", ["addresses: [240.240.0.1]", "addresses: [240.240.0.1, 240.240.0.2]", ""])
def test_a_service_with_an_address_elsewhere_or_without_one_is_bound_where_it_is_said(addresses: str) -> None:
    entry = ENTRY.replace("addresses: [127.0.10.1]", addresses)
    stand = Stand(ProxyNode(namespace="demo", bind="127.0.0.77")).put("ServiceEntry", "hello", entry)
    assert list(stand.resources.listeners) == ["127.0.0.77_20880"]


def test_an_own_address_of_the_node_is_one_of_this_machine() -> None:
    node = ProxyNode(addresses=("10.0.0.7",))
    assert [node.listens_at(one) for one in ("10.0.0.7", "10.0.0.8", "::1")] == ["10.0.0.7", "127.0.0.1", "::1"]


def test_a_proxy_that_stands_before_servers_alone_has_no_listener_for_calls() -> None:
    stand = Stand(ProxyNode(namespace="demo", addresses=("127.0.0.11",), outbound=False)).hello()
    assert list(stand.resources.listeners) == ["127.0.0.11_20880"]


def test_a_network_as_the_address_is_noted() -> None:
    stand = Stand().put("ServiceEntry", "hello", ENTRY.replace("127.0.10.1", "127.0.10.0/24"))
    assert stand.resources.listeners == {}
    assert stand.notes("ServiceEntry", "hello") == ["127.0.10.0/24 is no single address; nothing listens there"]


def test_a_filter_at_clients_has_routes_by_their_name_and_the_filters_of_aeraki() -> None:
    found = Stand().hello().filter("127.0.10.1_20880")
    assert found["rds"] == {
        "route_config_name": f"{HOST}_20880",
        "config_source": {"ads": {}, "resource_api_version": "V3"},
    }
    assert (found["application_protocol"], found["codec"]) == ("dubbo", {"name": "aeraki.meta_protocol.codec.dubbo"})
    assert [one["name"].rpartition(".")[2] for one in filters(found)] == ["metadata_exchange", "istio_stats", "router"]


def filters(found: dict[str, object]) -> list[dict[str, str]]:
    listed = found["meta_protocol_filters"]
    assert isinstance(listed, list)
    return listed


def test_where_a_router_is_not_exported_the_port_passes_bytes() -> None:
    router = f"{{hosts: [{HOST}], localRateLimit: {{tokenBucket: {{maxTokens: 1, fillInterval: 1s}}}}, exportTo: [a]}}"
    stand = Stand().hello().put("MetaRouter", "hello", router)
    assert stand.filter("127.0.10.1_20880") == {
        "stat_prefix": f"outbound|20880||{HOST}",
        "cluster": f"outbound|20880||{HOST}",
    }
    stand.node = ProxyNode(namespace="a")
    assert "codec" in stand.filter("127.0.10.1_20880")


@pytest.mark.parametrize(("export_to", "seen"), [("['.']", True), ("['*']", True), ("[a]", False), ("[a, demo]", True)])
def test_a_service_is_there_where_it_is_exported(export_to: str, seen: bool) -> None:
    stand = Stand().put("ServiceEntry", "hello", f"{ENTRY}exportTo: {export_to}")
    assert bool(stand.resources.clusters) == seen


def test_a_port_of_no_protocol_has_clusters_and_no_listener() -> None:
    entry = "{hosts: [x.y], ports: [{number: 8081, name: grpc}], endpoints: [{address: 127.0.0.1}]}"
    stand = Stand().put("ServiceEntry", "x", entry)
    assert (list(stand.resources.listeners), list(stand.resources.clusters)) == ([], ["outbound|8081||x.y"])


def test_an_unknown_protocol_is_noted_with_the_nearest() -> None:
    stand = Stand().put("ServiceEntry", "x", "{hosts: [x.y], ports: [{number: 1, name: tcp-metaprotocol-dubo}]}")
    assert "did you mean 'dubbo'?" in "".join(stand.notes("ServiceEntry", "x"))


def test_a_host_with_a_wildcard_is_noted() -> None:
    stand = Stand().put("ServiceEntry", "x", "{hosts: ['*.y'], ports: [{number: 1, name: tcp-metaprotocol-dubbo}]}")
    assert stand.resources.clusters == {}
    assert "with a wildcard" in stand.notes("ServiceEntry", "x")[0]


# -- before servers


def test_the_proxy_beside_a_server_listens_where_the_server_is_reached_and_sends_to_the_server_itself() -> None:
    stand = Stand(SERVER).hello()
    assert stand.one("listeners", "127.0.0.11_20880")["traffic_direction"] == "INBOUND"
    found = stand.filter("127.0.0.11_20880")
    assert found["route_config"] == {
        "name": "inbound|20880||",
        "routes": [{"name": "default", "route": {"cluster": "inbound|20880||"}}],
    }
    assert "127.0.0.1" in str(stand.one("clusters", "inbound|20880||")["load_assignment"])


def test_a_target_port_need_not_be_the_services_port() -> None:
    stand = Stand(SERVER).put("ServiceEntry", "hello", ENTRY.replace("dubbo}", "dubbo, targetPort: 9}"))
    assert "127.0.0.11_9" in stand.resources.listeners
    assert "inbound|9||" in stand.resources.clusters


def test_a_workloads_own_port_goes_before_that() -> None:
    entry = ENTRY.replace("{address: 127.0.0.11,", "{address: 127.0.0.11, ports: {tcp-metaprotocol-dubbo: 7},")
    assert "127.0.0.11_7" in Stand(SERVER).put("ServiceEntry", "hello", entry).resources.listeners


def test_a_selector_or_its_annotation_tells_the_node_too() -> None:
    entry = ENTRY.partition("endpoints:")[0]
    stand = Stand(ProxyNode(namespace="demo", labels={"app": "hello"}, addresses=("127.0.0.5",)))
    stand.put("ServiceEntry", "hello", f"{entry}workloadSelector: {{labels: {{app: hello}}}}")
    assert "127.0.0.5_20880" in stand.resources.listeners
    for value in ("hello", "app:hello"):
        stand.put("ServiceEntry", "hello", ENTRY, annotations={"workloadSelector": value})
        assert "127.0.0.5_20880" in stand.resources.listeners
    stand.put("ServiceEntry", "hello", ENTRY, annotations={"workloadSelector": "other"})
    assert "127.0.0.5_20880" not in stand.resources.listeners


def test_a_server_that_listens_where_its_proxy_would_is_noted() -> None:
    stand = Stand(ProxyNode(addresses=("127.0.0.11",), application="127.0.0.11")).hello()
    assert "127.0.0.11_20880" not in stand.resources.listeners
    assert "crds.application" in stand.notes("ServiceEntry", "hello")[0]


def test_limits_are_before_servers_alone() -> None:
    router = f"""
hosts: [{HOST}]
localRateLimit:
  tokenBucket: {{maxTokens: 2, fillInterval: 60s}}
  conditions:
  - match: {{attributes: {{method: {{exact: a}}}}}}
    tokenBucket: {{maxTokens: 9, tokensPerFill: 3, fillInterval: 1s}}
globalRateLimit:
  domain: shop
  rateLimitService: outbound|8081||rls.demo.svc.cluster.local
  descriptors: [{{property: method, descriptorKey: m}}]
"""
    stand = Stand(SERVER).hello().put("MetaRouter", "hello", router)
    assert "ratelimit" not in str(stand.filter("127.0.10.1_20880"))
    local, distributed = (one["config"] for one in filters(stand.filter("127.0.0.11_20880"))[:2])
    assert isinstance(local, dict) and isinstance(distributed, dict)
    assert local == {
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimit",
        "stat_prefix": HOST,
        "token_bucket": {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "60s"},
        "conditions": [
            {
                "match": {"metadata": [{"name": "method", "exact_match": "a"}]},
                "token_bucket": {"max_tokens": 9, "tokens_per_fill": 3, "fill_interval": "1s"},
            }
        ],
    }
    assert distributed["rate_limit_service"] == {
        "grpc_service": {"envoy_grpc": {"cluster_name": "outbound|8081||rls.demo.svc.cluster.local"}},
        "transport_api_version": "V3",
    }
    assert (distributed["domain"], distributed["timeout"], distributed["match"]) == ("shop", "0.020s", {})


# -- the node


def test_a_node_is_read_from_its_id_and_metadata() -> None:
    node = node_of("router~10.0.0.7~cart-6f.shop~shop.svc.cluster.local", {"LABELS": {"app": "cart"}})
    assert (node.kind, node.namespace, node.addresses) == ("router", "shop", ("10.0.0.7",))
    assert node.labels == {"app": "cart"}
    plain = node_of("sidecar-1", {"NAMESPACE": "shop", "INSTANCE_IPS": "10.0.0.7,10.0.0.8"})
    assert (plain.kind, plain.namespace, plain.addresses) == ("sidecar", "shop", ("10.0.0.7", "10.0.0.8"))
    assert node_of("", {"INSTANCE_IPS": ["10.0.0.9"]}).addresses == ("10.0.0.9",)
    assert node_of("", {}).namespace == "default"
