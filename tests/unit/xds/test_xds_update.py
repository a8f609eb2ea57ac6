"""Reading responses; what is malformed is in test_xds_session.py."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from xds_stage import CLUSTERS, ENDPOINTS, assignment, cluster, delta, response

from metaproxy.xds.update import read_delta, read_state_of_the_world


def test_a_response_of_clusters_is_all_there_are_and_one_of_endpoints_is_not() -> None:
    assert read_state_of_the_world(response(CLUSTERS, "1", "n"), CLUSTERS, {}).whole
    assert not read_state_of_the_world(response(ENDPOINTS, "1", "n"), ENDPOINTS, {}).whole


def test_endpoints_are_named_by_their_cluster() -> None:
    update = read_state_of_the_world(response(ENDPOINTS, "1", "n", assignment("demo", 1)), ENDPOINTS, {})
    assert list(update.resources) == ["demo"]


def test_bytes_that_are_known_are_not_parsed() -> None:
    """Known under a name that the bytes do not have, so one sees where it came from."""
    known = {cluster("a").SerializeToString(): "as before"}
    assert list(read_state_of_the_world(response(CLUSTERS, "1", "n", cluster("a")), CLUSTERS, known).resources) == [
        "as before"
    ]


def test_a_resource_without_a_name_is_refused_by_its_place() -> None:
    update = read_state_of_the_world(response(CLUSTERS, "1", "n", cluster_pb2.Cluster()), CLUSTERS, {})
    assert list(update.errors) == ["resources[0]"]
    assert "name" in update.errors["resources[0]"]


def test_names_that_are_gone_come_in_two_spellings() -> None:
    made = discovery_pb2.DeltaDiscoveryResponse(type_url=CLUSTERS.url, removed_resources=["a", "b"])
    made.removed_resource_names.add(name="b")
    made.removed_resource_names.add(name="c")
    assert read_delta(made, CLUSTERS, {}).removed == ["a", "b", "c"]


def test_each_resource_of_the_incremental_protocol_has_its_own_version() -> None:
    update = read_delta(delta(CLUSTERS, "n", {"a": ("1", cluster("a")), "b": ("2", cluster("b"))}), CLUSTERS, {})
    assert [(one.name, one.version) for one in update.resources.values()] == [("a", "1"), ("b", "2")]
