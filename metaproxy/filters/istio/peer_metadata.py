"""
Who a proxy of the mesh is, as it tells the other one: Istio's `x-envoy-peer-metadata`.

Lives here: writing it and reading it; which of a node's metadata it has. Does not: when it is sent
(`metadata_exchange`), what is made of it (`istio_stats`).

On the wire: base64 of a google.protobuf.Struct, serialized deterministically: equal nodes have equal texts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from metaproxy.support.bounded_map import BoundedMap
from metaproxy.support.extras import install

try:
    from google.protobuf.message import DecodeError
    from google.protobuf.struct_pb2 import Struct
except ImportError as error:
    raise ImportError(f"{error}; install it with: {install('mesh')}") from error

KEY = "x-envoy-peer-metadata"
ID_KEY = "x-envoy-peer-metadata-id"

TEXTS = (
    "NAME", "NAMESPACE", "OWNER", "WORKLOAD_NAME", "ISTIO_VERSION", "MESH_ID", "CLUSTER_ID", "APP_CONTAINERS",
    "INSTANCE_IPS",
)  # fmt: skip
STRUCTS = ("LABELS", "PLATFORM_METADATA")
"""What is sent of a node. Whatever else its metadata hold stays here."""

MAX_TEXT = 16 << 10
"""Characters that are decoded; Istio's own are some hundreds."""
MAX_LABEL = 256
"""Characters of what becomes a label; a Kubernetes name has 253 at most."""
UNKNOWN = "unknown"


def encode(metadata: Mapping[str, object]) -> str:
    """The text for a node with these metadata; "" when it has nothing to tell. Lists are written with commas."""
    struct = Struct()
    for name in TEXTS:
        value = metadata.get(name)
        if value is not None:
            struct[name] = _text(value)
    for name in STRUCTS:
        labels = metadata.get(name)
        if isinstance(labels, Mapping):
            struct.get_or_create_struct(name).update({str(key): _text(value) for key, value in labels.items()})
    return base64.b64encode(struct.SerializeToString(deterministic=True)).decode()


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


class Node(Protocol):
    """What is asked of the node that a configuration describes."""

    @property
    def id(self) -> str: ...

    @property
    def metadata(self) -> Mapping[str, object]: ...


class Peer(NamedTuple):
    """What the metrics tell of one side."""

    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    cluster: str = UNKNOWN
    app: str = UNKNOWN
    version: str = UNKNOWN
    canonical_service: str = UNKNOWN
    canonical_revision: str = "latest"


UNKNOWN_PEER = Peer()
"""A side that says nothing, or nothing that can be read."""


def peer_of(metadata: Mapping[str, object]) -> Peer:
    """Of a node's metadata, or of what a peer sent."""

    def text_of(source: Mapping[str, object], name: str, otherwise: str = UNKNOWN) -> str:
        value = source.get(name)
        return value[:MAX_LABEL] if isinstance(value, str) and value else otherwise

    labels = metadata.get("LABELS")
    if not isinstance(labels, Mapping):
        labels = {}
    workload = text_of(metadata, "WORKLOAD_NAME")
    return Peer(
        workload,
        text_of(metadata, "NAMESPACE"),
        text_of(metadata, "CLUSTER_ID"),
        text_of(labels, "app"),
        text_of(labels, "version"),
        text_of(labels, "service.istio.io/canonical-name", workload),
        text_of(labels, "service.istio.io/canonical-revision", "latest"),
    )


def decode(text: str) -> Peer:
    """Of the text that a peer sent; padding may be missing. UNKNOWN_PEER when it can't be read."""
    if not text or len(text) > MAX_TEXT:
        return UNKNOWN_PEER
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        struct = Struct.FromString(data)
    except (binascii.Error, ValueError, DecodeError):
        return UNKNOWN_PEER
    labels = struct.fields["LABELS"].struct_value if "LABELS" in struct.fields else Struct()
    return peer_of({**_texts(struct), "LABELS": _texts(labels)})


def _texts(struct: Struct) -> dict[str, str]:
    return {name: value.string_value for name, value in struct.fields.items() if value.string_value}


class Peers:
    """Texts that peers sent -> who they are, each decoded once; most: how many are remembered."""

    def __init__(self, most: int = 1000) -> None:
        self._known: BoundedMap[str, Peer] = BoundedMap(most)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, text: str | None) -> Peer:
        if not text or len(text) > MAX_TEXT:
            return UNKNOWN_PEER
        peer = self._known.get(text)
        if peer is None:
            peer = decode(text)
            self._known.keep(text, peer)
        return peer
