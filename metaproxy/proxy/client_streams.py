"""
The streams of one client's connection: which chunk belongs to which exchange.

Lives here: `ClientStreams`, which a connection has from its first head on. Does not: what a stream does with its chunks
(`stream`); the order and the number of exchanges (`response_order`, `client_requests`).
"""

from __future__ import annotations

from typing import Protocol

from metaproxy.message import Chunk, Kind, Message
from metaproxy.proxy.roles import ExchangeStream, OpenExchange, StreamClient, StreamExchange
from metaproxy.proxy.stream import Stream

RESTS = 64
"""Requests that were answered before their end whose rest is waited for; some sessions keep it for themselves."""


class StreamingClient(StreamClient, Protocol):
    """A `downstream.Downstream`, as its table of streams sees it."""

    def give_up_waiting(self, id: int) -> None:
        """The client reset a request that has not begun."""

    def under_way_as(self, id: int) -> OpenExchange | None:
        """Its exchange of this id that is not complete."""


class ClientStreams:
    """active: exchanges with a stream that are under way."""

    def __init__(self, client: StreamingClient) -> None:
        self._client = client
        self._by_id: dict[int, Stream] = {}
        self._rests: dict[int, None] = {}
        self._stuck: dict[ExchangeStream, None] = {}
        self.active = 0

    def open(self, head: Message) -> bool:
        """The head of a request has come; its exchange may have to wait for its turn. False: another has its id."""
        before = self._by_id.get(head.id)
        if before is not None and not before.over:
            return False
        self._by_id[head.id] = Stream(self._client, head.id, True)
        self._rests.pop(head.id, None)
        return True

    def begin(self, exchange: StreamExchange) -> None:
        """The exchange of such a head begins."""
        stream = self._by_id[exchange.message.id]
        exchange.stream = stream
        self.active += 1
        stream.attach(exchange)

    def answer(self, exchange: StreamExchange) -> None:
        """The answer to a whole request is a stream."""
        stream = Stream(self._client, exchange.message.id, False)
        exchange.stream = stream
        self._by_id[stream.id] = stream
        self.active += 1
        stream.attach(exchange)

    def push(self, exchange: StreamExchange) -> None:
        """A server's push is a stream. Its id is the server's own: nothing that the client sends belongs to it."""
        stream = Stream(self._client, exchange.message.id, False)
        exchange.stream = stream
        self.active += 1
        stream.attach(exchange)

    def chunk(self, chunk: Chunk) -> bool:
        """False when it belongs to nothing that is known."""
        stream = self._by_id.get(chunk.id)
        if stream is None:
            if chunk.kind is not Kind.STREAM_RESET:
                return False
            exchange = self._client.under_way_as(chunk.id)
            if exchange is None:
                self._client.give_up_waiting(chunk.id)
                return False
            exchange.abandon("downstream_gone")
            return True
        if chunk.kind is Kind.STREAM_RESET and stream.exchange is None and not stream.over:
            del self._by_id[chunk.id]
            self._client.give_up_waiting(chunk.id)
            stream.withdrawn()
            return True
        stream.from_client(chunk)
        if stream.over and not stream.reading and self._by_id.get(chunk.id) is stream:
            self._forget(chunk.id)
        return True

    def _forget(self, id: int) -> None:
        del self._by_id[id]
        self._rests.pop(id, None)

    def finished(self, exchange: OpenExchange) -> None:
        """It is complete: nothing but the rest of its request is still to come."""
        stream = exchange.stream
        if stream is None:
            return
        self.active -= 1
        self._stuck.pop(stream, None)
        id = stream.id
        kept = self._by_id.get(id)
        if kept is None or kept is not stream:
            return
        if not kept.reading:
            self._forget(id)
            return
        self._rests[id] = None
        if len(self._rests) > RESTS:
            self._forget(next(iter(self._rests)))

    def wait_for_room(self, stream: ExchangeStream) -> None:
        self._stuck[stream] = None

    def offer_room(self) -> None:
        """The client's socket, or its windows, take more."""
        session = self._client.session
        for stream in list(self._stuck):
            if not session.unsent_bytes(stream.id):
                del self._stuck[stream]
                stream.client_has_room()

    def input_ended(self) -> None:
        """The client sends no more: requests that are not whole will never be."""
        for stream in list(self._by_id.values()):
            if stream.reading and not stream.over:
                if stream.exchange is not None:
                    stream.exchange.abandon("downstream_gone")
                else:
                    self._client.give_up_waiting(stream.id)

    def waiting_bytes(self) -> int:
        return sum(stream.waiting_bytes for stream in self._by_id.values())

    def clear(self) -> None:
        self._by_id.clear()
        self._rests.clear()
        self._stuck.clear()
