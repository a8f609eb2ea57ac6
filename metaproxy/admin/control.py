"""
Letting go: of a listener, of all, of the process.

Lives here: /drain, /quit. Does not: how draining works (`service`, `proxy.listener`).
"""

from __future__ import annotations

from twisted.logger import Logger

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json, nearest
from metaproxy.admin.view import View

log = Logger()

QUIT_AFTER = 0.1
"""Seconds between the answer to /quit and the end's beginning, so that the answer arrives."""


class Drain(Endpoint):
    path = "/drain"
    about = "Accepts no more, lets what is under way finish; all listeners, or the one of `listener=`. Answers at once."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def post(self, ask: AdminRequest) -> AdminResponse:
        listeners = self._proxy.listeners
        name = ask.query.get("listener")
        if name is not None and name not in listeners:
            raise HttpError(404, f"no listener {name[:200]!r}; {nearest(name, list(listeners))}", "listener")
        names = sorted(listeners) if name is None else [name]
        left = {one: listeners[one].counts.connections_active for one in names}
        log.info("admin: draining {names}", names=", ".join(names))
        self._proxy.drain(name)
        return as_json({"draining": names, "connections": left})


class Quit(Endpoint):
    path = "/quit"
    about = "Drains everything, then ends the process, as SIGTERM does. Answers at once."

    def __init__(self, view: View) -> None:
        self._reactor = view.reactor
        self._asked = False

    def post(self, ask: AdminRequest) -> AdminResponse:
        if not self._asked:
            self._asked = True
            log.info("admin: quitting")
            self._reactor.callLater(QUIT_AFTER, self._reactor.stop)
        return as_json({"quitting": True})
