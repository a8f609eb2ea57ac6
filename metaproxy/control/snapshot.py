"""
The resources that a group of nodes is to have, each with a version made of its content.

Lives here: `Resource`, `Snapshot`, the difference between two. Does not: where they come from (`sources`), who has
them.

No version is counted: two servers that read the same content say the same, and so does one that was restarted. A
resource is encoded once for all clients; protobuf joins messages that are written one behind the other, so a response
is its own head followed by the resources as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

Messages = Mapping[str, Mapping[str, Message]]
"""Messages by name, by type URL."""

_EVERY_BIT = (1 << 64) - 1


def shown(digest: int) -> str:
    """Return a digest as a version is written."""
    return f"{digest & _EVERY_BIT:016x}"


class Resource:
    """
    One resource. digest: of its type, name and content; message: None of one that only its client has.

    state_of_the_world, delta: itself within a response of either kind.
    """

    __slots__ = ("delta", "digest", "message", "name", "state_of_the_world", "version")

    def __init__(
        self,
        name: str,
        version: str,
        digest: int = 0,
        message: Message | None = None,
        whole: bytes = b"",
        delta: bytes = b"",
    ) -> None:
        self.name = name
        self.version = version
        self.digest = digest
        self.message = message
        self.state_of_the_world = whole
        self.delta = delta

    def __repr__(self) -> str:
        return f"Resource({self.name!r}, {self.version})"


def resource(type_url: str, name: str, message: Message) -> Resource:
    """Return the message as a resource."""
    content = message.SerializeToString(deterministic=True)
    hashed = blake2b(b"\0".join((type_url.encode(), name.encode(), content)), digest_size=8).digest()
    digest = int.from_bytes(hashed, "big")
    version = shown(digest)
    packed = Any(type_url=type_url, value=content)
    whole = DiscoveryResponse(resources=[packed]).SerializeToString()
    response = DeltaDiscoveryResponse()
    response.resources.add(name=name, version=version, resource=packed)
    return Resource(name, version, digest, message, whole, response.SerializeToString())


def total(resources: Iterable[Resource]) -> str:
    """Return the version of a set of resources: the sum of their digests, whatever their order."""
    return shown(sum(one.digest for one in resources))


class Snapshot:
    """Resources by type URL and name. version: of all of them; versions: of each type."""

    __slots__ = ("types", "version", "versions")

    def __init__(self, types: Mapping[str, Mapping[str, Resource]]) -> None:
        self.types = types
        sums = {url: sum(one.digest for one in found.values()) for url, found in types.items()}
        self.versions: Mapping[str, str] = {url: shown(value) for url, value in sums.items()}
        self.version = shown(sum(sums.values()))

    def of(self, type_url: str) -> Mapping[str, Resource]:
        return self.types.get(type_url, _NONE)


_NONE: Mapping[str, Resource] = {}
EMPTY = Snapshot({})


def snapshot(messages: Messages, before: Snapshot = EMPTY) -> Snapshot:
    """Make a snapshot; a message that `before` has, the same object, is neither encoded nor hashed again."""
    return Snapshot({url: _resources(url, found, before.of(url)) for url, found in messages.items() if found})


def _resources(url: str, messages: Mapping[str, Message], before: Mapping[str, Resource]) -> Mapping[str, Resource]:
    made = {}
    for name, message in messages.items():
        known = before.get(name)
        made[name] = known if known is not None and known.message is message else resource(url, name, message)
    return made


Changes = Mapping[str, frozenset[str]]
"""Names that are new, other or gone, by type URL."""


def difference(before: Snapshot, after: Snapshot) -> Changes:
    """Return what differs; a type without a difference is left out."""
    return {
        url: changed for url in {**before.types, **after.types} if (changed := _changed(before.of(url), after.of(url)))
    }


def _changed(before: Mapping[str, Resource], after: Mapping[str, Resource]) -> frozenset[str]:
    if before is after:
        return frozenset()
    gone = before.keys() - after.keys()
    return frozenset([*gone, *(name for name, one in after.items() if _differs(before.get(name), one))])


def _differs(before: Resource | None, after: Resource) -> bool:
    return before is not after and (before is None or before.digest != after.digest)
