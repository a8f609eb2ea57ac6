"""
Which exchanges are traced, and what their spans say.

Lives here: `Tracing`, one object a listener: the request's id, the decision, the span from its start to its end, tags.
Does not: ids (`request_id`), formats of context (`propagation`), exporting (`spans`).

Decision and ids are Envoy's, as Aeraki's proxy has them. What is not traced costs its id, and that only where the
client sent none; with `sparing` not even that.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zope.interface import implementer

from metaproxy.counts import WELL
from metaproxy.interfaces import ICompletedExchange, IExchange, IOnComplete, IOnRequest
from metaproxy.message import FrameError, Message
from metaproxy.telemetry.access_log.operators import flags
from metaproxy.telemetry.roles import CompletedExchange
from metaproxy.telemetry.tracing import request_id
from metaproxy.telemetry.tracing.request_id import CLIENT, FORCED, FRESH, SAMPLED, TRACED

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from metaproxy.telemetry.tracing.propagation import Propagation
    from metaproxy.telemetry.tracing.spans import Spans

CLIENT_TRACE = "x-client-trace-id"
FORCE = "x-envoy-force-trace"
CLAIMS = (
    CLIENT_TRACE, FORCE, "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
    "x-b3-sampled", "x-b3-flags", "x-ot-span-context", "x-cloud-trace-context", "grpc-trace-bin",
)  # fmt: skip
"""What a client may say of tracing, besides its request id."""
TRACE_ID = "trace.id"
"""Under which the trace's id is learnt."""

WORDS = (b"x-request-id", b"trace")
"""Without these a frame has neither an id nor a wish to be traced; `trace` is part of several keys."""
CONTEXT_WORDS = (b"b3", b"x-ot-span-context")
"""Together with `trace`: without these it has no context either."""
SHORT = 4096
"""Bytes of a frame that are searched: in longer ones searching is no cheaper than decoding."""

MAX_METADATA = 64
"""Metadata keys of one message that become tags; a peer may send more."""
MAX_NAME = 100
"""Characters of such a key."""
CREDENTIALS = ("auth", "token", "passw", "secret", "cookie", "credential", "api-key", "apikey")
"""Metadata whose key holds one of these are shown as ****, unless the configuration names the key."""
EVENT = "event"
"""The outcome of a server's push."""
FIRST_BYTE = "response.first_byte"
"""The event of a stream's span: its answer began."""

MADE_OF: Mapping[str, str] = {"inbound": "ingress", "outbound": "egress", "unspecified": "ingress"}
"""Direction -> how the span's name begins."""


@dataclass(frozen=True, slots=True)
class CustomTag:
    """A tag of the user's: a metadata key of the request, or a value. default: for requests without that key."""

    name: str
    value: str = ""
    key: str = ""
    default: str = ""

    def read(self, exchange: CompletedExchange) -> str:
        if not self.key:
            return self.value
        return _get(exchange.get, self.key) or self.default


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What a listener's `tracing:` says. client, sampling, overall: shares in percent; follow: whether a request that
    comes with a context is traced as that says; trust: whether what clients send is believed at all; sparing: whether
    only what is traced gets an id; metadata: keys that become tags, "*" is all of them; tags: the user's own.
    """

    sampling: float = 100.0
    client: float = 100.0
    overall: float = 100.0
    follow: bool = False
    trust: bool = True
    sparing: bool = False
    direction: str = "unspecified"
    max_tag_length: int = 256
    metadata: Sequence[str] = ("*",)
    tags: Sequence[CustomTag] = field(default_factory=tuple)


@implementer(IOnRequest, IOnComplete)
class Tracing:
    """
    spans: where they go; carries: whether the protocol can carry an id and a context; names: whether its requests may
    name a context all the same, where nothing can be put into them (comments of statements); literal: whether its
    frames have metadata keys as they are, so that one can see without decoding that there is none of ours; node_id,
    zone: who this proxy is; offset: what makes Unix time of the clock that exchanges are timed with; rng: for ids and
    clients' share.
    """

    def __init__(
        self,
        spans: Spans,
        propagation: Propagation,
        policy: Policy,
        *,
        carries: bool,
        names: bool = False,
        literal: bool = False,
        node_id: str = "",
        zone: str = "",
        offset: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        from opentelemetry.trace import SpanKind

        self.counters = {"traced": 0, "untraced": 0}
        self._spans = spans
        self._propagation = propagation
        self.policy = policy
        self.carries = carries
        self.names = names and policy.trust
        self.sparing = policy.sparing and literal and carries
        self._offset = offset
        self._rng = rng or random.Random(os.urandom(16))
        self._bits = self._rng.getrandbits
        self._sampling = round(policy.sampling * 100)
        self._overall = round(policy.overall * 100)
        self._most = min(self._sampling, self._overall)
        self._words = WORDS if policy.trust and not policy.follow else (*WORDS, *CONTEXT_WORDS)
        self._prefix = MADE_OF[policy.direction]
        self._kind = SpanKind.CLIENT if policy.direction == "outbound" else SpanKind.SERVER
        self._push_kind = SpanKind.CONSUMER
        self.fixed = {"component": "proxy"}
        self.fixed |= {name: value for name, value in (("node_id", node_id), ("zone", zone)) if value}
        self._open: dict[IExchange, Span] = {}

    @property
    def open_spans(self) -> int:
        """Spans of exchanges that are under way."""
        return len(self._open)

    # -- the start

    def on_request(self, exchange: IExchange) -> None:
        carries = self.carries
        id = made = None
        if self.sparing and self._silent(exchange.message.frame):
            bits = self._bits(128)
            if request_id.draw_of(bits) >= self._most:
                self.counters["untraced"] += 1
                return
            made = request_id.fresh(bits)
        if carries:
            try:
                id = exchange.get(request_id.KEY)
            except FrameError:
                carries = False  # neither can anything be put there
            if carries and not self.policy.trust:
                id = None
                self._distrust(exchange)
        if id is None:
            id = made or request_id.fresh(self._bits(128))
            reason = self._decide(exchange, id, carries or self._named(exchange))
            if reason is not FRESH:
                id = request_id.marked(id, reason)
            elif self.sparing:
                self.counters["untraced"] += 1
                return
            if carries:
                exchange.set(request_id.KEY, id)
        else:
            reason = request_id.reason(id)
        exchange.learn(request_id.KEY, id)
        if reason in TRACED:
            self.counters["traced"] += 1
            self._start(exchange, carries)
        else:
            self.counters["untraced"] += 1

    def _named(self, exchange: IExchange) -> bool:
        """Whether a request that carries nothing may be asked for the context that it names."""
        if not self.names:
            return False
        try:
            exchange.get("traceparent")
        except FrameError:
            return False
        return True

    def _decide(self, exchange: IExchange, id: str, carries: bool) -> str:
        """Of a request that is here for the first time: the first rule that holds, but no more than `overall`."""
        draw = request_id.draw(id)
        if draw >= self._overall:
            return FRESH
        if carries:
            get, policy = exchange.get, self.policy
            if policy.follow and (parent := self._propagation.extract(get)) is not None:
                return FORCED if parent.trace_flags.sampled else FRESH
            if get(CLIENT_TRACE) is not None and self._rng.random() * 100.0 < policy.client:
                return CLIENT
            if get(FORCE) is not None:
                return FORCED
        return SAMPLED if draw < self._sampling else FRESH

    def _silent(self, frame: bytes) -> bool:
        """Whether a frame surely says nothing that the decision depends on, by its bytes."""
        if len(frame) > SHORT:
            return False
        lower = frame.lower()
        for word in self._words:  # noqa: SIM110 - a generator would cost as much again
            if word in lower:
                return False
        return True

    def _distrust(self, exchange: IExchange) -> None:
        """Nothing that the client says of tracing gets further than here."""
        for key in CLAIMS:
            if exchange.get(key) is not None:
                exchange.remove(key)
                exchange.learn(key, None)

    def _start(self, exchange: IExchange, carries: bool) -> None:
        get: Callable[[str], str | None] = exchange.get
        operation = _get(get, "operation")
        name = f"{self._prefix} {operation[: self.policy.max_tag_length]}" if operation else self._prefix
        parent = self._propagation.extract(get) if carries or self._named(exchange) else None
        span = self._spans.start(name, self._kind, parent, exchange.started + self._offset)
        if carries:
            self._propagation.inject(span, parent, get, exchange.set)
        exchange.learn(TRACE_ID, f"{span.get_span_context().trace_id:032x}")
        self._open[exchange] = span

    # -- the end

    def on_complete(self, exchange: ICompletedExchange) -> None:
        span = self._open.pop(exchange, None)
        if span is None:
            span = self._late(exchange)
            if span is None:
                return
        span.set_attributes(self._tags(exchange))
        if exchange.streamed and exchange.first_byte:
            span.add_event(FIRST_BYTE, timestamp=int((exchange.first_byte + self._offset) * 1e9))
        if exchange.outcome not in WELL:
            from opentelemetry.trace import Status, StatusCode

            # Zipkin has no status: its exporter makes the tag `error` of this text.
            span.set_status(Status(StatusCode.ERROR, "true"))
        span.end(int((exchange.ended + self._offset) * 1e9))

    def _late(self, exchange: ICompletedExchange) -> Span | None:
        """The span of what no filter saw before its end; None where it is not traced."""
        if exchange.outcome == EVENT:
            return self._of_push(exchange)
        if exchange.outcome != "bad_request" or (exchange.learnt and request_id.KEY in exchange.learnt):
            return None
        self.on_request(exchange)  # no route could be found in its bytes
        return self._open.pop(exchange, None)

    def _of_push(self, exchange: IExchange) -> Span | None:
        """
        Of a server's push that carries the context of something that is traced: the delivery of a message that was
        published with one. It has gone to the client as it was, so that nothing is put into it.
        """
        if not self.carries or not self.policy.trust:
            return None
        get = exchange.get
        try:
            parent = self._propagation.extract(get)
        except FrameError:
            return None
        if parent is None or not parent.trace_flags.sampled:
            return None
        self.counters["traced"] += 1
        exchange.learn(TRACE_ID, f"{parent.trace_id:032x}")
        exchange.learn(request_id.KEY, get(request_id.KEY))
        operation = _get(get, "operation")
        name = f"{self._prefix} {operation[: self.policy.max_tag_length]}" if operation else self._prefix
        return self._spans.start(name, self._push_kind, parent, exchange.started + self._offset)

    def _tags(self, exchange: CompletedExchange) -> dict[str, str]:
        request, response = exchange.message, exchange.response
        cluster, outcome = exchange.cluster, exchange.outcome
        tags = {
            **self.fixed,
            "guid:x-request-id": (exchange.learnt or {}).get(request_id.KEY) or "",
            "upstream_cluster": cluster,
            "upstream_cluster.name": cluster,
            "upstream_address": exchange.upstream_address,
            "peer.address": exchange.get("source.address") or "",
            "request_size": str(exchange.request_bytes),
            "request_id": str(request.id),
            "listener": exchange.listener,
            "route": exchange.route,
            "protocol": exchange.protocol,
            "outcome": outcome,
            "response_flags": flags(exchange),
        }
        if exchange.streamed:
            tags["request_chunks"] = str(exchange.request_chunks)
            tags["response_chunks"] = str(exchange.response_chunks)
        client = _get(exchange.get, CLIENT_TRACE)
        if client is not None:
            tags[f"guid:{CLIENT_TRACE}"] = client
        if outcome not in WELL:
            tags["error"] = "true"
            if exchange.details:
                tags["error.message"] = exchange.details
        self._add_metadata(tags, "request", request)
        if response is not None:
            tags["response_size"] = str(exchange.response_bytes)
            self._add_metadata(tags, "response", response)
        for tag in self.policy.tags:
            value = tag.read(exchange)
            if value:
                tags[tag.name] = value
        most = self.policy.max_tag_length
        return {name: value if len(value) <= most else value[:most] for name, value in tags.items()}

    def _add_metadata(self, tags: dict[str, str], side: str, message: Message) -> None:
        wanted = self.policy.metadata
        if not wanted:
            return
        known = message.known()
        spelled = {key.lower(): key for key in sorted(known, reverse=True)}  # each is there in lower case as well
        names = list(spelled) if "*" in wanted else [key.lower() for key in wanted if key.lower() in spelled]
        for lower in names[:MAX_METADATA]:
            value = known[spelled[lower]]
            if lower not in wanted and any(word in lower for word in CREDENTIALS):
                value = "****"
            tags[f"{side} metadata: {spelled[lower][:MAX_NAME]}"] = value


def _get(get: Callable[[str], str | None], key: str) -> str | None:
    try:
        return get(key)
    except FrameError:
        return None
