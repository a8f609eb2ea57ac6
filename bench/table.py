"""
What came of a run, as a table for people and as rows for JSON.

Lives here: medians over rounds, ratios, layout. Does not: measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import median
from typing import Any

from bench.loads import MANY_ROUTES, Case, Result
from bench.subjects import BARE, Subject

_FULL = 0.95
"""A core counts as full from this share on."""

_QUIET = 0.1
"""A proxy that waits for its core for more than this share of the time is disturbed; its own threads cost it some."""


@dataclass(slots=True)
class Row:
    """A subject under a case: a result for each round, or why there is none."""

    case: Case
    subject: Subject
    rounds: list[Result] = field(default_factory=list)
    failure: str = ""

    def middle(self, name: str) -> float | None:
        """The median over the rounds of this field of their results; None when they have no such value."""
        values = self.values(name)
        return median(values) if values else None

    def values(self, name: str) -> list[float]:
        return [value for one in self.rounds if (value := getattr(one, name)) is not None]

    def held_up(self) -> bool:
        """The load's core was full and the proxy's was not: the proxy could do more requests than are shown."""
        proxy, load = self.middle("proxy_busy"), self.middle("load_busy")
        return proxy is not None and load is not None and load >= _FULL > proxy

    def errors(self) -> str:
        """How many in all rounds, with the first one's text, and why there are rounds missing."""
        count = sum(one.errors for one in self.rounds)
        text = next((one.first_error for one in self.rounds if one.errors), "")
        told = f"{count}: {text.strip()}" if count else "0"
        return f"{told}; {self.failure}" if self.failure else told


class Table:
    """All rows of a run, by case and subject, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Case, str], Row] = {}

    def row(self, case: Case, subject: Subject) -> Row:
        return self._rows.setdefault((case, subject.name), Row(case, subject))

    def ratio(self, row: Row) -> float | None:
        """CPU a request of Envoy's filter for this protocol over this subject's."""
        base = next((one.middle("cpu") for one in self._of(row.case) if one.subject.is_base), None)
        own = row.middle("cpu")
        return base / own if own and base else None

    def text(self) -> str:
        lines = [" " * 24 + " ".join(f"{name:>{width}}" for name, width, _ in _COLUMNS) + "  errors"]
        for case in dict.fromkeys(case for case, _ in self._rows):
            lines += ["", str(case), *(self._line(row) for row in self._of(case))]
        return "\n".join([*lines, "", *self._costs_of_routes(), *self._costs_of_features(), *self._disturbance()])

    def data(self) -> list[dict[str, Any]]:
        """A mapping a row: the case, the subject, medians, the ratio, and each round as it was measured."""
        names = [one.name for one in fields(Result) if one.name != "first_error"]
        return [
            {
                **asdict(row.case),
                "subject": row.subject.name,
                "failure": row.failure,
                "medians": {name: row.middle(name) for name in names},
                "envoy_cpu_ratio": self.ratio(row),
                "rounds": [asdict(one) for one in row.rounds],
            }
            for row in self._rows.values()
        ]

    def _of(self, case: Case) -> Iterator[Row]:
        return (row for row in self._rows.values() if row.case == case)

    def _disturbance(self) -> Iterator[str]:
        worst = max((waited for row in self._rows.values() for waited in row.values("proxy_waited")), default=0.0)
        if worst > _QUIET:
            yield f"Others had the proxy's core for up to {worst:.0%} of a round (wait %): repeat on a quiet machine."

    def _line(self, row: Row) -> str:
        name = f"  {row.subject.name:22}"
        if not row.rounds:
            return f"{name}{row.failure}"
        return name + " ".join(f"{show(self, row):>{width}}" for _, width, show in _COLUMNS) + f"  {row.errors()}"

    def _costs_of_routes(self) -> Iterator[str]:
        """How much more CPU a request costs through many routes than through one."""
        for row in self._rows.values():
            one = self._rows.get((replace(row.case, routes=1), row.subject.name))
            many, few = row.middle("cpu"), one.middle("cpu") if one else None
            if row.case.routes == MANY_ROUTES and many and few:
                load = f"{row.case.protocol}, {row.case.connections} x {row.case.depth}"
                yield f"{MANY_ROUTES} routes against 1, {load}: {row.subject.name:22} CPU {many / few - 1:+.0%}"

    def _costs_of_features(self) -> Iterator[str]:
        """How much more CPU a request costs with one thing more than nothing."""
        for row in self._rows.values():
            bare = self._rows.get((row.case, BARE))
            own, without = row.middle("cpu"), bare.middle("cpu") if bare else None
            if row.subject.feature and row is not bare and own and without:
                load = f"{row.case.protocol}, {row.case.connections} x {row.case.depth}"
                yield f"{load}: {row.subject.name:22} {own - without:+.2f} µs, CPU {own / without - 1:+.0%}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _middle(name: str, digits: int, scale: float = 1.0) -> Callable[[Table, Row], str]:
    def show(table: Table, row: Row) -> str:
        value = row.middle(name)
        return _number(None if value is None else value * scale, digits)

    return show


def _span(name: str, digits: int) -> Callable[[Table, Row], str]:
    def show(table: Table, row: Row) -> str:
        values = row.values(name)
        return f"{min(values):.{digits}f} .. {max(values):.{digits}f}" if values else ""

    return show


def _rate(table: Table, row: Row) -> str:
    return _number(row.middle("requests_per_second"), 0) + ("*" if row.held_up() else " ")


_COLUMNS: list[tuple[str, int, Callable[[Table, Row], str]]] = [
    ("requests/s ", 11, _rate),
    ("min .. max", 18, _span("requests_per_second", 0)),
    ("p50 ms", 8, _middle("p50", 3)),
    ("p99 ms", 8, _middle("p99", 3)),
    ("p99.9 ms", 8, _middle("p999", 3)),
    ("CPU µs", 7, _middle("cpu", 2)),
    ("min .. max", 14, _span("cpu", 1)),
    ("proxy %", 7, _middle("proxy_busy", 0, scale=100)),
    ("wait %", 6, _middle("proxy_waited", 0, scale=100)),
    ("load %", 6, _middle("load_busy", 0, scale=100)),
    ("MiB", 6, _middle("peak", 1)),
    ("Envoy/it", 8, lambda table, row: _number(table.ratio(row), 2)),
]
