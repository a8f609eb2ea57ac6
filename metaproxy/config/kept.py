"""
What stays the same object from one configuration to the next, while what it is made of stays the same.

Lives here: `Kept`, objects of one kind, and `Objects`, of all kinds, in force; `Draft` and `Drafts`, what one build
adds to them. Does not: what they are made of (`build`).

Objects belong to the sections that use them, listeners and clusters: a section that is not built again costs nothing
here, and an object goes with the last section that used it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from metaproxy.config.slices import checkpoint
from metaproxy.counts import MirrorCounts
from metaproxy.interfaces import ICodec
from metaproxy.telemetry.access_log.filter import AccessLog

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from metaproxy.telemetry.tracing.filter import Tracing
    from metaproxy.telemetry.tracing.spans import Spans

T = TypeVar("T")

Keys = frozenset[Hashable]
"""What objects of one kind that a section uses are made of."""
Uses = tuple[Keys, ...]
"""The same, of each kind."""


class Kept(Generic[T]):
    """Objects of one kind in force, by what they are made of, each with the number of sections that use it."""

    def __init__(self) -> None:
        self.made: dict[Hashable, T] = {}
        self._users: Counter[Hashable] = Counter()

    def add(self, key: Hashable, made: T) -> bool:
        """One more section uses it. Return whether it is the first."""
        self._users[key] += 1
        self.made[key] = made
        return self._users[key] == 1

    def drop(self, key: Hashable) -> list[T]:
        """One section less uses it. Return the object if that was the last one."""
        self._users[key] -= 1
        if self._users[key]:
            return []
        del self._users[key]
        return [self.made.pop(key)]


class Draft(Generic[T]):
    """
    Objects of one kind that a build makes, on top of those in force. used: the keys that the section in hand asked for.
    """

    def __init__(self, kept: Kept[T]) -> None:
        self.made: dict[Hashable, T] = {}
        self.used: set[Hashable] = set()
        self._kept = kept

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object in force under the same key, or a new one."""
        self.used.add(key)
        if key in self._kept.made:
            return self._kept.made[key]
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def take(self) -> Keys:
        """The keys that were asked for since the last call: those of a section that is complete."""
        used = frozenset(self.used)
        self.used.clear()
        return used

    def add(self, keys: Keys) -> list[T]:
        """A section comes into force. Return the objects that no other one used."""
        kept = self._kept
        used = {key: kept.made[key] if key in kept.made else self.made[key] for key in keys}
        return [made for key, made in used.items() if kept.add(key, made)]

    def drop(self, keys: Keys) -> list[T]:
        """A section is not in force any more. Return the objects that no other one uses under the same key."""
        return [one for key in keys for one in self._kept.drop(key)]


class _Draft(Protocol):
    """A `Draft`, whatever kind of objects it has."""

    def take(self) -> Keys: ...
    def add(self, keys: Keys) -> Sequence[object]: ...
    def drop(self, keys: Keys) -> Sequence[object]: ...


class Objects:
    """All kinds, in force."""

    def __init__(self) -> None:
        self.codecs: Kept[ICodec] = Kept()
        self.filters: Kept[object] = Kept()
        self.mirrors: Kept[MirrorCounts] = Kept()
        self.logs: Kept[AccessLog] = Kept()
        self.spans: Kept[Spans] = Kept()
        self.tracing: Kept[Tracing] = Kept()
        self.keys: Counter[int] = Counter()  # by identity: under how many keys an object is

    def __iter__(self) -> Iterator[object]:
        """Each object, once for each key."""
        for kept in (self.codecs, self.filters, self.mirrors, self.logs, self.spans, self.tracing):
            yield from kept.made.values()


class Drafts:
    """All kinds, of one build. objects: those in force."""

    def __init__(self, objects: Objects) -> None:
        self.codecs = Draft(objects.codecs)
        self.filters = Draft(objects.filters)
        self.mirrors = Draft(objects.mirrors)
        self.logs = Draft(objects.logs)
        self.spans = Draft(objects.spans)
        self.tracing = Draft(objects.tracing)
        self._objects = objects
        self._kinds: tuple[_Draft, ...] = (
            self.codecs, self.filters, self.mirrors, self.logs, self.spans, self.tracing,
        )  # fmt: skip

    def take(self) -> Uses:
        """What the section in hand uses; the next one begins."""
        return tuple(draft.take() for draft in self._kinds)

    def commit(self, come: Iterable[Uses], gone: Iterable[Uses]) -> list[object]:
        """Sections come into force, others go. Return the objects that nothing uses any more, each once."""
        keys = self._objects.keys
        for uses in come:
            checkpoint()
            for draft, used in zip(self._kinds, uses, strict=True):
                keys.update(map(id, draft.add(used)))
        left: dict[int, object] = {}
        for uses in gone:
            checkpoint()
            for draft, used in zip(self._kinds, uses, strict=True):
                for one in draft.drop(used):
                    keys[id(one)] -= 1
                    left[id(one)] = one
        unused = [one for identity, one in left.items() if not keys[identity]]
        for one in unused:
            del keys[id(one)]
        return unused

    def unused(self) -> list[object]:
        """What was made for a build that does not come into force, each object once."""
        kept = {id(one) for one in self._objects}
        drafts = (self.codecs, self.filters, self.mirrors, self.logs, self.spans, self.tracing)
        made: dict[int, object] = {id(one): one for draft in drafts for one in draft.made.values()}
        return [one for identity, one in made.items() if identity not in kept]
