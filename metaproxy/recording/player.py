"""
Recorded exchanges, sent again: a connection for each that there was, in the order and with the spaces that there were.

A request is not sent before the answers have come that its sender had when it was recorded, so that a server that is
slower than it was is not asked things out of turn: `ordered` takes that across all connections, as a comparison of
answers needs it; else it is taken within each connection.

The pieces of a stream are sent at their times as well, and none before as much of the answer has come as its sender
had.

Lives here: `Player`. Does not: a connection (`connection`), comparing answers (`comparison`), reading (`entries`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from heapq import heappop, heappush

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from metaproxy.interfaces import ICodec
from metaproxy.message import Hold, Kind, Message, Side
from metaproxy.recording.connection import Call, Connection, Pace
from metaproxy.recording.entries import Entry, Frame, Piece

MAX_CONNECTIONS = 1000
"""Recorded connections that are played at a time when each goes its own way."""


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
        if frame.chunks is not None:  # what follows it is not there as its sender's bytes
            metadata = dict(frame.metadata or {})
            return Message(frame.kind, frame.data, frame.id, metadata, hold=frame.hold, profile=frame.profile)
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
        if entry.streamed or (entry.outcome == "downstream_gone" and entry.response is None):
            following = Deferred.fromCoroutine(self._follow(entry, connection, call))
            following.addErrback(lambda failure: call.finish(self._clock.seconds(), error=failure.getErrorMessage()))
        return call

    async def _follow(self, entry: Entry, connection: Connection, call: Call) -> None:
        """Sends the pieces of a stream's request, and leaves any request where its client did."""
        for piece, heard in _dialogue(entry):
            call.disarm()
            await self._until(entry.start + piece.at)
            await self._heard(connection, call, heard, entry.request.kind is not Kind.STREAM_OPEN)
            if call.finished:
                return
            connection.send_chunk(piece.chunk(), call)
        if entry.outcome == "downstream_gone":
            call.disarm()
            await self._until(entry.end)
            whole = len(entry.response.payload) if entry.response is not None else 0
            await self._heard(connection, call, whole, entry.response is not None)
            if not call.finished:
                connection.give_up(call)

    async def _heard(self, connection: Connection, call: Call, size: int, head: bool) -> None:
        """Wait until so many bytes of the answer have come, and its head; or there is nothing more to wait for."""
        while not call.finished and not call.answered and not _has(call, size, head):
            connection.wait(call)
            await call.news()

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
        while connection is not None and connection.full and not connection.lost:
            await connection.calls[0].over()
        if connection is not None and connection.leaving and not connection.calls:
            connection.close()
        if connection is None or connection.lost or connection.leaving:
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


def _dialogue(entry: Entry) -> Iterator[tuple[Piece, int]]:
    """The pieces of a request, each with the bytes of the answer that its sender had when it sent it."""
    answer = entry.response.chunks if entry.response is not None and entry.response.chunks is not None else []
    place = heard = 0
    for piece in entry.request.chunks or ():
        while place < len(answer) and answer[place].at < piece.at:
            heard += len(answer[place].data)
            place += 1
        yield piece, heard


def _has(call: Call, size: int, head: bool) -> bool:
    if call.body is None:
        return not size and not head
    return call.body.size >= size
