"""
Who a client is, as it says in its first request.

Lives here: `Node`, reading it. Does not: what a node gets (`plan`), what it has (`fleet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from google.protobuf import json_format

MAX_ID = 512
"""Characters of a node's id."""
MAX_METADATA = 64 << 10
"""Bytes of a node's metadata; istiod's agents send a few KiB."""
MAX_NODE = 256 << 10
"""Bytes of all that a node says of itself, which is kept as it came; Envoy's list of extensions has tens of KiB."""


@dataclass(frozen=True, slots=True)
class Node:
    """
    id, cluster, zone, metadata: its own words. agent: what it runs. peer: the address that its stream comes from;
    message: as it came, for who reads more of it.
    """

    id: str
    cluster: str = ""
    zone: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    agent: str = ""
    peer: str = ""
    message: NodeMessage | None = field(default=None, compare=False, repr=False)


def read_node(message: NodeMessage, peer: str) -> Node:
    """Raises ValueError with what is wrong."""
    if not message.id:
        raise ValueError("node.id is empty: a server knows proxies by it; write `node: {id: ...}` in the proxy's file")
    if len(message.id) > MAX_ID:
        raise ValueError(f"node.id has {len(message.id)} characters; allowed are {MAX_ID}")
    if message.metadata.ByteSize() > MAX_METADATA:
        raise ValueError(f"node.metadata has {message.metadata.ByteSize()} bytes; allowed are {MAX_METADATA}")
    if message.ByteSize() > MAX_NODE:
        raise ValueError(f"node has {message.ByteSize()} bytes; allowed are {MAX_NODE}")
    build = message.user_agent_build_version.version
    version = message.user_agent_version or ".".join(map(str, (build.major_number, build.minor_number, build.patch)))
    agent = f"{message.user_agent_name} {version}" if message.user_agent_name else ""
    try:
        metadata: Mapping[str, object] = json_format.MessageToDict(message.metadata)
    except (json_format.Error, RecursionError) as error:
        raise ValueError(f"node.metadata can't be read: {error}") from None
    return Node(message.id, message.cluster, message.locality.zone, metadata, agent[:MAX_ID], peer, message)
