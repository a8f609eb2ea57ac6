"""
Recorded exchanges, sent again: a connection for each that there was, in the order and with the spaces that there were.

A request is not sent before the answers have come that its sender had when it was recorded, so that a server that is
slower than it was is not asked things out of turn: `ordered` takes that across all connections, as a comparison of
answers needs it; else it is taken within each connection.

Lives here: `Player`, and one connection to a server. Does not: comparing answers (`comparison`), reading (`entries`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, Hold, Kind, Message, Side
from metaproxy.recording.entries import Entry, Frame

MAX_CONNECTIONS = 1000
"""Recorded connections that are played at a time when each goes its own way."""

_ANSWERS = (Kind.RESPONSE, Kind.ERROR)


@dataclass(slots=True)
class Pace:
    """
    speed: 1 as recorded, 2 twice as fast, 0 as fast as answers come. ordered: see the module. timeout: seconds for an
    answer; max_inflight: requests under way at a time, of each connection unless `ordered`. credentials: how to log in.
    """

    speed: float = 1.0
    ordered: bool = False
    timeout: float = 15.0
    max_inflight: int = 256
    max_frame: int = 16 << 20
    credentials: Mapping[str, str] = field(default_factory=dict)


class Call:
    """One request on its way. answer: None while there is none; error: why there will be none; duration: seconds."""

    def __init__(self, entry: Entry, started: float) -> None:
        self.entry = entry
        self.answer: Message | None = None
        self.error = ""
        self.duration = 0.0
        self.finished = False
        self._started = started
        self._waiting: list[Deferred[None]] = []
        self.timer: IDelayedCall | None = None

    def finish(self, now: float, answer: Message | None = None, error: str = "") -> None:
        """Once; later calls do nothing."""
        if self.finished:
            return
        self.finished = True
        self.answer, self.error, self.duration = answer, error, now - self._started
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        for one in self._waiting:
            one.callback(None)

    def over(self) -> Deferred[None]:
        """Fires when it is finished."""
        done: Deferred[None] = Deferred()
        if self.finished:
            done.callback(None)
        else:
            self._waiting.append(done)
        return done


class Connection(Protocol):
    """One connection to the server. ready: fires when requests may be sent, or it is lost."""

    transport: ITCPTransport  # there from connectionMade on; nothing is sent before

    def __init__(self, codec: ICodec, profile: Hashable, pace: Pace, clock: IReactorTime) -> None:
        self.ready: Deferred[None] = Deferred()
        self.lost = ""
        self._profile = profile
        self._pace = pace
        self._clock = clock
        self._session = codec.session(Side.SERVER, pace.max_frame)
        self._fifo = codec.correlation is Correlation.FIFO
        self._max_id = codec.max_id
        self._next_id = 1
        self._order: deque[Call] = deque()
        self._by_id: dict[int, Call] = {}

    @property
    def calls(self) -> list[Call]:
        return [call for call in (*self._order, *self._by_id.values()) if not call.finished]

    def connectionMade(self) -> None:
        self.transport.write(self._session.open(self._profile, self._pace.credentials))
        self._look()

    def _look(self) -> None:
        if self._session.error is not None:
            self.fail(str(self._session.error))
            self.transport.abortConnection()
        elif self._session.ready and not self.ready.called:
            self.ready.callback(None)

    def send(self, message: Message, call: Call) -> None:
        if self.lost:
            call.finish(self._clock.seconds(), error=self.lost)
            return
        id = 0
        if message.kind is Kind.REQUEST:
            if self._fifo:
                self._order.append(call)
            else:
                id = self._free_id()
                self._by_id[id] = call
        elif not self._fifo:
            id = self._free_id()
        self.transport.write(self._session.send(message, id))
        if message.kind is Kind.REQUEST:
            text = f"no answer within {self._pace.timeout:g} s"
            late = self._clock.seconds() + self._pace.timeout
            call.timer = self._clock.callLater(self._pace.timeout, call.finish, late, error=text)
        else:
            call.finish(self._clock.seconds())

    def _free_id(self) -> int:
        while self._next_id in self._by_id:
            self._next_id = self._next_id % self._max_id + 1
        id, self._next_id = self._next_id, self._next_id % self._max_id + 1
        return id

    def dataReceived(self, data: bytes) -> None:
        for message in self._session.receive(data):
            if message.kind in _ANSWERS:
                call = self._call(message)
                if call is not None:
                    call.finish(self._clock.seconds(), message)
            elif message.answer:
                self.transport.write(message.answer)
        self._look()

    def _call(self, message: Message) -> Call | None:
        """Return the call that it answers; None for an answer to no call."""
        if self._fifo:
            return self._order.popleft() if self._order else None
        return self._by_id.pop(message.id, None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.fail(self.lost or "the server closed the connection")

    def fail(self, text: str) -> None:
        """It is no more, or never was."""
        self.lost = text
        for call in self.calls:
            call.finish(self._clock.seconds(), error=text)
        if not self.ready.called:
            self.ready.callback(None)

    def close(self) -> None:
        if not self.lost:
            self.lost = "closed"
            self.transport.loseConnection()


class _Client:
    """
    What stands for one recorded connection: a connection to the server for each state (profile) that its requests need,
    as the proxy has them; while the client has one of its own (a transaction, a subscription), that one for all.
    """

    def __init__(self, codec: ICodec, max_frame: int) -> None:
        self._codec = codec
        self._session = codec.session(Side.CLIENT, max_frame)
        self.connections: dict[Hashable, Connection] = {}
        self.pin: Connection | None = None
        self.last: Connection | None = None

    def message(self, frame: Frame) -> Message:
        """
        The request, as this client's session reads it. What was answered before it by the proxy itself was not
        recorded, so the session may see it in another state: what it was then, the recording knows.
        """
        read = self._session.receive(frame.data) if self._session.error is None else []
        found = next((one for one in read if one.frame == frame.data), None)
        message = found or Message(frame.kind, frame.data, frame.id)
        message.kind, message.hold, message.answer = frame.kind, frame.hold, None
        if message.profile != frame.profile and (frame.profile is not None or found is None):
            message.profile = frame.profile
        return message


class Player:
    """connect(protocol): a Deferred that fires when that protocol is connected. clock: the reactor's."""

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[Protocol], Deferred[Protocol]],
        codec: ICodec,
        pace: Pace | None = None,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._codec = codec
        self._pace = pace or Pace()
        self._clients: dict[str, _Client] = {}
        self._left: Counter[str] = Counter()
        self._zero = 0.0
        self._first = 0.0
        self.calls: list[Call] = []

    async def play(self, entries: Sequence[Entry]) -> list[Call]:
        """Sends them; returns when each was answered, or failed. What is no request to a server is left out before."""
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            self._left[entry.connection] += 1
            groups.setdefault("" if self._pace.ordered else entry.connection, []).append(entry)
        self._zero = self._clock.seconds()
        self._first = min((entry.start for entry in entries), default=0.0)
        turns = DeferredSemaphore(MAX_CONNECTIONS)
        played = [turns.run(self._started, group) for group in groups.values()]
        await gatherResults(played, consumeErrors=True)
        return self.calls

    def _started(self, entries: Sequence[Entry]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._play(entries))

    async def _play(self, entries: Sequence[Entry]) -> None:
        unfinished: list[tuple[float, int, Call]] = []
        for place, entry in enumerate(entries):
            await self._until(entry.start)
            while unfinished and (unfinished[0][0] <= entry.start or len(unfinished) >= self._pace.max_inflight):
                await heappop(unfinished)[2].over()
            call = await self._send(entry)
            heappush(unfinished, (entry.end, place, call))
        for _, _, call in unfinished:
            await call.over()

    async def _until(self, start: float) -> None:
        if self._pace.speed:
            wait = self._zero + (start - self._first) / self._pace.speed - self._clock.seconds()
            if wait > 0:
                await deferLater(self._clock, wait)

    async def _send(self, entry: Entry) -> Call:
        client = self._clients.get(entry.connection)
        if client is None:
            client = self._clients[entry.connection] = _Client(self._codec, self._pace.max_frame)
        message = client.message(entry.request)
        try:
            connection = await self._connection(client, message)
        except Exception as error:
            call = self._begun(entry, client)
            call.finish(self._clock.seconds(), error=str(error) or type(error).__name__)
            return call
        call = self._begun(entry, client)
        if message.hold is Hold.OPEN:
            client.pin = connection
        elif message.hold is Hold.CLOSE:
            client.pin = None
        connection.send(message, call)
        return call

    def _begun(self, entry: Entry, client: _Client) -> Call:
        call = Call(entry, self._clock.seconds())
        self.calls.append(call)
        call.over().addCallback(lambda _: self._ended(entry.connection, client))
        return call

    def _ended(self, name: str, client: _Client) -> None:
        """Its connections close behind its last request, as the client's did."""
        self._left[name] -= 1
        if not self._left[name]:
            for connection in client.connections.values():
                connection.close()

    async def _connection(self, client: _Client, message: Message) -> Connection:
        connection = client.pin
        if connection is None or connection.lost:
            connection = client.connections.get(message.profile)
        if connection is None or connection.lost:
            connection = Connection(self._codec, message.profile, self._pace, self._clock)
            client.connections[message.profile] = connection
            try:
                await self._connect(connection)
            except Exception as error:
                connection.fail(str(error) or type(error).__name__)
            await connection.ready
            if connection.lost:
                raise ConnectionError(connection.lost)
        if client.last is not None and client.last is not connection:
            for call in client.last.calls:
                await call.over()
        client.last = connection
        return connection
