"""
What one stream has of one type of resources: what its client wants, was sent, and refused. No sockets, no timers.

Lives here: `Subscription`, for both variants of the protocol. Does not: the order between types (`stream`); how
requests are read and responses written (`requests`, `responses`).

One response is on its way at a time. What changes meanwhile waits and goes as one, so that a slow client costs no
memory and gets the newest state. What a client refused is not sent again before it changes. A refusal counts for the
whole response: where a response may have a part, its halves follow, until what is wrong stands alone and the rest is
in force.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from metaproxy.control.resource_types import ResourceType
from metaproxy.control.snapshot import Resource, shown

ALL = "*"
MAX_RESPONSE = 1 << 20
"""Bytes of a response that may have a part of what changed. One resource may be larger."""
NEVER = float("inf")

Resources = Mapping[str, Resource]

_ABSENT = Resource("", "")
"""Was sent: there is none of that name."""


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a client asks. names: all that it wants (state of the world), or wants besides (delta); dropped: what it
    wants no longer; known: versions of what it has; error: why it refuses a response, None when it does not.
    """

    nonce: str = ""
    names: Collection[str] = ()
    dropped: Collection[str] = ()
    known: Mapping[str, str] | None = None
    version: str = ""
    error: str | None = None


class Batch(NamedTuple):
    """A response that is on its way. whole: it has everything; version: of what the client has once it accepts."""

    nonce: str
    resources: Collection[Resource]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    whole: bool
    version: str


class Had(NamedTuple):
    """What a client had when its last stream ended. version: of the resources, as it says it."""

    version: str
    resources: Mapping[str, Resource]


class Refusal(NamedTuple):
    """What a client refused. at: seconds of the server's clock."""

    version: str
    error: str
    at: float


class Subscription:
    """
    names: what is wanted by name; wildcard: whether all is wanted; sent: what the client has, or was sent; outstanding:
    what it has not answered yet; refused: by name; accepted: version of what it accepted last.
    """

    __slots__ = (
        "_answer_due", "_asked", "_begun", "_dirty", "_last_nonce", "_named", "_running", "_suspects", "accepted",
        "delta", "kind", "leaving", "names", "outstanding", "refused", "sent", "sum", "wildcard",
    )  # fmt: skip

    def __init__(self, kind: ResourceType, delta: bool) -> None:
        self.kind = kind
        self.delta = delta
        self.names: set[str] = set()
        self.wildcard = False
        self.sent: dict[str, Resource] = {}
        self.sum = 0
        self.outstanding: Batch | None = None
        self.refused: dict[str, Refusal] = {}
        self.accepted = ""
        self.leaving: dict[str, float] = {}
        """Names that are gone for which the client may still have a use, and when their removal is sent."""
        self._running: dict[str, Resource] = {}  # what the client has accepted
        self._dirty: set[str] = set()
        self._suspects: deque[tuple[str, ...]] = deque()
        self._answer_due = False
        self._begun = False
        self._named = False
        self._asked: Collection[str] | None = None  # the names of the last request, where these are all that is wanted
        self._last_nonce = ""

    @property
    def settled(self) -> bool:
        """Whether the client has answered for all that there is; what is leaving aside."""
        return self.outstanding is None and not self.due

    @property
    def due(self) -> bool:
        """Whether something waits to be sent; what is leaving aside."""
        return bool(self._dirty or self._suspects or self._answer_due)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    # -- what the client says

    def take(self, request: Request, there: Resources, now: float, had: Had | None = None) -> bool:
        """
        Take a request. Return whether it repeats what is known: no answer to a response, and the same names. had: on
        the stream before; so what is gone since is removed as on one stream.
        """
        first, self._begun = not self._begun, True
        if not first and request.nonce and request.nonce != self._last_nonce:
            if self.delta:
                self._add_and_drop(request, there)
            return False  # of the state of the world: it has not seen the last response yet, and will say so
        answered = self._answered(request, now) if not first and request.nonce else False
        if self.delta:
            if first:
                self._know(request.known or {})
            self._add_and_drop(request, there, first)
            return False
        if first or not request.nonce:
            self._begin_again()
        if first and had is not None and request.version == had.version:
            for name, one in had.resources.items():
                self._hold(name, one)
                self._running[name] = one
            self._dirty.update(had.resources)
        grown = self._replace(request.names, there)
        return not (first or answered or grown) and bool(request.nonce)

    def _begin_again(self) -> None:
        """Forget what the client has: it asks for all of it."""
        for name in list(self.sent):
            self._drop(name)
        self._dirty.update(self.names)
        self.outstanding = None
        self._suspects.clear()
        self._answer_due = self.kind.wildcard
        self.wildcard = False

    def _know(self, known: Mapping[str, str]) -> None:
        for name, version in known.items():
            self._running[name] = one = Resource(name, version, _digest(version))
            self._hold(name, one)
        self._dirty.update(known)

    def _replace(self, names: Collection[str], there: Resources) -> bool:
        """State of the world: exactly these are wanted. Return whether they are more than before."""
        if names is self._asked:
            return False
        wanted = set(names)
        self._named = self._named or bool(wanted)
        wildcard = ALL in wanted or (self.kind.wildcard and not self._named)
        wanted.discard(ALL)
        added = wanted - self.names
        gone = self.names - wanted
        was, self.names, self.wildcard = self.wildcard, wanted, wildcard
        self._asked = None if wildcard else names
        if not wildcard:
            for name in list(self.sent) if was else gone:
                if name not in wanted:
                    self._drop(name)
        if wildcard and not was:
            self._dirty.update(there)
        self._dirty.update(added)
        grown = bool(added) or (wildcard and not was)
        self._answer_due = self._answer_due or (grown and self.kind.wildcard)
        return grown

    def _add_and_drop(self, request: Request, there: Resources, first: bool = False) -> None:
        """Delta: some more are wanted, some no longer. What is asked for is sent, also when it was sent before."""
        for name in request.dropped:
            if name == ALL:
                self.wildcard = False
                for other in [one for one in self.sent if one not in self.names]:
                    self._drop(other)
                continue
            self.names.discard(name)
            self._drop(name)
            if self.wildcard:  # it is not known what the client made of it, so it gets it again
                self._dirty.add(name)
        if ALL in request.names or (first and self.kind.wildcard and not request.names):
            self.wildcard = True
            self._answer_due = True
            self._dirty.update(there)
        for name in request.names:
            if name == ALL:
                continue
            self.names.add(name)
            if not first:
                self._forget(name)
            self._dirty.add(name)

    def _answered(self, request: Request, now: float) -> bool:
        batch, self.outstanding = self.outstanding, None
        if batch is None:
            return False
        if request.error is None:
            self._accept(batch)
        else:
            self._refuse(batch, request.error, now)
        return True

    def _accept(self, batch: Batch) -> None:
        self.accepted = batch.version
        accepted = {*batch.changed, *self.refused} if batch.whole else batch.changed
        self._running.update((name, self.sent[name]) for name in accepted if name in self.sent)
        if batch.whole:
            self.refused.clear()
        for name in (*batch.changed, *batch.removed):
            self.refused.pop(name, None)

    def _refuse(self, batch: Batch, error: str, now: float) -> None:
        names = (*batch.changed, *batch.removed)
        if len(names) > 1 and not batch.whole:
            middle = len(names) // 2
            self._suspects.extendleft((names[middle:], names[:middle]))
            return
        versions = {one.name: one.version for one in batch.resources}
        for name in names or (ALL,):
            self.refused[name] = Refusal(versions.get(name, batch.version), error, now)

    # -- what the server has

    def changed(self, names: Collection[str]) -> None:
        """Look at these names when something is sent next: they are new, other or gone."""
        self._dirty.update(names if self.wildcard else self.names.intersection(names))

    def again(self, names: Iterable[str]) -> None:
        """Send these again although nothing changed, as far as they are wanted."""
        for name in names:
            if self.wants(name) and name in self.sent:
                self._forget(name)
                self._dirty.add(name)

    def calm(self, until: float) -> None:
        """Nothing of the client's has a use for what is leaving any more: its removal may be sent from `until` on."""
        for name, when in self.leaving.items():
            if when == NEVER:
                self.leaving[name] = until

    def had(self) -> Had | None:
        """Return what the client has; None while it has not answered for all of it."""
        return Had(self.accepted, dict(self.sent)) if self.outstanding is None and not self.refused else None

    @property
    def next_removal(self) -> float:
        """When the next removal may be sent."""
        return min(self.leaving.values(), default=NEVER)

    def next(self, there: Resources, now: float, nonce: str) -> Batch | None:
        """Return the response to send now, which is then outstanding; None for none."""
        if not self._begun or self.outstanding is not None:
            return None
        if not (self.due or self.next_removal <= now):
            return None
        batch = self._batch(there, now, nonce)
        if batch is not None:
            self._last_nonce = nonce
            self.outstanding = batch
        return batch

    def _batch(self, there: Resources, now: float, nonce: str) -> Batch | None:
        if self.kind.whole and not self.delta:
            return self._whole(there, now, nonce)
        while self._suspects:
            batch = self._part(self._suspects.popleft(), (), there, nonce)
            if batch is not None:
                return batch
        changed, removed = self._differences(there, now)
        if not self.delta:  # there are no words for a removal
            for name in removed:
                self._drop(name)
            removed = []
        batch = self._part(changed, removed, there, nonce)
        if batch is None and self._answer_due:
            batch = Batch(nonce, (), (), (), False, shown(self.sum))
        self._answer_due = False
        return batch

    def _differences(self, there: Resources, now: float) -> tuple[list[str], list[str]]:
        """Return names to send and names to remove. What does not fit in a response stays for the next one."""
        changed: list[str] = []
        removed = []
        size = 0
        for name in sorted(self._dirty):
            found = there.get(name) if self.wants(name) else None
            have = self.sent.get(name)
            if found is not None:
                self.leaving.pop(name, None)
                if have is not None and have.version == found.version:
                    self._dirty.discard(name)
                    continue
                size += len(found.delta)
                if changed and size > MAX_RESPONSE and not (self.kind.whole and not self.delta):
                    break
                changed.append(name)
            elif have is None:
                if self.delta and name in self.names:
                    removed.append(name)
            elif have is not _ABSENT:
                self._let_go(name, now)
            self._dirty.discard(name)
        removed += [name for name, when in self.leaving.items() if when <= now]
        return changed, removed

    def _let_go(self, name: str, now: float) -> None:
        """It is gone. What the client runs may have to linger, in the version that it accepted and no other."""
        running = self._running.get(name)
        lingers = self.kind.lingers and running is not None
        self.leaving.setdefault(name, NEVER if lingers else now)
        if lingers and running is not None:
            self._hold(name, running)
            self.refused.pop(name, None)

    def _part(self, names: Collection[str], removed: Collection[str], there: Resources, nonce: str) -> Batch | None:
        """Return a response with these alone; names that were sent and refused may be gone since."""
        changed = [there[name] for name in names if name in there and self.wants(name)]
        gone = [name for name in names if name not in there and self.delta] + [*removed]
        if not changed and not gone:
            return None
        for one in changed:
            self._hold(one.name, one)
        for name in gone:
            self._drop(name)
            if name in self.names:
                self.sent[name] = _ABSENT
        return Batch(nonce, changed, tuple(one.name for one in changed), tuple(gone), False, shown(self.sum))

    def _whole(self, there: Resources, now: float, nonce: str) -> Batch | None:
        changed, removed = self._differences(there, now)
        due, self._answer_due = self._answer_due, False
        if not (changed or removed or due):
            return None
        for name in changed:
            self._hold(name, there[name])
        for name in removed:
            self._drop(name)
        if not self.sent and not self.kind.wildcard:
            return None  # "none of these" is an error to its clients; they wait
        return Batch(nonce, tuple(self.sent.values()), tuple(changed), tuple(removed), True, shown(self.sum))

    # -- what the client has

    def _hold(self, name: str, one: Resource) -> None:
        old = self.sent.get(name)
        self.sum += one.digest - (old.digest if old is not None else 0)
        self.sent[name] = one

    def _forget(self, name: str) -> None:
        old = self.sent.pop(name, None)
        if old is not None:
            self.sum -= old.digest

    def _drop(self, name: str) -> None:
        self._forget(name)
        self._running.pop(name, None)
        self.leaving.pop(name, None)
        self.refused.pop(name, None)
        self._dirty.discard(name)


def _digest(version: str) -> int:
    """Return the digest of a version of ours; 0 of others'."""
    try:
        return int(version, 16)
    except ValueError:
        return 0
