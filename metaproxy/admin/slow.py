"""
What is slower than it usually is: endpoints, all of a cluster, routes.

Lives here: `slow`, the problems. Does not: what is usual (`telemetry.windows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from metaproxy.admin.resource import Json
from metaproxy.admin.view import Counts, View, shown_ms
from metaproxy.config.slices import checkpoint
from metaproxy.telemetry.metrics.windows import KEPT

LEAST = 5
"""Slow answers in the window: fewer are chance, whatever share they are."""
FEW = 20
"""Answers in the window below which a minute is looked at as well."""


class _Slow(NamedTuple):
    """Seconds, all of them."""

    p99: float
    usual: float
    window: float

    def words(self) -> str:
        return f"p99 is {shown_ms(self.p99)} in the last {self.window:g} s, usually {shown_ms(self.usual)}"

    @property
    def times(self) -> str:
        return f"{self.p99 / self.usual:.0f}" if self.p99 >= 9.5 * self.usual else f"{self.p99 / self.usual:.1f}"


def slow(view: View, seconds: float) -> Iterator[Json]:
    """Problems. An endpoint, or its cluster when all are slow; a route only where no endpoint of its cluster is."""
    blamed = set()
    for name, cluster in sorted(view.proxy.clusters.items()):
        checkpoint()
        used = [one for one in cluster.endpoints if view.windows.read(one.counts, seconds).count]
        found = {one.address: how for one in used if (how := _how(view, one.counts, seconds)) is not None}
        if found:
            blamed.add(name)
        place = {"place": f"cluster-{name}", "cluster": name}
        if len(found) > 1 and len(found) == len(used):
            yield _problem(f"All endpoints of {name} are", max(found.values()), endpoints=list(found), **place)
            continue
        for address, how in found.items():
            yield _problem(f"Endpoint {address} of {name} is", how, endpoints=[address], **place)
    for route, target in view.targets():
        checkpoint()
        how = _how(view, target.counts, seconds) if target.name not in blamed else None
        if how is not None:
            where = f"Route {route.name}" if target.cluster is None else f"Route {route.name} to {target.name}"
            yield _problem(f"{where} is", how, place="routes", route=route.name)


def _problem(who: str, how: _Slow, **more: object) -> Json:
    what = f"{who} slow: p99 is {how.times} times its usual"
    figures = {"p99_ms": round(1000 * how.p99, 3), "usual_p99_ms": round(1000 * how.usual, 3)}
    return {"level": "warn", "kind": "slow", "what": what, "detail": how.words(), **figures, **more}


def _how(view: View, counts: Counts, seconds: float) -> _Slow | None:
    usual = view.windows.usual(counts)
    if usual is None or usual.value is None:
        return None
    bound = usual.bound()
    for window in sorted({seconds, KEPT}):
        added = view.windows.read(counts, window)
        p99 = added.percentile(0.99)
        if p99 is not None and p99 > bound and added.slower(bound) >= LEAST:
            return _Slow(p99, usual.value, window)
        if added.count >= FEW:
            break
    return None
