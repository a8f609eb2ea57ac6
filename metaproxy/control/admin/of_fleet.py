"""
What endpoints that look at the fleet have in common.

Lives here: `OfFleet`. Does not: endpoints.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.resource import Endpoint
from metaproxy.control.admin.shown import Shown
from metaproxy.control.fleet import Fleet
from metaproxy.control.plane import Plane
from metaproxy.control.server import Control


class OfFleet(Endpoint):
    """An endpoint with the parts of the process."""

    def __init__(self, control: Control, fleet: Fleet, plane: Plane, clock: IReactorTime) -> None:
        self.control = control
        self.fleet = fleet
        self.plane = plane
        self.clock = clock

    def shown(self) -> Shown:
        return Shown(self.fleet, self.plane.plan, self.clock)
