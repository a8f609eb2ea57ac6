"""
When to look at the objects that `crds:` names.

Lives here: `Crds`. Does not: what is made of them (`mesh`, which is imported when there are any: it needs protobuf).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.admin.roles import MeshStatus
from metaproxy.app.application import Application
from metaproxy.app.parts import CRDS
from metaproxy.config import model
from metaproxy.config.slices import in_reactor

if TYPE_CHECKING:
    from metaproxy.app.mesh import Mesh

log = Logger()

LOOK_EVERY = 1.0
"""Seconds between looks."""


class Crds(Service):
    """Looks at the objects that the configuration in force names, as soon and as long as it names any."""

    name = "crds"

    def __init__(self, application: Application, clock: IReactorTime) -> None:
        self._application = application
        self._mesh: Mesh | None = None
        self._settings: tuple[model.Crds | None, model.Node] = (None, model.Node())
        self._clock = clock
        self._awake = False
        self._watch = LoopingCall(self._look)
        self._watch.clock = clock

    def startService(self) -> None:
        super().startService()
        self._watch.start(LOOK_EVERY)

    def stopService(self) -> None:
        super().stopService()
        if self._watch.running:
            self._watch.stop()
        if self._mesh is not None:
            self._mesh.stop()

    def status(self) -> MeshStatus | None:
        """Return what became of each object; None when the configuration names none."""
        return self._mesh.status() if self._mesh is not None else None

    def is_ready(self) -> bool:
        """Return whether all objects that the configuration names were read, and what is made of them is in force."""
        if self._application.config.crds is None:
            return True
        return self._mesh is not None and self._mesh.ready

    def _wake(self) -> None:
        """Look now: a source has something. Once, however often it says so meanwhile."""
        if not self._awake:
            self._awake = True
            self._run()

    def _look(self) -> None:
        slices = self._application.slices
        if slices.busy or (self._mesh is None and self._application.config.crds is None):
            return
        self._run()

    def _run(self) -> None:
        done = self._application.slices.run(self._work)
        done.addErrback(lambda failure: log.failure("{source}: not applied", failure, source=CRDS))

    def _work(self) -> None:
        self._awake = False
        config = self._application.config
        if (config.crds, config.node) != self._settings:
            self._begin(config.crds, config.node)
        if self._mesh is not None:
            self._mesh.look()

    def _begin(self, crds: model.Crds | None, node: model.Node) -> None:
        """Start over: the configuration names other objects, or another node."""
        self._settings = (crds, node)
        if self._mesh is not None:
            in_reactor(self._mesh.stop)
        if crds is None:
            self._mesh = None
            self._application.withdraw(CRDS)
            return
        from metaproxy.app.mesh import Mesh

        self._mesh = Mesh(self._application, (crds, node), self._clock, self._wake)
