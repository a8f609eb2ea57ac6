"""
A request in pieces: keys that several endpoints own, one part for each.

Lives here: `SplitRequest`, which an exchange has in the place of its only attempt. Does not: what is split and how its
answers are put together (the codec's business).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, Kind, Message, Part
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.gathering import WholeAnswers
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import OpenExchange, Try, UpstreamConnection

_ERROR = Kind.ERROR


class SplitRequest(WholeAnswers):
    """A request in pieces at several endpoints; the codec merges their answers when the last one is there."""

    __slots__ = ("_answers", "_attempts", "_cluster", "_left", "_parts", "_places", "_request", "client", "exchange")

    def __init__(self, exchange: OpenExchange, request: Message, parts: Sequence[Part], cluster: Cluster) -> None:
        self.exchange = exchange
        self.client = exchange.client
        self._request = request
        self._parts = parts
        self._cluster = cluster
        self._answers: dict[int, Message] = {}
        self._attempts: list[Attempt] = []
        self._places: dict[Try, int] = {}
        self._left = len(parts)

    @property
    def outcome(self) -> str:
        return self.exchange.outcome

    def released(self, cluster: Cluster | None) -> None:
        """An endpoint that it waited for may be there."""
        self.start()

    def start(self) -> None:
        exchange, cluster, route = self.exchange, self._cluster, self.exchange.matched_route
        exchange.tries = len(self._parts)
        for part in self._parts:
            endpoint = cast("Endpoint | None", part.endpoint)
            if endpoint is None:
                endpoint = cluster.pick(part.message, route.hash_keys, route.subset, exchange.client.facts)
            if endpoint is None:
                self._lacks_one()
                return
            attempt = Attempt(self, part.message, cluster, endpoint)
            self._places[attempt] = len(self._attempts)
            self._attempts.append(attempt)
        for attempt in list(self._attempts):
            if not attempt.done:
                pool_of(attempt.endpoint, cluster, self.client.network).start(attempt, self.client)

    def _lacks_one(self) -> None:
        """Waits, all of it, where the endpoint of a part may come back; nothing of it was sent yet."""
        cluster, attempts, self._attempts, self._places = self._cluster, self._attempts, [], {}
        for attempt in attempts:
            attempt.cancel()
        if cluster.lacking is not None:
            cluster.lacking.take(self)
        else:
            text = f"no usable endpoint in cluster {cluster.name}"
            self.exchange.failed(None, ErrorKind.NO_ENDPOINT, text)

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""
        return tuple(attempt.connection for attempt in self._attempts if attempt.connection is not None)

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.finish()
        attempt.endpoint.answered(response.kind is _ERROR)
        self._answers[self._places[attempt]] = response
        self._left -= 1
        if not self._left:
            answers = [self._answers[index] for index in range(len(self._parts))]
            self._attempts = []
            frame = self._cluster.codec.merge(self._request, self._parts, answers)
            kind = _ERROR if any(answer.kind == _ERROR for answer in answers) else Kind.RESPONSE
            self.exchange.take(Message(kind, frame, self._request.id))

    def sent(self, attempt: Try) -> None:
        """A piece that gets no answer leaves nothing to merge."""
        self.failed(attempt, ErrorKind.BAD_RESPONSE, "a server did not answer its part of a request")

    def broke(self, failure: Failure) -> None:
        self.exchange.broke(failure)

    def failed(self, attempt: Try | None, kind: ErrorKind, text: str) -> None:
        self.cancel()
        self.exchange.failed(attempt, kind, text)

    def timed_out(self) -> None:
        """Those that have not answered are late; `cancel` follows."""
        for attempt in self._attempts:
            if not attempt.done:
                attempt.endpoint.timed_out()

    def cancel(self) -> None:
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            attempt.cancel()
