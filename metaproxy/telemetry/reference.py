"""
The tables of docs/reference/metrics.md and access-log.md, made from the code that they describe.

Lives here: Markdown. Does not: any text that a person wrote. A test checks that the pages are up to date; `make docs`
makes them so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from metaproxy.counts import EXPOSED, EXPOSED_LONG
from metaproxy.telemetry.access_log.format import FIELDS, TEXT
from metaproxy.telemetry.access_log.operators import FLAGS, OPERATORS
from metaproxy.telemetry.metrics.equivalents import AERAKI, ENVOY
from metaproxy.telemetry.metrics.families import (
    BUILD,
    CERTIFICATE,
    CLUSTER,
    EJECTIONS,
    ENDPOINT,
    ENDPOINT_LAG,
    ENDPOINT_ROLE,
    ENDPOINT_STATE,
    EXCHANGES,
    FILTER_EVENTS,
    FILTER_VALUES,
    LISTENER,
    MIRROR,
    OVERLOAD,
    PLUGIN_ERRORS,
    PROCESS,
    RELOADS,
    SHED,
    STREAM,
    TARGET,
    WORKER,
    WORKER_FILTER_VALUES,
    XDS,
    XDS_SERVER,
    Family,
)


def page(text: str) -> str:
    """Return a page of the reference with new text between `<!-- table: NAME -->` and `<!-- end -->`."""
    return _MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(list(head)))
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _metrics(*families: Family) -> str:
    labels = families[0].labels
    rows = [(_code(one.name), one.kind, one.about) for one in families]
    note = f"Labels: {', '.join(_code(label) for label in labels)}.\n\n" if labels else ""
    return note + _table(("metric", "kind", ""), rows)


def _mapping(rows: Iterable[tuple[str, str, str]]) -> str:
    shown = [(_code(theirs), _code(ours) or "none", note) for theirs, ours, note in rows]
    return _table(("there", "here", ""), shown)


def _operators() -> str:
    rows = []
    for name, operator in OPERATORS.items():
        argument = f"({operator.argument})" if operator.argument else ""
        rows.append((_code(f"%{name}{argument}%"), operator.about + (" Not in Envoy." if operator.ours else "")))
    return _table(("operator", "value"), rows)


def _flags() -> str:
    rows = [(_code(outcome), _code(flag)) for outcome, flag in FLAGS.items()]
    return _table(("outcome", "flag"), rows)


def _fields() -> str:
    return _table(("field", "value"), [(_code(name), _code(value)) for name, value in FIELDS.items()])


def _buckets(exposed: Iterable[float]) -> str:
    shown = [f"{bound * 1000:g} ms" if bound < 1 else f"{bound:g} s" for bound in exposed]
    return f"Buckets end at {', '.join(shown)}; what took longer is in the last one.\n"


TABLES: dict[str, Callable[[], str]] = {
    "process": lambda: _metrics(*PROCESS),
    "overload": lambda: _metrics(OVERLOAD) + "\n" + _metrics(*SHED),
    "workers": lambda: _metrics(*WORKER) + "\n" + _metrics(WORKER_FILTER_VALUES),
    "build": lambda: _metrics(BUILD),
    "reloads": lambda: _metrics(RELOADS),
    "xds": lambda: _metrics(*XDS_SERVER) + "\n" + _metrics(*XDS),
    "listeners": lambda: _metrics(*LISTENER, CERTIFICATE, PLUGIN_ERRORS),
    "outcomes": lambda: _metrics(EXCHANGES),
    "exchanges": lambda: _metrics(*TARGET),
    "streams": lambda: _metrics(*STREAM),
    "mirrors": lambda: _metrics(*MIRROR),
    "clusters": lambda: _metrics(*CLUSTER),
    "ejections": lambda: _metrics(EJECTIONS),
    "endpoints": lambda: _metrics(*ENDPOINT_STATE, *ENDPOINT),
    "roles": lambda: _metrics(ENDPOINT_ROLE) + "\n" + _metrics(ENDPOINT_LAG),
    "filters": lambda: _metrics(FILTER_EVENTS) + "\n" + _metrics(FILTER_VALUES),
    "aeraki": lambda: _mapping(AERAKI),
    "envoy": lambda: _mapping(ENVOY),
    "operators": _operators,
    "flags": _flags,
    "fields": _fields,
    "buckets": lambda: _buckets(EXPOSED),
    "long_buckets": lambda: _buckets(EXPOSED_LONG),
    "text": lambda: f"    {TEXT}\n",
}
"""By the NAME of a mark."""
