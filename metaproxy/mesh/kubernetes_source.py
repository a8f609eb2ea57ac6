"""
Objects of a mesh from a Kubernetes API server, and what became of them back into their status.

Lives here: `KubernetesSource`: which kinds are watched, and how a watched object comes into the store. Does not: lists,
watches and writes (`metaproxy.kubernetes`), which version of an object holds (`store`), sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.config.slices import checkpoint, in_reactor
from metaproxy.kubernetes.resources import Key, Object, Resource, Scope, mapping
from metaproxy.kubernetes.status import Statuses, Verdict
from metaproxy.kubernetes.watch import Source, Watch
from metaproxy.mesh.objects.kinds import ISTIO, KINDS, KnownKind
from metaproxy.mesh.objects.reading import Key as ObjectKey
from metaproxy.mesh.objects.reading import read_dict
from metaproxy.mesh.store import State, Store
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

PLACE = "kubernetes"
"""What problems call the place of an object."""
LINES = 6
"""Lines a minute about kinds that can't be asked for: a server that is away is away for all of them."""
_PASSED_OVER = ("Endpoints",)
"""Kinds that say what another says, too: services have EndpointSlices."""
_SERVED = {ISTIO: "v1beta1"}
"""The version that all releases serve, where that is not the first."""
_FIELDS = {"ConfigMap": "metadata.name=istio", "Secret": "type=Opaque"}
"""Selectors: of all texts in a cluster only these can matter."""


def read_kinds() -> list[KnownKind]:
    """Return the kinds that are watched."""
    return [kind for name, kind in KINDS.items() if name not in _PASSED_OVER]


def resource_of(kind: KnownKind) -> Resource:
    version = _SERVED.get(kind.group, kind.versions[0])
    return Resource(kind.group, version, kind.plural, kind.name, kind.namespaced)


class KubernetesSource:
    """
    namespace: "" for all. statuses: writes into the statuses of Aeraki's kinds; None for a proxy that may not.
    changed: called when all kinds were listed, and once a turn of the reactor when there is something for `look`.

    What the watches bring waits for `look`: work that reads the store may be in the middle of it, in slices.

    A kind that can't be read (no rights, no CRD) is reported and counts as one without objects; it is tried again. A
    server that is away when all begins is waited for: a part of the objects would be another mesh. So are rights to
    read policies: without them it is not known whom to keep out.
    """

    def __init__(
        self,
        api: Source,
        store: Store,
        changed: Callable[[], object],
        clock: IReactorTime,
        namespace: str = "",
        statuses: Statuses | None = None,
    ) -> None:
        self._store = store
        self._changed = changed
        self._clock = clock
        self._statuses = statuses
        self._soon: IDelayedCall | None = None
        self._throttle = LogThrottle(clock.seconds, LINES)
        kinds = read_kinds()
        self._waiting = {kind.name for kind in kinds}
        self._pending: dict[tuple[str, Key], Object | None] = {}
        self._looked = False  # whether `look` took the first lists
        self.failures: dict[str, str] = {}
        """By kind, why it can't be asked for now."""
        self._watches = [
            Watch(api, Scope(resource_of(kind), namespace, fields=_FIELDS.get(kind.name, "")), _Kind(kind, self), clock)
            for kind in kinds
        ]

    @property
    def ready(self) -> bool:
        """Whether each kind was listed, or can't be."""
        return not self._waiting

    def start(self) -> None:
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        for watch in self._watches:
            watch.stop()
        if self._statuses is not None:
            self._statuses.stop()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def look(self) -> bool:
        """
        Take what the watches brought since the last look. Return whether there was anything; that there is nothing at
        all is something, too. Run it in slices.
        """
        if not self.ready or (self._looked and not self._pending):
            return False
        self._looked = True
        pending, self._pending = self._pending, {}
        judged: list[tuple[KnownKind, Key, Object | None, Verdict | None]] = []
        for (name, key), found in pending.items():
            checkpoint()
            kind = KINDS[name]
            if found is None:
                self._store.remove(name, _key(kind, key))
            else:
                self._store.put(name, read_dict(_slim(found), PLACE))
            if kind.group.endswith("aeraki.io"):
                judged.append((kind, key, found, self._verdict(_key(kind, key))))
        in_reactor(partial(self._write, judged))
        return True

    # -- from the watches

    def put(self, kind: KnownKind, key: Key, found: Object) -> None:
        self._pending[kind.name, key] = found
        self._note()

    def remove(self, kind: KnownKind, key: Key) -> None:
        self._pending[kind.name, key] = None
        self._note()

    def synced(self, kind: KnownKind) -> None:
        self.failures.pop(kind.name, None)
        self._heard(kind)

    def failed(self, kind: KnownKind, why: str) -> None:
        if self.failures.get(kind.name) != why and self._throttle.allows():
            log.warn("{place}: {why}; what is known of it stays", place=PLACE, why=why)
        self.failures[kind.name] = why

    def absent(self, kind: KnownKind, why: str) -> None:
        self.failed(kind, why)
        self._heard(kind)

    def forbidden(self, kind: KnownKind, why: str) -> None:
        if kind.refused is None or kind.name not in self._waiting:
            self.absent(kind, why)
            return
        text = f"{why}; nothing is put in force until it is known which there are"
        if self.failures.get(kind.name) != text:
            log.error("{place}: {text}", place=PLACE, text=text)
        self.failures[kind.name] = text

    def _heard(self, kind: KnownKind) -> None:
        if kind.name in self._waiting:
            self._waiting.discard(kind.name)
            self._note()

    def _note(self) -> None:
        """Report a change soon: not one by one, and not what is only a part of what there is."""
        if self._soon is None and self.ready:
            self._soon = self._clock.callLater(0, self._report)

    def _report(self) -> None:
        self._soon = None
        self._changed()

    # -- statuses

    def _write(self, judged: list[tuple[KnownKind, Key, Object | None, Verdict | None]]) -> None:
        if self._statuses is None:
            return
        for kind, key, found, verdict in judged:
            if found is None or verdict is None:
                self._statuses.forget(resource_of(kind), key)
            else:
                self._statuses.report(resource_of(kind), found, verdict)

    def _verdict(self, key: ObjectKey) -> Verdict | None:
        status = self._store.status_of(key)
        if status is None:
            return None
        if status.state is State.ACCEPTED:
            return Verdict(True, "Accepted", _told(key, status.warnings))
        kept = "\nThe version before stays in force." if status.state is State.KEPT else ""
        return Verdict(False, "Refused", _told(key, status.reasons) + kept)


class _Kind:
    """The sink of one kind's watch."""

    def __init__(self, kind: KnownKind, source: KubernetesSource) -> None:
        self.put: Callable[[Key, Object], None] = partial(source.put, kind)
        self.remove: Callable[[Key], None] = partial(source.remove, kind)
        self.synced: Callable[[], None] = partial(source.synced, kind)
        self.failed: Callable[[str], None] = partial(source.failed, kind)
        self.absent: Callable[[str], None] = partial(source.absent, kind)
        self.forbidden: Callable[[str], None] = partial(source.forbidden, kind)


def _key(kind: KnownKind, key: Key) -> ObjectKey:
    return ObjectKey(kind.name, key.namespace, key.name)


def _slim(found: Object) -> Mapping[str, object]:
    """Leave out what is not used here and half of the bytes: who set which field."""
    metadata = {key: value for key, value in mapping(found.get("metadata")).items() if key != "managedFields"}
    return {**found, "metadata": metadata}


def _told(key: ObjectKey, lines: tuple[str, ...]) -> str:
    """Return problems without the name of the object whose status they go to."""
    return "\n".join(line.removeprefix(f"{PLACE}: ").removeprefix(f"{key}: ") for line in lines)
