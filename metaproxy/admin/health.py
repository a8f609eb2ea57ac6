"""
Whether the proxy lives, whether it takes work, and what it is.

Lives here: /healthz, /ready, /server_info. Does not: the health of endpoints (`traffic`).
"""

from __future__ import annotations

import os
import platform
import time
from typing import TypedDict

import twisted
from metaproxy import __version__
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, as_json, as_time
from metaproxy.admin.view import View, refused
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.routing.table import PRIORITIES
from metaproxy.support import compiled


class Healthz(Endpoint):
    path = "/healthz"
    aliases = ("/livez", "/live")
    about = "200 as long as the process answers; for liveness probes. No token."
    open = True

    def get(self, ask: AdminRequest) -> AdminResponse:
        return as_json({"status": "ok"})


class Ready(Endpoint):
    path = "/ready"
    aliases = ("/readyz",)
    about = "200 when a configuration is in force, its listeners are bound and it does not drain, else 503. No token."
    open = True

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def get(self, ask: AdminRequest) -> AdminResponse:
        proxy = self._proxy
        if proxy.ready:
            return as_json({"status": "ready"})
        return as_json({"status": "draining" if proxy.draining else "starting"}, 503)


class ServerInfo(Endpoint):
    path = "/server_info"
    about = "Version, state, uptime, and who this proxy is."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._configuration = view.configuration
        self._workers = view.workers

    def get(self, ask: AdminRequest) -> AdminResponse:
        proxy, upgrades = self._proxy, self._configuration.upgrades
        return as_json(
            {
                "version": __version__,
                "state": "DRAINING" if proxy.draining else "LIVE",
                "ready": proxy.ready,
                "pid": os.getpid(),
                "restart_epoch": 0 if upgrades is None else upgrades.epoch,
                "parent_pid": 0 if upgrades is None else upgrades.parent,
                "started": as_time(proxy.started),
                "uptime_seconds": round(time.time() - proxy.started, 3),
                "data_path": compiled.running(),
                "python": platform.python_version(),
                "twisted": twisted.__version__,
                "config_file": self._configuration.file,
                "config_version": proxy.snapshot.version if proxy.snapshot is not None else 0,
                "config_applied": as_time(self._configuration.applied),
                "refused": refused(self._configuration.refused),
                "overload": overload(proxy.network.overload),
                "workers": self._counted(),
                "node": self._configuration.dump().get("node", {}),
            }
        )

    def _counted(self) -> dict[str, int] | None:
        """How many worker processes there are; None where this process is alone."""
        if not self._workers:
            return None
        return {"count": len(self._workers), "ready": sum(one.answers for one in self._workers)}


class Overload(TypedDict):
    """What the process takes, how much it may take, and what it refused because of that. Limits are 0 for none."""

    state: str
    reason: str
    memory_bytes: int
    max_memory_bytes: int
    lag_ms: float
    max_lag_ms: float
    refused_connections: int
    shed_requests: int
    closed_connections: int
    parked_connections: int
    by_priority: dict[str, Shed]


class Shed(TypedDict):
    """Of the requests of one priority: how many were refused, and which share is refused now."""

    shed_requests: int
    share: float


def overload(monitor: OverloadMonitor) -> Overload:
    """Return the state of overload as the admin API shows it."""
    return {
        "state": monitor.state,
        "reason": monitor.reason,
        "memory_bytes": int(monitor.memory.value),
        "max_memory_bytes": int(monitor.memory.limit),
        "lag_ms": round(1000 * monitor.lag.value, 3),
        "max_lag_ms": round(1000 * monitor.lag.limit, 3),
        "refused_connections": monitor.refused_connections,
        "shed_requests": monitor.shed_requests,
        "closed_connections": monitor.closed_connections,
        "parked_connections": monitor.parked,
        "by_priority": {
            word: {"shed_requests": one.count, "share": round(one.value, 3)}
            for word, one in zip(PRIORITIES, monitor.requests, strict=True)
        },
    }
