"""
What was counted lately: counters and latencies of routes, clusters and endpoints over the last seconds, and what is
usual for them.

Lives here: `Windows`, which copies the counters from time to time, and `Added`, what came in a while. Does not:
counting (`counts`: the path only adds to plain attributes, and none of this costs an exchange anything), what is wrong
(`admin.problems`).

Memory is bounded: of each source KEPT seconds in slices of STEP, each with only what changed in it, and USUAL numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.counts import ClusterCounts, EndpointCounts, Histogram, TargetCounts, grown
from metaproxy.telemetry.roles import Proxy

STEP = 2.0
"""Seconds of a slice: how smoothly the window slides."""
KEPT = 60.0
"""Seconds, the longest window."""
EPSILON = 1e-6
"""What a sum of seconds may be wrong by."""
AT_ONCE, LOOKS = 15, 200
"""Sources that are copied in one turn of the reactor, and those that are looked at: about a millisecond."""

SAMPLE = 10.0
"""Seconds of which one p99 is kept, to know what is usual."""
LEAST = 20
"""Exchanges of which a sample is made at least; with fewer a sample lasts longer."""
USUAL = 90
"""Samples that are kept: a quarter of an hour."""
FACTOR, FLOOR = 3.0, 0.005
"""How many times the usual p99, and how many seconds above it, is no longer usual."""


class Added:
    """What was added in a while. buckets: of counts.Histogram, by place; counters: by name."""

    __slots__ = ("buckets", "counters")

    def __init__(self, buckets: Mapping[int, int] | None = None, counters: Mapping[str, int] | None = None) -> None:
        self.buckets: dict[int, int] = dict(buckets or {})
        self.counters: dict[str, int] = dict(counters or {})

    def take(self, other: Added) -> None:
        """Adds what was added meanwhile, or elsewhere."""
        _add(self.buckets, other.buckets)
        _add(self.counters, other.counters)

    def drop(self, other: Added) -> None:
        """Takes out again what `take` added."""
        for key, number in other.buckets.items():
            self.buckets[key] -= number
            if not self.buckets[key]:
                del self.buckets[key]
        for name, number in other.counters.items():
            self.counters[name] -= number
            if not self.counters[name]:
                del self.counters[name]

    def __bool__(self) -> bool:
        return bool(self.buckets or self.counters)

    def __getitem__(self, name: str) -> int:
        """A counter; 0 when nothing was added to it."""
        return self.counters.get(name, 0)

    @property
    def count(self) -> int:
        """Exchanges whose latency was measured."""
        return sum(self.buckets.values())

    def histogram(self) -> Histogram:
        """The latencies; its `total` is not known."""
        return Histogram(self.buckets)

    def percentile(self, share: float) -> float | None:
        """Seconds, as counts.Histogram has it; None when there was no exchange."""
        return self.histogram().percentile(share) if self.buckets else None

    def slower(self, duration: float) -> int:
        return self.histogram().slower(duration) if self.buckets else 0


Key = TypeVar("Key")


def _add(mine: dict[Key, int], theirs: Mapping[Key, int]) -> None:
    for key, number in theirs.items():
        mine[key] = mine.get(key, 0) + number


C = TypeVar("C")


class CountsSource(NamedTuple, Generic[C]):
    """counts: the object that the path adds to; counters: reads those of its counters that are wanted, by name."""

    counts: C
    counters: Callable[[C], Mapping[str, int]]


Source = CountsSource[Any]
"""One of any kind of counts: sources of endpoints, clusters and targets are looked at together."""


class Usual:
    """
    What a p99 usually is: the median of those of the last quarter of an hour. A slow time is left out, as it would
    soon be the usual one; when it lasts longer than all that is remembered, it is.
    """

    __slots__ = ("_away", "_began", "_pending", "_samples")

    def __init__(self, now: float) -> None:
        self._samples: deque[float] = deque(maxlen=USUAL)
        self._pending = Added()
        self._began = now
        self._away = 0

    @property
    def waits(self) -> bool:
        """Whether something was added that is no sample yet."""
        return bool(self._pending)

    @property
    def value(self) -> float | None:
        """Seconds; None before enough was seen."""
        return sorted(self._samples)[(len(self._samples) - 1) // 2] if self._samples else None

    def take(self, added: Added, now: float) -> None:
        self._pending.take(added)
        if now - self._began < SAMPLE or self._pending.count < LEAST:
            return
        p99 = self._pending.percentile(0.99)
        self._pending, self._began = Added(), now
        if p99 is None:
            return
        self._away = self._away + 1 if self._samples and p99 > self.bound() else 0
        if self._away > USUAL:
            self._samples.clear()
            self._away = 0
        if not self._away:
            self._samples.append(p99)

    def bound(self) -> float:
        """Seconds; what is slower is not usual."""
        usual = self.value
        return float("inf") if usual is None else max(usual * FACTOR, usual + FLOOR)


class _Track:
    """What is known of one source."""

    __slots__ = ("_buckets", "_counters", "_histogram", "_slices", "_whole", "source", "usual")

    def __init__(self, source: Source, now: float) -> None:
        self.source = source
        self.usual = Usual(now)
        self._histogram: Histogram | None = getattr(source.counts, "latency", None)
        self._buckets = Histogram().buckets
        self._counters: Mapping[str, int] = {}
        self._slices: deque[tuple[float, Added]] = deque()
        self._whole = Added()  # all slices together: the longest window is the one that is read most

    def turn(self, now: float) -> bool:
        """Ends a slice. Return whether there was something to do."""
        if not self._slices and not self.usual.waits and self._same():
            return False
        added = self._since()
        if added:
            self._slices.append((now, added))
            self._whole.take(added)
            self._counters = dict(self.source.counters(self.source.counts))
            if self._histogram is not None and added.buckets:
                self._buckets[:] = self._histogram.buckets
        self._forget(now)
        self.usual.take(added, now)
        return True

    def _same(self) -> bool:
        """Whether nothing was counted since the last slice."""
        if self._histogram is not None and self._histogram.buckets != self._buckets:
            return False
        return self._counters == self.source.counters(self.source.counts)

    def read(self, now: float, seconds: float) -> Added:
        """What was added in the last `seconds`: whole slices, and what came since."""
        self._forget(now)
        whole = self._since()
        if seconds >= KEPT:
            whole.take(self._whole)
            return whole
        for ended, added in reversed(self._slices):
            if ended - STEP < now - seconds - EPSILON:
                break
            whole.take(added)
        return whole

    def _forget(self, now: float) -> None:
        while self._slices and self._slices[0][0] - STEP < now - KEPT - EPSILON:
            self._whole.drop(self._slices.popleft()[1])

    def _since(self) -> Added:
        """What was added since the last slice."""
        before = self._counters
        counters = self.source.counters(self.source.counts).items()
        more = Added(counters={name: more for name, value in counters if (more := value - before.get(name, 0)) > 0})
        if self._histogram is not None:
            more.buckets = grown(self._histogram.buckets, self._buckets)
        return more


class Windows:
    """
    sources: gives what there is now; it is asked at each step. clock: the reactor's. between: called from time to time
    by a look at all sources, where other work may go on. `start` and `stop` may be called once each; without a start a
    window has all that was counted so far.
    """

    def __init__(
        self,
        sources: Callable[[], Iterable[Source]],
        clock: IReactorTime,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._between = between
        self._tracks: dict[int, _Track] = {}
        self._pass: Iterator[Source] = iter(())  # what is left to look at in this step
        self._seen: dict[int, _Track] = {}  # those of `_tracks` whose sources the step has found
        self._readers: dict[type, Callable[[Any], Mapping[str, int]]] = {}
        self._timer: IDelayedCall | None = None
        self._began = self._started = clock.seconds()

    def start(self) -> None:
        self._timer = self._clock.callLater(STEP, self._step)

    def stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def read(self, counts: object, seconds: float) -> Added:
        """What was added to `counts`, one of the sources, in the last `seconds` (up to KEPT)."""
        track = self._tracks.get(id(counts)) or self._begun(counts)
        return Added() if track is None else track.read(self._clock.seconds(), seconds)

    def _begun(self, counts: object) -> _Track | None:
        """The track of a source that has begun to count since the last look at it; None if it has not, or is none."""
        reader = self._readers.get(type(counts))
        if reader is not None and not _has_counted(CountsSource(counts, reader)):
            return None
        # All that are new at once: to look each up among thousands would take as many looks at all of them.
        for source in self._sources():
            self._between()
            track = self._track(source)
            if track is not None:
                self._seen.setdefault(id(source.counts), track)  # a step that ends meanwhile keeps it
        return self._tracks.get(id(counts))

    def span(self, seconds: float) -> float:
        """How long a window of `seconds` is in truth: whole slices and what came since, and not before the start."""
        now = self._clock.seconds()
        since = now - self._began
        whole = max(int((seconds - since) / STEP + EPSILON), 0) * STEP + since
        return max(min(whole, now - self._started), 1.0)

    def usual(self, counts: object) -> Usual | None:
        """What is usual for one of the sources; None for one that is new."""
        track = self._tracks.get(id(counts))
        return None if track is None else track.usual

    def _track(self, source: Source) -> _Track | None:
        """
        What is known of a source; None while it has counted nothing. Of a large mesh most have not: they cost a look,
        and no memory.
        """
        self._readers[type(source.counts)] = source.counters
        track = self._tracks.get(id(source.counts))
        if track is None and _has_counted(source):
            track = self._tracks[id(source.counts)] = _Track(source, self._clock.seconds())
        return track

    def _step(self) -> None:
        self._began = self._clock.seconds()
        self._pass, self._seen = iter(self._sources()), {}
        self._some()

    def _some(self) -> None:
        now = self._clock.seconds()
        turned = 0
        for looked, source in enumerate(self._pass, 1):
            track = self._track(source)
            if track is not None:
                self._seen[id(source.counts)] = track
                turned += track.turn(now)
            if turned >= AT_ONCE or looked >= LOOKS:
                self._timer = self._clock.callLater(0, self._some)
                return
        self._tracks, self._seen = self._seen, {}
        self._timer = self._clock.callLater(max(self._began + STEP - now, 0.0), self._step)


def _has_counted(source: Source) -> bool:
    latency: Histogram | None = getattr(source.counts, "latency", None)
    return any(source.counters(source.counts).values()) or (latency is not None and any(latency.buckets))


# -- what is looked at


def _endpoint(counts: EndpointCounts) -> Mapping[str, int]:
    """Tries and those that failed. A connection that can't be had is a try, too, although no request was written."""
    lost = counts.connect_errors + counts.connect_timeouts
    failed = counts.errors + counts.timeouts + counts.resets + counts.decode_errors
    return {"tries": counts.requests + lost, "failed": failed + lost}


def _target(counts: TargetCounts) -> Mapping[str, int]:
    return counts.outcomes


def _cluster(counts: ClusterCounts) -> Mapping[str, int]:
    return {name: getattr(counts, name) for name in ("no_endpoint", "overflow_requests", "overflow_pending")}


def sources(proxy: Proxy) -> Iterable[Source]:
    """The counts of a service.ProxyService: of endpoints, of clusters, and of where each route sends requests."""
    # What is left of it is asked for later, when there may be other listeners and clusters.
    clusters = list(proxy.snapshot.clusters.values()) if proxy.snapshot is not None else []
    for cluster in clusters:
        yield CountsSource(cluster.counts, _cluster)
        for endpoint in cluster.endpoints:
            yield CountsSource(endpoint.counts, _endpoint)
    for listener in list(proxy.listeners.values()):
        for route in (*listener.snapshot.routes.routes, listener.snapshot.no_route):
            for target in route.all_targets():
                yield CountsSource(target.counts, _target)
