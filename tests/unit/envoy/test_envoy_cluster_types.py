"""Where the endpoints of a cluster come from."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors, warnings

from metaproxy.envoy.cluster_types import is_literal
from metaproxy.envoy.message_types import url


def assignment(*addresses: str) -> str:
    each = ", ".join(
        f"{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}"
        for host, port in (one.rsplit(":", 1) for one in addresses)
    )
    return f"load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [{each}]}}]}}\n"


def test_strict_dns_of_one_name_is_asked_again_and_again() -> None:
    outcome = cluster("name: c\ntype: STRICT_DNS\n" + assignment("a.example:80"))
    assert errors(outcome) == []
    assert outcome.sections[0]["discovery"] == {
        "dns": "a.example:80",
        "refresh": "5s",
        "max_refresh": "5s",
        "family": "all",
    }
    assert "endpoints" not in outcome.sections[0]


def test_options_of_names_are_kept() -> None:
    outcome = cluster(
        """
name: c
type: STRICT_DNS
respect_dns_ttl: true
dns_lookup_family: V4_ONLY
typed_dns_resolver_config:
  name: envoy.network.dns_resolver.cares
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    resolvers: [{socket_address: {address: 127.0.0.1, port_value: 5353}}]
"""
        + assignment("a.example:80")
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["discovery"] == {
        "dns": "a.example:80",
        "refresh": "1s",
        "max_refresh": "1h",
        "family": "v4",
        "servers": ["127.0.0.1:5353"],
    }


def test_strict_dns_of_addresses_has_endpoints() -> None:
    outcome = cluster("name: c\ntype: STRICT_DNS\n" + assignment("127.0.0.1:80", "127.0.0.1:81"))
    assert outcome.sections[0]["endpoints"] == [{"address": "127.0.0.1:80"}, {"address": "127.0.0.1:81"}]
    assert warnings(outcome) == []


def test_of_several_names_each_is_an_endpoint_with_a_warning() -> None:
    outcome = cluster("name: c\ntype: STRICT_DNS\n" + assignment("a.example:80", "b.example:80"))
    assert errors(outcome) == []
    assert outcome.sections[0]["endpoints"] == [{"address": "a.example:80"}, {"address": "b.example:80"}]
    assert len(warnings(outcome)) == 1


def test_logical_dns_is_one_endpoint_whose_name_each_connection_asks_for() -> None:
    outcome = cluster("name: c\ntype: LOGICAL_DNS\n" + assignment("a.example:80"))
    assert errors(outcome) == []
    assert outcome.sections[0]["endpoints"] == [{"address": "a.example:80"}]


def test_logical_dns_can_not_choose_name_servers() -> None:
    text = "name: c\ntype: LOGICAL_DNS\ndns_resolvers: [{socket_address: {address: 127.0.0.1, port_value: 53}}]\n"
    assert len(errors(cluster(text + assignment("a.example:80")))) == 1


def test_a_name_is_no_address_of_a_static_cluster() -> None:
    assert len(errors(cluster("name: c\ntype: STATIC\n" + assignment("a.example:80")))) == 1


@pytest.mark.parametrize(
    ("config", "discovery", "need"),
    [
        ("{eds_config: {ads: {}}}", {"eds": "c"}, ("endpoints", "c", "ads")),
        ("{eds_config: {ads: {}}, service_name: s}", {"eds": "s"}, ("endpoints", "s", "ads")),
        (
            "{eds_config: {path_config_source: {path: /e.yaml}}}",
            {"eds": "c", "server": "/e.yaml"},
            ("endpoints", "c", "/e.yaml"),
        ),
    ],
)
def test_eds_has_endpoints_from_a_server(config: str, discovery: object, need: object) -> None:
    outcome = cluster(f"name: c\ntype: EDS\neds_cluster_config: {config}")
    assert errors(outcome) == []
    assert outcome.sections[0]["discovery"] == discovery
    assert outcome.needs == [need]


@pytest.mark.parametrize("config", ["", "eds_cluster_config: {}", "eds_cluster_config: {eds_config: {}}"])
def test_eds_without_a_server_is_malformed(config: str) -> None:
    assert len(errors(cluster(f"name: c\ntype: EDS\n{config}"))) == 1


def test_an_original_destination_is_where_clients_meant_to_go() -> None:
    outcome = cluster("name: c\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\ncleanup_interval: 5s")
    assert errors(outcome) == []
    assert outcome.sections[0] == {"name": "c", "discovery": "original_destination", "connect_timeout": "5s"}


def test_a_header_can_not_say_where_to_go() -> None:
    text = "name: c\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\noriginal_dst_lb_config: {use_http_header: true}"
    assert len(errors(cluster(text))) == 1


def test_an_aggregate_cluster_tries_its_clusters_in_order() -> None:
    outcome = cluster(f"""
name: c
lb_policy: CLUSTER_PROVIDED
cluster_type:
  name: envoy.clusters.aggregate
  typed_config: {{"@type": {url("envoy.extensions.clusters.aggregate.v3.ClusterConfig")}, clusters: [a, b]}}
""")
    assert errors(outcome) == []
    assert outcome.sections[0]["fallback"] == ["a", "b"]
    assert outcome.sections[0]["endpoints"] == []


def test_the_newer_form_of_dns_clusters_is_read() -> None:
    outcome = cluster(
        f"""
name: c
cluster_type:
  name: envoy.cluster.dns
  typed_config: {{"@type": {url("envoy.extensions.clusters.dns.v3.DnsCluster")}, dns_refresh_rate: 2s}}
"""
        + assignment("a.example:80")
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["discovery"] == {
        "dns": "a.example:80", "refresh": "2s", "max_refresh": "2s", "family": "all",
    }  # fmt: skip


def test_an_unknown_type_makes_the_cluster_unusable() -> None:
    outcome = cluster("name: c\ncluster_type: {name: acme.magic}")
    assert outcome.sections == []
    assert len(errors(outcome)) == 1


def test_what_a_literal_address_is() -> None:
    assert [is_literal(one) for one in ("127.0.0.1", "::1", "a.example")] == [True, True, False]


def test_weights_of_localities_do_not_count_where_a_server_sends_endpoints() -> None:
    text = "name: c\ntype: EDS\neds_cluster_config: {eds_config: {ads: {}}}\n"
    assert errors(cluster(text)) == []
    assert len(errors(cluster(text + "common_lb_config: {locality_weighted_lb_config: {}}"))) == 1
