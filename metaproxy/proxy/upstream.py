"""
One connection to an endpoint: sends requests, finds the exchange that an answer belongs to.

Lives here: `Upstream`, what its two kinds share (`id_upstream`, `fifo_upstream`). Does not: which connection a request
takes (`pool`), what happens with an answer (the attempt's owner).

Longer than most modules: whole messages, streams and pushes of one connection share what is under way on it.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message
from metaproxy.proxy.culprit import text_of
from metaproxy.proxy.roles import Client, Try
from metaproxy.proxy.server_connection import ServerConnection

_STREAM_OPEN = Kind.STREAM_OPEN
_STREAM_DATA = Kind.STREAM_DATA
_STREAM_CLOSE = Kind.STREAM_CLOSE
_STREAM_RESET = Kind.STREAM_RESET
_INTERIM = Kind.INTERIM
_STREAMS = (_STREAM_DATA, _STREAM_OPEN, _STREAM_CLOSE, _STREAM_RESET, _INTERIM)

MOST_MOVES = 5
"""How often a request that its server did not look at is sent over another connection."""


class Upstream(ServerConnection):
    """What is sent and what comes back on a connection to an endpoint; its two kinds say how answers find requests."""

    __slots__ = ()

    # -- requests

    def _start_waiting(self) -> None:
        self._starting = True  # what is submitted meanwhile, as a one-way ended, waits behind the others
        while self._waiting and not self._full:
            waiting, self._waiting = self._waiting, {}
            for attempt in waiting:
                if self._full:
                    self._waiting[attempt] = None
                elif not attempt.done:  # one before it may have ended it
                    try:
                        if attempt.message.kind is Kind.CONNECT:
                            self._is_there(attempt)
                        else:
                            self._start(attempt)
                    except BaseException:
                        attempt.owner.broke(Failure())
        self._starting = False

    def submit(self, attempt: Try) -> None:
        """Send it, or keep it until the connection is ready and its server reads."""
        attempt.connection = self
        if self._ready:
            if self.choked or self._starting or self._full:
                self._wait(attempt)
                return
            try:
                self._start(attempt)
            except BaseException:  # here, as it may have come from the pool's queue, on another client's turn
                attempt.owner.broke(Failure())
            return
        self._wait_for_login_of(attempt)

    def wait_until_ready(self, attempt: Try) -> None:
        """For a CONNECT: it asks for the connection and nothing else."""
        attempt.connection = self
        if self._ready:
            self._is_there(attempt)
        else:
            self._wait_for_login_of(attempt)

    def welcomes(self, attempt: Try) -> bool:
        """Answers a CONNECT if the connection has come to its state, also while others use it."""
        welcome = self._session.welcome
        if not self._ready or welcome is None or welcome.kind is not Kind.RESPONSE:
            return False
        attempt.connection = self
        attempt.owner.answered(attempt, welcome)
        return True

    def _is_there(self, attempt: Try) -> None:
        welcome = self._session.welcome
        if self.lease is attempt:
            self.pool.give_back(self)  # first: what the client asks next may have it
        if welcome is not None:
            attempt.owner.answered(attempt, welcome)
        else:
            attempt.finish()
            attempt.owner.sent(attempt)

    def _wait_for_login_of(self, attempt: Try) -> None:
        breaker = self.pool.cluster.breaker
        if breaker.pending >= breaker.max_pending:
            self.pool.cluster.counts.overflow_pending += 1
            if self.lease is attempt and not self.busy():
                self.drop()  # nothing else brings it back to its pool
            attempt.fail(ErrorKind.OVERLOAD, "too many requests wait for a connection (breaker.max_pending)")
            return
        breaker.pending += 1
        self._pends += 1
        self._wait(attempt)

    def _wait(self, attempt: Try) -> None:
        self._waiting[attempt] = None

    def _start(self, attempt: Try) -> None:
        raise NotImplementedError

    def _unsendable(self, attempt: Try, error: FrameError) -> None:
        attempt.fail(error.kind, str(error))
        if self.lease is attempt:
            self.pool.give_back(self)

    def _not_sent(self, attempt: Try) -> None:
        """The codec failed: what it may have written of its state is not known."""
        attempt.connection = None
        self.retire()
        if self.lease is attempt:
            self.drop()

    def answering(self, attempt: Try) -> bool:
        """
        Whether the first bytes of its answer may have come. What is read of an incomplete frame does not tell whose it
        is where answers go by id: it may be any of those under way.
        """
        raise NotImplementedError

    def held(self) -> int:
        """Bytes kept for it: an unfinished answer, and requests that the server did not take."""
        return int(self._session.buffered + getattr(self.transport, "buffered", 0))

    def alone(self, client: Client) -> bool:
        """Whether all that is under way or waits here is `client`'s."""
        return all(one.done or one.owner.client is client for one in (*self.pending(), *self._waiting))

    def idle_and_clean(self) -> bool:
        """Whether it can serve any client: nothing is under way, no late answer is to come, no state is left."""
        return self.alive and not self._waiting and not self.owing() and self._session.reusable

    def clean(self) -> bool:
        """Whether no state of the one who had it is left, as far as the codec can tell."""
        return bool(self._session.reusable)

    def in_transaction(self) -> bool:
        """Whether who has it has it for a transaction, as far as the codec can tell."""
        return bool(self._session.in_transaction)

    def cancelled(self, attempt: Try) -> None:
        """The attempt's owner does not want the answer any more."""
        if self._waiting.pop(attempt, 0) is None:
            if not self._ready:
                self._pends -= 1
                self.pool.cluster.breaker.pending -= 1
        else:
            self._forget(attempt)
            if self.choked:
                self.retire()  # the server does not even read: what is sent behind would wait as well
        lease = self.lease
        if lease is attempt:
            # Its answer is still to come, so no other can have the connection.
            if self.busy():
                self._spoilt, self.usable = True, False  # what is under way before it, of the same client, goes on
            else:
                self.drop()
        elif lease is not None and lease.done and not self.busy():
            self.pool.give_back(self)  # one that was never answered stood before one that was
        elif self._retiring:
            self._leave_if_idle()

    def _forget(self, attempt: Try) -> None:
        raise NotImplementedError

    # -- streams

    def _sent_head(self, attempt: Try) -> None:
        """A STREAM_OPEN was written: its chunks may follow."""
        attempt.open = True
        attempt.owner.sending(attempt)
        if getattr(self.pool.codec, "opens", False):
            self.pool.network.soon(self._read_head)

    def _read_head(self) -> None:
        """The answer begins with the connection: its head has no bytes to wait for."""
        if self.alive:
            self.dataReceived(b"")

    def send_chunk(self, attempt: Try, chunk: Chunk) -> None:
        """Send a piece of a request whose head was sent here."""
        if not self.alive:
            return
        try:
            data = self._session.send(chunk, attempt.id)
        except FrameError as error:
            attempt.cancel()
            attempt.owner.failed(attempt, error.kind, str(error))
            return
        except BaseException:  # here, as the client, or the original of a copy, has no part in it
            self.retire()
            attempt.owner.broke(Failure())
            return
        if data:
            self._write(data)
        if chunk.kind == Kind.STREAM_CLOSE:
            attempt.open = False
            if getattr(attempt.message, "oneway", False):
                self._sent_oneway(attempt)
                return
            if not chunk.final and self._session.flow != "stream":
                self.flush()
                self.transport.loseWriteConnection()

    def _sent_oneway(self, attempt: Try) -> None:
        """All of a request was sent that gets no answer."""
        self._take_off(attempt)
        attempt.finish()
        attempt.owner.sent(attempt)
        if self.lease is attempt:
            self.pool.give_back(self)

    def has_room(self, attempt: Try) -> bool:
        if not self.choked and not self._session.unsent_bytes(attempt.id):
            return True
        self._stuck[attempt] = None
        return False

    def _offer_room(self) -> None:
        """What waited for the server's socket, or its windows, may go on."""
        for attempt in list(self._stuck):
            if attempt.done:
                del self._stuck[attempt]
            elif not self.choked and not self._session.unsent_bytes(attempt.id):
                del self._stuck[attempt]
                attempt.owner.takes_more(attempt)

    def credit(self, attempt: Try, size: int) -> None:
        """So many bytes of an answer have left the proxy."""
        session = self._session
        if self.alive and session.flow == "stream":
            session.credit(attempt.id, size)
            if session.owes:  # also what a window has let go in the read that brought this
                self._write(session.owed())
                if self._stuck:
                    self._offer_room()

    def hold_back(self, attempt: Try, reason: object) -> bool:
        """
        Read no more until `resume(reason)`, where that costs only the client of `attempt`. Where answers of others come
        on the same connection it is read on, and takes no new request.
        """
        if not self.alive or self._session.flow == "stream":
            return False
        self.usable = False
        client = attempt.owner.client
        if (self._taken() and not self.reserved) or self.alone(client):
            self._pause(reason)
            return True
        return False

    def ended(self, attempt: Try) -> None:
        """An exchange with a stream is over: both sides have said all that was wanted."""
        self._stuck.pop(attempt, None)
        if not self.alive:
            return
        self._take_off(attempt)
        if self._full:
            self._look_for_room()
        if self.lease is attempt and self.alive and not self.busy():
            self.pool.give_back(self)
        elif self._retiring:
            self._leave_if_idle()

    def abandon_request(self, attempt: Try) -> None:
        """The answer is whole, and the request is not: its rest is not wanted."""
        if self.alive and not self._give_up(attempt, None, ""):
            self.usable = False
            if not self.busy():
                self.drop()

    def _take_off(self, attempt: Try) -> None:
        """It is pending no more, if it still was."""
        raise NotImplementedError

    def _pass_over(self, attempt: Try) -> None:
        """The end of an answer to what was given up."""
        self._take_off(attempt)

    def _give_up(self, attempt: Try, kind: ErrorKind | None, text: str) -> bool:
        """Say that nothing more is wanted of an exchange; where there is no word for it, the connection ends."""
        attempt.open = False
        self._stuck.pop(attempt, None)
        data = self._session.reset(attempt.id, kind, text)
        if data is None:
            return False
        if data:
            self._write(data)
        return True

    def _look_for_room(self) -> None:
        """Whether one exchange more fits on the connection again."""
        capacity = self._session.capacity
        if not capacity or len(self.pending()) < capacity:
            self._full = False
            self._attentive = self._retiring
            self.recover()
            if self._waiting and self._ready and not self.choked and not self._starting:
                self._start_waiting()

    def _push(self, message: Message) -> None:
        """The head of a push. Its chunks, which are the next under its id, are passed on or dropped as it is."""
        client = self.holder
        delivery = None
        if client is not None and not self.reserved:
            delivery = client.event_open(message, self)
        else:
            self._counts.unmatched += 1
        self._pushing = {**self._pushing, message.id: delivery}

    def _pushed(self, chunk: Chunk) -> None:
        """A chunk of a push."""
        delivery = self._pushing[chunk.id]
        if chunk.kind != Kind.STREAM_DATA:
            self._pushing = {id: one for id, one in self._pushing.items() if id != chunk.id}
        if delivery is None or delivery.done:
            if chunk.size and self._session.flow == "stream":
                self._session.credit(chunk.id, chunk.size)
        elif chunk.kind == Kind.STREAM_RESET:
            delivery.fail(ErrorKind.RESET, f"{self.endpoint.address}: the server gave a push up")
        else:
            try:
                delivery.owner.chunk(delivery, chunk)
            except BaseException:
                delivery.owner.broke(Failure())
        if chunk.hold == Hold.CLOSE and self.holder is not None:
            self.holder.unpin()

    def give_up_push(self, attempt: Try) -> None:
        """What still comes of it is dropped, also where the protocol has a word for that."""
        if self.alive:
            self._give_up(attempt, ErrorKind.RESET, "the client wants no more of it")

    def _stream(self, message: Message) -> None:
        """A head, a chunk, or what comes before an answer."""
        if self._pushing and message.id in self._pushing and isinstance(message, Chunk):
            self._pushed(message)
            return
        attempt = self._of(message)
        kind = message.kind
        if attempt is None or attempt.done:
            if kind is _STREAM_OPEN:
                self._counts.late += 1
            elif attempt is not None and kind is not _STREAM_DATA and kind is not _INTERIM:
                self._pass_over(attempt)
            return
        try:
            if kind is _INTERIM:
                attempt.owner.interim(attempt, message)
            elif kind is _STREAM_OPEN:
                attempt.streaming = True
                attempt.owner.opened(attempt, message)
            elif kind is _STREAM_RESET:
                self._reset(attempt, message)
            else:
                if kind is _STREAM_CLOSE and getattr(message, "final", True):
                    self._take_off(attempt)
                    if message.hold and not self._bind(attempt, message.hold):
                        return
                attempt.owner.chunk(attempt, message)  # type: ignore[arg-type]  # kinds of Chunk
        except BaseException:
            attempt.owner.broke(Failure())

    def _of(self, message: Message) -> Try | None:
        """The attempt whose answer a head or a chunk belongs to."""
        raise NotImplementedError

    def _reset(self, attempt: Try, message: Message) -> None:
        """The server gives an exchange up."""
        self._take_off(attempt)
        attempt.open = False
        text = message.frame.decode("utf-8", "replace")[:500] or "the server reset the stream"
        unsent = getattr(message, "unsent", False)
        if unsent and self._start_elsewhere(attempt):
            return
        if not unsent:
            self.endpoint.lost(reset=True)
        attempt.fail(ErrorKind.CONNECT if unsent else ErrorKind.RESET, f"{self.endpoint.address}: {text}")

    def _start_elsewhere(self, attempt: Try) -> bool:
        """
        Send again, over a connection that the pool picks now, what the server certainly did not look at: what it
        refused, or had not read when it said that it goes away. That is no try in a retry policy's sense. A server that
        ends its connections after few requests refuses the same one several times.
        """
        if (
            attempt.moved >= MOST_MOVES
            or attempt.message.kind is not Kind.REQUEST
            or attempt.streaming
            or self.lease is attempt
        ):
            return False
        attempt.moved += 1
        attempt.connection = None
        self.pool.start(attempt, attempt.owner.client)
        return True

    def _redirected(self, attempt: Try, answer: Message) -> bool:
        """Whether an error names another server, and the request has gone on there."""
        pool = self.pool
        if not pool.cluster.asks_layout:
            return False
        redirect = pool.codec.redirect(attempt.message, answer)
        if redirect is None:
            return False
        if redirect.lasting and self.endpoint.doubted is not None:
            self.endpoint.doubted()
        bound = self.holder is not None and not self.reserved
        if bound or attempt.moved >= MOST_MOVES or attempt.message.kind is not Kind.REQUEST or not redirect.address:
            return False
        if self.lease is attempt:
            pool.give_back(self)
        pool.cluster.counts.redirects += 1
        pool.redirect(attempt, redirect, answer)
        return True

    # -- answers

    def _other(self, message: Message) -> None:
        """What a server says that answers no request."""
        if message.kind in _STREAMS:  # first: the others are few
            self._stream(message)
        elif message.kind == Kind.EVENT:
            client = self.holder
            if client is not None and not self.reserved:
                client.event(message, self)
                if message.hold == Hold.CLOSE:
                    client.unpin()
            else:
                self._counts.unmatched += 1
        elif message.kind == Kind.EVENT_OPEN:
            self._push(message)
        elif message.kind == Kind.HEARTBEAT:
            self._counts.heartbeats += 1
            if message.answer is not None:
                raise TypeError("a server's message has an `answer`; have the session `say` what answers a heartbeat")
        elif message.kind == Kind.DRAIN:
            if getattr(message, "logoff", False):
                self.pool.cluster.log_off(self.endpoint, self._turn.now)
            self.retire()
        elif message.kind == Kind.SKIPPED or message.kind == Kind.SILENCE:
            self._unanswered(message)
        else:
            self._counts.unmatched += 1

    def _unanswered(self, message: Message) -> None:
        """The server's session says that a request has no answer, or none that could be read."""
        attempt = self._answered_by(message)
        if attempt is None or attempt.done:
            self._counts.late += 1
            return
        try:
            if message.kind == Kind.SILENCE:
                attempt.finish()
                attempt.owner.sent(attempt)
            else:
                text = message.frame.decode("utf-8", "replace")[:500] or "the answer is over max_frame"
                attempt.fail(ErrorKind.BAD_RESPONSE, f"{self.endpoint.address}: {text}")
        except BaseException:
            attempt.owner.broke(Failure())

    def _bind(self, attempt: Try, hold: Hold) -> bool:
        """
        An answer says whether its client needs this connection from now on. Before the client hears of it: what it asks
        next may be sent at once. False: it can't keep it, so the answer is an error.
        """
        if hold == Hold.OPEN:
            self.idle_since = self._turn.now
            if self.lease is attempt and not attempt.done and not self.pool.bind(self, attempt.owner.client):
                name = self.pool.cluster.name
                self.lease = None
                attempt.fail(ErrorKind.UNSUPPORTED, f"cluster {name} has mode: statement; transactions are not kept")
                self.drop()
                return False
        elif hold == Hold.CLOSE and self.holder is not None and self.pool.lends and not self.reserved:
            # As it was before: the attempt's alone, until its answer has left the proxy.
            self.holder.released(self)
            self.holder, self.lease = None, attempt
        return True

    def _answered_by(self, message: Message) -> Try | None:
        """Takes the attempt that a message answers off what is pending."""
        raise NotImplementedError

    def _after_read(self) -> None:
        """What seldom follows a read: the session is ready now, the peer broke the protocol, a lease is over."""
        session = self._session
        if session.owes and self.alive:
            self._write(session.owed())
            if session.start_tls:
                self._start_tls()
                return
            self._limited = session.capacity > 0
            if self._stuck:
                self._offer_room()
        if self._full:
            self._look_for_room()
        error = session.error
        if error is not None:
            self._broken(error)
        elif not self._ready and self._session.ready:
            self._become_ready()
        elif self._retiring:
            self._leave_if_idle()
        elif self.lease is not None and self.lease.done and not self.busy():
            self.pool.give_back(self)

    def _take(self, message: Message) -> None:
        """One message of the server."""
        raise NotImplementedError

    def _broken(self, error: FrameError) -> None:
        self._counts.decode_errors += 1
        kind = ErrorKind.BAD_RESPONSE if self._ready else ErrorKind.CONNECT
        text = f"{self.endpoint.address}: {text_of(error)}"
        self.pool.cluster_log(text)
        last_words = bool(self._out)
        self.flush()
        self._over(kind, text)
        if last_words:  # such as GOAWAY
            self._close_behind_output()
        else:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The server sends no more: what that does not complete will not be answered."""
        try:
            last = self._session.eof()
            for message in last:
                self._take(message)
        except BaseException:
            self._codec_failed(Failure())
            return
        if self.alive and last and any(attempt.streaming for attempt in self.pending()):
            return  # a tunnel: its other half goes on
        self._over(ErrorKind.RESET, f"{self.endpoint.address} closed the connection")
        self.transport.abortConnection()

    def _over(self, kind: ErrorKind, text: str, ours: bool = False) -> None:
        """Everything ends that depended on this connection. Once. ours: by the proxy's own decision."""
        if not self.alive:
            return
        self.alive = self.usable = False
        self._stop_login()
        waiting, self._waiting = self._waiting, {}
        self.pool.cluster.breaker.pending -= self._pends
        self._pends = 0
        if self._session.buffered:
            self._mark_begun()
        lost = [*self.pending(), *waiting]
        pushes, self._pushing = self._pushing, {}
        self._clear()
        holder, self.holder = self.holder, None
        self.paused_by.clear()
        self.pool.closed(self)
        for attempt in lost:
            if not attempt.done:
                if ours:
                    self._counts.resets += 1
                else:
                    self.endpoint.lost(reset=kind is ErrorKind.RESET)
                try:
                    attempt.fail(kind, text)
                except BaseException:
                    attempt.owner.broke(Failure())
        for delivery in pushes.values():
            if delivery is not None:
                delivery.fail(kind, text)
        if holder is not None:
            holder.pin_lost(self, kind, text)

    def _mark_begun(self) -> None:
        """The answers, or the answer, of which some bytes may have come: nothing of theirs is tried again."""
        raise NotImplementedError

    def _clear(self) -> None:
        raise NotImplementedError
