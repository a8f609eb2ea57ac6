"""
What is known of a running proxy and in no configuration, as JSON, for the process that takes its place.

Lives here: `Carried`: live values, pauses, what operators, outlier detection and health checks decided about endpoints,
levels of the log. Does not: sockets (`handover`), counters (`carried_counts`), when it is asked for (`upgrade`,
`successor`).

A key that the other version does not know is left out, and named in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf

from twisted.logger import Logger

from metaproxy.app import carried_counts
from metaproxy.app.application import Application
from metaproxy.app.carried_counts import Exported
from metaproxy.app.service import ProxyService
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import HealthChecks
from metaproxy.config.schema.nodes import Scalar
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.workers.counted import CountReader

log = Logger()

Json = dict[str, object]
OPERATOR = "operator"
"""In the place of seconds: an ejection that lasts until an operator ends it."""


class Carried:
    """What of the three is carried over."""

    def __init__(self, proxy: ProxyService, application: Application, levels: LogLevels) -> None:
        self._proxy = proxy
        self._application = application
        self._levels = levels
        self._reader = CountReader(proxy)

    # -- in the old process

    def state(self) -> Json:
        """Return what the new process is to know. Times are what is left of them: two processes' clocks differ."""
        now = self._proxy.network.clock.seconds()
        endpoints = {name: _endpoints(cluster, now) for name, cluster in self._proxy.clusters.items()}
        return {
            "live": dict(self._application.live),
            "log_levels": dict(self._levels.chosen),
            "pauses": {
                name: {"most": pause.most, "seconds": left} for name, (pause, left) in self._proxy.pauses().items()
            },
            "endpoints": {name: found for name, found in endpoints.items() if found},
            "counts": self.counted(again=True),
        }

    def counted(self, again: bool = False) -> Exported:
        """Return what was counted since this was asked last. again: since the start."""
        if again:
            self._reader = CountReader(self._proxy)
        return carried_counts.export(self._reader)

    # -- in the new one

    def take(self, state: Mapping[str, object]) -> list[str]:
        """Put it in force. Return a line for each thing that can't be."""
        lines = [f"{key!r} is not known to this version" for key in state if key not in _PARTS]
        for key, take in _PARTS.items():
            given = state.get(key, {})
            if isinstance(given, dict):
                lines += take(self, given)
        return lines

    def take_counts(self, given: Mapping[str, object]) -> list[str]:
        """Add what the other process counted."""
        places = [place.replace("\n", " ") for place in carried_counts.take(self._proxy, given)]
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        return [f"counters of {', '.join(places[:5])}{more}"] if places else []

    def _take_live(self, given: Mapping[str, object]) -> list[str]:
        lines = []
        changed: dict[str, Scalar] = {}
        for name, value in given.items():
            if name not in self._application.config.runtime:
                lines.append(f"live value {name} is not in the configuration any more")
            elif self._application.live.get(name) != value and isinstance(value, str | int | float | bool):
                changed[name] = value
        if changed and self._application.workers is not None:
            # All workers build it first, which this process may not wait for.
            done = self._application.slices.run(partial(self._set_live, changed))
            done.addCallbacks(_log, lambda failure: log.failure("upgrade: live values are not carried over", failure))
            return lines
        return lines + self._set_live(changed)

    def _set_live(self, changed: Mapping[str, Scalar]) -> list[str]:
        known = self._application.config.runtime  # which another configuration may have changed meanwhile
        return [
            line for name, value in changed.items() if name in known for line in self._application.set_live(name, value)
        ]

    def _take_log_levels(self, given: Mapping[str, object]) -> list[str]:
        lines = []
        for namespace, level in given.items():
            try:
                self._levels.set(namespace, str(level))
            except ValueError as error:
                lines.append(f"log level of {namespace}: {error}")
        return lines

    def _take_pauses(self, given: Mapping[str, object]) -> list[str]:
        lines = []
        for name, one in given.items():
            if name not in self._proxy.clusters:
                lines.append(f"pause of cluster {name}, which is not in the configuration any more")
            elif isinstance(one, dict):
                self._proxy.pause(name, int(one["most"]), float(one["seconds"]))
        return lines

    def _take_endpoints(self, given: Mapping[str, object]) -> list[str]:
        lines = []
        for name, found in given.items():
            cluster = self._proxy.clusters.get(name)
            if cluster is None or not isinstance(found, dict):
                lines.append(f"state of the endpoints of cluster {name}, which is not in the configuration any more")
                continue
            now = self._proxy.network.clock.seconds()
            for address, what in found.items():
                endpoint = cluster.at(address)
                if endpoint is None:
                    lines.append(f"state of {address} of cluster {name}, which is not among its endpoints")
                else:
                    _decide(cluster, endpoint, what, now)
            for monitor in cluster.monitors:
                monitor.changed()
            cluster.refresh()
        return lines


_PARTS = {
    "live": Carried._take_live,
    "log_levels": Carried._take_log_levels,
    "pauses": Carried._take_pauses,
    "endpoints": Carried._take_endpoints,
    "counts": Carried.take_counts,
}


def _log(lines: list[str]) -> None:
    for line in lines:
        log.warn("upgrade: not carried over: {line}", line=line)


def _endpoints(cluster: Cluster, now: float) -> Json:
    found = {endpoint.address: _decided(endpoint, now) for endpoint in cluster.endpoints}
    return {address: one for address, one in found.items() if one}


def _decided(endpoint: Endpoint, now: float) -> Json:
    """Return what was decided about an endpoint; {} while it is used as any other."""
    found: Json = {}
    if endpoint.drained:
        found["drained"] = True
    if endpoint.ejected:
        found["ejected"] = OPERATOR if endpoint.ejected_until == inf else max(0.0, endpoint.ejected_until - now)
    if endpoint.ejections:
        found["ejections"] = endpoint.ejections
    if not endpoint.healthy:
        found["unhealthy"] = True
    return found


def _decide(cluster: Cluster, endpoint: Endpoint, found: Mapping[str, object], now: float) -> None:
    endpoint.drained = endpoint.drained or bool(found.get("drained"))
    ejected, ejections = found.get("ejected"), found.get("ejections")
    if ejected == OPERATOR:
        endpoint.ejected_until = inf
    elif isinstance(ejected, int | float) and endpoint.monitor is not None:  # else nothing would ever end it
        endpoint.ejected_until = now + ejected
    if isinstance(ejections, int):
        endpoint.ejections = max(endpoint.ejections, ejections)
    checks = any(isinstance(one, HealthChecks) for one in cluster.monitors)
    if found.get("unhealthy") and checks and not endpoint.checked:
        endpoint.checked, endpoint.healthy = True, False
