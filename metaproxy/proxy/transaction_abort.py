"""
A request that the proxy answers itself though it belongs to a transaction, or to a channel whose order counts: the
server is made to fail all of it.

Without that it would carry out the rest, and the client did not ask for a part. Lives here: `refuse` and
`TransactionAbort`. Does not: what the server is sent (`Message.refused`, the codec's).
"""

from __future__ import annotations

import copy

from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Reply
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.gathering import WholeAnswers
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import OpenExchange, Try


class TransactionAbort(WholeAnswers):
    """Owns the attempt that goes in the place of a refused request; then the client has its answer, whatever came."""

    __slots__ = ("client", "exchange", "reply")

    def __init__(self, exchange: OpenExchange, reply: Reply) -> None:
        self.client = exchange.client
        self.exchange = exchange
        self.reply = reply

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.finish()
        self.exchange.answer_locally(self.reply)

    def sent(self, attempt: Try) -> None:
        self.exchange.answer_locally(self.reply)

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None:
        self.exchange.answer_locally(self.reply)

    def broke(self, failure: Failure) -> None:
        self.exchange.broke(failure)


def refuse(exchange: OpenExchange, reply: Reply) -> bool:
    """Starts that for an exchange that was not sent anywhere yet. False when there is no server to tell."""
    refused = getattr(exchange.message, "refused", None)
    if refused is None or exchange.attempt is not None or reply.ending is not None:
        return False
    client = exchange.client
    pin = client.session_pin
    found = (pin.pool.cluster, pin.endpoint) if pin is not None else _server(exchange)
    if found is None:
        return False
    cluster, endpoint = found
    message = copy.copy(exchange.message)
    message.frame = refused(exchange.message, reply.text)
    if message.kind is Kind.STREAM_OPEN:  # what goes in its place is whole
        message.kind = Kind.REQUEST
    attempt = Attempt(TransactionAbort(exchange, reply), message, cluster, endpoint)
    exchange.refuse_by(attempt)
    if pin is not None:
        pin.submit(attempt)
    else:
        pool_of(endpoint, cluster, client.network).start(attempt, client)
    return True


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
