"""
The trace that a request belongs to, read from its metadata and written into them: W3C trace context and B3.

Lives here: which formats there are, in which order they are looked for, which are written. Does not: the formats, which
are OpenTelemetry's propagators; when a request is traced (`tracing`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    format_span_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Get = Callable[[str], str | None]
Set = Callable[[str, str], None]

MAX_VALUE = 4096
"""Characters of a value that is looked at; the longest that W3C wants to be passed on has 512."""
PARENT = "x-b3-parentspanid"


class Format(NamedTuple):
    """mark: the key without which a request has no context in this format."""

    propagator: TextMapPropagator
    mark: str


FORMATS: dict[str, Format] = {
    "w3c": Format(TraceContextTextMapPropagator(), "traceparent"),
    "b3multi": Format(B3MultiFormat(), "x-b3-traceid"),
    "b3": Format(B3SingleFormat(), "b3"),
}


class _Getter(Getter[Get]):
    def get(self, carrier: Get, key: str) -> list[str] | None:
        value = carrier(key)
        return [value] if value is not None and len(value) <= MAX_VALUE else None

    def keys(self, carrier: Get) -> list[str]:
        return []


class _Setter(Setter[Set]):
    def set(self, carrier: Set, key: str, value: str) -> None:
        carrier(key, value)


_GETTER, _SETTER = _Getter(), _Setter()
_EMPTY = Context()


class Propagation:
    """names: of FORMATS, those that are written; they are looked for first, and in this order."""

    def __init__(self, names: Sequence[str]) -> None:
        self._written = [FORMATS[name] for name in names]
        self._others = [one for name, one in FORMATS.items() if name not in names]

    def extract(self, get: Get) -> SpanContext | None:
        """Return the span that the request was sent under; None when it has none."""
        for one in (*self._written, *self._others):
            if get(one.mark) is not None:
                found = get_current_span(one.propagator.extract(get, _EMPTY, _GETTER)).get_span_context()
                if found.is_valid:
                    return found
        return None

    def inject(self, span: Span, parent: SpanContext | None, get: Get, set: Set) -> None:
        """Write `span` into the request: in the formats asked for, and in each other format that it had a span in."""
        context = set_span_in_context(span, _EMPTY)
        for one in self._written:
            one.propagator.inject(set, context, _SETTER)
        for one in self._others:
            if get(one.mark) is not None:
                one.propagator.inject(set, context, _SETTER)
        if parent is not None and get(PARENT) is not None:
            set(PARENT, format_span_id(parent.span_id))


def as_parent(context: SpanContext | None) -> Context:
    """What the SDK takes for a parent: the context of a span elsewhere, or of none."""
    return set_span_in_context(NonRecordingSpan(context) if context is not None else INVALID_SPAN, _EMPTY)
