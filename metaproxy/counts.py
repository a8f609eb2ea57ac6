"""
Counters and latency histograms as plain attributes: the path adds, `telemetry` reads when a value is asked for.

Lives here: what is counted and the bucket bounds. Does not: names, labels or formats of any exposition.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from itertools import compress
from operator import add, sub
from typing import ClassVar, NamedTuple, Protocol

EXPOSED: tuple[float, ...] = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""The bounds that expositions show, seconds: few, as each is a series for each target and endpoint."""

WELL = ("ok", "oneway", "event")
"""Outcomes of exchanges that are no failure; `event` is a server's push."""

RATIO = 1.1
"""How far apart two bounds are at most: so a percentile is wrong by a tenth at most."""
LEAST = 0.00001
"""The first bound, seconds; nothing that crosses a proxy takes less."""


def _between(low: float, high: float) -> list[float]:
    """Bounds above `low` up to `high`, each at most RATIO times the one before, rounded to five digits."""
    steps = math.ceil(math.log(high / low) / math.log(RATIO) - 1e-9)
    inner = (low * (high / low) ** (step / steps) for step in range(1, steps))
    return [*(float(f"{bound:.5g}") for bound in inner), high]


def _filled(exposed: tuple[float, ...]) -> tuple[float, ...]:
    inner = (bound for low, high in zip((LEAST, *exposed), exposed, strict=False) for bound in _between(low, high))
    return LEAST, *inner


BOUNDS: tuple[float, ...] = _filled(EXPOSED)
"""Upper bounds of the latency buckets, seconds, those of EXPOSED among them; one more bucket holds what is slower."""

EXPOSED_LONG: tuple[float, ...] = (
    0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0,
)  # fmt: skip
"""The same for streams, which may last for days."""
LONG_BOUNDS: tuple[float, ...] = _filled(EXPOSED_LONG)


class Histogram:
    """
    Durations in seconds. `buckets[i]` counts those up to bounds[i] and above bounds[i-1]; the last has no bound. An
    array and no list: with many routes, objects for its numbers are what the processor's cache has no room for. It is
    never another one, nor longer: compiled code knows where it is.
    """

    __slots__ = ("buckets", "total")
    bounds: ClassVar[tuple[float, ...]] = BOUNDS
    exposed: ClassVar[tuple[float, ...]] = EXPOSED

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        """buckets: those that are not empty, by their place."""
        self.buckets = array("q", bytes(8 * (len(self.bounds) + 1)))
        self.total = 0.0
        for index, number in (buckets or {}).items():
            self.buckets[index] = number

    def add(self, duration: float) -> None:
        self.buckets[bisect_left(self.bounds, duration)] += 1
        self.total += duration

    def copy(self) -> Histogram:
        """Of this moment."""
        other = type(self)()
        other.buckets[:] = self.buckets
        other.total = self.total
        return other

    def take(self, other: Histogram) -> None:
        """Add what another with the same bounds has. Raises ValueError where these are others."""
        if len(other.buckets) != len(self.buckets):
            raise ValueError(f"{len(other.buckets)} buckets are no {len(self.buckets)}")
        self.buckets[:] = array("q", map(add, self.buckets, other.buckets))
        self.total += other.total

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def percentile(self, share: float) -> float | None:
        """The duration, seconds, that `share` (0 to 1) of those seen did not exceed, interpolated; None when empty."""
        count = self.count
        if not count:
            return None
        rank, below = share * count, 0
        for index, number in enumerate(self.buckets):
            if number and below + number >= rank:
                low = self.bounds[index - 1] if index else 0.0
                high = self.bounds[index] if index < len(self.bounds) else low
                return low + (high - low) * (rank - below) / number
            below += number
        return self.bounds[-1]

    def slower(self, duration: float) -> int:
        """How many took longer than `duration`, or than the bound above it."""
        return sum(self.buckets[bisect_left(self.bounds, duration) + 1 :])


class LongHistogram(Histogram):
    """Of streams."""

    __slots__ = ()
    bounds = LONG_BOUNDS
    exposed = EXPOSED_LONG


class StreamedExchange(Protocol):
    """An exchange with a stream, as its counts see it while it lasts."""

    @property
    def request_bytes(self) -> int: ...
    @property
    def response_bytes(self) -> int: ...
    @property
    def request_chunks(self) -> int: ...
    @property
    def response_chunks(self) -> int: ...


class StreamCounts:
    """
    The streams among the exchanges of a TargetCounts. open: those that were sent on and have not ended; seconds: how
    long the others lasted; first_byte: from the request's head to the first byte of the answer; chunks: of those that
    ended.
    """

    __slots__ = ("first_byte", "open", "request_chunks", "response_chunks", "seconds")

    def __init__(self) -> None:
        self.open: dict[StreamedExchange, None] = {}
        self.seconds = LongHistogram()
        self.first_byte = LongHistogram()
        self.request_chunks = 0
        self.response_chunks = 0

    def with_open(self, name: str) -> int:
        """A counter of chunks, with those of the streams that are open."""
        whole: int = getattr(self, name) + sum(getattr(one, name) for one in self.open)
        return whole


class CountedByEach:
    """
    What each exchange writes to in its TargetCounts, in a class of its own so that it is in one line of the processor's
    cache: Python sorts the slots of a class by name.
    """

    __slots__ = ("_buckets", "_ok", "_seconds", "request_bytes", "response_bytes")


class TargetCounts(CountedByEach):
    """
    The exchanges of one listener that one route sent to one cluster (or that the route answered itself). streams: of
    those with a stream, None before the first; cached: of those that the route answered itself, the ones by an answer
    that it had kept.
    """

    __slots__ = ("_latency", "_others", "cached", "fallbacks", "hedges", "retries", "streams")
    names: ClassVar[tuple[str, ...]] = (
        "outcomes", "latency", "streams", "request_bytes", "response_bytes", "retries", "hedges", "fallbacks", "cached",
    )  # fmt: skip
    """All that is counted here, by attribute."""

    def __init__(self) -> None:
        self.streams: StreamCounts | None = None
        self._ok = 0  # nearly all exchanges; in a dictionary it would cost each of them four lines of the cache
        self._others: dict[str, int] = {}
        self.retries = 0
        self.hedges = 0
        self.fallbacks = self.cached = 0
        self._latency = latency = Histogram()
        self._buckets = latency.buckets
        self._seconds = 0.0  # what `latency.total` lacks
        self.request_bytes = 0
        self.response_bytes = 0

    @property
    def latency(self) -> Histogram:
        """Of the exchanges whose messages were whole; its total is that of the moment when it is asked for here."""
        latency = self._latency
        latency.total += self._seconds
        self._seconds = 0.0
        return latency

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many ended in which way, those that there were; a copy, see `count`."""
        return {"ok": self._ok, **self._others} if self._ok else self._others.copy()

    def count(self, outcome: str, number: int = 1) -> None:
        """Add to `outcomes`."""
        if outcome == "ok":
            self._ok += number
        else:
            self._others[outcome] = self._others.get(outcome, 0) + number

    def of_streams(self) -> StreamCounts:
        """The counts of streams, made with the first of them."""
        if self.streams is None:
            self.streams = StreamCounts()
        return self.streams

    def with_open(self, name: str) -> int:
        """A counter of bytes, with what has passed of the streams that are open."""
        done: int = getattr(self, name)
        return done if self.streams is None else done + sum(getattr(one, name) for one in self.streams.open)


class MirrorCounts:
    """The copies of requests that one route sent to one cluster besides."""

    __slots__ = ("compared", "differences", "dropped", "failures", "requests")

    def __init__(self) -> None:
        self.compared = 0
        """Answers that were compared with the original's."""
        self.differences = 0
        self.dropped = 0
        """Copies that were not sent: too many under way, or no endpoint."""
        self.failures = 0
        """Copies without an answer."""
        self.requests = 0


class ListenerCounts:
    """What a listener counts that belongs to no route."""

    __slots__ = (
        "active_exchanges", "bytes_received", "bytes_sent", "connections", "connections_active", "connections_refused",
        "decode_errors", "destroyed_local_active", "destroyed_remote_active", "events", "filter_errors", "heartbeats",
        "idle_timeouts", "local_answers", "oneway", "overfull", "plugin_errors", "requests", "stalled", "tls_errors",
        "unmatched_responses",
    )  # fmt: skip

    def __init__(self) -> None:
        self.active_exchanges = 0
        """Exchanges under way."""
        self.bytes_received = 0
        self.bytes_sent = 0
        self.connections = 0
        """Accepted since the start."""
        self.connections_active = 0
        self.connections_refused = 0
        """Closed on arrival: max_connections, or overload."""
        self.decode_errors = 0
        """Connections closed because their bytes were not the protocol."""
        self.destroyed_local_active = 0
        """Exchanges that were under way when the proxy closed their client's connection."""
        self.destroyed_remote_active = 0
        """Exchanges that were under way when the client closed its connection."""
        self.events = 0
        """Pushes of servers that were passed on to clients."""
        self.filter_errors = 0
        """Filter hooks that raised."""
        self.heartbeats = 0
        """Heartbeats of clients, answered by the proxy."""
        self.idle_timeouts = 0
        self.local_answers = 0
        """Requests that the codec answered itself (login, HELLO, PING of some protocols)."""
        self.oneway = 0
        self.overfull = 0
        """Connections closed because far more than `max_buffered` waited for a client that does not read."""
        self.requests = 0
        """Exchanges begun, one-way included, heartbeats not."""
        self.stalled = 0
        """Connections closed because the client took no byte for `stall_timeout` while answers waited."""
        self.tls_errors = 0
        """Connections closed as their TLS handshake failed."""
        self.unmatched_responses = 0
        """Messages of kind RESPONSE or ERROR that a client sent."""
        self.plugin_errors: dict[str, int] = {}
        """Class.method of a codec, filter or balancer -> how often it raised, or gave what it may not give."""


class ClusterCounts:
    """What a cluster counts that belongs to no endpoint."""

    __slots__ = (
        "check_failures", "checks", "discoveries", "discovery_failures", "ejections", "ejections_refused",
        "no_endpoint", "overflow_connections", "overflow_pending", "overflow_requests", "plugin_errors",
        "promotions", "redirects",
    )  # fmt: skip

    def __init__(self) -> None:
        self.plugin_errors: dict[str, int] = {}
        self.checks = 0
        self.discoveries = 0
        self.discovery_failures = 0
        self.check_failures = 0
        self.ejections: dict[str, int] = {}
        self.ejections_refused = 0
        self.no_endpoint = 0
        self.overflow_connections = 0
        self.overflow_pending = 0
        self.overflow_requests = 0
        self.promotions = 0
        self.redirects = 0


class EndpointCounts:
    """What is counted for one endpoint. `latency`: from the request to its whole answer; streams are not in it."""

    __slots__ = (
        "bytes_received", "bytes_sent", "connect_errors", "connect_timeouts", "connections", "decode_errors",
        "errors", "heartbeats", "late", "latency", "requests", "resets", "successes", "timeouts", "unmatched",
    )  # fmt: skip

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.connect_errors = 0
        self.connect_timeouts = 0
        self.connections = 0
        """Connections opened since the start."""
        self.decode_errors = 0
        """Connections closed because the server's bytes were not the protocol."""
        self.errors = 0
        """Answers that say that the call failed."""
        self.heartbeats = 0
        self.late = 0
        """Answers that came after their exchange had ended; dropped."""
        self.requests = 0
        self.resets = 0
        """Requests lost because their connection ended."""
        self.successes = 0
        self.timeouts = 0
        self.unmatched = 0
        """Answers to nothing that was asked; dropped."""
        self.latency = Histogram()


class Counter:
    """
    Counts exchanges that have ended. From `hold` on it may be seen from `settle` on only, which is called soon, and
    `fetch` a while before it: in C, where this is derived from; here all is counted at once.
    """

    __slots__ = ()

    def ended(
        self,
        counts: TargetCounts,
        outcome: str,
        request_bytes: int,
        response_bytes: int,
        duration: float,
        of_endpoint: Histogram | None,
    ) -> None:
        """An exchange that lasted so long, seconds; that in the endpoint's histogram as well, unless it is None."""
        if outcome == "ok":  # without a call more for nearly all of them
            counts._ok += 1
        else:
            counts.count(outcome)
        counts.request_bytes += request_bytes
        counts.response_bytes += response_bytes
        bucket = bisect_left(BOUNDS, duration)
        counts._buckets[bucket] += 1
        counts._seconds += duration
        if of_endpoint is not None:
            of_endpoint.buckets[bucket] += 1
            of_endpoint.total += duration

    def hold(self) -> None: ...

    def fetch(self) -> None: ...

    def settle(self) -> None: ...


def _grown(now: array[int], before: array[int]) -> dict[int, int]:
    more = list(map(sub, now, before))
    return dict(zip(compress(range(len(more)), more), filter(None, more), strict=True))


class Counting(NamedTuple):
    """
    What counts, in C or in Python.

    counter: see Counter. bucket_of: finds the bucket of BOUNDS that a duration is counted in. grown: what buckets have
    more than before, by place.
    """

    counter: Counter
    bucket_of: Callable[[float], int]
    grown: Callable[[array[int], array[int]], dict[int, int]]


def _counting() -> Counting:
    """Return what is compiled, or the same in Python."""
    try:
        compiled = import_module("metaproxy._counting")
    except ModuleNotFoundError:  # see setup.py
        return Counting(Counter(), partial(bisect_left, BOUNDS), _grown)
    compiled.use(BOUNDS)
    return Counting(compiled.HoldingCounter(), compiled.bucket_of, compiled.grown)


counter, bucket_of, grown = _counting()
