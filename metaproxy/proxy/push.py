"""
A server's push on a client's own connection, as an exchange: who counts and looks at exchanges sees it as well.

Lives here: `Pushes`, where those of one client are counted; `Push`, what the hooks of on_complete get; `StreamedPush`
and `Delivery`, for one whose chunks follow. Does not: the bytes that the client gets (`downstream`), and their place
among its answers (`response_order`).
"""

from __future__ import annotations

from twisted.python.failure import Failure

from metaproxy.cluster.routes import Route, Target
from metaproxy.message import ErrorKind, Message, Reply
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.roles import ExchangeClient, ExchangeStream, OpenExchange, UpstreamConnection
from metaproxy.proxy.snapshot import ListenerSnapshot

EVENT = "event"
"""The outcome of a push."""


class Push(Exchange):
    """`message` is the push. Nothing was asked, so that no filter saw it before and nothing was sent to a server."""

    __slots__ = ()

    @property
    def request_bytes(self) -> int:
        return 0

    @property
    def attempts(self) -> int:
        return 0


class StreamedPush(Push):
    """A push whose chunks follow: it lasts until its end has gone to the client, and its chunks pass the filters."""

    __slots__ = ()

    def pushed(self, delivery: Delivery) -> None:
        """Its head goes to the client, in its turn; its chunks follow."""
        if self.stream is not None:
            self.stream.opened(delivery, False)
            self.stream.deliver(self.message)

    def stream_ended(self) -> None:
        """The server has said all of it."""
        if self.stream is not None:
            self._end_attempt(self.stream, False)
        self.data = b""
        self.complete(EVENT)

    def _end_attempt(self, stream: ExchangeStream, failed: bool) -> None:
        """Nothing was asked of the server, so that nothing tells how well it answers."""
        if stream.attempt is not None and not stream.attempt.done:
            stream.attempt.ended()

    def answer_locally(self, reply: Reply) -> None:
        """Cut it off. A client that has none of it waits for nothing, and gets no error."""
        if self.outcome or (self.stream is not None and self.stream.begun):
            super().answer_locally(reply)
            return
        self._stop()
        self.reply_kind, self.details, self.data = reply.kind or ErrorKind.RESET, reply.details, b""
        self.complete(self.reply_kind.value)

    def complete(self, outcome: str) -> None:
        if not self.outcome:
            self.counts().request_bytes -= len(self.message.frame)  # which are the answer's, and counted there
        super().complete(outcome)


class Delivery(Attempt):
    """
    Where the chunks of a push come from, as a stream sees it. It is no try: neither the breaker nor the balancer counts
    it.
    """

    __slots__ = ()

    def __init__(self, owner: StreamedPush, message: Message, connection: UpstreamConnection) -> None:
        self.owner, self.message = owner, message
        self.cluster, self.endpoint = connection.pool.cluster, connection.endpoint
        self.connection, self.id, self.moved = connection, message.id, 0
        self.done = self.begun = self.open = False
        self.streaming = True

    def _over(self) -> None:
        self.done = True

    def ended(self) -> None:
        """Its CLOSE has come, and went to the client."""
        self.finish()

    def cancel(self) -> None:
        """The client wants no more of it."""
        if not self.done:
            self._over()
            if self.connection is not None:
                self.connection.give_up_push(self)


class _Place:
    """Where the pushes of one connection are counted, by one configuration."""

    __slots__ = ("route", "snapshot", "target")

    def __init__(self, snapshot: ListenerSnapshot, route: Route, target: Target | None) -> None:
        self.snapshot = snapshot
        self.route = route
        self.target = target


class Pushes:
    """The pushes that one client gets."""

    def __init__(self, client: ExchangeClient) -> None:
        self._client = client
        self._route = ""
        self._places: dict[UpstreamConnection, _Place] = {}

    def opened_by(self, exchange: OpenExchange) -> None:
        """From now on the client has a connection of its own, by this exchange's route."""
        self._route = exchange.matched_route.name
        self._places.clear()

    def passed(self, message: Message, size: int, connection: UpstreamConnection) -> None:
        """A push went to the client, in so many bytes."""
        place = self._place(connection)
        route, target = place.route, place.target
        counts = target.counts if target is not None else route.reply_target.counts
        counts.count(EVENT)
        counts.response_bytes += size
        if route.on_complete:
            self._show(message, size, connection, place)

    def begin(self, message: Message, connection: UpstreamConnection) -> tuple[StreamedPush, Delivery]:
        """A push whose chunks follow."""
        place = self._place(connection)
        push = StreamedPush(self._client, message, place.snapshot, self._client.network.turn.now)
        push.matched_route, push.target, push.endpoint = place.route, place.target, connection.endpoint
        push.attempt = delivery = Delivery(push, message, connection)
        return push, delivery

    def _show(self, message: Message, size: int, connection: UpstreamConnection, place: _Place) -> None:
        now = self._client.network.turn.now
        push = Push(self._client, message, place.snapshot, now)
        push.matched_route, push.target, push.endpoint = place.route, place.target, connection.endpoint
        push.ended, push.outcome, push.response_bytes, push.data = now, EVENT, size, b""
        for hook in place.route.on_complete:
            try:
                hook(push)
            except BaseException:
                self._client.listener.filter_failed(hook, Failure())

    def _place(self, connection: UpstreamConnection) -> _Place:
        place = self._places.get(connection)
        if place is None or place.snapshot is not self._client.listener.snapshot:
            place = self._find(connection)
        return place

    def _find(self, connection: UpstreamConnection) -> _Place:
        """The route that opened the connection, or the first that leads to its cluster, in the configuration now."""
        snapshot = self._client.listener.snapshot
        routes = snapshot.routes.routes
        place = _Place(snapshot, snapshot.no_route, None)
        for route in (*(one for one in routes if one.name == self._route), *routes):
            target = _target(route, connection.pool.cluster.name)
            if target is not None:
                place = _Place(snapshot, route, target)
                break
        self._places = {one: known for one, known in self._places.items() if one.alive}
        self._places[connection] = place
        return place


def _target(route: Route, cluster: str) -> Target | None:
    target: Target | None
    for target in route.targets:
        while target is not None:
            if target.name == cluster:
                return target
            target = target.fallback
    return None
