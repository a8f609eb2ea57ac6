"""What a text of a source may hold, and what is said of one that is wrong."""

from __future__ import annotations

import pytest

from metaproxy.control.documents import read_document
from metaproxy.control.resource_types import CLUSTERS, ENDPOINTS, LISTENERS

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def problems(text: str) -> list[str]:
    return [str(one) for one in read_document("x.yaml", text.encode()).problems]


def test_a_file_of_envoys_resources_is_read() -> None:
    text = f"""
resources:
- {{"@type": {CLUSTER}, name: a}}
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: a
"""
    found = read_document("x.yaml", text.encode())
    assert found.problems == []
    assert {url: list(names) for url, names in found.resources.items()} == {CLUSTERS.url: ["a"], ENDPOINTS.url: ["a"]}


def test_one_resource_may_be_a_whole_document_and_several_stand_in_one_file() -> None:
    text = f'"@type": {CLUSTER}\nname: a\n---\n"@type": {CLUSTER}\nname: b\n'
    assert read_document("x.yaml", text.encode()).resources[CLUSTERS.url].keys() == {"a", "b"}


def test_listeners_and_clusters_of_our_own_are_carried_by_name() -> None:
    text = b"listeners: [{name: l, listen: '127.0.0.1:80', protocol: dubbo}]\nclusters: [{name: c, endpoints: []}]\n"
    found = read_document("x.yaml", text)
    assert found.problems == []
    assert found.resources[LISTENERS.url].keys() == {"l"}
    assert found.resources[CLUSTERS.url].keys() == {"c"}


def test_static_resources_of_a_bootstrap_are_taken_and_the_rest_is_named() -> None:
    found = read_document("x.yaml", b"static_resources: {clusters: [{name: a}]}\nadmin: {}\n")
    assert found.resources[CLUSTERS.url].keys() == {"a"}
    assert found.warnings == ["x.yaml:2: admin is not served"]


def test_a_rollout_and_its_end_are_kept_as_they_are() -> None:
    found = read_document("x.yaml", b"rollout: {version: v2}\nreturned: {version: v1}\n")
    assert (found.rollout, found.returned) == ({"version": "v2"}, {"version": "v1"})


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[]", "x.yaml:1:1", "not a mapping"),
        ("a: 1", "x.yaml:1:1", "unknown key 'a'"),
        ("listenerss: []", "x.yaml:1:1", "did you mean 'listeners'?"),
        ("listeners: {}", "x.yaml:1:12", "write a list"),
        ("clusters: [{endpoints: []}]", "x.yaml:1:12", "name is missing"),
        ("resources: [{name: a}]", "x.yaml:1:13", "@type is missing"),
        (f'"@type": {CLUSTER}s\nname: a', "x.yaml:1:1", f"did you mean '{CLUSTER}'?"),
        (f'"@type": {CLUSTER}\nnam: a', "x.yaml:2:1", "did you mean 'name'?"),
        (f'"@type": {CLUSTER}', "x.yaml:1:1", "name is missing"),
        ("clusters: [{name: a}, {name: a}]", "x.yaml:1:23", "a second one of clusters with the name 'a'"),
        ("a: [", "x.yaml:", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_write(text: str, place: str, words: str) -> None:
    (found, *_) = problems(text)
    assert found.startswith(place)
    assert words in found
