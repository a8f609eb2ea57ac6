"""
From what a source says to what is served: read, checked, and put in force as a whole or not at all.

Lives here: `Plane`. Does not: sources, what documents mean (`documents`, `plan`), streams (`server`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.control.documents import Document, read_document
from metaproxy.control.plan import Plan
from metaproxy.control.rollout import Rollout
from metaproxy.control.server import Control
from metaproxy.control.sources.roles import Source, Texts

log = Logger()

LONGEST = 3600.0
"""Seconds after which the time of day is looked at again: a clock may be set."""


class Plane(Service):
    """
    plan: what is in force, None before the source was read. refused: lines of what is wrong with what the source says
    since; lost: why it can't be read; applied: the time of day of the last change; changes: how many there were. wall:
    the time of day.
    """

    name = "plane"

    def __init__(
        self, source: Source, control: Control, clock: IReactorTime, wall: Callable[[], float] = time.time
    ) -> None:
        self.source = source
        self.plan: Plan | None = None
        self.refused: list[str] = []
        self.warnings: list[str] = []
        self.lost = ""
        self.applied = 0.0
        self.changes = 0
        self.refusals = 0
        self.wall = wall
        self.listeners: list[Callable[[], None]] = []
        """Called when another plan is in force, or a rollout has gone on."""
        self._control = control
        self._clock = clock
        self._documents: Mapping[str, Document] = {}
        self._changed: set[str] = set()  # paths of documents that are others than in force
        self._odd: dict[str, list[str]] = {}  # warnings by path
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self.source.start(self)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self.source.stop() or succeed(None)

    # -- from the source

    def update(self, texts: Texts) -> None:
        """Take what the source has. What is wrong anywhere leaves all as it was: half a change is none."""
        self.lost = ""
        documents = dict(self._documents)
        for path, text in texts.items():
            documents.pop(path, None)
            if text is not None:
                documents[path] = read_document(path, text)
        self._documents = documents
        self._changed.update(texts)
        changed = self._changed
        plan = Plan(self._documents, self.wall, self.plan, self.source.strict, changed)
        if plan.problems:
            self.refusals += 1
            self.refused = sorted({str(problem) for problem in plan.problems})
            log.error("{where} is refused:\n{lines}", where=self.source.where, lines="\n".join(self.refused[:100]))
            return
        self.refused = []
        self._note_warnings(changed)
        self._changed = set()
        self.plan = plan
        self.applied = self.wall()
        self.changes += 1
        self._control.publish(plan)
        plan.content.settle()
        self._moved(plan)

    def failed(self, reason: str) -> None:
        self.lost = reason
        log.error("the source can't be read; what is in force stays so: {reason}", reason=reason)

    def _note_warnings(self, changed: Iterable[str]) -> None:
        for path in changed:
            document = self._documents.get(path)
            left_out = document.wrong_objects if document is not None and not self.source.strict else ()
            odd = document.warnings if document is not None else ()
            self._odd[path] = [*odd, *(f"{problem} (left out)" for problem in left_out)]
            if not self._odd[path]:
                del self._odd[path]
        self.warnings = sorted({line for lines in self._odd.values() for line in lines})

    # -- rollouts

    def _moved(self, plan: Plan) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        wait = plan.next_change() - self.wall()
        self._timer = self._clock.callLater(min(max(wait, 0.0), LONGEST), self._go_on) if wait < float("inf") else None
        for listener in self.listeners:
            listener()

    def _go_on(self) -> None:
        """A step has ended: some nodes get another version."""
        plan = self.plan
        assert plan is not None
        self._control.again(list(self._control.streams))
        self._moved(plan)

    def give_back(self, rollout: Rollout, reason: str) -> Deferred[None]:
        """End a rollout: its nodes get the version before. It is written to the source, which then says so to all."""
        log.error("rollout of {version} is ended: {reason}", version=rollout.spec.version, reason=reason)
        path, text = rollout.returned_path(), rollout.returned_text(self.wall(), reason)
        written = self.source.write(path, text)
        # What was written is in force here at once, also where it can't be written.
        self.update({path: text})
        return written

    def status(self) -> Mapping[str, object]:
        """Return what people ask of it."""
        return {
            "source": self.source.where,
            "applied": self.applied,
            "changes": self.changes,
            "refused": self.refused,
            "warnings": self.warnings,
            "lost": self.lost,
        }
