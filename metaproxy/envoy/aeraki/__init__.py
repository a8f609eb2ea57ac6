"""
Aeraki's messages, `aeraki.meta_protocol_proxy.*` and `aeraki.meta_protocol.codec.*`, and one of Istio's, in protobuf's
default pool.

Lives here: `load`. Does not: the messages themselves (protos/, of which `make protos` makes aeraki.binpb).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.resources import files

from google.protobuf import descriptor_pb2, descriptor_pool

PACKAGE = "aeraki."
"""What the full names of Aeraki's messages begin with."""
ISTIO = "envoy.tcp.metadataexchange.config"
"""The package of Istio's."""


@cache
def load() -> None:
    """Add the messages to the pool. What they import of Envoy's is loaded before."""
    data = files(__name__).joinpath("aeraki.binpb").read_bytes()
    waiting = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(data).file}
    pool = descriptor_pool.Default()

    def add(name: str) -> None:
        file = waiting.pop(name, None)
        if file is None:
            return
        for imported in file.dependency:
            if imported.startswith("aeraki/"):
                add(imported)
            else:
                import_module(imported.removesuffix(".proto").replace("/", ".") + "_pb2")
        pool.AddSerializedFile(file.SerializeToString())

    for name in list(waiting):
        add(name)
