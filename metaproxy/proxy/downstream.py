"""
One client's connection: what is read, what begins and ends an exchange, how it closes.

Lives here: `Downstream`. Does not: what may begin (`client_requests`); the order of answers (`response_order`); what is
written and who is paused (`client_connection`); what a message goes through (`exchange`).

Longer than most modules: what ends an exchange and what ends the connection look at the same few attributes.
"""

from __future__ import annotations

from functools import lru_cache

from twisted.python.failure import Failure

from metaproxy.message import Chunk, ErrorKind, Hold, Kind, Message
from metaproxy.proxy.client_connection import NO_ANSWER
from metaproxy.proxy.client_requests import ENDING, ClientRequests
from metaproxy.proxy.client_streams import ClientStreams
from metaproxy.proxy.companion import speakers
from metaproxy.proxy.culprit import culprit, text_of
from metaproxy.proxy.doors import note_name
from metaproxy.proxy.pool import release
from metaproxy.proxy.push import Pushes
from metaproxy.proxy.response_order import is_ordered, order_of
from metaproxy.proxy.roles import OpenExchange, StreamExchange, Try, UpstreamConnection
from metaproxy.proxy.tls import begin_tls
from metaproxy.wire import READ_SIZE

_ONEWAY = Kind.ONEWAY
_CONNECT = Kind.CONNECT
_STREAM_OPEN = Kind.STREAM_OPEN
_CHUNKS = (Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET)
LINGER = 1.0
"""Seconds an idle connection stays open after the drain message to its client, where the protocol has one."""


def _name_and_port(where: str) -> tuple[str, str]:
    name, _, port = where.rpartition(":")
    return (name.strip("[]"), port) if port.isdecimal() else (where, "")


_own_place = lru_cache(256)(_name_and_port)
"""Most clients of a listener come to the same address: they share its texts."""


class Downstream(ClientRequests):
    """What a client asks and gets: each message begins, continues or ends an exchange."""

    __slots__ = ("__weakref__",)

    # -- a connection begins

    def connectionMade(self) -> None:
        if self._securing:
            self._secured()
            return
        facts = self.facts
        facts["source.address"], facts["source.port"] = _name_and_port(str(self.transport.getPeer()))
        facts["destination.address"], facts["destination.port"] = _own_place(str(self.transport.getHost()))
        facts.update(getattr(self.transport, "facts", ()))
        tls, doors = self.listener.snapshot.tls, self.listener.snapshot.doors
        if tls is not None and tls.start:
            self.facts["tls.start"] = tls.start
        if doors is not None:
            note_name(doors, self.facts)
        self._set_limit()
        if getattr(self.codec, "cancels", False):
            speakers[self.session] = self
        if getattr(self.codec, "greets", False):
            self.write(self.session.open(None, {}))
        if self.listener.snapshot.codec.server_first:
            # Opens the client's own upstream connection: the server's greeting comes as an event.
            self._begin(Message(_CONNECT, b"", hold=Hold.OPEN))
        if getattr(self.codec, "opens", False):
            self.read_again()
        if self.listener.draining:
            self.drain()

    def _start_tls(self) -> None:
        """The protocol begins TLS here: until the handshake is done the client has no connection to write to."""
        tls, transport = self.listener.snapshot.tls, self.transport
        if tls is None or not tls.start or self.inflight or self._pauses:
            self._refuse("the client begins TLS where it can't")
            return
        self.flush()
        self._securing = True
        self.transport = None  # type: ignore[assignment]  # as before a PROXY header or TLS that comes first
        self._plain = None
        begin_tls(tls, self, transport, self.network.clock, self._not_secured, rest=self.session.tls_rest)

    def _secured(self) -> None:
        self._securing = False
        self.facts.pop("tls.start", None)
        self.facts.update(getattr(self.transport, "facts", ()))
        if self.listener.snapshot.doors is not None:
            note_name(self.listener.snapshot.doors, self.facts)
        said = self.session.open(None, {})
        if said:
            self.write(said)
        if self.listener.draining:
            self.drain()

    def _not_secured(self, text: str, timed_out: bool) -> None:
        self.listener.tls_failed(text)
        self._end(local=timed_out)

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        size = len(data)
        self._counts.bytes_received += size
        self.last_active = self.turn.now
        if self.codec is not self.listener.snapshot.codec:
            self._renew_session()
        session = self.session
        try:
            messages = session.receive(data)
            for message in messages:
                if message.answer is None and not message.hold and not self._blocked and message.kind <= _ONEWAY:
                    self._begin(message)
                else:
                    self._unusual(message)
                    if self._pauses and "broken" in self._pauses:  # what is behind is not looked at
                        break
            if size >= READ_SIZE:
                self.transport.weigh(size, len(messages))
        except BaseException:
            self._codec_failed(Failure())
            return
        budget = self._budget
        budget.intake += size
        if session.owes:
            self._speak()
            if session.start_tls:
                self._start_tls()
                return
        if session.error is not None:
            self._refuse(text_of(session.error))
        elif session.closing:
            self._leave()
        elif (self._blocked or self._ordered) and self._backlog() >= self._window:
            self.pause("inflight")
        elif self._leaving and not self.inflight:
            self._close_if_idle()
        if budget.intake > budget.size:
            self._weigh()

    def read_again(self) -> None:
        """See roles.StreamClient."""
        if not self._gone:
            self.dataReceived(b"")

    def _codec_failed(self, failure: Failure) -> None:
        """The codec raised while it read: as for a bad frame, what came before is answered."""
        who = culprit(failure, f"codec {self.codec.name}")
        self.listener.plugin_failed(who, failure)
        self._refuse(f"{who} failed")

    def unflushable(self, failure: Failure) -> None:
        """See SocketProtocol: the codec's `send` or `reply` gave something else than bytes."""
        self.listener.plugin_failed(f"codec {self.codec.name}: send", failure)
        self.close()

    def _unusual(self, message: Message) -> None:
        kind = message.kind
        if kind == Kind.HEARTBEAT:
            self._counts.heartbeats += 1
            if message.answer:
                self.write(message.answer)
        elif kind == _STREAM_OPEN:
            if self._stream_table().open(message):
                self.wait(message)
                self._release()
            else:
                self._refuse(f"a second request under id {message.id}, of which the first is not over")
        elif kind in _CHUNKS:
            assert isinstance(message, Chunk)
            known = self._streams is not None or kind == Kind.STREAM_RESET  # which may be of a whole request
            if not known or not self._stream_table().chunk(message):
                self._unknown_chunk(message)
        elif kind == _CONNECT:
            self.wait(message)
            self._release()
        elif kind == Kind.DRAIN:
            """It asks nothing more; what it asked is answered."""
        elif kind > _ONEWAY:
            # A client that answers: it was asked nothing.
            self._counts.unmatched_responses += 1
        elif message.hold == Hold.EXCHANGE and message.answer is None and not (self._blocked or self.inflight):
            self._begin_alone(message)
        else:
            self.wait(message)
            self._release()

    def _refuse(self, text: str) -> bool:
        """
        The peer's bytes are not the protocol: nothing more is read, what came before is answered, and it ends.
        Gives whether the session has last words for it.
        """
        if "broken" in self._pauses:
            return False
        self._counts.decode_errors += 1
        self.listener.bad_frame(str(self.facts.get("source.address")), text)
        return self._end_with_last_words()

    def _end_with_last_words(self) -> bool:
        self.pause("broken")
        try:
            self._last_words = self.session.owed()
        except BaseException:
            self.listener.plugin_failed(culprit(Failure(), f"codec {self.codec.name}"), Failure())
        said = bool(self._last_words)
        self._leave()
        return said

    def _renew_session(self) -> None:
        """The codec was replaced: take the new one as soon as nothing of the old one's is under way."""
        snapshot = self.listener.snapshot
        if self.inflight or self._held or self._pins() or self.session.buffered:
            return
        self.codec = snapshot.codec
        self._ordered = is_ordered(snapshot.codec)
        self._order = order_of(snapshot.codec, self, self._budget)
        self._sequential = bool(getattr(snapshot.codec, "sequential", False))
        if not snapshot.codec.stateful:
            self.session = self._new_session()
            self._set_limit()

    # -- an exchange has ended

    def finished(self, exchange: OpenExchange) -> None:
        """Called once by each exchange, when it is complete."""
        ended = exchange  # whose type the .pxd knows
        message = ended.message
        self.inflight -= 1
        self._counts.active_exchanges -= 1
        number = self._exchanges.pop(ended)
        if self._streams is not None and ended.stream is not None:
            self._streams.finished(ended)
        if self._gone:
            return
        if self._sequential:
            if not self.inflight:
                self._last_answered = NO_ANSWER
            elif ended.response is not None:
                self._last_answered = ended.endpoint, number
        kind = message.kind
        if kind is not _ONEWAY and kind is not _CONNECT:
            order = self._order
            if order is None or not (places := order.places):
                if ended.data:
                    self.write(ended.data)
            else:
                if ended.data is None:
                    ended.data = b""
                if places[0] is ended:  # `order.finished` would do it, with a call more for each message
                    del places[0]
                    if ended.data:
                        self.write(ended.data)
                    if places and (places[0].data is not None or self._streams is not None):
                        order.write_on()
                else:
                    order.finished(ended)
        elif ended.data:  # a refused request that gets no answer of its own, but may get an error
            self._answer(ended.data)
        if message.hold:
            if message.hold == Hold.OPEN:
                if self.session_pin is None and (ended.response is None or ended.response.hold != Hold.CLOSE):
                    self._state_refused(ended)
                    return
                self._push_table().opened_by(ended)
            elif ended.response is not None and ended.response.hold == Hold.OPEN:
                self._push_table().opened_by(ended)
            if ended is self._barrier:
                self._barrier = None
            if message.hold == Hold.CLOSE:
                self.unpin()
        if self._blocked:
            if ended is self._barrier:
                self._barrier = None
            if self._held:
                self._release()
            elif not self._releasing and ENDING not in self._pauses:
                self._weigh_next()
        if self._pauses:
            self._read_on()
        if self._leaving and not self.inflight:
            self._close_if_idle()

    def _state_refused(self, exchange: OpenExchange) -> None:
        """The state that client and codec believe in from now on is nowhere: the client gets the error and no more."""
        self._drop_waiting()
        self._barrier, self._blocked = exchange, True
        self.pause("refused")
        self._leave()

    # -- streams (StreamClient)

    def _stream_table(self) -> ClientStreams:
        if self._streams is None:
            self._streams = ClientStreams(self)
        return self._streams

    def open_stream(self, exchange: StreamExchange) -> None:
        if exchange.stream is None:
            self._stream_table().answer(exchange)
            self._blocked = self._blocked and (bool(self._held) or self._barrier is not None or bool(self._withheld))

    def _unknown_chunk(self, chunk: Chunk) -> None:
        """A chunk of nothing that is under way: its exchange has ended."""
        if chunk.size:
            self.credit(chunk.id, chunk.size)

    def at_front(self, exchange: OpenExchange) -> bool:
        return self._order is None or self._order.at_front(exchange)

    def beat(self, now: float) -> None:
        """Heartbeats by time; a peer that answers none loses its connection, at once if there is nothing to say."""
        if self._gone or self.transport is None or "broken" in self._pauses:
            return
        self.session.unread = bool(self._pauses)
        try:
            self.session.beat(now)
            if self.session.owes:
                self._speak()
        except BaseException:
            self._codec_failed(Failure())
            return
        if self.session.error is not None:
            if not self._refuse(text_of(self.session.error)):
                self.close()
        elif self.session.closing:
            self._leave()

    # -- pushes

    def event(self, message: Message, connection: UpstreamConnection) -> None:
        """A server's push on this client's own connection."""
        self._counts.events += 1
        data = self.session.send(message, message.id)
        self._push_table().passed(message, len(data), connection)
        order = self._order
        if order is None or not order.places:
            self.write(data)
        else:
            order.event(data)

    def event_open(self, message: Message, connection: UpstreamConnection) -> Try:
        """The head of a push whose chunks follow."""
        self._counts.events += 1
        self._counts.active_exchanges += 1
        push, delivery = self._push_table().begin(message, connection)
        self.inflight += 1
        self._exchanges[push] = self._counts.requests
        if self._order is not None:
            self._order.event_open(push)
        self._stream_table().push(push)
        push.pushed(delivery)
        return delivery

    def _push_table(self) -> Pushes:
        if self._pushes is None:
            self._pushes = Pushes(self)
        return self._pushes

    # -- leaving

    def drain(self, linger: bool = True) -> None:
        """Takes no new work: sends the protocol's drain message, if it has one, and closes when idle."""
        if self._leaving or self._gone or self.transport is None:  # None: its PROXY header is still to come
            return
        goodbye = self.session.drain()
        if goodbye:
            self.write(goodbye)
        if goodbye and linger:
            self.network.clock.callLater(LINGER, self._leave)
        elif linger and self.listener.patient:
            self._leaving = True  # behind its next answer
        else:
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        if not self.inflight:
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.inflight and not self._held and not self._gone:
            if not self._pauses and not self.session.closing and getattr(self.transport, "unread", False):
                return  # asked before it could know: that is read and answered first
            if self.listener.patient and self.session.buffered:
                return  # the rest of what it asks is on its way
            if self._last_words:
                self.write(self._last_words)
                self._last_words = b""
            self.flush()
            self.transport.loseConnection()

    def idle_for(self, now: float) -> float:
        """Seconds since anything happened; 0 while an exchange is under way or a subscription is open."""
        return 0.0 if self.inflight or self._held or self.session_pin is not None else now - self.last_active

    def cut_short(self) -> None:
        """What is under way ends, in the protocol's words; of what a slow client did not take the rest is lost."""
        for exchange in list(self._exchanges):
            exchange.failed(None, ErrorKind.DRAINING, "the proxy ends")
        self.flush()

    def expire(self) -> None:
        """It was idle for too long. Within a message it gets the reason, if the protocol has a word for it."""
        if self.session.buffered:
            self._end_with_last_words()
        elif self.session.flow == "stream":
            self.drain(linger=False)  # what crosses this word on its way can be asked again: it was not looked at
        else:
            self.close()

    def forget_closed(self) -> None:
        """See roles.Leaving: those that it shares with others end without a word to it."""
        if self.shared_by_pool:
            self.shared_by_pool = {pool: one for pool, one in self.shared_by_pool.items() if one.alive}

    def readConnectionLost(self) -> None:
        """The client sends no more; what it asked is answered first."""
        try:
            for message in self.session.eof():
                self._unusual(message)
        except BaseException:
            self._codec_failed(Failure())
            return
        if self._streams is not None:
            self._streams.input_ended()
        blocking = [exchange for exchange in self._exchanges if exchange.message.hold == Hold.BLOCKING]
        if blocking:
            # It would take an element off a list that no client gets. What stands behind it is not run either.
            self.end_behind(blocking[0])
            for exchange in blocking:
                exchange.abandon("downstream_gone")
        self._drop_blocking()
        if self.session_pin is not None and not self.inflight:
            self.transport.abortConnection()
            return
        self._leave()

    def end_seen(self) -> None:
        """
        The client has sent its end, behind bytes that are not read yet. If it waits for a blocking command, or will
        behind what is under way, these stand behind that and are never run. Else it may want the answers; but where
        no server takes what it sent, and nothing comes for it, all that it has ends after `stream_idle`.
        """
        started = (exchange.message for exchange in self._exchanges)
        if any(message.hold == Hold.BLOCKING for message in (*started, *self._held)):
            self.pause("ended")
            self.readConnectionLost()
        elif self._unread_end is None:
            self._wait_for_end()

    def _wait_for_end(self) -> None:
        idle = self.listener.snapshot.stream_idle
        if idle > 0:
            self._unread_end = self.network.clock.callLater(idle, self._end_unread, self.last_active)

    def _end_unread(self, since: float) -> None:
        self._unread_end = None
        if self._pauses and self.last_active > since:
            self._wait_for_end()
        elif self._pauses:
            self.close()

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self._end(local=self._closed)

    def _end(self, local: bool) -> None:
        """End all exchanges of a client that can get no answer any more. Once. local: the proxy closed."""
        if self._gone:
            return
        self._gone = True
        speakers.pop(self.session, None)
        self._drop_waiting()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._unread_end is not None:
            self._unread_end.cancel()
            self._unread_end = None
        if local:
            self._counts.destroyed_local_active += len(self._exchanges)
        else:
            self._counts.destroyed_remote_active += len(self._exchanges)
        for exchange in list(self._exchanges):
            exchange.abandon("downstream_gone")
        if self._order is not None:
            self._order.places.clear()
            self._order = None  # it points back here: without the cycle memory is free at once
        if self._streams is not None:
            self._streams.clear()
        self._let_read_on()
        pins = self._pins()
        self.session_pin, self.pinned_by_cluster = None, {}
        for pin in pins:
            pin.holder = None
            pin.pool.left(pin)
        for reserved in [one for one in self.shared_by_pool.values() if one.holder is self]:
            release(reserved)
        self.shared_by_pool.clear()
        self.leases.clear()
        self.listener.left(self)
