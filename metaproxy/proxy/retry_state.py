"""
Several tries for one exchange: further ones after a failure, with back-off, and a hedge beside a slow first one.

Lives here: `RetryState`, which an exchange has in the place of its only attempt when its route has a retry policy. Does
not: whether another try is allowed (`cluster.retry`).
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import NODE, Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.retry import RetryPolicy, within_budget
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Mutation
from metaproxy.proxy.attempt import Attempt, AttemptOwner
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import OpenExchange, Try, UpstreamConnection

OTHER_PICKS = 3
"""How often the balancer is asked for an endpoint that was not tried yet."""


class _Patience:
    """The time of one try: what `proxy.deadlines` watches."""

    __slots__ = ("attempt", "started")

    def __init__(self, attempt: Try, started: float) -> None:
        self.attempt = attempt
        self.started = started

    def time_out(self) -> None:
        attempt = self.attempt
        if not attempt.done and not attempt.streaming:
            if not any(one.paused_by for one in attempt.connections()):  # by a client that reads slowly
                attempt.endpoint.timed_out()
            attempt.begun = attempt.connection is not None and attempt.connection.answering(attempt)
            attempt.cancel()
            attempt.owner.failed(attempt, ErrorKind.TIMEOUT, "no answer within per_try_timeout")

    def broke(self, failure: Failure) -> None:
        self.attempt.owner.broke(failure)


class _Held:
    """A request that waits for a server of the role that it needs, between two tries."""

    __slots__ = ("_state",)

    def __init__(self, state: RetryState) -> None:
        self._state = state

    @property
    def outcome(self) -> str:
        return self._state.exchange.outcome

    def released(self, cluster: Cluster | None) -> None:
        self._state.go_on()

    def failed(self, attempt: None, kind: ErrorKind, text: str) -> None:
        self._state.exchange.failed(None, kind, text)

    def broke(self, failure: Failure) -> None:
        self._state.exchange.broke(failure)


class RetryState(AttemptOwner):
    """Owns the attempts of one exchange. The first good answer is taken; the others are cancelled."""

    __slots__ = (
        "_cluster",
        "_further",
        "_live",
        "_made",
        "_message",
        "_policy",
        "_timer",
        "_tried",
        "client",
        "exchange",
    )

    def __init__(self, exchange: OpenExchange, message: Message, cluster: Cluster, policy: RetryPolicy) -> None:
        self.exchange = exchange
        self.client = exchange.client
        self._message = message
        self._cluster = cluster
        self._policy = policy
        self._live: list[Attempt] = []
        self._tried: list[Endpoint] = []
        self._further: list[Attempt] = []
        self._made = 0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        hedge_after = self._policy.hedge_after
        if hedge_after > 0 and self._message.kind is Kind.REQUEST:
            self._timer = self.client.network.clock.callLater(hedge_after, self._hedge)
        self._try()

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""
        return tuple(attempt.connection for attempt in self._live if attempt.connection is not None)

    def cancel(self) -> None:
        self._stop_timer()
        for attempt in list(self._live):
            self._forget(attempt)
            attempt.cancel()

    # -- a try

    def _try(self) -> None:
        cluster = self._cluster
        self._made += 1
        try:
            endpoint = self._pick()
        except FrameError as error:
            self.exchange.failed(None, ErrorKind.BAD_REQUEST, str(error))
            return
        if endpoint is None and cluster.lacking is not None and NODE not in self.exchange.client.facts:
            self._made -= 1
            cluster.lacking.take(_Held(self))  # the server that it was sent to has lost its role
            return
        if endpoint is None:
            cluster.counts.no_endpoint += 1
            self._lost(ErrorKind.NO_ENDPOINT, f"no usable endpoint in cluster {cluster.name}")
            return
        if cluster.breaker.requests >= cluster.breaker.max_requests:
            cluster.counts.overflow_requests += 1
            self._lost(ErrorKind.OVERLOAD, f"cluster {cluster.name}: too many requests (breaker.max_requests)")
            return
        attempt = Attempt(self, self._numbered(), cluster, endpoint)
        self.exchange.endpoint = endpoint
        self._live.append(attempt)
        self.exchange.tries = self._made
        if self._made > 1:
            self._further.append(attempt)
            cluster.breaker.retries += 1
        patience = self.client.network.deadlines.of(self._policy.per_try_timeout)
        if patience is not None:
            patience.watch(_Patience(attempt, self.client.network.turn.refresh()))
        pool_of(endpoint, cluster, self.client.network).start(attempt, self.client)

    def _numbered(self) -> Message:
        """The request; a further try says how many were before it, where the protocol has a place for that."""
        message, codec = self._message, self._cluster.codec
        key = getattr(codec, "attempts_key", "")
        if self._made < 2 or not key or codec.mutable:
            return message
        return message.with_frame(codec.mutate(message, Mutation({key: str(self._made - 1)})))

    def _pick(self) -> Endpoint | None:
        """An endpoint that was not tried yet, if the balancer gives one."""
        action = self.exchange.matched_route.action
        endpoint = self._cluster.pick(self._message, action.hash_keys, action.subset, self.client.facts)
        for _ in range(OTHER_PICKS if self._tried else 0):
            if endpoint not in self._tried:
                break
            endpoint = self._cluster.pick(self._message, action.hash_keys, action.subset, self.client.facts)
        if endpoint is not None:
            self._tried.append(endpoint)
        return endpoint

    def _hedge(self) -> None:
        self._timer = None
        try:
            self._hedge_now()
        except BaseException:
            self.exchange.broke(Failure())

    def _hedge_now(self) -> None:
        if (
            self._policy.allows(ErrorKind.CONNECT, self._made, True)
            and self._safe()
            and within_budget(self._cluster.breaker)
        ):
            self.exchange.counts().hedges += 1
            self._try()

    def _safe(self) -> bool:
        return self._policy.unsafe or self._cluster.codec.safe(self._message)

    def _repeatable(self) -> bool:
        codec = self._cluster.codec
        asked = getattr(codec, "repeatable", codec.safe)
        return self._policy.unsafe or bool(asked(self._message))

    def _forget(self, attempt: Try) -> None:
        if attempt in self._live:
            self._live.remove(attempt)
        if attempt in self._further:
            self._further.remove(attempt)
            self._cluster.breaker.retries -= 1

    # -- its end (Requester)

    def broke(self, failure: Failure) -> None:
        self.exchange.broke(failure)

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.finish()
        self._forget(attempt)
        failed = response.kind is Kind.ERROR
        attempt.endpoint.answered(failed)
        if failed and (self._live or self._again(None, getattr(response, "retry_after", None))):
            return
        self.cancel()
        self.exchange.endpoint = attempt.endpoint
        self.exchange.take(response)

    def sent(self, attempt: Try) -> None:
        self._forget(attempt)
        self.cancel()
        self.exchange.sent(attempt)

    def opened(self, attempt: Try, head: Message) -> None:
        """The head of an answer decides as an answer does; what follows it is the exchange's own."""
        if getattr(head, "failed", False) and self._instead(attempt, getattr(head, "retry_after", None)):
            attempt.endpoint.answered(failed=True)
            attempt.cancel()
            return
        self._forget(attempt)
        self.cancel()
        self.exchange.adopt(attempt)
        self.exchange.opened(attempt, head)

    def _instead(self, attempt: Try, retry_after: float | None) -> bool:
        """Whether another try is under way, or may follow."""
        self._forget(attempt)
        return bool(self._live) or self._again(None, retry_after)

    def redirected(self, attempt: Try) -> None:
        self.exchange.endpoint = attempt.endpoint

    def sending(self, attempt: Try) -> None:
        stream = self.exchange.stream
        if stream is not None:
            stream.sending(attempt)

    def takes_more(self, attempt: Try) -> None:
        stream = self.exchange.stream
        if stream is not None:
            stream.server_has_room()

    def interim(self, attempt: Try, message: Message) -> None:
        self.exchange.interim(attempt, message)

    def chunk(self, attempt: Try, chunk: Chunk) -> None:
        """None comes: the exchange owns an attempt whose answer has begun."""
        self.exchange.chunk(attempt, chunk)

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None:
        self._forget(attempt)
        self._lost(kind, text, final=attempt.begun)

    def _lost(self, kind: ErrorKind, text: str, final: bool = False) -> None:
        """final: nothing is tried again once some of an answer has come."""
        if not self._live and (final or not self._again(kind)):
            self._stop_timer()
            self.exchange.failed(None, kind, text)

    def _again(self, kind: ErrorKind | None, retry_after: float | None = None) -> bool:
        """Arranges for another try, if one is allowed. retry_after: what the server says of it, see Message."""
        if retry_after is not None and retry_after < 0:
            return False
        policy = self._policy
        if not policy.allows(kind, self._made, True) or not within_budget(self._cluster.breaker):
            return False
        try:
            if not policy.allows(kind, self._made, self._repeatable()):
                return False
        except FrameError:
            return False
        stream = self.exchange.stream
        if stream is not None and not stream.resend():
            return False
        self._stop_timer()
        self.exchange.counts().retries += 1
        delay = policy.delay(self._made) if retry_after is None else retry_after
        self._timer = self.client.network.clock.callLater(delay, self._once_more)
        return True

    def _once_more(self) -> None:
        self._timer = None
        self.go_on()

    def go_on(self) -> None:
        """Another try."""
        try:
            self._try()
        except BaseException:
            self.exchange.broke(Failure())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
