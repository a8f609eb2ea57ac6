"""
A cluster that gets copies, and each copy on its way there.

Lives here: `MirrorTarget` (one cluster of a route's mirror), `Copy` (one request). Does not: which requests are copied
(`mirror`); comparing answers (`metaproxy.comparison`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import NODE, Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.comparison import Digest, compare, compare_streams
from metaproxy.counts import MirrorCounts
from metaproxy.message import Chunk, ErrorKind, Kind, Message
from metaproxy.proxy.attempt import Attempt, AttemptOwner
from metaproxy.proxy.mirror_client import MirrorClient
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import OpenExchange, Try
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

_ANSWERED = ("ok", "error")
"""Outcomes of originals that a server answered to the end."""

MAX_COPIES = 1024
"""Copies under way for one target; more are dropped."""
MAX_BYTES = 64 << 20
"""Of their frames."""
MAX_ANSWER = 1 << 20
"""Bytes of an answer that is compared; of a longer one only the size is."""
KEPT = 16
"""Differences that are kept for the admin API."""
LINGER = 15.0
"""Seconds that an answer in pieces may go on when no client waits for it, where the cluster has no time-out."""


class MirrorTarget:
    """
    share: of the route's requests, 0 to 1; compare: whether answers are; last: (operation, what differs); makes:
    whether its codec makes copies that are no requests of the client's (`ICodec.mirror`).
    """

    def __init__(
        self, cluster: Cluster, share: float = 1.0, compare: bool = False, counts: MirrorCounts | None = None
    ) -> None:
        self.cluster = cluster
        self.share = share
        self.compare = compare
        self.counts: MirrorCounts = counts or MirrorCounts()
        self.last: deque[tuple[str, str]] = deque(maxlen=KEPT)
        self.copies = 0
        self.bytes = 0
        self._client: MirrorClient | None = None
        self._log_throttle: LogThrottle | None = None
        self._copied: Callable[[Message], Sequence[Message]] | None = getattr(cluster.codec, "copied", None)
        self.makes = self._copied is not None

    @property
    def name(self) -> str:
        return self.cluster.name

    def copies_of(self, message: Message) -> Sequence[Message]:
        """What it gets of a request. Raises FrameError."""
        return (message,) if self._copied is None else self._copied(message)

    def send(self, exchange: OpenExchange, message: Message) -> Copy | None:
        """The copy on its way; None when it was not sent."""
        client = self._client
        if client is None:
            client = self._client = MirrorClient(exchange.client.network)
            self._log_throttle = LogThrottle(client.network.clock.seconds)
        cluster = self.cluster
        breaker = cluster.breaker
        endpoint = None
        crowded = self.copies >= MAX_COPIES or self.bytes >= MAX_BYTES or breaker.requests >= breaker.max_requests
        if not crowded and not any(connection.choked for connection in client.shared_by_pool.values()):
            endpoint = self._pick(exchange, message)
        if endpoint is None:
            self.counts.dropped += 1
            return None
        self.counts.requests += 1
        copy = Copy(self, client, exchange, message)
        copy.attempt = attempt = Attempt(copy, message, cluster, endpoint)
        copy.begin()
        try:
            pool_of(endpoint, cluster, client.network).start(attempt, client)
        except BaseException:
            copy.broke(Failure())
        return copy

    def _pick(self, exchange: OpenExchange, message: Message) -> Endpoint | None:
        keys, facts = exchange.matched_route.hash_keys, exchange.client.facts
        if NODE in facts:  # of the original's cluster
            facts = {key: value for key, value in facts.items() if key != NODE}
        endpoint = self.cluster.pick(message, keys, None, facts)
        if endpoint is None and self.makes and self.lost(message):
            endpoint = self.cluster.pick(message, keys, None, facts)
        return endpoint

    def refused(self, attempt: Try, answer: Message) -> None:
        """Count that a server took no copy, and log why, once a minute."""
        self.counts.failures += 1
        if self._log_throttle is not None and self._log_throttle.allows():
            log.warn(
                "mirror {name}: {address} takes no copy of {operation}: {error}",
                name=self.name,
                address=attempt.endpoint.address,
                operation=attempt.message.known().get("operation", "-"),
                error=answer.known().get("error", "it says no more"),
            )

    def lost(self, message: Message) -> bool:
        """The server that had what a copy is for may be gone: others are asked. False: it was for none."""
        kept, key = self.cluster.kept, getattr(message, "override_key", None)
        if kept is None or key is None:
            return False
        kept.lose(key)
        return True


class Copy(AttemptOwner):
    """
    One request on its way to a mirror (roles.Requester, deadlines.Timed). Both its end and the original's must be known
    before they are compared. digest: of its answer, and original: of the original's, None where that is whole.
    """

    __slots__ = (
        "_answer",
        "_compares",
        "_head",
        "_opened",
        "_size",
        "_stream",
        "_theirs",
        "_waits",
        "attempt",
        "client",
        "digest",
        "done",
        "exchange",
        "original",
        "started",
        "target",
    )

    def __init__(self, target: MirrorTarget, client: MirrorClient, exchange: OpenExchange, message: Message) -> None:
        self.target = target
        self.client = client
        self._compares = target.compare
        # An original that is not compared need not be kept until the mirror answers.
        self.exchange = exchange if target.compare else None
        self.digest: Digest | None = None
        self.original: Digest | None = None
        self._head: Message | None = None
        self._opened = 0.0
        self.started = client.network.turn.now
        self.attempt: Attempt | None = None
        self.done = False
        self._answer: Message | None = None
        self._stream = exchange.stream if message.kind is Kind.STREAM_OPEN else None
        self._waits = target.compare
        self._size = len(message.frame)
        target.copies += 1
        target.bytes += self._size

    def begin(self) -> None:
        """It is on its way; a stream's time runs from its end."""
        if self._stream is None:
            self._watch()

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.finish()
        attempt.endpoint.answered(response.kind is Kind.ERROR)
        if response.kind is Kind.ERROR and self.target.makes:
            self.target.refused(attempt, response)
        self._answer = response
        self._end()

    def opened(self, attempt: Try, head: Message) -> None:
        """Of an answer in pieces the size and a hash are kept, and that only to be compared."""
        self._head = head
        self._opened = self.client.network.turn.now
        if self._compares:
            self.digest = Digest(head)
        self._watch()

    def chunk(self, attempt: Try, chunk: Chunk) -> None:
        if self.digest is not None:
            self.digest.add(chunk)
        if chunk.kind is Kind.STREAM_CLOSE:
            attempt.finish()
            attempt.endpoint.answered(chunk.failed or bool(getattr(self._head, "failed", False)))
            self._answer = self._head
            self._end()
        elif self._unwanted():
            attempt.cancel()
            self._end()
        else:
            attempt.credit(chunk.size)
            self._watch()

    def _unwanted(self) -> bool:
        """Whether an answer lasts too long: after the original's end, or, where it is not compared, after its head."""
        exchange, since = self.exchange, self._opened
        if exchange is not None:
            if not exchange.outcome:
                return False
            since = exchange.ended
        limit = self.target.cluster.request_timeout or LINGER
        return self.client.network.turn.now > since + limit

    def redirected(self, attempt: Try) -> None:
        """Its time goes on, wherever it is sent."""

    def interim(self, attempt: Try, message: Message) -> None:
        """It answers nothing."""

    def takes_more(self, attempt: Try) -> None:
        """What did not fit was dropped."""

    def sending(self, attempt: Try) -> None:
        """What the original has sent by now follows the head, and what it sends from now on."""
        stream = self._stream
        if stream is None or stream.over or stream.replay is None:
            self._drop()
            return
        for chunk in stream.replay:
            self.follow(chunk)
        if not self.done:
            stream.copies.append(self)

    def follow(self, chunk: Chunk) -> None:
        """A mirror that does not keep up loses this copy: it is not waited for."""
        attempt = self.attempt
        if attempt is None or attempt.done:
            return
        attempt.send_chunk(chunk)
        if chunk.kind is Kind.STREAM_CLOSE:
            self._stream = None
            self._watch()
        elif not attempt.done and not attempt.has_room():
            self._drop()

    def original_ended(self) -> None:
        if self._stream is not None and not self.done:  # its request is not whole, and never will be
            self._drop()

    def _drop(self) -> None:
        self._stream = None
        self.target.counts.dropped += 1
        if self.attempt is not None:
            self.attempt.cancel()
        self._end()

    def _watch(self) -> None:
        """Start its clock, or start it again: it has its time to be answered, and then for each piece."""
        self.started = self.client.network.turn.now
        deadlines = self.client.network.deadlines.of(self.target.cluster.request_timeout)
        if deadlines is not None and not self.done:
            deadlines.forget(self, None)
            deadlines.watch(self)

    def sent(self, attempt: Try) -> None:
        self._end()

    def failed(self, attempt: Try | None, kind: ErrorKind, text: str) -> None:
        self.target.counts.failures += 1
        if self.target.makes and self.attempt is not None:
            self.target.lost(self.attempt.message)
        self._end()

    def broke(self, failure: Failure) -> None:
        log.failure("mirror {target} failed", failure=failure, target=self.target.name)
        if self.attempt is not None:
            self.attempt.cancel()
        self.failed(None, ErrorKind.INTERNAL, "")

    def time_out(self) -> None:
        if not self.done and self.attempt is not None:
            self.attempt.endpoint.timed_out()
            self.attempt.cancel()
            self.failed(None, ErrorKind.TIMEOUT, "")

    def _end(self) -> None:
        if self.done:
            return
        self.done = True
        self.attempt = None
        self.target.copies -= 1
        self.target.bytes -= self._size
        self.compare()

    def reserve_bytes(self, size: int) -> None:
        """The original's answer, of so many bytes, waits for the mirror's: it counts as bytes under way."""
        if not self.done:
            self._size += size
            self.target.bytes += size

    def compare(self) -> None:
        """Called when either has ended; compares once both have, and both were answered by servers."""
        exchange, answer = self.exchange, self._answer
        if exchange is None or not self._waits or not self.done or not exchange.outcome:
            return
        self._waits = False
        if answer is None or exchange.response is None or exchange.outcome not in _ANSWERED:
            return
        if exchange.snapshot.codec.name != self.target.cluster.codec.name:  # a filter translates, and has its answer
            return
        counts = self.target.counts
        counts.compared += 1
        text = self._difference(exchange, exchange.response, answer)
        if text:
            counts.differences += 1
            operation = exchange.message.known().get("operation", "-")
            self.target.last.append((operation[:200], text))
            exchange.matched_route.mirror.report(exchange, self.target.name, answer, text)  # type: ignore[attr-defined]

    def _difference(self, exchange: OpenExchange, response: Message, answer: Message) -> str:
        if self.original is not None or self.digest is not None:
            return compare_streams(response, self.original, answer, self.digest)
        snapshot = exchange.snapshot
        found = compare(snapshot.codec, response, answer, snapshot.max_frame, MAX_ANSWER)
        return "" if found is None else found.brief()
