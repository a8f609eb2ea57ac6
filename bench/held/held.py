"""A discovery whose endpoints are held in memory, for `bench.mesh`: nothing is looked up, and a call changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.plugins import Declaration

Endpoints = Sequence[Mapping[str, object]]


@implementer(IDiscovery)
class Held:
    """ENDPOINTS: of each target; RUNNING: how a target's cluster is updated."""

    name = "held"
    ENDPOINTS: ClassVar[dict[str, Endpoints]] = {}
    RUNNING: ClassVar[dict[str, Callable[[Endpoints], None]]] = {}

    def __init__(self, target: str) -> None:
        self._target = target

    def start(self, update: Callable[[Endpoints], None], failed: Callable[[str], None]) -> None:
        self.RUNNING[self._target] = update
        update(self.ENDPOINTS.get(self._target, ()))

    def stop(self) -> None:
        self.RUNNING.pop(self._target, None)


held = Declaration(IDiscovery, "held", Held)
