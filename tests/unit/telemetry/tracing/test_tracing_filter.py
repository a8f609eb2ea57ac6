"""Which exchanges are traced, and what their spans tell: over the data path in memory, spans made by the real SDK."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Stage, answer, call
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from present import present

from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Reply
from metaproxy.telemetry.tracing.filter import MAX_METADATA, CustomTag, Policy, Tracing
from metaproxy.telemetry.tracing.propagation import Propagation, as_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
W3C = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
IDS = {reason: f"11111111-2222-{reason}333-8444-555555555555" for reason in "49abc"}


class Kept:
    """In the place of telemetry.spans.Spans: what was ended is in `spans`."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._tracer = provider.get_tracer("tests")

    def start(self, name: str, kind: SpanKind, parent: SpanContext | None, when: float) -> Any:
        return self._tracer.start_span(name, as_parent(parent), kind, start_time=int(when * 1e9))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


class FakeExchange:
    """An exchange as far as tracing looks at it."""

    def __init__(self, **metadata: str) -> None:
        self.message = Message(Kind.REQUEST, b"frame", 7, {"operation": "org.Demo/hi", **metadata})
        self.response: Message | None = Message(Kind.RESPONSE, b"", 7, {"Server": "blue", "server": "blue"})
        self.started, self.ended = 100.0, 100.5
        self.listener, self.protocol, self.route, self.cluster = "front", "dubbo", "main", "demo"
        self.upstream_address, self.outcome, self.details = "127.0.0.1:1000", "ok", ""
        self.request_bytes, self.response_bytes = 120, 48
        self.streamed, self.request_chunks, self.response_chunks, self.first_byte = False, 0, 0, 100.5
        self.learnt: dict[str, str | None] | None = None
        self.attempts, self.matched_route = 1, SimpleNamespace(retry=None)
        self.changes: dict[str, str] = {}
        self.removed: list[str] = []

    def get(self, key: str) -> str | None:
        if key == "source.address":
            return "127.0.0.9"
        if self.learnt is not None and key in self.learnt:
            return self.learnt[key]
        return self.message.get(key)

    def learn(self, key: str, value: str | None) -> None:
        self.learnt = {**(self.learnt or {}), key: value}

    def set(self, key: str, value: str) -> None:
        self.changes[key] = value

    def remove(self, key: str) -> None:
        self.removed.append(key)


def tracing(
    carries: bool = True,
    literal: bool = False,
    names: tuple[str, ...] = ("w3c",),
    seed: int = 1,
    named: bool = False,
    **policy: Any,
) -> tuple[Any, Kept]:
    kept: Any = Kept()
    made = Tracing(
        kept,
        Propagation(names),
        Policy(**policy),
        carries=carries,
        names=named,
        literal=literal,
        node_id="n1",
        zone="z1",
        offset=1000.0,
        rng=random.Random(seed),
    )
    return made, kept


def run(made: Any, exchange: FakeExchange | None = None, **changes: Any) -> FakeExchange:
    exchange = exchange or FakeExchange()
    made.on_request(exchange)
    for name, value in changes.items():
        setattr(exchange, name, value)
    made.on_complete(exchange)
    return exchange


def broken(message: Message) -> None:
    raise FrameError("no metadata in there")


def one(kept: Kept) -> dict[str, Any]:
    (span,) = kept.spans
    return dict(span.attributes or {})


# -- pushes


@pytest.mark.parametrize(
    ("metadata", "policy", "traced"),
    [
        ({"traceparent": W3C}, {}, True),
        ({"traceparent": UNSAMPLED}, {}, False),
        ({}, {"sampling": 100}, False),
        ({"traceparent": W3C}, {"trust": False}, False),
    ],
)
def test_a_push_has_a_span_where_it_carries_the_context_of_one(
    metadata: dict[str, str], policy: dict[str, Any], traced: bool
) -> None:
    made, kept = tracing(**policy)
    push = FakeExchange(**metadata)
    push.outcome, push.response = "event", None
    made.on_complete(push)
    assert (len(kept.spans), push.changes) == (int(traced), {})
    if traced:
        (span,) = kept.spans
        assert span.parent is not None
        assert (f"{span.parent.span_id:016x}", span.kind) == (SPAN, SpanKind.CONSUMER)
        assert made.counters["traced"] == 1


def test_a_push_that_can_t_be_read_has_no_span() -> None:
    made, kept = tracing()
    push = FakeExchange()
    push.outcome, push.message = "event", Message(Kind.EVENT, b"", more=broken)
    made.on_complete(push)
    assert kept.spans == ()


# -- the request id


def test_a_request_without_an_id_gets_one_which_is_forwarded_and_known_to_what_follows() -> None:
    made, kept = tracing(sampling=0)
    exchange = run(made)
    (id,) = exchange.changes.values()
    assert (len(id), id[14], exchange.get("x-request-id")) == (36, "4", id)
    assert kept.spans == () and made.counters == {"traced": 0, "untraced": 1}
    assert run(made).changes["x-request-id"] != id


def test_an_id_that_is_there_stays_and_nothing_is_written() -> None:
    made, kept = tracing()
    for id in (IDS["4"], IDS["c"], "mine", "x" * 5000):
        exchange = run(made, FakeExchange(**{"x-request-id": id, "traceparent": W3C}))
        assert exchange.changes == {} and exchange.get("x-request-id") == id
    assert kept.spans == () and made.counters["untraced"] == 4


def test_a_protocol_that_carries_nothing_has_ids_in_its_spans_and_logs_only() -> None:
    made, kept = tracing(carries=False)
    exchange = run(made, FakeExchange(**{"x-request-id": IDS["4"], "traceparent": W3C}))
    assert exchange.changes == {}
    assert one(kept)["guid:x-request-id"] == exchange.get("x-request-id") != IDS["4"]
    assert kept.spans[0].parent is None


def test_a_context_that_a_statement_names_is_the_spans_parent_though_nothing_can_be_put_there() -> None:
    made, kept = tracing(carries=False, named=True, sampling=0, follow=True)
    exchange = run(made, FakeExchange(traceparent=W3C))
    assert exchange.changes == {}
    parent = kept.spans[0].parent
    assert parent is not None
    assert f"{parent.trace_id:032x}" == W3C.split("-")[1]


def test_a_context_that_a_statement_names_is_not_believed_where_clients_are_not() -> None:
    made, kept = tracing(carries=False, named=True, trust=False)
    run(made, FakeExchange(traceparent=W3C))
    assert kept.spans[0].parent is None


# -- the decision


@pytest.mark.parametrize("reason", list("9ab"))
def test_a_proxy_before_this_one_has_decided(reason: str) -> None:
    made, kept = tracing(sampling=0, overall=0)
    run(made, FakeExchange(**{"x-request-id": IDS[reason]}))
    assert len(kept.spans) == 1


@pytest.mark.parametrize(
    ("metadata", "policy", "reason"),
    [
        ({}, {}, "9"),
        ({}, {"sampling": 0}, "4"),
        ({}, {"overall": 0}, "4"),
        ({"x-client-trace-id": "c"}, {"sampling": 0}, "b"),
        ({"x-client-trace-id": "c"}, {"sampling": 0, "client": 0}, "4"),
        ({"x-client-trace-id": "c"}, {"client": 0}, "9"),
        ({"x-client-trace-id": "c", "x-envoy-force-trace": "1"}, {"sampling": 0, "client": 0}, "a"),
        ({"x-envoy-force-trace": "1"}, {"sampling": 0}, "a"),
        ({"x-envoy-force-trace": "1"}, {"overall": 0}, "4"),
        ({"traceparent": W3C}, {"sampling": 0}, "4"),
        ({"traceparent": W3C}, {"sampling": 0, "follow": True}, "a"),
        ({"traceparent": UNSAMPLED}, {"follow": True}, "4"),
        ({"traceparent": "nonsense"}, {"follow": True}, "9"),
    ],
)
def test_the_first_proxy_decides(metadata: dict[str, str], policy: dict[str, Any], reason: str) -> None:
    made, kept = tracing(**policy)
    exchange = run(made, FakeExchange(**metadata))
    assert exchange.changes["x-request-id"][14] == reason
    assert len(kept.spans) == (reason != "4")


@pytest.mark.parametrize(("policy", "share"), [({"sampling": 12.5}, 0.125), ({"overall": 30}, 0.3)])
def test_a_share_is_sampled(policy: dict[str, Any], share: float) -> None:
    made, _ = tracing(**policy)
    for _ in range(4000):
        run(made)
    # Five standard deviations of a binomial of 4000: at most 0.04.
    assert abs(made.counters["traced"] / 4000 - share) < 5 * (share * (1 - share) / 4000) ** 0.5


def test_a_share_of_the_clients_that_ask_is_sampled() -> None:
    made, _ = tracing(sampling=0, client=25)
    for _ in range(2000):
        run(made, FakeExchange(**{"x-client-trace-id": "c"}))
    assert abs(made.counters["traced"] / 2000 - 0.25) < 0.05


def test_b26_what_clients_claim_is_removed_where_they_are_not_trusted() -> None:
    claims = {"x-request-id": IDS["9"], "traceparent": W3C, "x-envoy-force-trace": "1", "x-client-trace-id": "c"}
    made, kept = tracing(trust=False, sampling=0)
    exchange = run(made, FakeExchange(**claims, tenant="blue"))
    assert kept.spans == ()
    assert exchange.changes["x-request-id"] != IDS["9"] and exchange.changes["x-request-id"][14] == "4"
    assert sorted(exchange.removed) == ["traceparent", "x-client-trace-id", "x-envoy-force-trace"]
    made, kept = tracing(trust=False)
    run(made, FakeExchange(**claims))
    assert kept.spans[0].parent is None


def test_only_what_is_traced_needs_an_id() -> None:
    made, kept = tracing(literal=True, sparing=True, sampling=5)
    exchanges = [run(made) for _ in range(2000)]
    told = [exchange for exchange in exchanges if exchange.changes]
    assert len(told) == len(kept.spans) == made.counters["traced"]
    assert abs(len(told) / 2000 - 0.05) < 5 * (0.05 * 0.95 / 2000) ** 0.5
    assert all(exchange.changes["x-request-id"][14] == "9" for exchange in told)
    assert made.counters["untraced"] == 2000 - len(told)


@pytest.mark.parametrize("key", ["x-request-id", "X-Envoy-Force-Trace", "x-client-trace-id", "TraceParent", "B3"])
def test_what_may_say_something_of_tracing_is_looked_at(key: str) -> None:
    made, kept = tracing(literal=True, sparing=True, sampling=0, follow=True)
    exchange = FakeExchange(
        **{key.lower(): {"x-request-id": IDS["9"], "TraceParent": W3C, "B3": f"{TRACE}-{SPAN}-1"}.get(key, "1")}
    )
    exchange.message.frame = b"...." + key.encode() + b"...."
    run(made, exchange)
    assert len(kept.spans) == 1


def test_a_long_frame_is_decoded_rather_than_searched_and_other_codecs_are_always() -> None:
    for literal, frame in ((True, b"x" * 5000), (False, b"short")):
        made, kept = tracing(literal=literal, sparing=True, sampling=0)
        exchange = FakeExchange(**{"x-request-id": IDS["9"]})
        exchange.message.frame = frame
        run(made, exchange)
        assert len(kept.spans) == 1


# -- the span


@pytest.mark.parametrize(
    ("direction", "name", "kind"),
    [
        ("outbound", "egress org.Demo/hi", SpanKind.CLIENT),
        ("inbound", "ingress org.Demo/hi", SpanKind.SERVER),
        ("unspecified", "ingress org.Demo/hi", SpanKind.SERVER),
    ],
)
def test_b19_a_spans_name_tells_the_direction_and_the_operation(direction: str, name: str, kind: SpanKind) -> None:
    made, kept = tracing(direction=direction)
    run(made)
    assert (kept.spans[0].name, kept.spans[0].kind) == (name, kind)


def test_a_span_of_a_protocol_without_operations_tells_the_direction() -> None:
    made, kept = tracing(direction="outbound")
    exchange = FakeExchange()
    exchange.message.metadata = {}
    run(made, exchange)
    assert kept.spans[0].name == "egress"


def test_a_span_has_the_times_of_the_exchange_its_parent_and_hands_itself_on() -> None:
    made, kept = tracing(names=("w3c", "b3"))
    exchange = run(made, FakeExchange(traceparent=W3C))
    (span,) = kept.spans
    assert (span.start_time, span.end_time) == (1100 * 10**9, 11005 * 10**8)
    assert span.parent is not None and f"{span.parent.span_id:016x}" == SPAN
    context = span.get_span_context()
    assert context is not None and f"{context.trace_id:032x}" == TRACE == exchange.get("trace.id")
    assert exchange.changes["traceparent"] == f"00-{TRACE}-{context.span_id:016x}-01"
    assert exchange.changes["b3"] == f"{TRACE}-{context.span_id:016x}-1"


def test_tags_are_those_of_the_original_and_some_more() -> None:
    made, kept = tracing(metadata=())
    run(made, FakeExchange(**{"x-client-trace-id": "c1"}))
    tags = one(kept)
    assert len(tags.pop("guid:x-request-id")) == 36
    assert tags == {
        "guid:x-client-trace-id": "c1", "upstream_cluster": "demo", "upstream_cluster.name": "demo",
        "upstream_address": "127.0.0.1:1000", "peer.address": "127.0.0.9", "request_size": "120",
        "response_size": "48", "request_id": "7", "node_id": "n1", "zone": "z1", "component": "proxy",
        "listener": "front", "route": "main", "protocol": "dubbo", "outcome": "ok", "response_flags": "-",
    }  # fmt: skip


def test_metadata_of_request_and_answer_are_tags_but_for_credentials() -> None:
    made, kept = tracing()
    run(made, FakeExchange(Tenant="blue", tenant="blue", authorization="Bearer x", **{"App-Token": "y"}))
    found = {name: value for name, value in one(kept).items() if "metadata" in name}
    assert found == {
        "request metadata: operation": "org.Demo/hi", "request metadata: kind": "request",
        "request metadata: Tenant": "blue", "request metadata: authorization": "****",
        "request metadata: App-Token": "****", "response metadata: kind": "response",
        "response metadata: Server": "blue",
    }  # fmt: skip


def test_metadata_may_be_chosen() -> None:
    made, kept = tracing(metadata=("tenant", "app-token"))
    run(made, FakeExchange(tenant="blue", other="x", **{"App-Token": "y", "app-token": "y"}))
    found = {name: value for name, value in one(kept).items() if "metadata" in name}
    assert found == {"request metadata: tenant": "blue", "request metadata: App-Token": "y"}


def test_what_a_peer_sends_is_bounded_in_number_and_length() -> None:
    made, kept = tracing(max_tag_length=32)
    run(made, FakeExchange(**{f"k{number}{'n' * 500}": "v" * 500 for number in range(500)}, operation="o" * 500))
    tags = one(kept)
    assert len([name for name in tags if name.startswith("request metadata")]) == MAX_METADATA
    assert max(map(len, tags.values())) == 36 - 4  # the id too
    assert max(map(len, tags)) < 130 and len(kept.spans[0].name) < 50


def test_tags_of_ones_own() -> None:
    own = [CustomTag("region", "eu"), CustomTag("tenant", key="tenant", default="none"), CustomTag("x", key="absent")]
    made, kept = tracing(tags=own, metadata=())
    run(made)
    run(made, FakeExchange(tenant="blue"))
    assert [present(span.attributes)["tenant"] for span in kept.spans] == ["none", "blue"]
    attributes = [present(span.attributes) for span in kept.spans]
    assert all(one["region"] == "eu" and "x" not in one for one in attributes)


@pytest.mark.parametrize(
    ("outcome", "flags"),
    [("error", "-"), ("timeout", "UT"), ("limited", "RL"), ("downstream_gone", "DC"), ("reset", "UC")],
)
def test_a_span_of_an_exchange_that_failed_is_finished_and_says_so(outcome: str, flags: str) -> None:
    made, kept = tracing()
    run(made, outcome=outcome, details="why", response=None)
    tags = one(kept)
    assert (tags["error"], tags["error.message"], tags["outcome"], tags["response_flags"]) == (
        "true",
        "why",
        outcome,
        flags,
    )
    assert kept.spans[0].status.status_code is StatusCode.ERROR
    assert "response_size" not in tags and made.open_spans == 0


def test_metadata_that_cannot_be_decoded_cost_the_context_and_not_the_request() -> None:
    def more(message: Message) -> None:
        raise FrameError("nonsense")

    made, kept = tracing()
    exchange = FakeExchange()
    exchange.message = Message(Kind.REQUEST, b"frame", 7, {}, more)
    run(made, exchange)
    assert exchange.changes == {} and len(kept.spans) == 1


# -- on the path


class Told(Stage):
    """A stage whose listener traces; answer: how a filter behind tracing answers."""

    def __init__(self, answer: Callable[[Any], Any] | None = None, **options: Any) -> None:
        self.tracing, self.kept = tracing(carries=False)
        hooks = {
            "on_request": (self.tracing.on_request, *([answer] if answer else [])),
            "on_complete": (self.tracing.on_complete,),
        }
        super().__init__(hooks=hooks, **options)

    def outcomes(self) -> list[Any]:
        return [present(span.attributes)["outcome"] for span in self.kept.spans]


def test_b23_every_end_of_an_exchange_ends_its_span() -> None:
    stage = Told()
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    stage.say(client, call(8))
    stage.clock.advance(20)
    stage.say(client, call(9))
    client.end()
    assert stage.outcomes() == ["ok", "timeout", "downstream_gone"]
    refusing = Told(answer=lambda exchange: Reply(ErrorKind.LIMITED, "no"))
    refusing.say(refusing.client(), call(7))
    unrouted = Told(routes=[])
    unrouted.say(unrouted.client(), call(7))
    assert (refusing.outcomes(), unrouted.outcomes()) == (["limited"], ["not_found"])
    assert not any(one.tracing.open_spans for one in (stage, refusing, unrouted))


def test_b23_a_request_whose_route_cannot_be_read_has_a_span_too() -> None:
    made, kept = tracing()
    exchange = FakeExchange()
    exchange.outcome = "bad_request"
    made.on_complete(exchange)
    assert one(kept)["outcome"] == "bad_request"
    refused = run(made, outcome="bad_request")  # by a filter behind it: one span, not two
    assert len(kept.spans) == 2 and refused.learnt


def test_the_changes_of_an_exchange_are_a_mutation_of_the_codecs() -> None:
    mutations: list[Mutation] = []

    stage = Stage()

    def mutate(message: Message, mutation: Mutation) -> bytes:
        mutations.append(mutation)
        return message.frame

    stage.codec.mutable = ""
    codec: Any = stage.codec
    codec.mutate = mutate
    made, kept = tracing()
    stage.route.on_request, stage.route.on_complete = (made.on_request,), (made.on_complete,)
    stage.say(stage.client(), call(7))
    (mutation,) = mutations
    assert sorted(mutation.set) == ["traceparent", "x-request-id"]
    stage.say(stage.server, answer(1))
    context = kept.spans[0].get_span_context()
    assert context is not None and f"{context.span_id:016x}" in mutation.set["traceparent"]


# -- streams


def test_the_span_of_a_stream_ends_with_it_and_says_when_its_answer_began_and_in_how_many_pieces_it_came() -> None:
    made, kept = tracing()
    run(made, streamed=True, request_chunks=2, response_chunks=30, first_byte=100.25, ended=160.0)
    (span,) = kept.spans
    assert span.end_time == 1160 * 10**9
    assert [(event.name, event.timestamp) for event in span.events] == [("response.first_byte", 1100250000000)]
    assert (one(kept)["request_chunks"], one(kept)["response_chunks"]) == ("2", "30")


def test_a_stream_whose_answer_never_began_and_a_whole_exchange_have_no_such_event() -> None:
    made, kept = tracing()
    run(made, streamed=True, first_byte=0.0)
    run(made)
    assert [len(span.events) for span in kept.spans] == [0, 0]
    assert "request_chunks" not in dict(kept.spans[1].attributes or {})
