"""
A few Redis commands from the reactor, for what the proxy itself keeps there: counters.

Lives here: `Redis`, one connection that all calls share, in pipelines; time-outs, and when it connects again. Does not:
what is asked; clients' Redis traffic, which the codec reads. Answers that are more than a line are refused: no command
that we send has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

CONNECT_TIMEOUT = 1.0
FIRST_BACKOFF, LAST_BACKOFF = 0.1, 5.0
"""Seconds after a failed attempt until the next one, doubled from the first to the last."""
STALLED = 1.0
"""Seconds without an answer after which a connection is given up."""
MOST = 10000
"""Calls that wait for an answer at a time."""

Command = Sequence[bytes]
Answers = list[int | str]


class RedisFailed(Exception):
    """No answer, or an error. The text is for the log."""


def pipeline(commands: Sequence[Command]) -> bytes:
    """The bytes of some commands."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        parts.extend(b"$%d\r\n%b\r\n" % (len(word), word) for word in command)
    return b"".join(parts)


def _endpoint(target: str, reactor: IReactorTime) -> IStreamClientEndpoint:
    if target.startswith("unix:"):
        return UNIXClientEndpoint(reactor, target[5:], timeout=CONNECT_TIMEOUT)
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    kind = TCP4ClientEndpoint if isIPAddress(host) else TCP6ClientEndpoint if isIPv6Address(host) else HostnameEndpoint
    return kind(reactor, host, int(port), timeout=CONNECT_TIMEOUT)


class _Call:
    __slots__ = ("answers", "data", "deadline", "deferred", "left", "sent", "wrong")

    def __init__(self, commands: Sequence[Command], sent: float, timeout: float) -> None:
        self.data = pipeline(commands)
        self.left = len(commands)
        self.answers: Answers = []
        self.wrong: RedisFailed | None = None
        self.sent = sent
        self.deadline = sent + timeout
        self.deferred: Deferred[Answers] = Deferred(lambda _: None)

    def fail(self, text: str) -> None:
        if not self.deferred.called:
            self.deferred.errback(RedisFailed(text))

    def take(self, answer: int | str | RedisFailed) -> None:
        """The next answer; the last one fires the Deferred."""
        if not isinstance(answer, RedisFailed):
            self.answers.append(answer)
        elif self.wrong is None:
            self.wrong = answer
        self.left -= 1
        if self.left or self.deferred.called:
            return
        if self.wrong is not None:
            self.deferred.errback(self.wrong)
        else:
            self.deferred.callback(self.answers)


class _Connection(LineOnlyReceiver):
    transport: ITCPTransport
    MAX_LENGTH = 4096

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.waiting: deque[_Call] = deque()

    def start(self, call: _Call) -> None:
        self.waiting.append(call)
        self.transport.write(call.data)

    def lineReceived(self, line: bytes) -> None:
        kind, text = line[:1], line[1:].decode("utf-8", "replace")
        answer: int | str | RedisFailed
        if kind == b":" and text.lstrip("-").isdecimal():
            answer = int(text)
        elif kind == b"+":
            answer = text
        elif kind == b"-":
            answer = RedisFailed(text[:200])
        else:
            self.transport.abortConnection()
            return
        if self.waiting:
            call = self.waiting[0]
            if call.left == 1:
                self.waiting.popleft()
            call.take(answer)
            if not self.waiting:
                self._redis.idle(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._redis.lost(self)


class Redis:
    """
    A server at `target`, HOST:PORT or unix:/path, in plain text. The connection is opened by the first call.

    reactor: with IReactorTime, IReactorTCP and the like. timeout: seconds for each call, the connecting included. user,
    password: for AUTH; database: for SELECT, 0 for none; connector: gives the IStreamClientEndpoint for each
    connection, in the place of the target's, or raises LookupError.
    """

    def __init__(
        self,
        target: str,
        reactor: IReactorTime,
        timeout: float,
        user: str = "",
        password: str = "",
        database: int = 0,
        connector: Callable[[], IStreamClientEndpoint] | None = None,
    ) -> None:
        self._connector = connector or (lambda: _endpoint(target, reactor))
        self._reactor = reactor
        self.timeout = timeout
        self._target = target
        self._greeting: list[Command] = []
        if password:
            self._greeting.append([word.encode() for word in ("AUTH", user, password) if word])
        if database:
            self._greeting.append([b"SELECT", str(database).encode()])
        self._connection: _Connection | None = None
        self._connecting: Deferred[IProtocol] | None = None
        self._unsent: list[_Call] = []
        self._timed: deque[_Call] = deque()
        self._timer: IDelayedCall | None = None
        self._backoff = FIRST_BACKOFF
        self._not_before = 0.0
        self._closed = False
        self._why_not = ""

    def call(self, commands: Sequence[Command]) -> Deferred[Answers]:
        """
        Fires with the answers, whole numbers or words, in the order of the commands. Fails with RedisFailed, also when
        one of them is an error; at once while the server can't be reached.
        """
        now = self._reactor.seconds()
        call = _Call(commands, now, self.timeout)
        connection = self._connection
        if connection is not None:
            if len(connection.waiting) >= MOST:
                call.fail(f"{MOST} calls wait for an answer")
            else:
                self._watch(call)
                connection.start(call)
        elif self._connecting is None and now < self._not_before:
            call.fail(self._why_not)
        elif len(self._unsent) >= MOST:
            call.fail(f"{MOST} calls wait for a connection")
        else:
            self._watch(call)
            self._unsent.append(call)
            if self._connecting is None:
                self._connect()
        return call.deferred

    def close(self) -> None:
        """Close the connection behind the last call, one that is still made included."""
        self._closed = True
        if self._connection is not None and not self._connection.waiting:
            self.idle(self._connection)

    # -- the connection

    def _connect(self) -> None:
        try:
            connector = self._connector()
        except LookupError:
            self._unreachable(Failure())
            return
        self._connecting = connector.connect(Factory.forProtocol(lambda: _Connection(self)))
        self._connecting.addCallbacks(self._connected, self._unreachable)

    def _connected(self, connection: _Connection) -> None:
        self._connecting = None
        self._connection = connection
        if hasattr(connection.transport, "setTcpNoDelay"):
            connection.transport.setTcpNoDelay(True)
        if self._greeting:
            greeting = _Call(self._greeting, self._reactor.seconds(), STALLED)
            greeting.deferred.addCallbacks(lambda _: self._welcome(), self._refused, errbackArgs=(connection,))
            connection.start(greeting)
        else:
            self._welcome()
        unsent, self._unsent = self._unsent, []
        for call in unsent:
            if not call.deferred.called:
                connection.start(call)
        if not connection.waiting:
            self.idle(connection)

    def _welcome(self) -> None:
        self._backoff = FIRST_BACKOFF
        self._why_not = ""

    def _refused(self, failure: Failure, connection: _Connection) -> None:
        self._why_not = f"login refused: {failure.getErrorMessage()}"
        connection.transport.abortConnection()

    def _unreachable(self, failure: Failure) -> None:
        self._connecting = None
        self._why_not = f"can't connect to {self._target}: {failure.getErrorMessage()}"
        self._wait_before_the_next()
        unsent, self._unsent = self._unsent, []
        for call in unsent:
            call.fail(self._why_not)

    def _wait_before_the_next(self) -> None:
        self._not_before = self._reactor.seconds() + self._backoff
        self._backoff = min(2 * self._backoff, LAST_BACKOFF)

    def lost(self, connection: _Connection) -> None:
        """A connection has ended."""
        if connection is not self._connection:
            return
        self._connection = None
        if connection.waiting:  # an idle one may be closed by the server, and opened again
            self._wait_before_the_next()
        self._why_not = self._why_not or f"{self._target}: connection lost"
        waiting, connection.waiting = connection.waiting, deque()
        for call in waiting:
            call.fail(self._why_not)

    def idle(self, connection: _Connection) -> None:
        """Nothing is under way."""
        if self._closed and connection is self._connection:
            self._connection = None
            connection.transport.loseConnection()

    # -- time-outs: all calls have the same, so the oldest one comes first

    def _watch(self, call: _Call) -> None:
        self._timed.append(call)
        if self._timer is None:
            self._timer = self._reactor.callLater(self.timeout, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        timed = self._timed
        while timed and (timed[0].deferred.called or timed[0].deadline <= now + 1e-9):
            timed.popleft().fail(f"{self._target}: no answer within {self.timeout:g} s")
        if timed:
            self._timer = self._reactor.callLater(timed[0].deadline - now, self._sweep)
        connection = self._connection
        if connection is not None and connection.waiting and connection.waiting[0].sent + STALLED <= now:
            self._why_not = f"{self._target}: no answer for {STALLED:g} s"
            connection.transport.abortConnection()
        self._unsent = [one for one in self._unsent if not one.deferred.called]
