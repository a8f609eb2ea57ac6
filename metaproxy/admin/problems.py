"""
What is wrong, worst first: what the live page shows on top, and what `metaproxy status` ends with.

Lives here: /problems, and the rules. Does not: the figures that they look at (`telemetry.metrics.windows`), what to do
(docs/how-to/on-call.md).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from metaproxy.admin.flows import number
from metaproxy.admin.health import Overload, overload
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, Json, as_json
from metaproxy.admin.slow import slow
from metaproxy.admin.view import SECONDS, View, endpoint_state, failed
from metaproxy.cluster.cluster import PRIMARY, Cluster
from metaproxy.config.model import Rds
from metaproxy.config.slices import checkpoint
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.telemetry.metrics.windows import KEPT, STEP
from metaproxy.telemetry.roles import WorkerProcess

BAD, WARN, NOTE = LEVELS = ("bad", "warn", "note")
"""Requests fail; they may soon, or some are slow; no fault, but good to know."""

LEAST_FAILURES = 10
"""Failures in the window below which a share of them is no reason to wake an operator."""
SHARE, BAD_SHARE = 0.01, 0.1
"""Of requests that failed: from when it is shown, and from when it is bad."""
LEAST_ERRORS = 3
"""Failed tries of an endpoint before it is shown, when they are half of all."""
MAX_SHOWN = 5
"""Names that one problem lists."""
MAX_PLUGINS = 3
LATELY = 300.0
"""Seconds for which it is shown that a worker was started again."""
READY = "ready"
"""The state of a worker that has the configuration in force."""

Problem = Json


class Problems(Endpoint):
    path = "/problems"
    sliced = True
    about = "What is wrong, worst first, over the last `seconds=`: what the page shows on top. `worst` sums it up."

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, ask: AdminRequest) -> AdminResponse:
        found = problems(self._view, number(ask, "seconds", SECONDS, STEP, KEPT))
        return as_json({"worst": found[0]["level"] if found else "none", "problems": found})


def problems(view: View, seconds: float = SECONDS) -> list[Problem]:
    """Each with level, kind, what, detail, and the place of the page that has more; worst first."""
    found = [*_server(view, seconds), *_clusters(view, seconds), *_traffic(view, seconds), *slow(view, seconds)]
    found += [*_waiting(view), *_plugins(view), *_runtime(view)]
    return sorted(found, key=lambda one: LEVELS.index(one["level"]))


def _problem(level: str, kind: str, what: str, detail: str = "", place: str = "", **more: object) -> Problem:
    return {"level": level, "kind": kind, "what": what, "detail": detail, "place": place, **more}


def plural(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _clock(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S UTC")


def _listed(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:MAX_SHOWN]) + (", ..." if len(found) > MAX_SHOWN else "")


# -- the process


def _server(view: View, seconds: float) -> Iterator[Problem]:
    proxy, configuration = view.proxy, view.configuration
    if proxy.draining:
        text = "It accepts no connection and ends when the last client is gone."
        yield _problem(BAD, "draining", "The proxy drains", text)
    elif not proxy.ready:
        text = "Its listeners are not bound, or no configuration is in force."
        yield _problem(BAD, "not_ready", "The proxy is not ready", text)
    yield from _overload(overload(proxy.network.overload))
    yield from _workers(view.workers)
    yield from _descriptors(proxy.network.descriptors, seconds)
    refused = configuration.refused
    if refused is not None:
        version = proxy.snapshot.version if proxy.snapshot is not None else 0
        in_force = f"version {version} of {_clock(configuration.applied)} stays in force" if version else "none is"
        detail = f"{refused['source']} at {_clock(refused['time'])}; {in_force}."
        lines = [str(line) for line in refused["errors"]]
        yield _problem(BAD, "refused", "The configuration was refused", detail, "refused", lines=lines)


def _workers(workers: Sequence[WorkerProcess]) -> Iterator[Problem]:
    for one in workers:
        lost = f"{plural(one.lost, 'connection')} went with it since the start of the proxy"
        if not one.answers:
            state = "does not answer" if one.state == READY else f"is {one.state}"
            detail = f"It {state}{f', {one.why}' if one.why else ''}; the others take its connections. {lost}."
            yield _worker("not_ready", one, "is not ready", detail)
        elif one.restarts > 0 and time.time() - one.started < LATELY:
            detail = f"At {_clock(one.started)}, {plural(one.restarts, 'time')} in all; {lost}."
            yield _worker("restarted", one, "was started again", detail)


def _worker(kind: str, one: WorkerProcess, what: str, detail: str) -> Problem:
    return _problem(WARN, f"worker_{kind}", f"Worker {one.number} {what}", detail, "workers", worker=one.number)


def _overload(now: Overload) -> Iterator[Problem]:
    if now["state"] == "ok":
        return
    shedding = now["state"] == "shedding"
    what = "The proxy refuses requests" if shedding else "The proxy refuses new connections"
    if now["reason"].endswith("max_memory"):
        measured = f"Memory is {now['memory_bytes'] >> 20} MiB of {now['max_memory_bytes'] >> 20} MiB"
    else:
        measured = f"Lag is {now['lag_ms']:.0f} ms of {now['max_lag_ms']:.0f} ms"
    shares = ", ".join(f"{word} {100 * one['share']:.0f} %" for word, one in now["by_priority"].items())
    refused = (
        f"requests are refused by priority: {shares}; "
        f"since its start {plural(now['refused_connections'], 'connection')} and "
        f"{plural(now['shed_requests'], 'request')} were refused"
    )
    level = BAD if shedding else WARN
    yield _problem(level, "overload", f"{what}, because {now['reason']} is reached", f"{measured}; {refused}.")


def _descriptors(reserve: DescriptorReserve, seconds: float) -> Iterator[Problem]:
    if reserve.refused_for(seconds):
        since = f"since its start {plural(reserve.refused_connections, 'connection was', 'connections were')} refused"
        why = reserve.why()
        detail = f"{why[0].upper()}{why[1:]}; {since}."
        yield _problem(WARN, "descriptors", "The proxy refuses new connections: no file descriptor is left", detail)


# -- clusters and their endpoints


def _clusters(view: View, seconds: float) -> Iterator[Problem]:
    for name, cluster in sorted(view.proxy.clusters.items()):
        checkpoint()
        place = {"place": f"cluster-{name}", "cluster": name}
        if cluster.paused_by is not None:
            waiting = plural(len(cluster.paused_by), "request waits", "requests wait")
            detail = f"{waiting} until it is resumed; it takes {cluster.paused_by.most} at most."
            yield _problem(WARN, "paused", f"Cluster {name} is paused", detail, **place)
        yield from _discovery(name, cluster, place)
        yield from _roles(name, cluster, place)
        yield from _endpoints_out(name, cluster, place)
        yield from _failing(view, seconds, name, cluster, place)
        yield from _limits(view, seconds, name, cluster, place)


def _discovery(name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    for monitor in cluster.monitors:
        why = getattr(getattr(monitor, "discovery", None), "problem", "")
        if why:
            yield _problem(WARN, "discovery", f"Cluster {name}: its endpoints may be old", str(why), **place)


def _roles(name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    queue = cluster.lacking
    if queue is None or not cluster.endpoints:
        return
    roles = {one.address: one.learnt.get("role", "") for one in cluster.endpoints}
    shown = ", ".join(f"{address} {role or 'of no known role'}" for address, role in list(roles.items())[:MAX_SHOWN])
    if PRIMARY not in roles.values():
        waiting = plural(len(queue), "request waits", "requests wait")
        detail = f"{waiting} for one; it takes {queue.most} at most. {shown}."
        yield _problem(BAD, "no_primary", f"Cluster {name} has no primary", detail, **place)
    yield from _shards(name, cluster, place)
    if PRIMARY in roles.values() and "replaced" in roles.values():
        text = "Two take themselves for it, which a stop of the older one ends."
        yield _problem(WARN, "two_primaries", f"Cluster {name} has more than one primary", f"{text} {shown}.", **place)
    lagging = [address for address, role in roles.items() if role == "lagging"]
    if lagging:
        yield _problem(WARN, "lagging", f"Cluster {name}: replicas lag behind", _listed(lagging), **place)


def _shards(name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    """Of parts of the data: those that no server takes writes for, while others do."""
    shards: dict[str, dict[str, str]] = {}
    for one in cluster.endpoints:
        if "shard" in one.learnt:
            shards.setdefault(one.learnt["shard"], {})[one.address] = one.learnt.get("role", "of no known role")
    lost = {shard: roles for shard, roles in sorted(shards.items()) if PRIMARY not in roles.values()}
    if lost and len(lost) < len(shards):
        waiting = plural(len(cluster.lacking or ()), "request waits", "requests wait")
        servers = ", ".join(f"{address} {role}" for roles in lost.values() for address, role in roles.items())
        which = f"shard {_listed(lost)} has" if len(lost) == 1 else f"shards {_listed(lost)} have"
        detail = f"{waiting} for one. {servers}."
        yield _problem(BAD, "no_primary", f"Cluster {name}: {which} no primary", detail, shards=list(lost), **place)


def _endpoints_out(name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    out = [one for one in cluster.endpoints if endpoint_state(one) != "healthy"]
    if not cluster.endpoints:
        yield _problem(WARN, "empty", f"Cluster {name} has no endpoint", **place)
    elif out:
        whole = len(cluster.endpoints)
        level = BAD if len(out) == whole else NOTE if all(one.drained or one.logged_off for one in out) else WARN
        which = _listed(f"{one.address} {endpoint_state(one)}" for one in out)
        addresses = [one.address for one in out]
        what = f"Cluster {name}: {len(out)} of {plural(whole, 'endpoint')} out"
        yield _problem(level, "endpoints_out", what, which, endpoints=addresses, **place)


def _failing(view: View, seconds: float, name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    for one in cluster.endpoints:
        if endpoint_state(one) != "healthy":
            continue
        added = view.windows.read(one.counts, seconds)
        tries, errors = added["tries"], added["failed"]
        if errors >= LEAST_ERRORS and errors >= tries / 2:
            detail = f"{errors} of {plural(tries, 'try', 'tries')} in the last {seconds:g} s, and it is still used"
            what = f"Endpoint {one.address} of {name} fails"
            yield _problem(WARN, "endpoint_fails", what, detail, endpoints=[one.address], **place)


OVERFLOWS = (
    ("no_endpoint", "no usable endpoint"),
    ("overflow_requests", "too many requests for the breaker"),
    ("overflow_pending", "too many requests waiting"),
)


def _limits(view: View, seconds: float, name: str, cluster: Cluster, place: dict[str, str]) -> Iterator[Problem]:
    added = view.windows.read(cluster.counts, seconds)
    for key, text in OVERFLOWS:
        if added[key]:
            detail = f"{plural(added[key], 'request')} in the last {seconds:g} s"
            yield _problem(BAD, key, f"Cluster {name}: {text}", detail, **place)
    breaker = cluster.breaker
    for what in ("requests", "connections", "pending", "retries"):
        active, limit = getattr(breaker, what), getattr(breaker, f"max_{what}")
        if limit and active >= limit:
            text = f"Cluster {name}: the breaker's limit of {what} is reached"
            yield _problem(WARN, "breaker", text, f"{active} of {limit}", **place)


# -- requests


def _traffic(view: View, seconds: float) -> Iterator[Problem]:
    """By cluster, over all routes: the share of requests that failed."""
    outcomes: dict[str, Counter[str]] = {}
    routes: dict[str, list[str]] = {}
    for route, target in view.targets():
        checkpoint()
        found = view.windows.read(target.counts, seconds).counters
        outcomes.setdefault(target.name, Counter()).update(found)
        if failed(found):
            routes.setdefault(target.name, []).append(route.name)
    for name, found in sorted(outcomes.items()):
        whole, errors = found.total(), failed(found)
        if not errors or errors < SHARE * whole:
            continue
        level = BAD if errors >= BAD_SHARE * whole and errors >= LEAST_FAILURES else WARN
        what = "of requests without a cluster failed" if name == "-" else f"of requests to {name} failed"
        words = ", ".join(f"{one.replace('_', ' ')}: {n}" for one, n in found.most_common() if failed({one: n}))
        detail = f"{words} in the last {seconds:g} s (routes {_listed(routes[name])})"
        more = {} if name == "-" else {"cluster": name}
        yield _problem(level, "requests_fail", f"{_percent(errors, whole)} {what}", detail, "traffic", **more)


def _percent(part: int, whole: int) -> str:
    value = 100 * part / whole
    return f"{value:.1f} %" if value < 10 or 99 < value < 100 else f"{value:.0f} %"


# -- what else is not as it should be


def _waiting(view: View) -> Iterator[Problem]:
    for listener in view.configuration.config.listeners:
        if isinstance(listener.routes, Rds):
            detail = f"{listener.routes.origin}, and did not come; every request is answered with not_found."
            yield _problem(WARN, "no_routes", f"Listener {listener.name} has no routes", detail, listener=listener.name)


def _plugins(view: View) -> Iterator[Problem]:
    for file, trace in sorted(view.proxy.registry.errors.items())[:MAX_PLUGINS]:
        lines = trace.strip().splitlines()[-1:]
        yield _problem(WARN, "plugin", f"Plugin {file} can't be loaded", lines=lines)


def _runtime(view: View) -> Iterator[Problem]:
    configuration = view.configuration
    for name in configuration.live:
        if name in configuration.config.runtime:
            value, default = configuration.config.runtime[name], configuration.defaults.get(name)
            detail = f"the configuration says {json.dumps(default)}"
            yield _problem(NOTE, "runtime", f"{name} is {json.dumps(value)}", detail, "runtime")
