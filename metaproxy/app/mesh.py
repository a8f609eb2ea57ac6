"""
A mesh that is written as objects of Kubernetes, as a source of listeners and clusters.

Lives here: `Mesh`: contributing, and what became of each object. Does not: when to look (`crds`), objects and what is
made of them (`metaproxy.mesh`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.admin.resource import as_time
from metaproxy.admin.roles import MeshStatus, ObjectStatus
from metaproxy.app.application import Application
from metaproxy.app.parts import CRDS, Part
from metaproxy.config import model
from metaproxy.config.slices import in_reactor
from metaproxy.kubernetes.api import Api
from metaproxy.kubernetes.credentials import source
from metaproxy.kubernetes.status import Statuses
from metaproxy.mesh.folder import Folder
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import node_of
from metaproxy.mesh.kubernetes_source import KubernetesSource
from metaproxy.mesh.objects.reading import Key, Object
from metaproxy.mesh.sections import Outcome, Sections
from metaproxy.mesh.store import Status, Store

log = Logger()

Settings = tuple[model.Crds, model.Node]


RETRY = 10.0
"""Seconds after which what could not be put in force is tried again: an address may be free by then."""
MAX_ALONE = 1000
"""Sections that are tried one by one when all together are refused."""


class Mesh:
    """
    Objects, and what is made of them. settings: what the configuration says, and of which node. wake: has `look` called
    soon, in the application's slices. ready: whether what is made of all objects is in force.
    """

    def __init__(
        self, application: Application, settings: Settings, clock: IReactorTime, wake: Callable[[], object]
    ) -> None:
        crds, node = settings
        self.generator = Generator()
        self.store = Store(self.generator)
        self._application = application
        self._crds = crds
        self._sections = Sections(application.config.tracing is not None)
        self._folder = Folder(crds.folder, self.store) if crds.folder is not None else None
        self._api: Api | None = None
        self._kubernetes = self._watched(crds.kubernetes, clock, wake) if crds.kubernetes is not None else None
        self._part: Part | None = None  # nothing was contributed yet: that of another mesh may be in force
        self._outcome = Outcome()
        self._refused: list[str] = []
        self._closed: dict[Key, Object] = {}
        self._looked = self._retry = 0.0
        self._node = replace(node_of(node.id, node.metadata, crds.bind, crds.application), outbound=crds.outbound)
        self.ready = False

    def look(self) -> None:
        """Read what has changed, and contribute what follows from it. Run it in the application's slices."""
        began = time.time()
        folder = self._folder is not None and self._folder.look()
        changed = (self._kubernetes is not None and self._kubernetes.look()) or folder
        whole = self._kubernetes is None or self._kubernetes.ready
        if changed:
            self._log_closed()
        if changed or (self._refused and began >= self._retry) or (self._part is None and whole):
            self.contribute()
        self._looked = began
        self.ready = whole

    def stop(self) -> None:
        """Look no more. Run it in the reactor."""
        if self._kubernetes is not None:
            self._kubernetes.stop()
        if self._api is not None:
            self._api.close()

    def _watched(
        self, settings: model.KubernetesApi, clock: IReactorTime, wake: Callable[[], object]
    ) -> KubernetesSource:
        """Return what watches an API server from the reactor's next turn on."""
        api = self._api = Api(source(str(settings.kubeconfig or ""), settings.context), clock)
        statuses = Statuses(api, clock, time.time) if settings.status else None
        found = KubernetesSource(api, self.store, wake, clock, settings.namespace, statuses)
        in_reactor(found.start)
        return found

    # -- contributing

    def contribute(self) -> None:
        """Have what is made of the objects now put in force. Run it in the application's slices."""
        update = self.generator.update(self._node)
        outcome = self._sections.updated(update, self._application.reading(CRDS))
        self._log_new(self._outcome, outcome)
        self._outcome = outcome
        part = Part(tuple(outcome.listeners.values()), tuple(outcome.clusters.values()))
        if part == self._part:
            self._refused = []
            return
        lines = self._application.contribute(CRDS, part)
        if not lines:
            self._part = part
        self._refused = self._one_by_one(part) if lines else []
        self._retry = time.time() + RETRY

    def _one_by_one(self, whole: Part) -> list[str]:
        """
        Contribute what of a part can be: its clusters, at once or one by one, then each new listener. Return why others
        can't be, such as an address that another process has.
        """
        before = self._part or Part()
        kept = {one.name: one for one in before.listeners}
        same = [one for one in whole.listeners if kept.get(one.name) == one]
        lines: list[str] = []
        part = self._with_clusters(self._take(before, replace(before, listeners=tuple(same)), lines), whole, lines)
        for one in whole.listeners[:MAX_ALONE]:
            if one not in same:
                part = self._take(part, replace(part, listeners=(*part.listeners, one)), lines)
        wanted = {one.name for one in whole.clusters}
        left = tuple(one for one in part.clusters if one.name in wanted)
        self._part = self._take(part, replace(part, clusters=left), lines) if left != part.clusters else part
        return lines

    def _with_clusters(self, part: Part, whole: Part, lines: list[str]) -> Part:
        """Contribute the clusters of a whole beside those of a part: one by one where it can't be all at once."""
        known = {one.name: one for one in part.clusters}
        new = [one for one in whole.clusters if known.get(one.name) != one]
        wrong: list[str] = []
        made = self._take(
            part, replace(part, clusters=tuple({**known, **{one.name: one for one in new}}.values())), wrong
        )
        if not wrong:
            return made
        for one in new[:MAX_ALONE]:
            clusters = {other.name: other for other in made.clusters} | {one.name: one}
            made = self._take(made, replace(made, clusters=tuple(clusters.values())), lines)
        return made

    def _take(self, before: Part, part: Part, lines: list[str]) -> Part:
        """Contribute a part. Return it if it is in force now, else the one before."""
        found = self._application.contribute(CRDS, part)
        lines += found
        return before if found else part

    def _log_closed(self) -> None:
        """Say it of each policy that comes to deny all calls as it can't be read, and of each that no longer does."""
        before, self._closed = self._closed, dict(self.store.instead)
        for key, one in self._closed.items():
            if key not in before:
                log.error("{source}: {text}", source=CRDS, text="; ".join(one.warnings))
        for key in before.keys() - self._closed.keys():
            log.info("{source}: {key}: no longer denies all calls", source=CRDS, key=key)

    def _log_new(self, before: Outcome, after: Outcome) -> None:
        for text in after.refused:
            if text not in before.refused:
                log.error("{source}: {text}", source=CRDS, text=text)
        for text in after.warnings:
            if text not in before.warnings:
                log.warn("{source}: {text}", source=CRDS, text=text)

    # -- what became of the objects

    def status(self) -> MeshStatus:
        """Return what became of each object."""
        notes = self.generator.notes(self._node)
        part = self._part or Part()
        return {
            "source": str(self._crds.folder or "kubernetes"),
            "looked": as_time(self._looked),
            "objects": [_shown(one, notes.get(one.key, []) if one.key is not None else []) for one in self._sorted()],
            "listeners": [one.name for one in part.listeners],
            "clusters": len(part.clusters),
            "refused": [*self._refused, *self._outcome.refused],
            "warnings": [*self._unread(), *self._outcome.warnings],
        }

    def _unread(self) -> list[str]:
        """Return the kinds that can't be asked for now, with the reason."""
        return list(self._kubernetes.failures.values()) if self._kubernetes is not None else []

    def _sorted(self) -> list[Status]:
        nothing = Key("", "", "")
        return sorted(self.store.status(), key=lambda one: (one.key or nothing, one.place))


def _shown(status: Status, notes: list[str]) -> ObjectStatus:
    kind, namespace, name = status.key or Key("", "", "")
    return {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "place": status.place,
        "state": status.state.value,
        "reasons": list(status.reasons),
        "warnings": list(status.warnings),
        "notes": notes,
    }
