"""
What an exchange has besides when one of its messages is a head: the chunks that follow, both ways.

    client -> from_client -> on_chunk of the filters -> upstream connection      credit back to the client
    server -> from_server -> on_chunk of the filters -> downstream connection    credit back to the server

A chunk is credited to who sent it when it left for the other side and that side has room: until then its sender may
send one window more and no further. Lives here: `Stream` and its two halves. Does not: heads, routes and ends
(`exchange`); whose socket is read (`downstream`, `upstream`).

Longer than most modules: both directions, their filters and their time share the state of two halves.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from metaproxy.counts import StreamCounts, TargetCounts
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Reply, Side
from metaproxy.proxy.gathering import Collected
from metaproxy.proxy.roles import StreamClient, StreamCopy, StreamExchange, Try

WINDOW = 64 * 1024
"""Bytes that may come from one side before the other took them, where flow is by connection."""
REPLAY = 64 * 1024
"""Bytes of a request that are kept for another try and for mirrors; beyond them the try is final."""
PIECES = 1024
"""Chunks that may come from one side before the other took them, however small: what a chunk costs beside its bytes."""
MOST_PIECES = 16 * PIECES
"""Those of an answer that may wait where its connection can't be paused, as others have theirs on it."""
UNWANTED = 64 << 20
"""Bytes that are read and dropped of a request that was answered before its end; then its connection closes."""

_DATA, _CLOSE, _RESET = Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET


class Half:
    """
    One direction. open: more may be sent on; ended: its CLOSE has come. bytes, chunks: what came, in all. queue: chunks
    that wait for what is before them, `queued` bytes by flow control; blocked: they do. deciding: a filter has one of
    them. owing: bytes by flow control that came and were not credited, in so many pieces. stopped: the connection that
    they come on is not read, because of them. collected: what a filter waits for, while it does.
    """

    __slots__ = (
        "blocked", "bytes", "chunks", "collected", "deciding", "ended", "open", "owing", "pieces", "queue", "queued",
        "stopped",
    )  # fmt: skip

    def __init__(self, open: bool) -> None:
        self.open = open
        self.ended = not open
        self.blocked = True
        self.bytes = self.chunks = 0
        self.queue: deque[Chunk] = deque()
        self.queued = self.owing = self.pieces = 0
        self.stopped = self.deciding = False
        self.collected: Collected | None = None

    def take(self, chunk: Chunk) -> None:
        self.bytes += len(chunk.frame)
        self.chunks += 1
        self.owing += chunk.size
        self.pieces += 1
        if chunk.kind is _CLOSE:
            self.ended = True

    def keep(self, chunk: Chunk) -> None:
        self.queue.append(chunk)
        self.queued += chunk.size

    def next(self) -> Chunk:
        chunk = self.queue.popleft()
        self.queued -= chunk.size
        return chunk

    def clear(self) -> None:
        self.queue.clear()
        self.queued = 0
        self.collected = None

    def credited(self) -> int:
        """Bytes of what left, which are owed no more."""
        size = self.owing - self.queued
        self.owing = self.queued
        self.pieces = len(self.queue)
        return size

    def relieved(self) -> bool:
        """Whether it was stopped, and so little waits now that its connection may be read on."""
        if not self.stopped or self.owing > WINDOW // 2 or self.pieces > PIECES // 2:
            return False
        self.stopped = False
        return True


class Stream:
    """
    id: the exchange's on the client's connection. exchange: None while its head waits for its turn, and when it is
    over. attempt: what it is sent by, or answered by. begun: the answer's head went to the client. over: the exchange
    has ended; what the client still sends of it is dropped.
    failed: the answer's end reports failure. replay: chunks for another try, None when they are not all kept.
    first_byte: when the answer's head went to the client, 0.0 before.
    """

    __slots__ = (
        "_asked_for", "_awaits_head", "_counts", "_dropped", "_head", "_moved", "_sent", "_timer", "attempt", "begun",
        "client", "copies", "down", "exchange", "failed", "first_byte", "id", "over", "replay", "replay_size", "up",
    )  # fmt: skip

    def __init__(self, client: StreamClient, id: int, request_open: bool) -> None:
        self.client = client
        self.id = id
        self.exchange: StreamExchange | None = None
        self.attempt: Try | None = None
        self.up = Half(request_open)
        self.down = Half(False)
        self.replay: list[Chunk] | None = None
        self.replay_size = 0
        self.copies: list[StreamCopy] = []
        self.begun = self.over = self.failed = False
        self.first_byte = 0.0
        self._counts: StreamCounts | None = None
        self._head: Message | None = None
        self._dropped = 0
        self._asked_for = self._awaits_head = self._sent = False
        self._moved = client.network.turn.now
        self._timer: IDelayedCall | None = None

    # -- time

    def watch(self) -> None:
        """Start the clock: see `_due`. A request that was gathered has a cluster only now, whose time counts."""
        if self.over:
            return
        if self._timer is None:
            self._moved = self.client.network.turn.now
            self._arm()
        elif self._awaits_head:
            self._stop_timer()
            self._arm()

    def _arm(self) -> None:
        due = self._due()[0]
        if due:
            clock = self.client.network.clock
            self._timer = clock.callLater(max(0.0, due - clock.seconds()), self._tick)

    def _due(self) -> tuple[float, str]:
        """
        When it is out of time, and why; 0.0 for never. While either side sends, nothing counts but silence. A request
        that is whole has its time-out to be answered in. What a filter allows counts from the start.
        """
        exchange = self.exchange
        assert exchange is not None
        found: list[tuple[float, str]] = []
        idle = exchange.snapshot.stream_idle
        if idle > 0:
            found.append((self._moved + idle, f"nothing sent either way for {idle:g} s (stream_idle)"))
        allowed = exchange.allowed()
        if self._awaits_head and allowed > 0:
            found.append((self._moved + allowed, f"no answer within {allowed:g} s"))
        if exchange.time_limit > 0:
            found.append((exchange.started + exchange.time_limit, f"not over within {exchange.time_limit:g} s"))
        return min(found, default=(0.0, ""))

    def _tick(self) -> None:
        self._timer = None
        exchange = self.exchange
        if self.over or exchange is None:
            return
        due, text = self._due()
        if due - self.client.network.clock.seconds() > 1e-6:
            self._arm()
            return
        self.client.network.turn.refresh()
        try:
            exchange.run_out(text)
        except BaseException:
            exchange.broke(Failure())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the request's half

    def attach(self, exchange: StreamExchange) -> None:
        self.exchange = exchange

    def from_client(self, chunk: Chunk) -> None:
        """A chunk from the client; also when the exchange is over, or has not begun."""
        if self.over:
            self._drop(chunk)
            return
        if chunk.kind is _RESET:
            self.up.ended = True
            if self.exchange is not None:
                self.exchange.abandon("downstream_gone")
            return
        half = self.up
        # Its client's protocol is broken, and a server that has the whole request must not see that; unless its answer
        # asks for uploads, of which one more may come behind the end of one.
        if half.ended and not self._asked_for:
            self._drop(chunk)
            return
        self._moved = self.client.network.turn.now
        half.take(chunk)
        if half.blocked or self.attempt is None:
            if half.collected is not None:
                self._collect(Side.CLIENT, half, chunk)
            else:
                half.keep(chunk)
        else:
            self._filter(Side.CLIENT, half, chunk, 0)
        # Windows, where there are any, bound the bytes, and never how many pieces they come in.
        full = half.pieces > PIECES or (half.owing > WINDOW and self.client.session.flow != "stream")
        if full and not half.stopped and not self.over:
            half.stopped = True
            self.client.pause(self)

    def sending(self, attempt: Try) -> None:
        """The head was handed to the attempt's connection: what has come behind it follows."""
        if self.over:
            return
        self.attempt = attempt
        self.watch()
        if not self._sent and self.exchange is not None:
            self._sent = True
            self._count(self.exchange)
            self._show_head(self.exchange, Side.CLIENT)
            route = self.exchange.matched_route
            self.replay = [] if route.action.retry is not None or route.action.mirror is not None else None
        for chunk in self.replay or ():
            attempt.send_chunk(chunk)
            if attempt.done:
                return
        self._release(Side.CLIENT, self.up)
        if self.attempt is attempt:
            self._settle_up()

    def resend(self) -> bool:
        """Another try begins, if all that was sent is kept: what comes meanwhile waits for it."""
        if self._sent and self.replay is None:
            return False
        self.attempt = None
        self.up.blocked = True
        return True

    def _pass_up(self, chunk: Chunk) -> None:
        attempt = self.attempt
        if attempt is None:  # a filter had it as a try failed: the next one sends it
            if self.replay is not None:
                self.replay.append(chunk)
            if chunk.kind is _CLOSE:
                self.up.open = False
                self._request_ended()
            return
        if attempt.done:
            return
        if self.replay is not None:
            self._keep(chunk)
        for copy in self.copies:
            copy.follow(chunk)
        attempt.send_chunk(chunk)
        if chunk.kind is _CLOSE:
            self.up.open = False
            self._request_ended()
        if not self.over:
            self._settle_up()

    def _keep(self, chunk: Chunk) -> None:
        self.replay_size += len(chunk.frame)
        if self.replay is None or self.replay_size > REPLAY or len(self.replay) >= PIECES or self.begun:
            self.replay = None
        else:
            self.replay.append(chunk)

    def _request_ended(self) -> None:
        if self.over or self.down.open:
            return
        if self.begun:
            self._complete()
            return
        self._awaits_head = True
        self._stop_timer()
        self._arm()

    def _settle_up(self) -> None:
        """Credit the client what its server has room for."""
        attempt = self.attempt
        if attempt is None or attempt.done or attempt.has_room():
            self._credit_up()

    def _credit_up(self) -> None:
        size = self.up.credited()
        if size:
            self.client.credit(self.id, size)
        if self.up.stopped and self.up.relieved():
            self.client.resume(self)

    def server_has_room(self) -> None:
        self._settle_up()

    def _drop(self, chunk: Chunk) -> None:
        """A chunk of a request that was answered before its end."""
        self._dropped += len(chunk.frame)
        if chunk.kind is not _DATA:
            self.up.ended = True
        elif self._dropped > UNWANTED:
            self.client.close()
            return
        self.client.credit(self.id, chunk.size)

    def withdrawn(self) -> None:
        """The client gave it up before its exchange began."""
        self.over = self.up.ended = True
        self.up.clear()
        self._credit_up()

    # -- the answer's half

    def opened(self, attempt: Try, duplex: bool) -> None:
        """The server's head has come; it is on its way through the filters. duplex: see Message."""
        self.attempt = attempt
        self._awaits_head = False
        self._moved = self.client.network.turn.now
        self.down.open, self.down.ended = True, False
        if duplex:
            self._asked_for = True
            self.up.open, self.up.ended, self.up.blocked = True, False, self.up.deciding
        if self.exchange is not None:
            self._count(self.exchange)
        self.watch()

    def deliver(self, head: Message) -> None:
        """The filters are done with the head: the client gets it, in its turn."""
        self._head = head
        if self.exchange is not None and self.client.at_front(self.exchange):
            self.at_front()

    def at_front(self) -> None:
        """All answers before this one are written."""
        head, self._head = self._head, None
        if head is None or self.over:
            return
        self.begun = True
        self.first_byte = self.client.network.turn.refresh()
        exchange = self.exchange
        assert exchange is not None
        if self._counts is not None:
            self._counts.first_byte.add(self.first_byte - exchange.started)
        exchange.write(head)
        if getattr(head, "duplex", False) and self.client.session.buffered:
            self.client.network.soon(self.client.read_again)
        if not self.over:
            self._show_head(exchange, Side.SERVER)
            self._release(Side.SERVER, self.down)

    def from_server(self, chunk: Chunk) -> None:
        """A chunk of the answer, from the server that it is taken from."""
        if self.over:
            return
        half = self.down
        self._moved = self.client.network.turn.now
        half.take(chunk)
        if half.blocked:
            if half.collected is not None:
                self._collect(Side.SERVER, half, chunk)
                return
            half.keep(chunk)
            self.client.keep_waiting(self, chunk.size)
        else:
            self._filter(Side.SERVER, half, chunk, 0)
        if (half.owing > WINDOW or half.pieces > PIECES) and not half.stopped and not self.over:
            if self.attempt is not None:
                half.stopped = self.attempt.pause(self)
            if not half.stopped and len(half.queue) > MOST_PIECES and self.exchange is not None:
                text = f"more than {MOST_PIECES} pieces of an answer wait"
                self.exchange.local(Reply(ErrorKind.BAD_RESPONSE, text))

    def _pass_down(self, chunk: Chunk) -> None:
        exchange = self.exchange
        assert exchange is not None
        exchange.write(chunk)
        if self.over:  # the client's session could not send it
            return
        if chunk.kind is _CLOSE:
            self.down.open = False
            if chunk.failed:
                self.failed = True
            if chunk.final or not self.up.open:
                self._complete()
                return
        self._settle_down()

    def _settle_down(self) -> None:
        """Credit the server what its client has room for."""
        if self.client.has_room(self):
            self._credit_down()

    def _credit_down(self) -> None:
        attempt = self.attempt
        if attempt is None or attempt.done:
            return
        size = self.down.credited()
        if size:
            attempt.credit(size)
        if self.down.stopped and self.down.relieved():
            attempt.resume(self)

    def client_has_room(self) -> None:
        if not self.over:
            self._credit_down()

    # -- filters

    def collect(self, side: Side, most: int) -> Deferred[list[Chunk] | None]:
        """In the place of what follows: see IExchange.gather. The sender gets credit as the chunks come."""
        half = self.up if side is Side.CLIENT else self.down
        collected = half.collected = Collected(most)
        while half.queue and half.collected is collected:
            chunk = half.next()
            if side is Side.SERVER:
                self.client.keep_waiting(self, -chunk.size)
            self._collect(side, half, chunk)
        return collected.deferred

    def _collect(self, side: Side, half: Half, chunk: Chunk) -> None:
        collected = half.collected
        assert collected is not None
        more = collected.add(chunk)
        if side is Side.CLIENT:
            self._credit_up()
        else:
            self._credit_down()
        if more:
            return
        half.collected = None
        if chunk.kind is _CLOSE:
            half.open = False
            if side is Side.CLIENT:
                self._request_ended()
            elif chunk.failed:
                self.failed = True
        collected.finish()

    def _release(self, side: Side, half: Half) -> None:
        """What waited goes on, until a filter makes it wait again; not before what a filter still has."""
        half.blocked = half.deciding
        while half.queue and not half.blocked and not self.over:
            chunk = half.next()
            if side is Side.SERVER:
                self.client.keep_waiting(self, -chunk.size)
            self._filter(side, half, chunk, 0)

    def _show_head(self, exchange: StreamExchange, side: Side) -> None:
        """To those who look on, who can change nothing."""
        for hook in exchange.matched_route.action.on_head:
            try:
                hook(exchange, side)
            except BaseException:
                exchange.client.listener.filter_failed(hook, Failure())

    def _filter(self, side: Side, half: Half, chunk: Chunk, start: int) -> None:
        """The on_chunk hooks from number `start` on, then the other side. A hook may replace a chunk."""
        exchange = self.exchange
        assert exchange is not None
        hooks = exchange.matched_route.action.on_chunk
        for index in range(start, len(hooks)):
            try:
                said = hooks[index](exchange, chunk, side)
            except BaseException:  # also SystemExit, as for other hooks
                exchange.chunk_failed(hooks[index], Failure())
                return
            if said is None:
                continue
            if isinstance(said, Deferred):
                half.blocked = half.deciding = True
                half.queued += chunk.size
                said.addBoth(self._decided, side, half, chunk, index)
                return
            replaced = self._replaced(said, chunk, index, side)
            if replaced is None:
                return
            chunk = replaced
        if side is Side.CLIENT:
            self._pass_up(chunk)
        else:
            self._pass_down(chunk)

    def _replaced(self, said: object, chunk: Chunk, index: int, side: Side) -> Chunk | None:
        """The chunk as a hook wants it; None: it ended the exchange."""
        exchange = self.exchange
        assert exchange is not None
        if isinstance(said, bytes):
            return chunk.with_frame(said)
        if isinstance(said, Chunk):
            return said
        if isinstance(said, Reply):
            if isinstance(said.frame, bytes) and said.frame and side is Side.SERVER:
                exchange.write(Chunk(_DATA, said.frame, chunk.id))
            exchange.local(said)
        else:
            text = f"it gave {said!r:.100}; it may give None, bytes, a Chunk, a Reply, or a Deferred of these"
            exchange.chunk_failed(exchange.matched_route.on_chunk[index], Failure(TypeError(text)))
        return None

    def _decided(self, said: object, side: Side, half: Half, chunk: Chunk, index: int) -> None:
        """A filter that waited has decided."""
        exchange = self.exchange
        if self.over or exchange is None:
            return
        half.queued -= chunk.size
        half.deciding = False
        self.client.network.turn.refresh()
        try:
            if isinstance(said, Failure):
                exchange.chunk_failed(exchange.matched_route.on_chunk[index], said)
                return
            replaced = chunk if said is None else self._replaced(said, chunk, index, side)
            if replaced is None:
                return
            half.blocked = side is Side.CLIENT and self.attempt is None  # another try is to come
            self._filter(side, half, replaced, index + 1)
            if not half.blocked and not self.over:
                self._release(side, half)
        except BaseException:  # the Deferred would keep it, and the exchange would never end
            exchange.broke(Failure())

    # -- the end

    def _complete(self) -> None:
        """Both sides have said all."""
        exchange = self.exchange
        assert exchange is not None
        exchange.stream_ended()

    def ended(self, counts: TargetCounts) -> None:
        """The exchange is complete, whatever its end. Called once. counts: where it is counted."""
        self._count_end(counts)
        self.over = True
        self._stop_timer()
        self._head = None
        self.replay = None
        if self.down.queue:
            self.client.keep_waiting(self, -sum(chunk.size for chunk in self.down.queue))
        for half in (self.up, self.down):
            half.clear()
        self._credit_up()
        if self.down.stopped and self.attempt is not None:
            self.attempt.resume(self)
        for copy in self.copies:
            copy.original_ended()
        self.copies = []
        self.attempt = self.exchange = None  # it points back here: no cycle is left

    # -- counts

    def _count(self, exchange: StreamExchange) -> None:
        """From now on it is open, where its exchange is counted; what passes is added up when somebody asks."""
        if self._counts is None:
            self._counts = exchange.counts().of_streams()
            self._counts.open[exchange] = None

    def _count_end(self, counts: TargetCounts) -> None:
        exchange = self.exchange
        assert exchange is not None
        if self._counts is not None:
            del self._counts.open[exchange]
        streams = counts.of_streams()
        lasted = exchange.ended - exchange.started
        streams.seconds.add(lasted)
        if not self.begun and exchange.response is not None:  # it was whole
            streams.first_byte.add(lasted)
        streams.request_chunks += self.up.chunks
        streams.response_chunks += self.down.chunks
        counts.request_bytes += self.up.bytes

    @property
    def request_chunks(self) -> int:
        return self.up.chunks

    @property
    def response_chunks(self) -> int:
        return self.down.chunks

    @property
    def request_bytes(self) -> int:
        return self.up.bytes

    @property
    def answered(self) -> bool:
        """Whether the answer has come to its end."""
        return self.down.ended

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the request that are kept: they wait, or may be sent again."""
        return self.up.queued + (self.replay_size if self.replay is not None else 0)

    @property
    def reading(self) -> bool:
        """Whether the client may still send chunks of it."""
        return not self.up.ended
