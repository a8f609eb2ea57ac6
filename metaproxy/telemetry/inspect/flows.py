"""
Who sends what where, over the last seconds: exchanges by caller, cluster and operation, in slices of time; and the
streams that are open now.

Lives here: `Flows`, whose `on_complete` adds and whose `read` sums up. Does not: when it is read (`admin.flows`).

Memory is bounded whatever clients send: KEPT seconds in slices of STEP, MAX_ROWS a slice; names are cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import nlargest
from typing import NamedTuple

from metaproxy.counts import WELL, Histogram, bucket_of
from metaproxy.telemetry.inspect.decoded import readable
from metaproxy.telemetry.roles import CompletedExchange

STEP = 2.0
"""Seconds of a slice: how smoothly the window slides."""
KEPT = 60.0
"""Seconds, the longest window."""
MAX_ROWS = 1000
"""Flows of a slice that are counted apart; the rest of it is counted together."""
MAX_NAME = 200
"""Characters of a name that a client chose."""

CALLERS = ("source.identity", "remote.application", "source.address")
"""
Who called, the first that there is: the certificate's name, the application as Dubbo's clients name themselves, the
address. The second one is what a client says of itself: good for looking, no ground for access.
"""


class Flow(NamedTuple):
    """What a row is about. A name that is not there is '-'."""

    caller: str
    listener: str
    protocol: str
    route: str
    cluster: str
    operation: str


class Tally:
    """
    What was counted of one flow, or of several. buckets: of counts.Histogram, those that are not empty; streams are not
    in them. open: streams that have not ended, request_bytes and response_bytes: what has passed of these.
    """

    __slots__ = ("buckets", "open", "outcomes", "request_bytes", "response_bytes")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.buckets: dict[int, int] = {}
        self.open = self.request_bytes = self.response_bytes = 0

    def add(self, outcome: str, duration: float | None) -> None:
        """duration: None for what says nothing of a server's speed."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if duration is not None:
            bucket = bucket_of(duration)
            self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def add_open(self, exchange: CompletedExchange) -> None:
        self.open += 1
        self.request_bytes += exchange.request_bytes
        self.response_bytes += exchange.response_bytes

    def take(self, other: Tally) -> None:
        outcomes, buckets = self.outcomes, self.buckets
        for outcome, number in other.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + number
        for bucket, number in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + number
        self.open += other.open
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes

    def percentile(self, share: float) -> float | None:
        """As counts.Histogram has it."""
        return Histogram(self.buckets).percentile(share)

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome not in WELL)


class Reading(NamedTuple):
    """
    seconds: how long was looked at. rows: those with errors first, then by how many exchanges they had. other: what is
    in no row, None when everything is; total: all of it.
    """

    seconds: float
    rows: Sequence[tuple[Flow, Tally]]
    other: Tally | None
    total: Tally


class _Slice:
    __slots__ = ("number", "other", "rows")

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: dict[Flow, Tally] = {}
        self.other: Tally | None = None


class Flows:
    """began: seconds of the reactor's clock. callers: the keys that say who called; the first that is there counts."""

    def __init__(self, began: float, callers: Iterable[str] = CALLERS) -> None:
        self._began = began
        self._callers = tuple(callers)
        self._slices: deque[_Slice] = deque(maxlen=int(KEPT / STEP))

    def on_complete(self, exchange: CompletedExchange) -> None:
        """Counts an exchange that ended. A hook of IOnComplete."""
        ended = exchange.ended
        number = int(ended // STEP)
        slices = self._slices
        if not slices or slices[-1].number < number:
            slices.append(_Slice(number))
        now = slices[-1]
        flow = self._flow(exchange)
        tally = now.rows.get(flow)
        if tally is None:
            if len(now.rows) < MAX_ROWS:
                tally = now.rows[flow] = Tally()
            else:
                tally = now.other = now.other or Tally()
        lasted = None if exchange.streamed or exchange.outcome == "event" else max(ended - exchange.started, 0.0)
        tally.add(exchange.outcome, lasted)

    def _flow(self, exchange: CompletedExchange) -> Flow:
        return Flow(
            self._caller(exchange),
            exchange.listener,
            exchange.protocol,
            exchange.route,
            exchange.cluster,
            readable(exchange, "operation", MAX_NAME) or "-",
        )

    def _caller(self, exchange: CompletedExchange) -> str:
        for key in self._callers:
            value = readable(exchange, key, MAX_NAME)
            if value:
                return value
        return "-"

    def read(
        self, now: float, seconds: float, limit: int = MAX_ROWS, streams: Iterable[CompletedExchange] = ()
    ) -> Reading:
        """
        The last `seconds` before `now`, whole slices of it. limit: how many rows at most; streams: those that are open.
        """
        first = int(now // STEP) - max(int(seconds / STEP), 1) + 1
        rows: dict[Flow, Tally] = {}
        rest = Tally()
        for one in self._slices:
            if one.number < first:
                continue
            for flow, tally in one.rows.items():
                found = rows.get(flow)
                if found is None:
                    found = rows[flow] = Tally()
                found.take(tally)
            if one.other is not None:
                rest.take(one.other)
        self._add_open(rows, rest, streams)
        shown = nlargest(limit, rows.items(), key=lambda row: (row[1].errors, row[1].count + row[1].open))
        total = Tally()
        for flow, tally in shown:
            total.take(tally)
            del rows[flow]
        for tally in rows.values():
            rest.take(tally)
        total.take(rest)
        # How many exchanges a second has is not known before the first one has passed.
        looked = max(now - max(first * STEP, self._began), 1.0)
        return Reading(looked, shown, rest if rest.outcomes or rest.open else None, total)

    def _add_open(self, rows: dict[Flow, Tally], rest: Tally, streams: Iterable[CompletedExchange]) -> None:
        new = 0
        for exchange in streams:
            flow = self._flow(exchange)
            tally = rows.get(flow)
            if tally is None:
                new += 1
                tally = rest if new > MAX_ROWS else rows.setdefault(flow, Tally())
            tally.add_open(exchange)
