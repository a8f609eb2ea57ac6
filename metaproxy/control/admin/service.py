"""
The list of the admin API's endpoints.

Lives here: `endpoints`. Does not: any of them, the port (`admin.http_server`).
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.health import Healthz
from metaproxy.admin.index import Index
from metaproxy.admin.resource import Endpoint
from metaproxy.control.admin.fleet import Nodes, OneNode, Ready, Versions
from metaproxy.control.admin.metrics import MetricsText
from metaproxy.control.admin.page import Page, Static
from metaproxy.control.admin.rollouts import GiveBack, Rates, Rollouts
from metaproxy.control.fleet import Fleet
from metaproxy.control.plane import Plane
from metaproxy.control.server import Control


def endpoints(control: Control, fleet: Fleet, plane: Plane, rates: Rates, clock: IReactorTime) -> list[Endpoint]:
    """All of them, in the order in which the index has them."""
    parts = control, fleet, plane, clock
    made: list[Endpoint] = [
        Page(), Healthz(), Ready(plane), Nodes(*parts), OneNode(*parts), Versions(*parts),
        Rollouts(*parts, rates), GiveBack(*parts), MetricsText(*parts), Static(),
    ]  # fmt: skip
    return [Index(made), *made]
