"""
The resources that a group of nodes is to have, each with a version made of its content.

Lives here: `Resource`, `Snapshot`, the difference between two. Does not: where they come from (`sources`), who has
them.

No version is counted: two servers that read the same content say the same, and so does one that was restarted. A
resource is encoded once for all clients; protobuf joins messages that are written one behind the other, so a response
is its own head followed by the resources as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from weakref import ref

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


Changes = Mapping[str, Collection[str]]
"""Names that are new, other or gone, by type URL."""


class Snapshot:
    """
    Resources by type URL and name. version: of all of them; versions: of each type.

    sums: of the digests of each type, where they are known already. before, changes: the snapshot that this one was
    made of, and how it differs.
    """

    __slots__ = ("__weakref__", "_before", "_changes", "_sums", "types", "version", "versions")

    def __init__(
        self,
        types: Mapping[str, Mapping[str, Resource]],
        sums: Mapping[str, int] | None = None,
        before: Snapshot | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.types = types
        if sums is None:
            sums = {url: sum(one.digest for one in found.values()) for url, found in types.items()}
        self._sums = sums
        self._before = ref(before) if before is not None else None
        self._changes = changes or {}
        self.versions: Mapping[str, str] = {url: shown(value) for url, value in sums.items()}
        self.version = shown(sum(sums.values()))

    def of(self, type_url: str) -> Mapping[str, Resource]:
        return self.types.get(type_url, _NONE)

    def changed(self, touched: Changes, find: Callable[[str, str], Message | None]) -> Snapshot:
        """
        Return the snapshot in which these names may be other; itself where none is. What it costs follows from these.

        find: the message of a type and name; None for none.
        """
        types, sums, changes = dict(self.types), dict(self._sums), {}
        for url, names in touched.items():
            other = self._others(url, names, find)
            if not other:
                continue
            changes[url] = frozenset(other)
            found = dict(self.of(url))
            for name, made in other.items():
                old = found.pop(name, None)
                sums[url] = sums.get(url, 0) + (made.digest if made else 0) - (old.digest if old else 0)
                if made is not None:
                    found[name] = made
            types[url] = found
            if not found:
                del types[url], sums[url]
        return Snapshot(types, sums, self, changes) if changes else self

    def _others(
        self, url: str, names: Iterable[str], find: Callable[[str, str], Message | None]
    ) -> dict[str, Resource | None]:
        """Return those that are new or other, and None for those that are gone."""
        there = self.of(url)
        others: dict[str, Resource | None] = {}
        for name in names:
            message, known = find(url, name), there.get(name)
            if message is None:
                if known is not None:
                    others[name] = None
            elif known is None or known.message is not message:
                made = resource(url, name, message)
                if known is None or known.digest != made.digest:
                    others[name] = made
        return others

    def changes_since(self, before: Snapshot) -> Changes | None:
        """Return how this one differs from the one that it was made of; None where it was made of another one."""
        return self._changes if self._before is not None and self._before() is before else None


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


def difference(before: Snapshot, after: Snapshot) -> Changes:
    """Return what differs; a type without a difference is left out."""
    known = after.changes_since(before)
    if known is not None:
        return known
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
