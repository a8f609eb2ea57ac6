"""
The counters: for Prometheus, and flat for everybody else.

Lives here: /metrics, /stats. Does not: names and values (`telemetry.metrics`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from itertools import chain, islice
from math import isfinite

from prometheus_client import GCCollector, PlatformCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json_object
from metaproxy.admin.view import View
from metaproxy.config.slices import checkpoint
from metaproxy.telemetry.metrics.collector import exposition
from metaproxy.telemetry.metrics.process import process_metrics

AT_ONCE = 500
"""Names that are looked at before other work may go on."""
MAX_FILTER = 256
"""Characters of a `filter`."""


class MetricsText(Endpoint):
    path = "/metrics"
    shows_filters = True
    about = "Prometheus text; OpenMetrics when Accept asks for it."

    def __init__(self, view: View) -> None:
        self._metrics = view.metrics
        self._python = _python()

    def get(self, ask: AdminRequest) -> AdminResponse:
        content_type, pieces = exposition(self._pieces(), ask.header("accept"))
        return AdminResponse(pieces, content_type)

    def _pieces(self) -> Iterator[Metric]:
        return chain(self._metrics.pieces(), process_metrics(), *(one.collect() for one in self._python))


def _python() -> tuple[Collector, ...]:
    """Garbage collection, the version of Python."""
    nowhere = CollectorRegistry()
    return PlatformCollector(registry=nowhere), GCCollector(registry=nowhere)


class Stats(Endpoint):
    path = "/stats"
    sliced = True
    shows_filters = True
    about = "The same counters, flat: `name: value` lines, or `format=json`; `filter=` picks names."

    def __init__(self, view: View) -> None:
        self._metrics = view.metrics

    def get(self, ask: AdminRequest) -> AdminResponse:
        format = ask.query.get("format", "text")
        if format not in ("text", "json"):
            raise HttpError(400, f"no format {format[:100]!r}; write text or json", "format")
        wanted = name_filter(ask.query.get("filter", ""))
        rows = (row for row in self._metrics.flat(checkpoint) if wanted(row[0]))
        if format == "json":
            return as_json_object((name, value if isfinite(value) else None) for name, value in rows)
        parts = []
        while part := "".join(f"{name}: {value}\n" for name, value in islice(rows, AT_ONCE)):
            parts.append(part.encode("utf-8", "backslashreplace"))
            checkpoint()
        return AdminResponse(iter(parts) if len(parts) > 1 else b"".join(parts))


def name_filter(text: str) -> Callable[[str], bool]:
    """
    Whether a name has `text` in it. `*` (or `.*`) stands for anything, `a|b` for either, `^` and `$` for the ends; that
    is what people write to Envoy, whose filter is a regular expression. Those can be made to run for hours.
    """
    if len(text) > MAX_FILTER:
        raise HttpError(400, f"a filter of {len(text)} characters; allowed are {MAX_FILTER}", "filter")
    patterns = []
    for part in text.split("|"):
        start = "" if part.startswith("^") else "*"
        end = "" if part.endswith("$") else "*"
        middle = part.removeprefix("^").removesuffix("$").replace(".*", "*")
        escaped = middle.replace("[", "[[]").replace("?", "[?]")
        patterns.append(re.compile(translate(start + escaped + end)))
    return lambda name: any(pattern.match(name) for pattern in patterns)
