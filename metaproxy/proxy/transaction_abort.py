"""
A request that the proxy answers itself though it belongs to a transaction, or to a channel whose order counts: the
server is made to fail all of it.

Without that it would carry out the rest, and the client did not ask for a part. So it is where the server has the
request already, and its answer is refused or late. Lives here: `refuse` and `TransactionAbort`. Does not: what the
server is sent (`Message.refused` and `Message.revoked`, the codec's).
"""

from __future__ import annotations

import copy

from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Reply
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.deadlines import Deadlines
from metaproxy.proxy.gathering import WholeAnswers
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import OpenExchange, Try, Undertaking


class TransactionAbort(WholeAnswers):
    """Owns the attempt that goes in the place of a refused request; then the client has its answer, whatever came."""

    __slots__ = ("client", "exchange", "reply")

    def __init__(self, exchange: OpenExchange, reply: Reply) -> None:
        self.client = exchange.client
        self.exchange = exchange
        self.reply = reply

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.finish()
        self.sent(attempt)

    def sent(self, attempt: Try) -> None:
        self.exchange.message.failing = True
        self.exchange.answer_locally(self.reply)

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None:
        self.exchange.answer_locally(self.reply)

    def broke(self, failure: Failure) -> None:
        self.exchange.broke(failure)


class Revocation(TransactionAbort):
    """As that, for a request that the server has. started: this has a time of its own."""

    __slots__ = ("_deadlines", "started")

    def __init__(self, exchange: OpenExchange, reply: Reply) -> None:
        super().__init__(exchange, reply)
        self.started = self.client.network.turn.refresh()
        self._deadlines: Deadlines | None = None

    def watch(self, seconds: float) -> None:
        self._deadlines = self.client.network.deadlines.of(seconds)
        if self._deadlines is not None:
            self._deadlines.watch(self)

    def sent(self, attempt: Try) -> None:
        self._forget()
        super().sent(attempt)

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None:
        self._forget()
        super().failed(attempt, kind, text)

    def _forget(self) -> None:
        if self._deadlines is not None:
            self._deadlines.forget(self, None)

    def time_out(self) -> None:
        """Called by the deadlines' queue."""
        if not self.exchange.outcome:
            self.exchange.run_out(self.reply.text)


def refuse(exchange: OpenExchange, reply: Reply) -> bool:
    """Starts that for an exchange. False when there is no server to tell."""
    if reply.ending is not None:
        return False
    if exchange.attempt is not None:
        return _revoke(exchange, exchange.attempt, reply)
    refused = getattr(exchange.message, "refused", None)
    if refused is None:
        return False
    client = exchange.client
    pin = client.session_pin
    found = (pin.pool.cluster, pin.endpoint) if pin is not None else _server(exchange)
    if found is None:
        return False
    cluster, endpoint = found
    message = _in_its_place(exchange.message, refused(exchange.message, reply.text))
    attempt = Attempt(TransactionAbort(exchange, reply), message, cluster, endpoint)
    exchange.refuse_by(attempt)
    if pin is not None:
        pin.submit(attempt)
    else:
        pool_of(endpoint, cluster, client.network).start(attempt, client)
    return True


def _in_its_place(message: Message, frame: bytes) -> Message:
    message = copy.copy(message)
    message.frame = frame
    if message.kind is Kind.STREAM_OPEN:  # what goes in its place is whole
        message.kind = Kind.REQUEST
    return message


def _revoke(exchange: OpenExchange, before: Undertaking, reply: Reply) -> bool:
    """As `refuse`, for one that the server of the client's own connection has, or has answered."""
    revoked = getattr(exchange.message, "revoked", None)
    pin = exchange.client.session_pin
    if revoked is None or pin is None or not pin.alive or not _is_there(exchange, before, reply):
        return False
    frame = revoked(exchange.message, reply.text)
    if not frame:
        return False
    before.cancel()
    if not pin.alive:  # a late answer could be taken for another
        return False
    revocation = Revocation(exchange, reply)
    attempt = Attempt(revocation, _in_its_place(exchange.message, frame), pin.pool.cluster, pin.endpoint)
    revocation.watch(exchange.revoke_by(attempt))
    pin.submit(attempt)
    return True


def _is_there(exchange: OpenExchange, before: Undertaking, reply: Reply) -> bool:
    """Whether the server has the request, and the client nothing of an answer yet. Not for what goes in its place."""
    if reply.frame is not None or (isinstance(before, Attempt) and isinstance(before.owner, TransactionAbort)):
        return False
    if exchange.response is not None:
        return exchange.stream is None or not exchange.stream.begun
    return reply.kind is ErrorKind.TIMEOUT and isinstance(before, Attempt) and before.id > 0


def _server(exchange: OpenExchange) -> tuple[Cluster, Endpoint] | None:
    """Where the first request of a transaction would have gone."""
    route = exchange.matched_route
    if not route.targets:
        return None
    facts = exchange.client.facts
    target = route.pick() if route.split_by_hash is None else route.stick(exchange.message.get, facts)
    cluster = target.cluster
    try:
        endpoint = (
            cluster.pick(exchange.message, route.hash_keys, route.subset, facts) if cluster.paused_by is None else None
        )
    except FrameError:
        return None
    if endpoint is None:
        return None
    exchange.target = target
    return cluster, endpoint
