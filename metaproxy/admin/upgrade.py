"""
A new process in the place of this one, which hands it its sockets.

Lives here: /upgrade. Does not: how it is done (`app.upgrade`).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json
from metaproxy.admin.roles import UpgradeFailed
from metaproxy.admin.view import View

log = Logger()

SECONDS = 60.0
MAX_SECONDS = 3600.0


class Upgrade(Endpoint):
    path = "/upgrade"
    about = "Starts a new process that takes the sockets; this one drains. `timeout=`: seconds. GET: how it ended."

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        upgrades = self._configuration.upgrades
        if upgrades is None:
            raise HttpError(404, "this process can't be upgraded: it was not started by twistd metaproxy", "path")
        return as_json(upgrades.status())

    def post(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        upgrades = self._configuration.upgrades
        if upgrades is None:
            raise HttpError(404, "this process can't be upgraded: it was not started by twistd metaproxy", "path")
        timeout = ask.number("timeout", SECONDS, MAX_SECONDS)
        log.info("admin: upgrade")
        try:
            begun = upgrades.begin(timeout)
        except UpgradeFailed as error:
            raise HttpError(409, str(error), "path") from None
        return begun.addCallbacks(as_json, _failed)


def _failed(failure: Failure) -> AdminResponse:
    failure.trap(UpgradeFailed)
    raise HttpError(422, failure.getErrorMessage(), "upgrade", more={"upgraded": False})
