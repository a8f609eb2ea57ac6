"""
Spans on their way to a collector, off the data path: made by the OpenTelemetry SDK, sent in batches by a thread of its.

Lives here: `Spans`: one exporter with its queue, its counts and its end. Does not: which exchange has a span, and what
it says (`tracing`).

The queue is bounded. A collector that is away, slow or refuses costs spans, which are counted, and nothing else. The
thread runs from the first span on: a process that only checks a configuration, or forks at its start, has none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from metaproxy.support.log_throttle import LogThrottle
from metaproxy.telemetry.tracing.propagation import as_parent

log = Logger()

BATCH = 256
"""Spans of one request to the collector. The thread encodes them in some milliseconds, and the path waits."""
LAST_CHANCE = 3.0
"""Seconds that the end waits for what is left to be sent."""
MAX_ATTRIBUTES = 256

DEFAULT_URLS = {"otlp": "http://127.0.0.1:4318/v1/traces", "zipkin": "http://127.0.0.1:9411/api/v2/spans"}


def make_exporter(name: str, url: str, headers: Mapping[str, str], timeout: float) -> SpanExporter:
    """name: of DEFAULT_URLS. timeout: seconds for one request, repetitions included."""
    # Each needs libraries of its own; only its users wait until they are loaded.
    if name == "otlp":
        from opentelemetry.exporter.otlp.json.http import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=timeout)
    import requests
    from opentelemetry.exporter.zipkin.json import ZipkinExporter

    session = requests.Session()
    session.headers.update(headers)
    return ZipkinExporter(endpoint=url, timeout=timeout, session=session)  # type: ignore[arg-type]


class Clock(Protocol):
    """What `Spans` needs of the reactor."""

    def seconds(self) -> float: ...
    def callLater(self, delay: float, callable: Callable[..., object], /) -> IDelayedCall: ...
    def callFromThread(self, callable: Callable[..., object], /, *arguments: object) -> None: ...


class Spans:
    """
    make: gives the exporter when the first span is made; about: service name and the like, for each span; interval:
    seconds that a span waits at most to be sent; most: spans that may wait. clock: the reactor.
    """

    def __init__(
        self, make: Callable[[], SpanExporter], about: Mapping[str, str], interval: float, most: int, clock: Clock
    ) -> None:
        self.make = make
        self.about = about
        self.interval = interval
        self.most = most
        self._clock = clock
        self._tracer: Tracer | None = None
        self._provider: TracerProvider | None = None
        self._gate: _Gate | None = None
        self.stopped = False
        self._log_throttle = LogThrottle(clock.seconds)

    # -- for the path

    def start(self, name: str, kind: SpanKind, parent: SpanContext | None, when: float) -> Span:
        """when: Unix time. The span is on its way once it is ended."""
        tracer = self._tracer or self._open()
        return tracer.start_span(name, as_parent(parent), kind, start_time=int(when * 1e9))

    def _open(self) -> Tracer:
        _quieten()
        self._gate = gate = _Gate(self.make(), self.most, self.interval, self._failed)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(dict(self.about)),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=MAX_ATTRIBUTES),
        )
        self._provider.add_span_processor(gate)
        self._tracer = tracer = self._provider.get_tracer("metaproxy")
        if self.stopped:  # exchanges that were under way when their configuration was replaced
            gate.closed = True
        return tracer

    # -- for operators

    @property
    def exported(self) -> int:
        """Spans that the collector took."""
        return self._gate.sending.exported if self._gate is not None else 0

    @property
    def failed(self) -> int:
        """Spans that it did not take."""
        return self._gate.sending.failed if self._gate is not None else 0

    @property
    def dropped(self) -> int:
        """Spans that found no room in the queue, or ended after it was closed."""
        return self._gate.dropped if self._gate is not None else 0

    @property
    def waiting(self) -> int:
        """Spans in the queue."""
        return self._gate.waiting if self._gate is not None else 0

    def collect(self) -> Iterator[Metric]:
        """See docs/reference/metrics.md."""
        spans = CounterMetricFamily("metaproxy_tracing_spans", "Spans by what became of them.", labels=["result"])
        for result, number in (("exported", self.exported), ("failed", self.failed), ("dropped", self.dropped)):
            spans.add_metric([result], number)
        yield spans
        yield GaugeMetricFamily("metaproxy_tracing_queue_spans", "Spans that wait to be exported.", value=self.waiting)

    def _failed(self, text: str) -> None:
        """In the exporter's thread."""
        self._clock.callFromThread(self._tell, text)

    def _tell(self, text: str) -> None:
        if self._log_throttle.allows():
            log.warn(
                "spans can't be exported, {lost} are lost so far: {text}", lost=self.failed + self.dropped, text=text
            )

    # -- the end

    def stop(self) -> Deferred[None]:
        """Sends what is left, for LAST_CHANCE seconds at most; fires then."""
        done: Deferred[None] = Deferred()
        self.stopped = True
        provider, gate = self._provider, self._gate
        if provider is None or gate is None:
            done.callback(None)
            return done
        gate.closed = True
        gate.sending.until = time.monotonic() + LAST_CHANCE

        def over() -> None:
            if timer.active():
                timer.cancel()
            if not done.called:
                done.callback(None)

        def shut_down() -> None:
            provider.shutdown()
            self._clock.callFromThread(over)

        timer = self._clock.callLater(LAST_CHANCE, over)
        # Not of the reactor's pool: its end would wait for a request that the collector leaves unanswered.
        threading.Thread(target=shut_down, name="metaproxy-spans", daemon=True).start()
        return done


class _Gate(SpanProcessor):
    """What the SDK hands each ended span to, in the reactor's thread: bounds and counts what waits."""

    def __init__(self, exporter: SpanExporter, most: int, interval: float, failed: Callable[[str], None]) -> None:
        self.closed = False
        self.dropped = 0
        self.sending = _Sending(exporter, failed)
        self._most = most
        self._taken_in = 0
        # Its queue is never full, as it would throw away old spans and count nothing that can be read.
        self._batches = BatchSpanProcessor(
            self.sending,
            max_queue_size=most + BATCH,
            schedule_delay_millis=interval * 1000.0,
            max_export_batch_size=min(BATCH, most),
        )

    @property
    def waiting(self) -> int:
        return self._taken_in - self.sending.taken

    def on_end(self, span: ReadableSpan) -> None:
        if self.closed or self.waiting >= self._most:
            self.dropped += 1
            return
        self._taken_in += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        self._batches.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._batches.force_flush(timeout_millis)


class _Sending(SpanExporter):
    """An exporter that counts, in the thread of the queue. until: monotonic time after which nothing is sent."""

    def __init__(self, exporter: SpanExporter, failed: Callable[[str], None]) -> None:
        self.exported = self.failed = self.taken = 0
        self.until: float | None = None
        self._exporter = exporter
        self._tell = failed

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result, text = SpanExportResult.FAILURE, "no time is left"
        if self.until is None or time.monotonic() < self.until:
            _SAID.text = ""
            try:
                result = self._exporter.export(spans)
                text = _SAID.text or "the collector refused them"
            except Exception as error:  # requests has a whole family of them, and the thread must live
                text = f"{type(error).__name__}: {error}"
        self.taken += len(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
            self._tell(text[:500])
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Said(logging.Handler):
    """Keeps why an exporter failed, which it writes to Python's logging each time; our log has a line a minute."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_SAID = _Said(logging.WARNING)


def _quieten() -> None:
    logger = logging.getLogger("opentelemetry")
    if _SAID not in logger.handlers:
        logger.addHandler(_SAID)
        logger.propagate = False
