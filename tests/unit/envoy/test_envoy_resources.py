"""Resources of several sources together."""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from metaproxy.envoy.message_types import full_name, message_class
from metaproxy.envoy.resources import KINDS, TYPE_URLS, Resources, by_name, merge


def test_each_kind_has_a_message() -> None:
    for kind, type_url in TYPE_URLS.items():
        assert message_class(full_name(type_url)) is not None
        assert KINDS[type_url] == kind


def test_of_two_with_one_name_the_later_counts() -> None:
    old, new = Cluster(name="a", alt_stat_name="old"), Cluster(name="a", alt_stat_name="new")
    merged = merge(Resources(clusters={"a": old, "b": old}), Resources(clusters={"a": new}))
    assert dict(merged.of("clusters")) == {"a": new, "b": old}


def test_endpoints_go_by_the_name_of_their_cluster() -> None:
    one = ClusterLoadAssignment(cluster_name="demo")
    assert by_name("endpoints", [one]) == {"demo": one}
