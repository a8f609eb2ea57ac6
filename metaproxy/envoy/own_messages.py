"""
Listeners and clusters of our own within messages of Envoy's: the messages that carry them.

Lives here: their descriptors, put into protobuf's default pool by `load`. Does not: reading them (`own_sections`),
packing (`control`).
"""

from __future__ import annotations

from functools import cache

from google.protobuf import descriptor_pool, struct_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

PACKAGE = "metaproxy.config.v1"
LISTENER = f"{PACKAGE}.Listener"
CLUSTER = f"{PACKAGE}.Cluster"
SECTION = "section"
"""The one field of both: what a file has, as a google.protobuf.Struct."""


@cache
def load() -> None:
    """Make the messages known."""
    file = FileDescriptorProto(name="metaproxy/config/v1/sections.proto", package=PACKAGE, syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    for name in (LISTENER, CLUSTER):
        file.message_type.add(name=name.rpartition(".")[2]).field.add(
            name=SECTION,
            number=1,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=".google.protobuf.Struct",
        )
    descriptor_pool.Default().Add(file)
