"""
What a response holds, whatever brought it: resources by name with their bytes, and names that are gone.

Lives here: `Resource`, `Update`, reading both forms of a response. Does not: what changed (`store`), answering
(`subscription`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError, Message

from metaproxy.xds.resource_types import BY_URL, PREFIX, ResourceType

WRAPPER = PREFIX + "envoy.service.discovery.v3.Resource"

"""What a resource of the state of the world may stand in, with a name and a version of its own."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. value: the bytes of its message; two of equal bytes are the same."""

    name: str
    version: str
    value: bytes


@dataclass(slots=True)
class Update:
    """
    What one response says of a kind. resources: by name; whole: it names all that there are, so that others are gone;
    removed: names that are gone; errors: what is malformed, by the resource's name, or its place where it has none;
    nameless: whether there is one of the latter.
    """

    version: str
    resources: dict[str, Resource] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    whole: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    nameless: bool = False

    def malformed(self, name: str, place: str, text: str) -> None:
        """Note what is wrong with a resource."""
        self.errors[name or place] = text
        self.nameless = self.nameless or not name


def read_state_of_the_world(
    response: discovery_pb2.DiscoveryResponse, kind: ResourceType, names: Mapping[bytes, str]
) -> Update:
    """
    Return what a response of the state of the world says. names: the names of resources by their bytes, of those that
    are known already: they are not parsed again.
    """
    update = Update(response.version_info, whole=kind.wildcard)
    for index, packed in enumerate(response.resources):
        place, version, name = f"resources[{index}]", response.version_info, ""
        if packed.type_url == WRAPPER:
            wrapper = discovery_pb2.Resource()
            try:
                wrapper.ParseFromString(packed.value)
            except DecodeError as error:
                update.malformed("", place, f"not a Resource: {error}")
                continue
            packed, version, name = wrapper.resource, wrapper.version or version, wrapper.name
        _take(update, kind, place, packed, version, name, names)
    return update


def read_delta(
    response: discovery_pb2.DeltaDiscoveryResponse, kind: ResourceType, names: Mapping[bytes, str]
) -> Update:
    """Return what a response of the incremental protocol says; names: see `read_state_of_the_world`."""
    named = (one.name for one in response.removed_resource_names)
    removed = list(dict.fromkeys([*response.removed_resources, *named]))
    update = Update(response.system_version_info, removed=removed)
    for index, one in enumerate(response.resources):
        _take(update, kind, f"resources[{index}]", one.resource, one.version, one.name, names)
    return update


def _take(
    update: Update, kind: ResourceType, place: str, packed: Packed, version: str, name: str, names: Mapping[bytes, str]
) -> None:
    """Add one resource to an update, or what is wrong with it."""
    if packed.type_url != kind.url:
        update.malformed(name, place, _other_type(packed.type_url, kind))
        return
    try:
        name = name or names.get(packed.value) or own_name(kind.message.FromString(packed.value), kind)
    except DecodeError as error:
        update.malformed(name, place, f"not a {kind.url.removeprefix(PREFIX)}: {error}")
        return
    if not name:
        update.malformed("", place, f"{kind.key} is empty; a resource needs a name")
    elif name in update.resources:
        update.malformed(name, place, "is there twice; a response has each name once")
    else:
        update.resources[name] = Resource(name, version, packed.value)


def own_name(message: Message, kind: ResourceType) -> str:
    """Return the name that a resource gives itself."""
    return str(getattr(message, kind.key))


def _other_type(url: str, kind: ResourceType) -> str:
    """Say of which type a resource should have been."""
    other = BY_URL.get(url)
    hint = f"; {other.name} are asked for apart" if other is not None else ""
    return f"a resource of type {url.removeprefix(PREFIX)!r} among {kind.name}{hint}"
