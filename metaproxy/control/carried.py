"""
Listeners and clusters of metaproxy's own files, as messages of Envoy's that carry them as they are.

Lives here: `carried_listener`, `carried_cluster`. Does not: what a proxy makes of them
(`envoy.own_sections`).

What Envoy's messages can't say travels so: a Listener whose only filter, and a Cluster whose own type, is a TypedStruct
with the section as plain data. metaproxy reads it as its file; an Envoy refuses it by its type, and says so.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from xds.type.v3.typed_struct_pb2 import TypedStruct

from metaproxy.envoy.message_types import url
from metaproxy.envoy.own_messages import CLUSTER, LISTENER, SECTION
from metaproxy.support import addresses


def carried_listener(name: str, section: Mapping[str, object]) -> Message:
    """Return a Listener that carries a listener of ours."""
    made = Listener(name=name)
    _address(section.get("listen"), made)
    network_filter = made.filter_chains.add().filters.add(name=LISTENER)
    network_filter.typed_config.CopyFrom(_packed(LISTENER, section))
    message: Message = made
    return message


def carried_cluster(name: str, section: Mapping[str, object]) -> Message:
    """Return a Cluster that carries a cluster of ours."""
    made = Cluster(name=name)
    made.cluster_type.name = CLUSTER
    made.cluster_type.typed_config.CopyFrom(_packed(CLUSTER, section))
    message: Message = made
    return message


def _packed(kind: str, section: Mapping[str, object]) -> Packed:
    struct = TypedStruct(type_url=url(kind))
    struct.value.update({SECTION: section})
    packed = Packed()
    packed.Pack(struct, deterministic=True)
    return packed


def _address(listen: object, made: Listener) -> None:
    """Give the message the first address, which Envoy's requires of every listener; the section has them all."""
    first = listen[0] if isinstance(listen, list) and listen else listen
    try:
        where = addresses.parse(str(first))
    except ValueError:
        where = addresses.Address(socket.AF_INET, "0.0.0.0", 0)
    if where.family == socket.AF_UNIX:
        made.address.pipe.path = where.host
    else:
        made.address.socket_address.address = where.host
        made.address.socket_address.port_value = where.port
