"""Versions of resources and of snapshots."""

from __future__ import annotations

from control_client import cluster, endpoints, listener
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

from metaproxy.control.resource_types import CLUSTERS, ENDPOINTS, LISTENERS
from metaproxy.control.snapshot import EMPTY, difference, resource, snapshot, total


def test_equal_content_has_an_equal_version_whoever_made_it() -> None:
    one = snapshot({CLUSTERS.url: {"a": cluster("a"), "b": cluster("b")}})
    other = snapshot({CLUSTERS.url: {"b": cluster("b"), "a": cluster("a")}})
    assert one.version == other.version
    assert one.versions == other.versions
    assert one.of(CLUSTERS.url)["a"].version == other.of(CLUSTERS.url)["a"].version


def test_other_content_another_name_and_another_type_have_other_versions() -> None:
    versions = {
        resource(CLUSTERS.url, "a", cluster("a", 0)).version,
        resource(CLUSTERS.url, "a", cluster("a", 1)).version,
        resource(CLUSTERS.url, "b", cluster("a", 0)).version,
        resource(ENDPOINTS.url, "a", endpoints("a")).version,
    }
    assert len(versions) == 4


def test_the_version_of_a_type_is_that_of_its_resources_together() -> None:
    made = snapshot({CLUSTERS.url: {"a": cluster("a"), "b": cluster("b")}})
    assert made.versions[CLUSTERS.url] == total(made.of(CLUSTERS.url).values())


def test_a_message_that_is_the_same_object_is_not_encoded_again() -> None:
    kept = cluster("a")
    before = snapshot({CLUSTERS.url: {"a": kept, "b": cluster("b")}})
    after = snapshot({CLUSTERS.url: {"a": kept, "b": cluster("b", 1)}}, before)
    assert after.of(CLUSTERS.url)["a"] is before.of(CLUSTERS.url)["a"]
    assert after.of(CLUSTERS.url)["b"] is not before.of(CLUSTERS.url)["b"]


def test_the_difference_has_what_is_new_other_and_gone_and_nothing_else() -> None:
    before = snapshot({CLUSTERS.url: {"a": cluster("a"), "b": cluster("b"), "c": cluster("c")}})
    after = snapshot(
        {
            CLUSTERS.url: {"a": cluster("a"), "b": cluster("b", 1), "d": cluster("d")},
            LISTENERS.url: {"l": listener("l")},
        }
    )
    assert difference(before, after) == {CLUSTERS.url: {"b", "c", "d"}, LISTENERS.url: {"l"}}
    assert difference(after, after) == {}
    assert difference(EMPTY, before) == {CLUSTERS.url: {"a", "b", "c"}}


def test_a_resource_is_a_response_of_either_kind_with_itself_alone() -> None:
    made = resource(CLUSTERS.url, "a", cluster("a"))
    whole = DiscoveryResponse.FromString(made.state_of_the_world)
    part = DeltaDiscoveryResponse.FromString(made.delta)
    assert [one.type_url for one in whole.resources] == [CLUSTERS.url]
    assert [(one.name, one.version) for one in part.resources] == [("a", made.version)]
    assert part.resources[0].resource == whole.resources[0]
