"""What a client says of itself."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import Node as NodeMessage

from metaproxy.control.nodes import MAX_ID, MAX_METADATA, read_node


def message(**fields: str) -> NodeMessage:
    return NodeMessage(id="a", **fields)


def test_a_node_is_read_with_its_metadata_and_what_it_runs() -> None:
    given = message(cluster="edge", user_agent_name="metaproxy", user_agent_version="1.0")
    given.locality.zone = "z"
    given.metadata.update({"admin": "127.0.0.1:9901", "LABELS": {"app": "demo"}})
    node = read_node(given, "10.0.0.1")
    assert (node.id, node.cluster, node.zone, node.peer) == ("a", "edge", "z", "10.0.0.1")
    assert node.metadata == {"admin": "127.0.0.1:9901", "LABELS": {"app": "demo"}}
    assert node.agent == "metaproxy 1.0"


def test_envoys_version_is_that_of_its_build() -> None:
    given = message(user_agent_name="envoy")
    given.user_agent_build_version.version.major_number = 1
    given.user_agent_build_version.version.minor_number = 40
    assert read_node(given, "").agent == "envoy 1.40.0"


def test_a_node_without_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"node\.id is empty"):
        read_node(NodeMessage(), "")


def test_all_that_a_node_says_has_a_bound() -> None:
    given = NodeMessage(id="a", client_features=["x" * 1000] * 300)
    with pytest.raises(ValueError, match="bytes"):
        read_node(given, "")


def test_an_id_and_metadata_have_a_bound() -> None:
    with pytest.raises(ValueError, match=r"node\.id"):
        read_node(NodeMessage(id="x" * (MAX_ID + 1)), "")
    large = message()
    large.metadata.update({"x": "y" * MAX_METADATA})
    with pytest.raises(ValueError, match="metadata"):
        read_node(large, "")
