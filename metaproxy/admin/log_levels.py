"""
How much the process says of itself, seen and changed while it runs.

Lives here: /logging, /logging/{namespace}. Does not: filtering (`telemetry.log_levels`).
"""

from __future__ import annotations

from twisted.logger import Logger

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json
from metaproxy.admin.view import View
from metaproxy.telemetry.log_levels import DEFAULT, LogLevels

log = Logger()


class Logging(Endpoint):
    path = "/logging"
    about = "From which level on the process's log has lines, by namespace."

    def __init__(self, view: View) -> None:
        self._levels = view.levels

    def get(self, ask: AdminRequest) -> AdminResponse:
        levels = self._levels
        return as_json({"default": DEFAULT, "set": levels.chosen, "levels": levels.listing()})


class LoggingLevel(Endpoint):
    path = "/logging/{namespace}"
    about = "PUT a level (debug, info, warn, error, critical): in force at once, until the end. DELETE takes it back."

    def __init__(self, view: View) -> None:
        self._levels: LogLevels = view.levels

    def get(self, ask: AdminRequest) -> AdminResponse:
        return self._answer(ask.place["namespace"])

    def put(self, ask: AdminRequest) -> AdminResponse:
        level = ask.body.decode("utf-8", "replace").strip().strip('"').lower()
        return self._change(ask.place["namespace"], level)

    def delete(self, ask: AdminRequest) -> AdminResponse:
        return self._change(ask.place["namespace"], None)

    def _change(self, namespace: str, level: str | None) -> AdminResponse:
        try:
            self._levels.set(namespace, level)
        except ValueError as error:
            raise HttpError(400, str(error), "namespace" if "namespace" in str(error) else "body") from None
        log.info("admin: {name} logs from {least} on", name=namespace, least=self._levels.level(namespace))
        return self._answer(namespace)

    def _answer(self, namespace: str) -> AdminResponse:
        return as_json({"namespace": namespace[:200], "level": self._levels.level(namespace)})
