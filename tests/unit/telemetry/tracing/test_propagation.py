from __future__ import annotations

import random

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, get_current_span
from present import present

from metaproxy.telemetry.tracing.propagation import MAX_VALUE, Propagation, as_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
W3C = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=x"}
MULTI = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}
SINGLE = {"b3": f"{TRACE}-{SPAN}-1"}


def own(trace: int = 1, span: int = 2, **options: str) -> NonRecordingSpan:
    state = TraceState(list(options.items()))
    return NonRecordingSpan(SpanContext(trace, span, False, TraceFlags(TraceFlags.SAMPLED), state))


def injected(names: list[str], metadata: dict[str, str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    propagation = Propagation(names)
    propagation.inject(own(), propagation.extract(metadata.get), metadata.get, changes.__setitem__)
    return changes


@pytest.mark.parametrize("metadata", [W3C, MULTI, SINGLE], ids=["w3c", "b3multi", "b3"])
@pytest.mark.parametrize("names", [["w3c"], ["b3"], ["b3multi"]])
def test_a_context_is_found_in_whatever_format_it_came(metadata: dict[str, str], names: list[str]) -> None:
    found = Propagation(names).extract(metadata.get)
    assert found is not None
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled) == (TRACE, SPAN, True)


def test_the_first_of_the_formats_asked_for_counts() -> None:
    other = {"b3": f"{'1' * 32}-{'2' * 16}-1"}
    both = {**W3C, **other}
    assert present(Propagation(["w3c", "b3"]).extract(both.get)).trace_id == int(TRACE, 16)
    assert present(Propagation(["b3", "w3c"]).extract(both.get)).trace_id == int("1" * 32, 16)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"traceparent": ""},
        {"traceparent": "00-zz-yy-01"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": "0" * (MAX_VALUE + 1)},
        {"b3": "0"},
        {"x-b3-traceid": TRACE},
    ],
)
def test_what_is_no_context_is_none(metadata: dict[str, str]) -> None:
    assert Propagation(["w3c", "b3", "b3multi"]).extract(metadata.get) is None


def test_whatever_a_client_sends_there_is_a_context_or_none() -> None:
    rng = random.Random(11)
    pieces = [
        TRACE,
        SPAN,
        "00",
        "01",
        "ff",
        "-",
        "1",
        "d",
        "=",
        ",",
        "vendor",
        "\u00fc",
        "\ufffd",
        "\x00",
        " ",
        "z" * 600,
    ]
    keys = ["traceparent", "tracestate", *MULTI, "x-b3-flags", "x-b3-parentspanid", *SINGLE]
    valid = {**W3C, **MULTI, **SINGLE}
    found = 0
    for _ in range(2000):
        metadata = {key: valid[key] for key in keys if key in valid and rng.random() < 0.3}
        for key in rng.sample(keys, 2):
            metadata[key] = "".join(rng.choices(pieces, k=rng.randrange(5)))
        propagation = Propagation(rng.choice([["w3c"], ["b3"], ["b3multi", "w3c"]]))
        parent = propagation.extract(metadata.get)
        found += parent is not None
        changes: dict[str, str] = {}
        propagation.inject(own(), parent, metadata.get, changes.__setitem__)
        assert changes and all(value.isprintable() for value in changes.values())
    assert 100 < found < 1900


def test_each_format_asked_for_is_written() -> None:
    assert injected(["w3c"], {}) == {"traceparent": f"00-{'0' * 31}1-{'0' * 15}2-01"}
    assert injected(["b3"], {}) == {"b3": f"{'0' * 31}1-{'0' * 15}2-1"}
    assert injected(["b3multi"], {}) == {
        "x-b3-traceid": f"{'0' * 31}1", "x-b3-spanid": f"{'0' * 15}2", "x-b3-sampled": "1",
    }  # fmt: skip


def test_a_format_that_the_client_used_does_not_go_on_telling_of_its_span() -> None:
    assert injected(["w3c"], SINGLE).keys() == {"traceparent", "b3"}
    assert injected(["b3"], MULTI).keys() == {"b3", *MULTI}
    assert injected(["b3multi"], {**MULTI, "x-b3-parentspanid": "9" * 16})["x-b3-parentspanid"] == SPAN


def test_a_parent_of_none_is_a_new_trace() -> None:
    assert not get_current_span(as_parent(None)).get_span_context().is_valid
