"""
Statements of databases by their shape: how often each was carried out, how long it took, how it ended.

Lives here: `Statements`, whose `on_complete` adds; `read`, which sums up. Does not: SQL (codecs give `fingerprint` and
`normalized`), when it is counted and read (`admin.statements`).

Memory is bounded whatever clients send: MOST statements with MOST_TEXT bytes of text. When there are more, those that
were used least make room, and are counted together from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import NamedTuple

from metaproxy.counts import WELL
from metaproxy.telemetry.inspect.decoded import readable
from metaproxy.telemetry.inspect.flows import MAX_NAME, Tally
from metaproxy.telemetry.roles import CompletedExchange

FINGERPRINT = "fingerprint"
"""The metadata key of codecs whose requests are statements."""
MOST = 1000
"""Statements that are counted apart."""
MOST_TEXT = 1 << 20
"""Bytes of their texts."""
MAX_TEXT = 2000
"""Characters of one text."""
FORGOTTEN = 20
"""One of so many statements makes room when there are too many, so that a look for them is seldom."""
FADING = 0.99
"""What is left of how much a statement was used each time that others made room."""


class Statement(NamedTuple):
    """
    What a row is about. A name that is not there is '-'. command: what the request did with it: a statement that is
    prepared once and executed often is two.
    """

    listener: str
    protocol: str
    cluster: str
    user: str
    database: str
    command: str
    fingerprint: str


class Slowest(NamedTuple):
    """The exchange that lasted longest. ended: seconds of the reactor's clock."""

    duration: float
    ended: float
    outcome: str
    endpoint: str
    trace: str


NEVER = Slowest(-1.0, 0.0, "", "-", "")


class Counted(Tally):
    """
    What was counted of one statement, or of several. rows: None where no answer said how many; seconds: how long all
    of them lasted; since: when it was counted first.
    """

    __slots__ = ("rows", "seconds", "since", "slowest", "text", "use")

    def __init__(self, since: float, text: str = "") -> None:
        super().__init__()
        self.since = since
        self.text = text
        self.rows: int | None = None
        self.seconds = self.use = 0.0
        self.slowest = NEVER

    def include(self, other: Counted) -> None:
        """As `take`, with all that a statement has besides."""
        self.take(other)
        self.seconds += other.seconds
        if other.rows is not None:
            self.rows = (self.rows or 0) + other.rows
        self.slowest = max(self.slowest, other.slowest)

    def percentile(self, share: float) -> float | None:
        """As counts.Histogram has it; what its buckets leave open is never more than the slowest took."""
        found = super().percentile(share)
        return None if found is None else min(found, self.slowest.duration)

    @property
    def bytes(self) -> int:
        """All that passed, both ways."""
        return self.request_bytes + self.response_bytes


Row = tuple[Statement, Counted]


class Reading(NamedTuple):
    """other: all that stands in no row, None when everything does; total: all of it."""

    rows: Sequence[Row]
    other: Counted | None
    total: Counted


class Statements:
    """
    began: seconds of the reactor's clock. others: those that made room, together, None while there are none; made_room:
    how many these are.
    """

    def __init__(self, began: float = 0.0, most: int = MOST, most_text: int = MOST_TEXT) -> None:
        self._most, self._most_text = most, most_text
        self.began = began
        self.made_room = 0
        self.others: Counted | None = None
        self._rows: dict[Statement, Counted] = {}
        self._text = 0

    def reset(self, now: float) -> None:
        """Forget all, and begin again."""
        self.began = now
        self.made_room = self._text = 0
        self.others = None
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def on_complete(self, exchange: CompletedExchange) -> None:
        """Count an exchange that ended, if it is about a statement. A hook of IOnComplete."""
        fingerprint = readable(exchange, FINGERPRINT, MAX_NAME)
        if fingerprint is None:
            return
        statement = Statement(
            exchange.listener,
            exchange.protocol,
            exchange.cluster,
            readable(exchange, "user", MAX_NAME) or "-",
            readable(exchange, "database", MAX_NAME) or "-",
            readable(exchange, "command", MAX_NAME) or "-",
            fingerprint,
        )
        row = self._rows.get(statement) or self._add(statement, exchange)
        duration = max(exchange.ended - exchange.started, 0.0)
        outcome = exchange.outcome
        row.add(outcome, duration)
        row.use += 1.0
        row.seconds += duration
        row.request_bytes += exchange.request_bytes
        row.response_bytes += exchange.response_bytes
        rows = _rows_of(exchange)
        if rows is not None:
            row.rows = (row.rows or 0) + rows
        if duration > row.slowest.duration:
            trace = readable(exchange, "traceparent", MAX_NAME) or ""
            row.slowest = Slowest(duration, exchange.ended, outcome, exchange.upstream_address, trace)

    def _add(self, statement: Statement, exchange: CompletedExchange) -> Counted:
        text = readable(exchange, "normalized", MAX_TEXT) or ""
        self._text += _size(text)
        if len(self._rows) >= self._most or self._text > self._most_text:
            self._make_room()
        row = self._rows[statement] = Counted(exchange.ended, text)
        return row

    def _make_room(self) -> None:
        rows = self._rows
        if self.others is None:
            self.others = Counted(self.began)
        while rows and (len(rows) >= self._most or self._text > self._most_text):
            for statement, row in nsmallest(max(len(rows) // FORGOTTEN, 1), rows.items(), key=_use):
                del rows[statement]
                self._text -= _size(row.text)
                self.others.include(row)
                self.made_room += 1
        for row in rows.values():
            row.use *= FADING

    def rows(self) -> Iterable[Row]:
        return self._rows.items()


def read(tables: Iterable[Statements], order: str, limit: int, listener: str = "") -> Reading:
    """
    Return the `limit` rows of several tables that come first in an order of ORDERS. listener: only its rows; then
    `other` is without those that made room, of which nothing says whose they were.
    """
    tables = list(tables)
    rows = [row for one in tables for row in one.rows() if not listener or row[0].listener == listener]
    shown = nlargest(limit, rows, key=_ORDER[order])
    began = min((one.began for one in tables), default=0.0)
    total, rest, known = Counted(began), Counted(began), set[Statement]()
    for statement, counted in shown:
        known.add(statement)
        total.include(counted)
    for statement, counted in rows:
        if statement not in known:
            rest.include(counted)
    for one in tables:
        if one.others is not None and not listener:
            rest.include(one.others)
    total.include(rest)
    return Reading(shown, rest if rest.outcomes else None, total)


def _use(row: Row) -> float:
    return row[1].use


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _rows_of(exchange: CompletedExchange) -> int | None:
    """How many rows the answer has, or the statement has changed; None where its codec does not say."""
    response = exchange.response
    if response is None or exchange.outcome not in WELL:
        return None
    text = response.known().get("rows", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


_ORDER: Mapping[str, Callable[[Row], float]] = {
    "time": lambda row: row[1].seconds,
    "calls": lambda row: row[1].count,
    "errors": lambda row: row[1].errors,
    "mean": lambda row: row[1].seconds / max(row[1].count, 1),
    "rows": lambda row: row[1].rows or 0,
    "bytes": lambda row: row[1].bytes,
    "slowest": lambda row: row[1].slowest.duration,
}
ORDERS = tuple(_ORDER)
"""What rows can be sorted by, the most first."""
