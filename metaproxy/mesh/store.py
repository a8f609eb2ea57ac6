"""
Which version of each object holds: the newest that is right, whatever else its source says.

Lives here: `Store`, what it tells of each object. Does not: reading objects (`objects`), what is made of them
(`generator`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from metaproxy.mesh.objects.kinds import KINDS
from metaproxy.mesh.objects.reading import Document, Key, Object

MAX_UNREAD = 500
"""Documents of one source that can't be read and are remembered for the status."""


class Sink(Protocol):
    """What is made of the objects that hold."""

    def put(self, object: Object) -> None:
        """Take an object, new or in another version."""

    def remove(self, key: Key) -> None:
        """Forget an object."""


class State(Enum):
    """What became of an object."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """It is wrong, and there is no version before it. Of a policy, all is denied until there is one."""
    KEPT = "kept"
    """It is wrong; the version before it holds."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    What became of an object. key: None where it is not clear which object it is; version: what its source calls the
    version that was read last; reasons: why it is refused; warnings: what is odd in the version that holds.
    """

    key: Key | None
    place: str
    state: State
    version: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Claim:
    """What one source says of an object: what it said last, and the version of it that holds, if any was right."""

    said: Document
    holds: Object | None = None

    @property
    def in_force(self) -> Object | None:
        """What holds: also what stands in the place of an object of which no version was right."""
        return self.holds if self.holds is not None else self.said.instead


@dataclass(slots=True)
class _Source:
    """
    Where objects come from: a file, or the list of one kind of an API server. instead: what holds in the place of
    objects that can't be identified.
    """

    keys: dict[Key, None] = field(default_factory=dict)
    unread: list[Document] = field(default_factory=list)
    instead: dict[Key, Object] = field(default_factory=dict)


class Store:
    """
    Objects by key. Of several sources that have an object of one key, the first holds; the others wait.

    instead: what holds in the place of objects that are refused, of which no version was right.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._claims: dict[Key, dict[str, _Claim]] = {}
        self._sources: dict[str, _Source] = {}
        self.instead: dict[Key, Object] = {}

    def fill(self, source: str, documents: Iterable[Document]) -> None:
        """
        Take all that a source has now. What it had before and has no more is forgotten, unless something in it can't
        be read: that may be the object that is missing.
        """
        known = self._sources.setdefault(source, _Source())
        before = known.keys
        known.keys, known.unread = {}, []
        for document in documents:
            if document.key is not None and document.key in known.keys:
                document = self._twice(document, self._claims[document.key][source])
            self.put(source, document)
        missing = [key for key in before if key not in known.keys]
        for key in missing:
            if known.unread:
                known.keys[key] = None
            else:
                self._release(source, key)
        self._stand_in(known, {key.kind for key in missing})
        if not known.keys and not known.unread:
            del self._sources[source]

    def _stand_in(self, known: _Source, missing: set[str]) -> None:
        """
        Have what holds in the place of objects that can't be identified. missing: kinds of which an
        object is missing, which it may be: its version before holds.
        """
        given = [one.instead for one in known.unread if one.instead is not None]
        before, known.instead = known.instead, {one.key: one for one in given if one.key.kind not in missing}
        for key, one in known.instead.items():
            if before.get(key) != one:
                self._put(one)
        for key in before.keys() - known.instead.keys():
            self._remove(key)

    def _put(self, object: Object) -> None:
        """Have an object hold."""
        if object.spec is KINDS[object.key.kind].refused:
            self.instead[object.key] = object
        else:
            self.instead.pop(object.key, None)
        self._sink.put(object)

    def _remove(self, key: Key) -> None:
        self.instead.pop(key, None)
        self._sink.remove(key)

    @staticmethod
    def _twice(document: Document, first: _Claim) -> Document:
        text = f"{document.place}: {document.key} is there already, at {first.said.place}"
        return Document(None, document.place, problems=(text,))

    def put(self, source: str, document: Document) -> None:
        """Take one object of a source, new or in another version."""
        if document.ignored:
            return
        known = self._sources.setdefault(source, _Source())
        if document.key is None:
            if len(known.unread) < MAX_UNREAD or document.instead is not None:
                known.unread.append(document)
            return
        known.keys[document.key] = None
        claims = self._claims.setdefault(document.key, {})
        claim = claims.get(source)
        before = claim.in_force if claim is not None else None
        if claim is None:
            claim = claims[source] = _Claim(document)
        claim.said = document
        if document.object is not None and document.object != claim.holds:
            claim.holds = document.object
        after = claim.in_force
        if after is not None and after != before and next(iter(claims)) == source:
            self._put(after)

    def remove(self, source: str, key: Key) -> None:
        """Forget an object that a source no longer has."""
        known = self._sources.get(source)
        if known is not None and key in known.keys:
            del known.keys[key]
            self._release(source, key)

    def _release(self, source: str, key: Key) -> None:
        claims = self._claims[key]
        held = next(iter(claims)) == source
        gone = claims.pop(source)
        if not claims:
            del self._claims[key]
        if not held:
            return
        heir = next((claim.in_force for claim in claims.values() if claim.in_force is not None), None)
        if heir is not None:
            self._put(heir)
        elif gone.in_force is not None:
            self._remove(key)

    # -- what became of them

    def status(self) -> Iterator[Status]:
        """Return what became of each object, and of what could not be read."""
        for key, claims in self._claims.items():
            holder = next(iter(claims.values()))
            for claim in claims.values():
                yield _status(key, claim, holder)
        for source in self._sources.values():
            for document in source.unread:
                stands = source.instead.get(document.instead.key) if document.instead is not None else None
                reasons = (*document.problems, *(stands.warnings if stands is not None else ()))
                yield Status(None, document.place, State.REFUSED, reasons=reasons)

    def status_of(self, key: Key) -> Status | None:
        """Return what became of the object that holds at a key, or that should; None when there is none."""
        claims = self._claims.get(key)
        if not claims:
            return None
        holder = next(iter(claims.values()))
        return _status(key, holder, holder)


def _status(key: Key, claim: _Claim, holder: _Claim) -> Status:
    said, version = claim.said, claim.said.version
    if claim is not holder:
        text = f"{said.place}: {key} is there already, at {holder.said.place}"
        return Status(key, said.place, State.REFUSED, version, (text,))
    if said.object is not None:
        return Status(key, said.place, State.ACCEPTED, version, (), said.object.warnings)
    if claim.holds is not None:
        return Status(key, said.place, State.KEPT, version, said.problems, claim.holds.warnings)
    instead = said.instead.warnings if said.instead is not None else ()
    return Status(key, said.place, State.REFUSED, version, (*said.problems, *instead))
