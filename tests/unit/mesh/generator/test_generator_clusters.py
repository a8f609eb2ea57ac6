"""Clusters and endpoints, as istiod names and makes them, with what a DestinationRule says."""

from __future__ import annotations

import pytest
from mesh_stand import ENTRY, HOST, RULE, Stand, endpoints, unpacked

from metaproxy.mesh.generator.node import ProxyNode

WHOLE = f"outbound|20880||{HOST}"


def test_a_service_has_a_cluster_for_all_its_servers_and_one_for_each_subset() -> None:
    stand = Stand().hello()
    assert list(stand.resources.clusters) == [WHOLE, f"outbound|20880|v1|{HOST}", f"outbound|20880|v2|{HOST}"]
    assert endpoints(stand.one("endpoints", WHOLE)) == ["127.0.0.11:20880", "127.0.0.12:20880"]
    assert endpoints(stand.one("endpoints", f"outbound|20880|v2|{HOST}")) == ["127.0.0.12:20880"]


def test_servers_that_are_addresses_come_apart_from_their_cluster() -> None:
    found = Stand().hello().one("clusters", WHOLE)
    assert (found["type"], found.get("lb_policy", "ROUND_ROBIN"), found["connect_timeout"]) == (
        "EDS",
        "LEAST_REQUEST",
        "10s",
    )
    assert found["eds_cluster_config"] == {
        "eds_config": {"ads": {}, "resource_api_version": "V3"},
        "service_name": WHOLE,
    }


@pytest.mark.parametrize(
    "servers",
    [
        "resolution: DNS",
        "resolution: DNS\nendpoints: [{address: hello.example.org}]",
        "endpoints: [{address: hello.example.org}]",
    ],
)
def test_servers_that_are_names_are_looked_up(servers: str) -> None:
    stand = Stand().put("ServiceEntry", "hello", f"{ENTRY.partition('endpoints:')[0]}{servers}")
    found = stand.one("clusters", WHOLE)
    assert found["type"] == "STRICT_DNS"
    assert stand.resources.endpoints == {}
    inline = found["load_assignment"]
    assert isinstance(inline, dict)
    assert endpoints(inline) == ["hello.example.org:20880" if "example" in servers else f"{HOST}:20880"]


def test_servers_have_weights_and_places() -> None:
    entry = ENTRY.replace("127.0.0.11,", "127.0.0.11, weight: 3, locality: eu/eu-1/a,")
    groups = Stand().put("ServiceEntry", "hello", entry).one("endpoints", WHOLE)["endpoints"]
    assert isinstance(groups, list)
    first, second = groups
    assert first["locality"] == {"region": "eu", "zone": "eu-1"}
    assert first["lb_endpoints"][0]["load_balancing_weight"] == 3
    assert "locality" not in second


def test_a_selector_finds_workload_entries_and_pods_with_all_its_labels() -> None:
    entry = f"{ENTRY.partition('endpoints:')[0]}workloadSelector: {{labels: {{app: hello, tier: a}}}}"
    stand = Stand().put("ServiceEntry", "hello", entry)
    stand.put("WorkloadEntry", "one", "{address: 127.0.0.21, labels: {app: hello, tier: a}}")
    stand.put("WorkloadEntry", "two", "{address: 127.0.0.22, labels: {app: hello}}", labels={"tier": "a"})
    stand.put("WorkloadEntry", "three", "{address: 127.0.0.23, labels: {app: hello}}")
    stand.put("WorkloadEntry", "four", "{address: 127.0.0.24, labels: {app: hello, tier: a}}", namespace="other")
    stand.put("Pod", "five", "{status: {podIP: 127.0.0.25}}", "", labels={"app": "hello", "tier": "a"})
    waiting = "{status: {podIP: 127.0.0.26, conditions: [{type: Ready, status: 'False'}]}}"
    stand.put("Pod", "six", waiting, "", labels={"app": "hello", "tier": "a"})
    found = endpoints(stand.one("endpoints", WHOLE))
    assert found == ["127.0.0.21:20880", "127.0.0.22:20880", "127.0.0.25:20880"]


def test_a_service_without_servers_is_noted() -> None:
    stand = Stand().put("ServiceEntry", "hello", ENTRY.partition("endpoints:")[0])
    assert stand.notes("ServiceEntry", "hello") == [f"{HOST} has no server"]
    assert endpoints(stand.one("endpoints", WHOLE)) == []


# -- Kubernetes

SERVICE = "{clusterIP: 127.0.10.4, ports: [{name: tcp-metaprotocol-dubbo, port: 20880, targetPort: 8080}]}"
SLICE = """
addressType: IPv4
endpoints:
- {addresses: [127.0.0.31], zone: eu-1, targetRef: {kind: Pod, name: hello-v1}}
- {addresses: [127.0.0.32], conditions: {ready: false}}
ports: [{name: tcp-metaprotocol-dubbo, port: 8081}]
"""


def test_a_service_of_kubernetes_has_the_endpoints_of_its_slices_with_the_labels_of_their_pods() -> None:
    stand = Stand().put("Service", "hello", SERVICE).put("DestinationRule", "hello", RULE.replace(HOST, "hello"))
    stand.put("EndpointSlice", "hello-x", SLICE, "", labels={"kubernetes.io/service-name": "hello"})
    stand.put("Pod", "hello-v1", "{status: {podIP: 127.0.0.31}}", "", labels={"version": "v1"})
    assert endpoints(stand.one("endpoints", f"outbound|20880|v1|{HOST}")) == ["127.0.0.31:8081"]
    assert list(stand.resources.listeners) == ["127.0.10.4_20880"]


def test_endpoints_are_read_where_there_are_no_slices() -> None:
    stand = Stand().put("Service", "hello", SERVICE)
    stand.put("Endpoints", "hello", "{subsets: [{addresses: [{ip: 127.0.0.41}], ports: [{port: 8082}]}]}", "")
    assert endpoints(stand.one("endpoints", WHOLE)) == ["127.0.0.41:8080"]


def test_an_entry_goes_before_a_service_of_its_host() -> None:
    stand = Stand().hello().put("Service", "hello", SERVICE)
    assert endpoints(stand.one("endpoints", WHOLE)) == ["127.0.0.11:20880", "127.0.0.12:20880"]
    assert "goes before it" in stand.notes("Service", "hello")[0]


def test_of_two_entries_of_a_host_that_of_the_clients_namespace_counts() -> None:
    stand = Stand().put("ServiceEntry", "hello", ENTRY, namespace="another").put("ServiceEntry", "hello", ENTRY)
    other = ENTRY.replace("127.0.0.11", "127.0.0.91")
    stand.put("ServiceEntry", "hello", other, namespace="demo")
    assert "127.0.0.91:20880" in endpoints(stand.one("endpoints", WHOLE))
    assert stand.notes("ServiceEntry", "hello", "another") == [
        f"ServiceEntry demo/hello has the host {HOST}, too, and goes before it"
    ]


# -- policies


def ruled(policy: str, name: str = WHOLE) -> dict[str, object]:
    stand = Stand().hello().put("DestinationRule", "hello", f"{RULE}trafficPolicy: {policy}")
    return stand.one("clusters", name)


@pytest.mark.parametrize(
    ("balancer", "policy", "config"),
    [
        ("{simple: ROUND_ROBIN}", "ROUND_ROBIN", None),
        ("{simple: RANDOM}", "RANDOM", None),
        ("{simple: LEAST_CONN}", "LEAST_REQUEST", None),
        ("{consistentHash: {httpHeaderName: a}}", "RING_HASH", {"minimum_ring_size": "1024"}),
        ("{consistentHash: {httpHeaderName: a, minimumRingSize: 9}}", "RING_HASH", {"minimum_ring_size": "9"}),
        (
            "{consistentHash: {httpHeaderName: a, ringHash: {minimumRingSize: 9}}}",
            "RING_HASH",
            {"minimum_ring_size": "9"},
        ),
        ("{consistentHash: {httpHeaderName: a, maglev: {tableSize: 251}}}", "MAGLEV", {"table_size": "251"}),
        (
            "{simple: ROUND_ROBIN, warmupDurationSecs: 30s}",
            "ROUND_ROBIN",
            {"slow_start_config": {"slow_start_window": "30s"}},
        ),
    ],
)
def test_a_balancer_is_that_of_istiod(balancer: str, policy: str, config: object) -> None:
    found = ruled(f"{{loadBalancer: {balancer}}}")
    names = {"RING_HASH": "ring_hash_lb_config", "MAGLEV": "maglev_lb_config", "ROUND_ROBIN": "round_robin_lb_config"}
    assert (found.get("lb_policy", "ROUND_ROBIN"), found.get(names.get(policy, ""))) == (policy, config)


def test_limits_that_are_not_written_are_none() -> None:
    found = ruled("{connectionPool: {tcp: {maxConnections: 7, connectTimeout: 2s}, http: {http2MaxRequests: 9}}}")
    assert found["connect_timeout"] == "2s"
    assert found["circuit_breakers"] == {
        "thresholds": [
            {"max_connections": 7, "max_pending_requests": 4294967295, "max_requests": 9, "max_retries": 4294967295}
        ]
    }


def test_keep_alive_is_that_of_the_rule() -> None:
    found = ruled("{connectionPool: {tcp: {tcpKeepalive: {probes: 3, time: 60s, interval: 5s}}}}")
    assert found["upstream_connection_options"] == {
        "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 5}
    }
    bare = ruled("{connectionPool: {tcp: {tcpKeepalive: {}}}}")
    assert bare["upstream_connection_options"] == {"tcp_keepalive": {}}


def test_outlier_detection_counts_what_the_rule_says() -> None:
    found = ruled("{outlierDetection: {consecutive5xxErrors: 2, consecutiveGatewayErrors: 0, interval: 1s, "
                  "baseEjectionTime: 90s, maxEjectionPercent: 100, minHealthPercent: 30}}")  # fmt: skip
    assert found["outlier_detection"] == {
        "consecutive_5xx": 2,
        "enforcing_consecutive_5xx": 100,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "90s",
        "max_ejection_percent": 100,
    }
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 30.0}}


def test_failures_to_connect_are_counted_apart_where_the_rule_says_so() -> None:
    split = ruled("{outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4}}")
    outlier = split["outlier_detection"]
    assert isinstance(outlier, dict)
    assert (outlier["split_external_local_origin_errors"], outlier["consecutive_local_origin_failure"]) == (True, 4)


def tls(policy: str) -> str:
    stand = Stand().hello().put("DestinationRule", "hello", f"{RULE}trafficPolicy: {{tls: {policy}}}")
    message = stand.resources.clusters[WHOLE]
    return str(unpacked(getattr(message, "transport_socket").typed_config))  # noqa: B009


def test_tls_is_that_of_the_rule() -> None:
    simple = tls("{mode: SIMPLE, caCertificates: /ca.pem, subjectAltNames: [a.b, 'spiffe://x/y'], sni: c.d}")
    for part in ("/ca.pem", 'exact: "a.b"', "san_type: DNS", "san_type: URI", 'sni: "c.d"'):
        assert part in simple
    mutual = tls("{mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem}")
    assert "/c.pem" in mutual and "/k.pem" in mutual and "system_root_certs" in mutual and HOST in mutual
    assert "validation_context" not in tls("{mode: SIMPLE, insecureSkipVerify: true}")
    assert "transport_socket" not in ruled("{tls: {mode: DISABLE}}")


def test_settings_of_a_port_stand_in_the_place_of_all_others() -> None:
    port = "{port: {number: 20880}, connectionPool: {tcp: {maxConnections: 1}}}"
    policy = f"{{loadBalancer: {{simple: RANDOM}}, portLevelSettings: [{port}]}}"
    assert ruled(policy)["lb_policy"] == "LEAST_REQUEST"
    assert ruled(policy.replace("20880", "9"))["lb_policy"] == "RANDOM"


def test_what_a_subset_says_goes_before_what_the_rule_says_key_by_key() -> None:
    rule = RULE.replace("{version: v1}", "{version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}")
    policy = "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 1}}"
    stand = Stand().hello().put("DestinationRule", "hello", f"{rule}{policy}")
    found = stand.one("clusters", f"outbound|20880|v1|{HOST}")
    assert (found.get("lb_policy", "ROUND_ROBIN"), "outlier_detection" in found) == ("RANDOM", True)
    assert stand.one("clusters", f"outbound|20880|v2|{HOST}").get("lb_policy", "ROUND_ROBIN") == "ROUND_ROBIN"


# -- which rule


def balancer_of(*rules: tuple[str, str, str], namespace: str = "demo") -> object:
    """rules: (namespace, host, balancer)."""
    stand = Stand(ProxyNode(namespace=namespace)).put("ServiceEntry", "hello", ENTRY)
    for place, (where, host, balancer) in enumerate(rules):
        spec = f"{{host: '{host}', trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}}}"
        stand.put("DestinationRule", f"r{place}", spec, namespace=where)
    return stand.one("clusters", WHOLE).get("lb_policy", "ROUND_ROBIN")


def test_a_short_host_is_one_of_the_rules_namespace() -> None:
    assert balancer_of(("demo", "hello", "RANDOM")) == "RANDOM"
    assert balancer_of(("other", "hello", "RANDOM")) == "LEAST_REQUEST"


def test_the_clients_namespace_goes_before_the_services_and_that_before_the_root_namespace() -> None:
    client, service = ("client", HOST, "RANDOM"), ("demo", HOST, "ROUND_ROBIN")
    root = ("istio-system", HOST, "RANDOM")
    assert balancer_of(service, client, namespace="client") == "RANDOM"
    assert balancer_of(service, root, namespace="client") == "ROUND_ROBIN"


def test_a_host_goes_before_a_wildcard() -> None:
    assert balancer_of(("demo", "*.demo.svc.cluster.local", "RANDOM")) == "RANDOM"
    assert balancer_of(("demo", "*.demo.svc.cluster.local", "RANDOM"), ("demo", HOST, "ROUND_ROBIN")) == "ROUND_ROBIN"
