"""
The configuration over HTTP: seen, checked, put in force; and the plugins that it can name.

Lives here: /config_dump, /check, /config, /reload, /plugins. Does not: what a configuration means (`config`).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, as_time
from metaproxy.admin.roles import Difference
from metaproxy.admin.view import View, refused
from metaproxy.app.service import ProxyService
from metaproxy.cluster.cluster import Cluster
from metaproxy.config.schema.nodes import Problem
from metaproxy.config.slices import checkpoint, take_apart
from metaproxy.proxy.snapshot import ListenerSnapshot, Snapshot
from metaproxy.telemetry.secret_keys import masked


class ConfigDump(Endpoint):
    path = "/config_dump"
    sliced = True
    about = (
        "The configuration in force with its defaults, what was compiled from it, and the last refused one. "
        "`format=envoy`: what control planes gave, as Envoy's ConfigDump."
    )

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        if envoys_form(ask, "envoy"):
            return as_json(self._configuration.envoy_dump())
        snapshot, dump = self._proxy.snapshot, self._configuration.dump()
        shown = masked(dump, checkpoint)
        take_apart(dump)
        compiled = _compiled(snapshot)
        answer = as_json(
            {
                "version": snapshot.version if snapshot is not None else 0,
                "source": snapshot.source if snapshot is not None else None,
                "applied": as_time(self._configuration.applied),
                "config": shown,
                "compiled": compiled,
                "refused": refused(self._configuration.refused),
                "reloads": dict(self._configuration.reloads),
            }
        )
        take_apart(shown)
        _free(compiled)
        return answer


def envoys_form(ask: AdminRequest, *forms: str) -> str:
    """Return the `format` that is asked for, '' for our own. Raises HttpError for one that is none of `forms`."""
    form = ask.query.get("format", "")
    if form and form not in forms:
        raise HttpError(400, f"format: {form!r}; write {' or '.join(forms)}, or leave it out", "format")
    return form


def _compiled(snapshot: Snapshot | None) -> dict[str, dict[str, Any]]:
    if snapshot is None:
        return {"listeners": {}, "clusters": {}}
    listeners, clusters = list(snapshot.listeners.items()), list(snapshot.clusters.items())
    return {
        "listeners": {name: _compiled_listener(one) for name, one in listeners},
        "clusters": {name: _compiled_cluster(one) for name, one in clusters},
    }


AT_ONCE = 100
"""Routes that are described before other work may go on."""


def _compiled_listener(one: ListenerSnapshot) -> Json:
    routes: list[dict[str, object]] = []
    for start in range(0, len(one.routes.routes), AT_ONCE):
        checkpoint()
        stop = min(start + AT_ONCE, len(one.routes.routes))
        routes += [described for described, _ in one.routes.described(start, stop)]
    return {"protocol": one.codec.name, "filters": list(one.filters), "routes": routes}


def _compiled_cluster(one: Cluster) -> Json:
    checkpoint()
    return {
        "protocol": one.codec.name,
        "mode": one.connections.mode,
        "balancer": one.balancer_name,
        "hash": list(one.hash_keys),
        "endpoints": [endpoint.address for endpoint in one.endpoints],
    }


def _free(compiled: dict[str, dict[str, Any]]) -> None:
    """Free it in slices, but not what is in a description: that may be the configuration's own."""
    for one in compiled["listeners"].values():
        while one["routes"]:
            checkpoint()
            del one["routes"][-AT_ONCE:]
    while compiled["clusters"]:
        checkpoint()
        compiled["clusters"].popitem()


class Check(Endpoint):
    path = "/check"
    about = (
        "Body: a configuration. Its errors and warnings, and what it would change; changes nothing. `file=` is what "
        "errors call it."
    )

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def post(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        work = partial(self._configuration.check_put, ask.text(), _source(ask))
        found = self._configuration.slices.run(work)
        return found.addCallback(_checked)


def _checked(found: tuple[list[Problem], Difference | None]) -> AdminResponse:
    problems, difference = found
    return as_json({"valid": not problems, "errors": [_line(str(one)) for one in problems], "difference": difference})


MAX_FILE = 1024
"""Characters of a `file`."""


def _source(ask: AdminRequest) -> str:
    """What errors call the body. It is not that of the proxy's own file, whose lines are others."""
    name = ask.query.get("file") or "body"
    if len(name) > MAX_FILE or not name.isprintable():
        raise HttpError(400, f"file: write a name of up to {MAX_FILE} printable characters", "file")
    return name


_PLACE = re.compile(r"(.*?:\d+:\d+): (.*)", re.DOTALL)


def _line(line: str) -> dict[str, str]:
    """`FILE:LINE:COLUMN: what is wrong`, taken apart."""
    found = _PLACE.fullmatch(line)
    return {"error": found[2], "where": found[1]} if found else {"error": line, "where": "configuration"}


class Config(Endpoint):
    path = "/config"
    about = "Body: a configuration, checked and put in force until the next one; the file stays as it is."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._configuration = view.configuration

    def put(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        work = partial(self._configuration.put_text, ask.text(), _source(ask))
        lines: Deferred[list[str]] = self._configuration.slices.run(work)
        return lines.addCallback(_applied, self._proxy)


class Reload(Endpoint):
    path = "/reload"
    about = "Reads the configuration's file again and puts it in force."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._configuration = view.configuration

    def post(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        lines: Deferred[list[str]] = self._configuration.slices.run(self._configuration.reload)
        return lines.addCallback(_applied, self._proxy)


def _applied(lines: list[str], proxy: ProxyService) -> AdminResponse:
    version = proxy.snapshot.version if proxy.snapshot is not None else 0
    if not lines:
        return as_json({"applied": True, "version": version})
    errors = [_line(line) for line in lines]
    more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
    raise HttpError(400, errors[0]["error"] + more, errors[0]["where"], more={"errors": errors, "version": version})


class Plugins(Endpoint):
    path = "/plugins"
    about = "Codecs, filters, balancers and discoveries with where they come from; files that can't be loaded, and why."

    def __init__(self, view: View) -> None:
        self._registry = view.proxy.registry

    def get(self, ask: AdminRequest) -> AdminResponse:
        registry = self._registry
        return as_json(
            {
                "plugins": registry.listing(),
                "folders": [str(folder) for folder in registry.folders],
                "errors": [{"file": file, "traceback": text} for file, text in sorted(registry.errors.items())],
            }
        )
