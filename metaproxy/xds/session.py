"""
One stream to a server with its subscriptions: requests and answers in their order, and a new stream when it ends.

Lives here: `Session`. Does not: what is sent (`subscription`), bytes (`grpc_stream`), what becomes of resources
(`handler`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from envoy.config.core.v3 import base_pb2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.support.log_throttle import LogThrottle
from metaproxy.xds.backoff import Backoff, NackPacer
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.subscription import Request, Response, Subscription
from metaproxy.xds.update import Update

log = Logger()

SILENCE = 1800.0
"""Seconds without a response after which everything is asked for again: a server may have lost track of this node."""


class Stream(Protocol):
    """A stream that is open, or about to be."""

    def send(self, request: Request) -> None:
        """Send one message."""

    def close(self) -> None:
        """End it. Its receiver hears nothing from now on."""


class Receiver(Protocol):
    """What a stream calls, in the reactor's thread."""

    def connected(self) -> None:
        """There is a connection."""

    def received(self, response: Response, done: Callable[[], None]) -> None:
        """A message came; `done` must be called once there is room for another one."""

    def ended(self, reason: str) -> None:
        """The stream is over; nothing follows."""


Connect = Callable[[Receiver], Stream]
"""Opens a stream to the server. It calls its receiver in later turns only."""


class Handler(Protocol):
    """What takes the updates of one server."""

    def opened(self, kind: ResourceType) -> None:
        """A stream begins."""

    def read(self, subscription: Subscription, response: Response) -> Update:
        """Return what a response says."""

    def take(self, kind: ResourceType, update: Update) -> Deferred[list[str]]:
        """Fire with the names of the resources that are in use now; `update.errors` says what is refused then."""


class _Topic:
    """A subscription on a stream, and its refusal that waits for its time."""

    def __init__(self, subscription: Subscription, clock: IReactorTime) -> None:
        self.subscription = subscription
        self.pacer = NackPacer()
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._refuse: Callable[[], None] | None = None

    def later(self, seconds: float, refuse: Callable[[], None]) -> None:
        self._refuse = refuse
        self._timer = self._clock.callLater(seconds, self.now)

    def now(self) -> None:
        """Refuse now, if a refusal waits."""
        refuse = self._refuse
        self.cancel()
        if refuse is not None:
            refuse()

    def cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._refuse = None


class Session:
    """
    node: who this proxy is, in the first message of each stream; silence: seconds after which everything is asked for
    again, 0 for never.
    """

    def __init__(
        self,
        server: str,
        subscriptions: Sequence[Subscription],
        connect: Connect,
        node: base_pb2.Node,
        handler: Handler,
        counts: ServerCounts,
        clock: IReactorTime,
        backoff: Backoff | None = None,
        silence: float = SILENCE,
    ) -> None:
        self.server = server
        self._topics = {one.kind.url: _Topic(one, clock) for one in subscriptions}
        self._connect = connect
        self._node = node
        self._handler = handler
        self._counts = counts
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._silence = silence
        self._stream: Stream | None = None
        self._receiver: _Receiver | None = None
        self._first = True
        self._running = False
        self._retry: IDelayedCall | None = None
        self._quiet: IDelayedCall | None = None
        self._waiting: deque[tuple[_Receiver, Response, Callable[[], None]]] = deque()
        self._busy = False
        self._throttle = LogThrottle(clock.seconds)

    def start(self) -> None:
        """Open a stream, and another one whenever it ends."""
        self._running = True
        self._open()

    def stop(self) -> None:
        """End the stream and open none."""
        self._running = False
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._close()

    def want(self, kind: ResourceType, names: Collection[str]) -> None:
        """Ask for these names from now on. A refusal that waits goes at once, for the names go with it."""
        topic = self._topics[kind.url]
        before = topic.subscription.names
        request = topic.subscription.want(names)
        if request is not None:
            self._send(request)
        elif topic.subscription.names != before:
            topic.now()

    # -- the stream

    def _open(self) -> None:
        self._first = True
        self._counts.streams += 1
        self._receiver = _Receiver(self)
        self._stream = self._connect(self._receiver)
        for topic in self._topics.values():
            self._handler.opened(topic.subscription.kind)
            request = topic.subscription.open()
            if request is not None:
                self._send(request)
        self._listen()

    def _close(self) -> None:
        stream, self._stream, self._receiver = self._stream, None, None
        if stream is not None:
            stream.close()
        self._waiting.clear()
        self._counts.link(self, False)
        if self._quiet is not None and self._quiet.active():
            self._quiet.cancel()
        for topic in self._topics.values():
            topic.cancel()
            topic.subscription.close()

    def _send(self, request: Request | None) -> None:
        if request is None or self._stream is None:
            return
        if self._first:
            request.node.CopyFrom(self._node)
            self._first = False
        self._stream.send(request)

    def _listen(self) -> None:
        """Wait for a response; ask again after a long silence."""
        if self._quiet is not None and self._quiet.active():
            self._quiet.cancel()
        if self._silence:
            self._quiet = self._clock.callLater(self._silence, self._ask_again)

    def _ask_again(self) -> None:
        for topic in self._topics.values():
            self._send(topic.subscription.refresh())
        self._listen()

    # -- what the stream says

    def connected(self, receiver: _Receiver) -> None:
        if receiver is self._receiver:
            self._counts.link(self, True)

    def ended(self, receiver: _Receiver, reason: str) -> None:
        if receiver is not self._receiver:
            return
        self._close()
        for topic in self._topics.values():
            self._counts.of(topic.subscription.kind).failures += 1
        self._counts.reason = reason
        wait = self._backoff.next()
        if self._throttle.allows(reason):
            log.warn("xds {server}: {reason}; what was received stays in force", server=self.server, reason=reason)
        self._retry = self._clock.callLater(wait, self._open)

    def received(self, receiver: _Receiver, response: Response, done: Callable[[], None]) -> None:
        if receiver is not self._receiver:
            done()
            return
        self._backoff.reset()
        self._counts.link(self, True)
        self._listen()
        self._waiting.append((receiver, response, done))
        self._next()

    # -- one response after the other

    def _next(self) -> None:
        while self._waiting and not self._busy:
            receiver, response, done = self._waiting.popleft()
            topic = self._topics.get(response.type_url)
            if topic is None:
                self._not_asked(response.type_url)
                done()
                continue
            topic.now()
            self._busy = True
            update = self._handler.read(topic.subscription, response)
            taken = self._handler.take(topic.subscription.kind, update)
            taken.addErrback(self._could_not, update)
            taken.addCallback(self._answer, receiver, topic, update)
            taken.addErrback(lambda failure: log.failure("xds {server}", failure, server=self.server))
            taken.addBoth(self._done, done)

    def _done(self, _: object, done: Callable[[], None]) -> None:
        self._busy = False
        done()
        self._next()

    def _could_not(self, failure: Failure, update: Update) -> list[str]:
        """Refuse what a bug of ours could not take: the stream goes on."""
        log.failure("xds {server}: a response could not be taken", failure, server=self.server)
        update.errors[""] = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
        return []

    def _answer(self, held: list[str], receiver: _Receiver, topic: _Topic, update: Update) -> None:
        subscription, counts = topic.subscription, self._counts.of(topic.subscription.kind)
        if not update.errors:
            counts.successes += 1
            counts.version = update.version
            topic.pacer.accepted()
            self._send(subscription.ack(update))
            return
        counts.rejected += 1
        text = refusal(update)
        if self._throttle.allows((subscription.kind, text)):
            log.error(
                "xds {server}: {kind} refused: {text}", server=self.server, kind=subscription.kind.name, text=text
            )
        if receiver is not self._receiver:
            subscription.nack(update, text, held)
            return
        refuse = partial(self._refuse, topic, update, text, held)
        delay = topic.pacer.delay(update.version, self._clock.seconds())
        if delay:
            topic.later(delay, refuse)
        else:
            refuse()

    def _refuse(self, topic: _Topic, update: Update, text: str, held: list[str]) -> None:
        topic.pacer.sent(update.version, self._clock.seconds())
        self._send(topic.subscription.nack(update, text, held))

    def _not_asked(self, url: str) -> None:
        if self._throttle.allows(url):
            log.warn("xds {server}: sent {url!r}, which was not asked for", server=self.server, url=url)


class _Receiver:
    """What one stream calls; calls of a stream that was left are ignored by the session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def connected(self) -> None:
        self._session.connected(self)

    def received(self, response: Response, done: Callable[[], None]) -> None:
        self._session.received(self, response, done)

    def ended(self, reason: str) -> None:
        self._session.ended(self, reason)


def refusal(update: Update) -> str:
    """Return the text of a refusal: each resource with what is wrong with it."""
    return "; ".join(f"{name}: {text}" if name else text for name, text in update.errors.items())
