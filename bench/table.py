"""
What came of a run, as a table for people and as rows for JSON.

Lives here: medians over rounds, ratios, layout. Does not: measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from statistics import median
from typing import Any

from bench.loads import MANY_ROUTES, Case, Result
from bench.subjects import Subject

_FULL = 0.95
"""The load's core counts as full from this share on: what the proxy could do is then more than what is shown."""

_HEAD = (
    f"{'':24}{'requests/s':>10} {'min .. max':>17} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>8}"
    f" {'CPU µs':>8} {'min .. max':>15} {'proxy %':>7} {'wait %':>6} {'load %':>6} {'MiB':>6} {'Envoy/it':>8}  errors"
)


@dataclass(slots=True)
class Row:
    """A subject under a case: a result for each round, or why there is none."""

    case: Case
    subject: Subject
    rounds: list[Result] = field(default_factory=list)
    failure: str = ""

    def middle(self, value: Callable[[Result], float | None]) -> float | None:
        """The median over the rounds; None when the rounds have no such value."""
        values = self._values(value)
        return median(values) if values else None

    def span(self, value: Callable[[Result], float | None], digits: int) -> str:
        values = self._values(value)
        return f"{min(values):.{digits}f} .. {max(values):.{digits}f}" if values else ""

    def _values(self, value: Callable[[Result], float | None]) -> list[float]:
        return [found for one in self.rounds if (found := value(one)) is not None]


class Table:
    """All rows of a run, by case and subject, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Case, str], Row] = {}

    def row(self, case: Case, subject: Subject) -> Row:
        return self._rows.setdefault((case, subject.name), Row(case, subject))

    def text(self) -> str:
        lines = [_HEAD]
        for case in self._cases():
            lines += ["", str(case)]
            lines += [self._line(row) for row in self._of(case)]
        return "\n".join([*lines, "", *self._costs_of_routes()])

    def data(self) -> list[dict[str, Any]]:
        """A mapping a row: the case, the subject, medians, the ratio, and each round as it was measured."""
        return [
            {
                **asdict(row.case),
                "subject": row.subject.name,
                "failure": row.failure,
                "medians": {name: row.middle(attrgetter(name)) for name in _NUMBERS},
                "envoy_cpu_ratio": self._ratio(row),
                "rounds": [asdict(one) for one in row.rounds],
            }
            for row in self._rows.values()
        ]

    def _cases(self) -> list[Case]:
        return list(dict.fromkeys(case for case, _ in self._rows))

    def _of(self, case: Case) -> Iterator[Row]:
        return (row for row in self._rows.values() if row.case == case)

    def _ratio(self, row: Row) -> float | None:
        """CPU a request of Envoy's filter for this protocol over this subject's."""
        own = row.middle(_cpu)
        base = next((one.middle(_cpu) for one in self._of(row.case) if one.subject.is_base), None)
        return base / own if own and base else None

    def _line(self, row: Row) -> str:
        name = f"  {row.subject.name:22}"
        if row.failure and not row.rounds:
            return f"{name}  {row.failure}"
        load_busy = row.middle(lambda one: one.load_busy)
        proxy_busy = row.middle(lambda one: one.proxy_busy)
        waited = row.middle(lambda one: one.proxy_waited)
        full = "*" if row.subject.program and (load_busy or 0) >= _FULL > (proxy_busy or 0) else " "
        return (
            f"{name}{_show(row.middle(_rate), 10, 0)}{full}{row.span(_rate, 0):>17}"
            f" {_show(row.middle(lambda one: one.p50), 8, 3)} {_show(row.middle(lambda one: one.p99), 8, 3)}"
            f" {_show(row.middle(lambda one: one.p999), 8, 3)} {_show(row.middle(_cpu), 8, 2)}"
            f" {row.span(_cpu, 1):>15} {_show(_percent(proxy_busy if row.subject.program else None), 7, 0)}"
            f" {_show(_percent(waited if row.subject.program else None), 6, 0)} {_show(_percent(load_busy), 6, 0)}"
            f" {_show(row.middle(lambda one: one.peak), 6, 1)}"
            f" {_show(self._ratio(row), 8, 2)}  {_errors(row)}"
        )

    def _costs_of_routes(self) -> Iterator[str]:
        """How much more CPU a request costs through many routes than through one."""
        for row in self._rows.values():
            one = self._rows.get((replace(row.case, routes=1), row.subject.name))
            many, few = row.middle(_cpu), one.middle(_cpu) if one else None
            if row.case.routes == MANY_ROUTES and many and few:
                load = f"{row.case.protocol}, {row.case.connections} x {row.case.depth}"
                yield f"{MANY_ROUTES} routes against 1, {load}: {row.subject.name:22} CPU {many / few - 1:+.0%}"


_NUMBERS = (
    "requests_per_second", "p50", "p99", "p999", "cpu", "proxy_busy", "proxy_waited", "load_busy", "peak", "errors",
)  # fmt: skip


def _rate(result: Result) -> float:
    return result.requests_per_second


def _cpu(result: Result) -> float | None:
    return result.cpu


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _show(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def _errors(row: Row) -> str:
    count = sum(one.errors for one in row.rounds)
    text = next((one.first_error for one in row.rounds if one.errors), "")
    parts = [f"{count}: {text.strip()}" if count else "", row.failure]
    return "; ".join(part for part in parts if part) or "0"
