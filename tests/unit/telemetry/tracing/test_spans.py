"""Spans on their way: the queue's bound, what is counted, the end. The SDK's thread is real; nothing waits for time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from observing import observing
from opentelemetry.exporter.otlp.json.http import OTLPSpanExporter
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from metaproxy.telemetry.tracing import spans as module
from metaproxy.telemetry.tracing.spans import DEFAULT_URLS, Spans, make_exporter

PATIENCE = 20.0  # seconds for another thread, on a machine that is busy


class Reactor(Clock):
    """A clock that runs at once what a thread wants the reactor to run; called: set when it did."""

    def __init__(self) -> None:
        super().__init__()
        self.called = threading.Event()

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        call(*args)
        self.called.set()


class Collector(SpanExporter):
    """Takes spans when `open` is set, and answers `result`; seen: a release each time."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.names: list[str] = []
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.release()
        assert self.open.wait(PATIENCE)
        self.names += [span.name for span in spans]
        self.done.release()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.closed = True


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What was logged."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append(formatEvent(event))

    with observing(note):
        yield lines


def made(collector: Collector, most: int = 100, interval: float = 3600.0) -> tuple[Spans, Reactor]:
    reactor = Reactor()
    return Spans(lambda: collector, {"service.name": "tests"}, interval, most, reactor), reactor


def end(spans: Spans, name: str) -> None:
    spans.start(name, SpanKind.SERVER, None, 1000.0).end(1001 * 10**9)


def stop(spans: Spans) -> None:
    over = threading.Event()
    spans.stop().addCallback(lambda _: over.set())
    assert over.wait(PATIENCE)


def samples(spans: Spans) -> dict[str, float]:
    found = [sample for family in spans.collect() for sample in family.samples]
    return {sample.labels.get("result", "queue"): sample.value for sample in found}


def test_what_waits_is_sent_at_the_end() -> None:
    collector = Collector()
    spans, _ = made(collector)
    for name in "abc":
        end(spans, name)
    assert samples(spans) == {"exported": 0, "failed": 0, "dropped": 0, "queue": 3}
    stop(spans)
    assert (collector.names, collector.closed) == (["a", "b", "c"], True)
    assert samples(spans) == {"exported": 3, "failed": 0, "dropped": 0, "queue": 0}
    end(spans, "late")
    assert (spans.dropped, collector.names) == (1, ["a", "b", "c"])


def test_a_queue_that_is_full_drops_new_spans_and_counts_them() -> None:
    collector = Collector()
    collector.open.clear()
    spans, _ = made(collector, most=4)
    for name in "abcd":
        end(spans, name)
    assert collector.asked.acquire(timeout=PATIENCE)  # a whole batch: its thread took them, and has not sent them
    for name in "efgh":
        end(spans, name)
    assert (spans.waiting, spans.dropped) == (4, 4)
    collector.open.set()
    stop(spans)
    assert (collector.names, spans.exported, spans.dropped) == (["a", "b", "c", "d"], 4, 4)


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, OSError("nobody there")], ids=["refused", "unreachable"])
def test_a_collector_that_fails_costs_the_spans_and_is_told_once_a_minute(result: Any, told: list[str]) -> None:
    collector = Collector(result)
    spans, _ = made(collector, interval=0.001)
    end(spans, "a")
    assert collector.done.acquire(timeout=PATIENCE)
    end(spans, "b")
    assert collector.done.acquire(timeout=PATIENCE)
    stop(spans)
    assert samples(spans) == {"exported": 0, "failed": 2, "dropped": 0, "queue": 0}
    (line,) = told
    assert "spans can't be exported" in line and ("nobody there" in line) == isinstance(result, OSError)


def test_the_end_does_not_wait_for_a_collector_that_hangs() -> None:
    collector = Collector()
    collector.open.clear()
    spans, reactor = made(collector, interval=0.001)
    end(spans, "a")
    assert collector.asked.acquire(timeout=PATIENCE)
    done = spans.stop()
    reactor.advance(module.LAST_CHANCE - 0.1)
    assert not done.called
    reactor.advance(0.1)
    assert done.called
    collector.open.set()
    assert reactor.called.wait(PATIENCE)  # its thread comes to an end too


def test_what_no_time_is_left_for_is_counted_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_CHANCE", 0.0)
    collector = Collector()
    spans, _ = made(collector)
    end(spans, "a")
    stop(spans)
    assert (collector.names, spans.failed) == ([], 1)


def test_nothing_runs_before_the_first_span() -> None:
    before = threading.active_count()
    spans = Spans(lambda: pytest.fail("made"), {}, 1.0, 10, Reactor())
    assert samples(spans) == {"exported": 0, "failed": 0, "dropped": 0, "queue": 0}
    assert spans.stop().called
    assert threading.active_count() == before


def test_spans_of_exchanges_that_outlive_their_configuration_are_dropped() -> None:
    collector = Collector()
    spans, _ = made(collector)
    assert spans.stop().called
    end(spans, "late")
    assert (spans.dropped, spans.waiting) == (1, 0)
    assert spans.stop() is not None


def test_each_kind_of_collector_has_its_exporter() -> None:
    otlp = make_exporter("otlp", DEFAULT_URLS["otlp"], {"authorization": "x"}, 2.0)
    zipkin = make_exporter("zipkin", DEFAULT_URLS["zipkin"], {"authorization": "x"}, 2.0)
    assert isinstance(otlp, OTLPSpanExporter) and isinstance(zipkin, ZipkinExporter)
    assert (zipkin.endpoint, zipkin.timeout) == (DEFAULT_URLS["zipkin"], 2.0)
    assert zipkin.session.headers["authorization"] == "x"
    for one in (otlp, zipkin):
        one.shutdown()
