"""
Error rates of nodes: from the counters that an admin API shows to what failed lately on either side of a rollout.

Lives here: `counts_of`, `Rates`. Does not: asking for counters (`scraping`), what follows (`watching`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

FILTER = "|".join(
    (
        "exchanges_total",
        "downstream_rq_completed",
        "downstream_rq_5xx",
        "downstream_rq_total",
        "downstream_cx_total",
        "downstream_cx_no_route",
        "upstream_cx_connect_fail",
        "request",
        "response_error",
        "response_exception",
    )
)
"""Names of counters, as `/stats?filter=` takes them: at metaproxy parts of names, at Envoy a regular expression."""

_OUTCOME = re.compile(r'metaproxy_exchanges_total\{.*outcome="(\w+)"')
_FINE = ("ok", "oneway", "event", "downstream_gone")
"""Outcomes of metaproxy's exchanges that say nothing against its configuration."""
_REQUESTS = re.compile(
    r"http\.(?!admin\.).*\.downstream_rq_completed|redis\..*\.downstream_rq_total|tcp\..*\.downstream_cx_total"
    r"|(dubbo|thrift)\..*\.request"
)
_ERRORS = re.compile(
    r"http\.(?!admin\.).*\.downstream_rq_5xx|tcp\..*\.downstream_cx_no_route|cluster\..*\.upstream_cx_connect_fail"
    r"|(dubbo|thrift)\..*\.response_(error|exception)"
)


class Counts(NamedTuple):
    """What a node has counted since its start."""

    requests: float
    errors: float


def counts_of(stats: object) -> Counts:
    """Return the counts of `/stats?format=json` of a metaproxy or an Envoy. Raises ValueError for anything else."""
    requests = errors = 0.0
    for name, value in _numbers(stats):
        outcome = _OUTCOME.match(name)
        if outcome is not None:
            requests += value
            errors += 0 if outcome[1] in _FINE else value
        elif _REQUESTS.fullmatch(name):
            requests += value
        elif _ERRORS.fullmatch(name):
            errors += value
    return Counts(requests, errors)


def _numbers(stats: object) -> Iterator[tuple[str, float]]:
    if not isinstance(stats, dict):
        raise ValueError("not the counters of a metaproxy or an Envoy")
    listed = stats.get("stats")
    if isinstance(listed, list):  # Envoy's
        pairs = [(one.get("name"), one.get("value")) for one in listed if isinstance(one, dict)]
    else:
        pairs = list(stats.items())
    for name, value in pairs:
        if isinstance(name, str) and isinstance(value, (int, float)):
            yield name, float(value)


class Rate(NamedTuple):
    """What was counted in a window."""

    requests: float
    errors: float

    @property
    def percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


class _Growth(NamedTuple):
    at: float
    new: bool
    requests: float
    errors: float


class Rates:
    """What nodes counted lately, on the side of a rollout's new version and on the other one."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._last: dict[str, tuple[bool, Counts]] = {}
        self._grown: deque[_Growth] = deque()

    def add(self, node: str, new: bool, counts: Counts, now: float) -> None:
        """Note what a node has counted. What it counted before it changed sides belongs to neither."""
        side, before = self._last.get(node, (not new, counts))
        self._last[node] = new, counts
        if side != new or counts.requests < before.requests:  # or it was restarted
            return
        requests, errors = counts.requests - before.requests, max(counts.errors - before.errors, 0.0)
        if requests or errors:
            self._grown.append(_Growth(now, new, max(requests, errors), errors))

    def forget(self, nodes: Mapping[str, object]) -> None:
        """Keep the nodes that are there."""
        for name in self._last.keys() - nodes.keys():
            del self._last[name]

    def rates(self, now: float) -> tuple[Rate, Rate]:
        """Return what was counted lately at nodes with the new version, and at the others."""
        while self._grown and self._grown[0].at <= now - self._window:
            self._grown.popleft()
        sides = [[one for one in self._grown if one.new is new] for new in (True, False)]
        new, old = (Rate(sum(one.requests for one in side), sum(one.errors for one in side)) for side in sides)
        return new, old
