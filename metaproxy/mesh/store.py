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
    """It is wrong, and there is no version before it."""
    KEPT = "kept"
    """It is wrong; the version before it holds."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    What became of an object. key: None where it can't be told which object it is; version: what its source calls the
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
    """What one source says of an object: what it said last, and the version of it that holds."""

    said: Document
    holds: Object | None = None


@dataclass(slots=True)
class _Source:
    """Where objects come from: a file, or the list of one kind of an API server."""

    keys: dict[Key, None] = field(default_factory=dict)
    unread: list[Document] = field(default_factory=list)


class Store:
    """
    Objects by key. Of several sources that have an object of one key, the first holds; the others wait.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._claims: dict[Key, dict[str, _Claim]] = {}
        self._sources: dict[str, _Source] = {}

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
        for key in before:
            if key in known.keys:
                continue
            if known.unread:
                known.keys[key] = None
            else:
                self._release(source, key)
        if not known.keys and not known.unread:
            del self._sources[source]

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
            if len(known.unread) < MAX_UNREAD:
                known.unread.append(document)
            return
        known.keys[document.key] = None
        claims = self._claims.setdefault(document.key, {})
        claim = claims.setdefault(source, _Claim(document))
        claim.said = document
        if document.object is None or document.object == claim.holds:
            return
        claim.holds = document.object
        if next(iter(claims)) == source:
            self._sink.put(document.object)

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
        heir = next((claim.holds for claim in claims.values() if claim.holds is not None), None)
        if heir is not None:
            self._sink.put(heir)
        elif gone.holds is not None:
            self._sink.remove(key)

    # -- what became of them

    def status(self) -> Iterator[Status]:
        """Return what became of each object, and of what could not be read."""
        for key, claims in self._claims.items():
            holder = next(iter(claims.values()))
            for claim in claims.values():
                yield _status(key, claim, holder)
        for source in self._sources.values():
            for document in source.unread:
                yield Status(None, document.place, State.REFUSED, reasons=document.problems)

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
    state = State.KEPT if claim.holds is not None else State.REFUSED
    return Status(key, said.place, state, version, said.problems, claim.holds.warnings if claim.holds else ())
