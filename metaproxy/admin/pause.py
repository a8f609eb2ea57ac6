"""
Holding a cluster's requests while its servers are replaced.

Lives here: /clusters/{name}/pause and resume. Does not: how requests wait (`proxy.pause`).
"""

from __future__ import annotations

from twisted.logger import Logger

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, nearest
from metaproxy.admin.view import View
from metaproxy.app.service import ProxyService

log = Logger()

MOST = 10_000
"""Exchanges that wait, by default."""
LIMIT = 1_000_000
SECONDS = 30.0
"""After which a cluster goes on by itself, by default."""
MAX_SECONDS = 3600.0


class Pause(Endpoint):
    path = "/clusters/{name}/pause"
    about = "Holds what is sent to a cluster: `most=` exchanges for `seconds=` at most."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def post(self, ask: AdminRequest) -> AdminResponse:
        name = _name(ask, self._proxy)
        most = int(ask.number("most", MOST, LIMIT))
        seconds = ask.number("seconds", SECONDS, MAX_SECONDS)
        self._proxy.pause(name, most, seconds)
        log.info("admin: cluster {name} is held for {seconds} s at most", name=name, seconds=seconds)
        active = self._proxy.clusters[name].breaker.requests
        return as_json({"paused": name, "most": most, "seconds": seconds, "active": active})


class Resume(Endpoint):
    path = "/clusters/{name}/resume"
    about = "Lets go on what was held."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def post(self, ask: AdminRequest) -> AdminResponse:
        name = _name(ask, self._proxy)
        return as_json({"resumed": name, **resumed(self._proxy, name)})


def resumed(proxy: ProxyService, name: str) -> Json:
    """Let go on what is held of a cluster. Return what there was."""
    pause, released = proxy.resume(name)
    longest = 0.0 if pause is None else round(pause.longest * 1000, 1)
    return {"released": released, "refused": 0 if pause is None else pause.refused, "longest_wait_ms": longest}


def _name(ask: AdminRequest, proxy: ProxyService) -> str:
    name, known = ask.place["name"], list(proxy.clusters)
    if name not in known:
        raise HttpError(404, f"no cluster {name[:200]!r}; {nearest(name, known)}", "name")
    return name
