"""
Values of `runtime:`, seen and changed while the proxy runs.

Lives here: /runtime, /runtime/{name}. Does not: what a value is used for; that is
checked as the whole configuration is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, nearest
from metaproxy.admin.roles import Configuration
from metaproxy.admin.view import View
from metaproxy.config.schema.nodes import Scalar

log = Logger()

MAX_VALUE = 64 << 10
"""Characters of a value."""
MAX_SHOWN = 100
"""Characters of a value in the log."""


class Runtime(Endpoint):
    path = "/runtime"
    about = "Live values: what is in force, what the configuration says, and whether they differ."

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        values = {name: _shown(self._configuration, name) for name in self._configuration.config.runtime}
        return as_json({"runtime": values})


class RuntimeValue(Endpoint):
    path = "/runtime/{name}"
    about = "PUT a text, number or flag (JSON): in force at once, until the next start. DELETE goes back to the file's."

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        name = self._name(ask)
        return as_json({"name": name, **_shown(self._configuration, name)})

    def put(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        name, value = self._name(ask), _value(ask)
        log_change = partial(
            log.info, "admin: runtime {name} is {value!r} now", name=name, value=str(value)[:MAX_SHOWN]
        )
        return self._change(name, value).addCallback(lambda _: self._changed(name, log_change))

    def delete(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        name = self._name(ask)
        log_change = partial(log.info, "admin: runtime {name} is what the configuration says", name=name)
        return self._change(name, None).addCallback(lambda _: self._changed(name, log_change))

    def _changed(self, name: str, log_change: Callable[[], None]) -> AdminResponse:
        log_change()
        return as_json({"name": name, **_shown(self._configuration, name)})

    def _name(self, ask: AdminRequest) -> str:
        name = ask.place["name"]
        known = list(self._configuration.config.runtime)
        if name not in known:
            raise HttpError(404, f"no runtime value {name[:200]!r}; {nearest(name, known)}", "name")
        return name

    def _change(self, name: str, value: Scalar) -> Deferred[None]:
        def done(lines: list[str]) -> None:
            if lines:
                raise HttpError(400, lines[0], "body", more={"errors": lines})

        changed: Deferred[list[str]] = self._configuration.slices.run(
            partial(self._configuration.set_live, name, value)
        )
        return changed.addCallback(done)


def _shown(configuration: Configuration, name: str) -> Json:
    live = configuration.live
    return {
        "value": configuration.config.runtime[name],
        "default": configuration.defaults.get(name),
        "overridden": name in live,
    }


def _value(ask: AdminRequest) -> str | int | float | bool:
    value = ask.json('25, true or "text"')
    if not isinstance(value, (str, int, float)) or value != value or value in (float("inf"), float("-inf")):
        raise HttpError(400, "neither a text, a number nor a flag", "body")
    if isinstance(value, str) and len(value) > MAX_VALUE:
        raise HttpError(413, f"a text of {len(value)} characters; allowed are {MAX_VALUE}", "body")
    return value
