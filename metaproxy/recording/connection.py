"""
One connection to a server that recorded requests are sent to again, and the requests on their way.

Lives here: `Connection`, `Call`, `Pace`; what a server's stream is to who asked: its head, how much came, its end. Does
not: when what is sent (`player`), comparing answers (`recorded_answer`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from metaproxy.interfaces import ICodec
from metaproxy.message import Chunk, Correlation, ErrorKind, FrameError, Kind, Message, Side
from metaproxy.proxy.sessions import new_session
from metaproxy.recording.entries import Entry
from metaproxy.recording.stream_tape import MOST

_ANSWERS = (Kind.RESPONSE, Kind.ERROR)
_ASKS = (Kind.REQUEST, Kind.STREAM_OPEN)


@dataclass(slots=True)
class Pace:
    """
    speed: 1 as recorded, 2 twice as fast, 0 as fast as answers come. ordered: see player. timeout: seconds for an
    answer, or for the next piece of one; max_inflight: requests under way at a time, of each connection unless
    `ordered`. credentials: how to log in.
    """

    speed: float = 1.0
    ordered: bool = False
    timeout: float = 15.0
    max_inflight: int = 256
    max_frame: int = 16 << 20
    credentials: Mapping[str, str] = field(default_factory=dict)


class Body:
    """What came behind the head of an answer. data: the first bytes, as many as a recording has; size: of all."""

    __slots__ = ("data", "failed", "size")

    def __init__(self, failed: bool) -> None:
        self.data = bytearray()
        self.size = 0
        self.failed = failed

    def add(self, chunk: Chunk) -> None:
        self.size += len(chunk.frame)
        self.failed = self.failed or chunk.failed
        self.data += chunk.frame[: max(MOST - len(self.data), 0)]


class Call:
    """
    One request on its way. answer: None while there is none; body: what came behind it, None for a whole one; error:
    why there will be none; duration: seconds; id: what it was sent under. open: more of the request is to follow.
    """

    def __init__(self, entry: Entry, started: float) -> None:
        self.entry = entry
        self.id = 0
        self.answer: Message | None = None
        self.body: Body | None = None
        self.error = ""
        self.duration = 0.0
        self.finished = False
        self.open = False
        self.answered = False
        self._started = started
        self._waiting: list[Deferred[None]] = []
        self._listening: list[Deferred[None]] = []
        self.timer: IDelayedCall | None = None

    def finish(self, now: float, answer: Message | None = None, error: str = "") -> None:
        """Once; later calls do nothing."""
        if self.finished:
            return
        self.finished = True
        self.answer, self.error, self.duration = answer, error, now - self._started
        self.disarm()
        for one in (*self._waiting, *self._listening):
            one.callback(None)

    def over(self) -> Deferred[None]:
        """Fires when it is finished."""
        return self._asked(self._waiting)

    def news(self) -> Deferred[None]:
        """Fires when something of its answer has come, or it is finished."""
        return self._asked(self._listening)

    def _asked(self, who: list[Deferred[None]]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if self.finished:
            done.callback(None)
        else:
            who.append(done)
        return done

    def tell(self) -> None:
        listening, self._listening = self._listening, []
        for one in listening:
            one.callback(None)

    def disarm(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None


class Connection(Protocol):
    """
    One connection to the server. ready: fires when requests may be sent, or it is lost; leaving: the server wants no
    new request on it.
    """

    transport: ITCPTransport  # there from connectionMade on; nothing is sent before

    def __init__(self, codec: ICodec, profile: Hashable, pace: Pace, clock: IReactorTime) -> None:
        self.ready: Deferred[None] = Deferred()
        self.lost = ""
        self.leaving = False
        self._profile = profile
        self._pace = pace
        self._clock = clock
        self._session = new_session(codec, Side.SERVER, pace.max_frame, {})
        self._fifo = codec.correlation is Correlation.FIFO
        self._max_id = codec.max_id
        self._next_id = 1
        self._order: deque[Call] = deque()
        self._by_id: dict[int, Call] = {}

    @property
    def calls(self) -> list[Call]:
        return [call for call in (*self._order, *self._by_id.values()) if not call.finished]

    @property
    def full(self) -> bool:
        """Whether it carries as many requests as it can."""
        capacity: int = self._session.capacity
        return bool(capacity) and len(self.calls) >= capacity

    def connectionMade(self) -> None:
        self.transport.write(self._session.open(self._profile, self._pace.credentials))
        self._look()

    def _look(self) -> None:
        if self._session.owes:
            self.transport.write(self._session.owed())
        if self._session.error is not None:
            self.fail(str(self._session.error))
            self.transport.abortConnection()
        elif self._session.ready and not self.ready.called:
            self.ready.callback(None)

    # -- requests

    def send(self, message: Message, call: Call) -> None:
        if self.lost:
            call.finish(self._clock.seconds(), error=self.lost)
            return
        asks = message.kind in _ASKS
        if self._fifo:
            if asks:
                self._order.append(call)
        else:
            call.id = self._free_id()
            if asks:
                self._by_id[call.id] = call
        try:
            data = self._session.send(message, call.id)
        except FrameError as error:  # this one can't be sent here; others can
            if asks and self._fifo:
                self._order.pop()
            self._by_id.pop(call.id, None)
            call.finish(self._clock.seconds(), error=str(error))
            return
        self.transport.write(bytes(data))
        if asks:
            call.open = message.kind is Kind.STREAM_OPEN
            self.wait(call)
        else:
            call.finish(self._clock.seconds())

    def send_chunk(self, chunk: Chunk, call: Call) -> None:
        """A piece of a request whose head was sent here."""
        if self.lost or call.finished:
            return
        data = self._session.send(chunk, call.id)
        if data:
            self.transport.write(bytes(data))
        if chunk.kind is Kind.STREAM_CLOSE:
            call.open = False
            if not chunk.final and self._session.flow != "stream":
                self.transport.loseWriteConnection()
            if call.answered:
                self._end(call)
        self.wait(call)

    def give_up(self, call: Call) -> None:
        """The client left here: so it is again."""
        self._by_id.pop(call.id, None)
        data = self._session.reset(call.id, ErrorKind.RESET, "the client left") if not self.lost else b""
        if data:
            self.transport.write(bytes(data))
        call.finish(self._clock.seconds(), call.answer)  # which may close the connection
        if data is None:
            self.leaving = True
            self.transport.abortConnection()

    def wait(self, call: Call) -> None:
        """From now on the server has its time to say something."""
        if call.finished:
            return
        call.disarm()
        what = "answer" if call.answer is None else "more of the answer"
        text = f"no {what} within {self._pace.timeout:g} s"
        call.timer = self._clock.callLater(self._pace.timeout, self._out_of_time, call, text)

    def _out_of_time(self, call: Call, text: str) -> None:
        call.finish(self._clock.seconds(), error=text)

    def _free_id(self) -> int:
        while self._next_id in self._by_id:
            self._next_id = self._next_id % self._max_id + 1
        id, self._next_id = self._next_id, self._next_id % self._max_id + 1
        return id

    # -- answers

    def dataReceived(self, data: bytes) -> None:
        for message in self._session.receive(data):
            self._take(message)
        self._look()

    def _take(self, message: Message) -> None:
        if message.kind in _ANSWERS:
            call = self._call(message)
            if call is not None:
                self._take_off(call)
                call.finish(self._clock.seconds(), message)
        elif message.kind is Kind.STREAM_OPEN:
            call = self._call(message)
            if call is not None and not call.finished:
                self._open(call, message)
        elif isinstance(message, Chunk):
            call = self._call(message)
            if call is not None:
                self._chunk(call, message)
        elif message.kind is Kind.DRAIN:
            self.leaving = True

    def _open(self, call: Call, head: Message) -> None:
        call.answer = head
        call.body = Body(bool(getattr(head, "failed", False)))
        call.open = call.open or bool(getattr(head, "duplex", False))
        self.wait(call)
        call.tell()

    def _chunk(self, call: Call, chunk: Chunk) -> None:
        if self._session.flow == "stream":
            self._session.credit(call.id, chunk.size)
        if chunk.kind is Kind.STREAM_RESET:
            self._take_off(call)
            text = chunk.frame.decode("utf-8", "replace")[:200] or "without a word"
            call.finish(self._clock.seconds(), error=f"the server reset the stream: {text}")
            return
        if call.finished or call.body is None:
            if chunk.kind is Kind.STREAM_CLOSE:
                self._take_off(call)
            return
        call.body.add(chunk)
        if chunk.kind is Kind.STREAM_CLOSE:
            call.answered = True
            if chunk.final or not call.open:
                self._end(call)
                return
        self.wait(call)
        call.tell()

    def _end(self, call: Call) -> None:
        self._take_off(call)
        call.finish(self._clock.seconds(), call.answer)

    def _call(self, message: Message) -> Call | None:
        """Return the call that it belongs to; None where nothing was asked."""
        if self._fifo:
            return self._order[0] if self._order else None
        return self._by_id.get(message.id)

    def _take_off(self, call: Call) -> None:
        if self._fifo:
            if self._order and self._order[0] is call:
                self._order.popleft()
        else:
            self._by_id.pop(call.id, None)

    # -- the end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.lost:
            for message in self._session.eof():
                self._take(message)
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
