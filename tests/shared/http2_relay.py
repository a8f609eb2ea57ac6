"""
What the proxy does between two sessions of HTTP, and no more: it passes messages on, and credit back.

`Relay`: for tests of two sessions at a time, without sockets. Its peers may speak any version.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metaproxy.interfaces import ISession
from metaproxy.message import Chunk, ErrorKind, Kind, Message


@dataclass
class Exchange:
    """client, server: its ids. asked, answered: bytes of the halves. ended: how the answer's half did, "" before."""

    client: int
    server: int
    asked: bytes = b""
    answered: bytes = b""
    asking: bool = True
    ended: str = ""
    trailers: bytes = b""
    unsent: bool = False
    tunnel: bool = False
    due: list[tuple[bool, int]] = field(default_factory=list)


class Relay:
    """to_client, to_server: bytes that were not taken yet. `credit_at_once`: else credit waits for `credit`."""

    def __init__(self, client: ISession, server: ISession, credit_at_once: bool = True) -> None:
        self.client = client
        self.server = server
        self.to_client = b""
        self.to_server = b""
        self.drained = False
        self.credit_at_once = credit_at_once
        self.exchanges: list[Exchange] = []
        self._by_client: dict[int, Exchange] = {}
        self._by_server: dict[int, Exchange] = {}

    def from_client(self, data: bytes) -> None:
        """Bytes that a client wrote."""
        for message in self.client.receive(data):
            self._asked(message)
        assert self.client.error is None, self.client.error
        self._settle()

    def from_server(self, data: bytes) -> None:
        """Bytes that a server wrote."""
        for message in self.server.receive(data):
            self._answered(message)
        assert self.server.error is None, self.server.error
        self._settle()

    def give_up(self, exchange: Exchange) -> None:
        """What the proxy does at a time-out."""
        self._end(exchange, "given up")
        self.to_server += self.server.reset(exchange.server, ErrorKind.TIMEOUT, "late") or b""
        self.to_client += self.client.reset(exchange.client, ErrorKind.TIMEOUT, "late") or b""
        self._settle()

    def credit(self) -> None:
        """Give credit for what has left."""
        for exchange in self.exchanges:
            kept = []
            for asked, size in exchange.due:
                sink = self.server.unsent_bytes(exchange.server) if asked else self.client.unsent_bytes(exchange.client)
                if sink:
                    kept.append((asked, size))
                elif asked:
                    self.client.credit(exchange.client, size)
                else:
                    self.server.credit(exchange.server, size)
            exchange.due = kept
        self._settle(False)

    def _settle(self, credit: bool = True) -> None:
        if self.client.owes:
            self.to_client += self.client.owed()
        if self.server.owes:
            self.to_server += self.server.owed()
        if credit and self.credit_at_once:
            self.credit()

    def _asked(self, message: Message) -> None:
        if isinstance(message, Chunk):
            exchange = self._by_client.get(message.id)
            if exchange is None:
                self.client.credit(message.id, message.size)
            elif message.kind is Kind.STREAM_RESET:
                self._end(exchange, "reset by the client")
                self.to_server += self.server.reset(exchange.server, ErrorKind.RESET, "") or b""
            else:
                self._pass_asked(exchange, message)
            return
        exchange = Exchange(message.id, len(self.exchanges) + 1)
        assert message.id not in self._by_client, "an id that is in use"
        self.exchanges.append(exchange)
        self._by_client[exchange.client] = self._by_server[exchange.server] = exchange
        exchange.asking = message.kind is Kind.STREAM_OPEN
        if message.kind is Kind.REQUEST:
            exchange.asked += message.frame.partition(b"\r\n\r\n")[2]
        self.to_server += bytes(self.server.send(message, exchange.server))

    def _pass_asked(self, exchange: Exchange, chunk: Chunk) -> None:
        assert exchange.asking or exchange.tunnel
        exchange.asked += chunk.frame
        exchange.due.append((True, chunk.size))
        if chunk.kind is Kind.STREAM_CLOSE:
            exchange.asking = False
        self.to_server += bytes(self.server.send(chunk, exchange.server))

    def _answered(self, message: Message) -> None:
        if message.kind is Kind.DRAIN:
            self.drained = True
            return
        exchange = self._by_server.get(message.id)
        if exchange is None:
            if isinstance(message, Chunk):
                self.server.credit(message.id, message.size)
            return
        if message.kind is Kind.STREAM_RESET:
            exchange.unsent = isinstance(message, Chunk) and message.unsent
            self.to_client += self.client.reset(exchange.client, ErrorKind.RESET, "") or b""
            self._end(exchange, "reset by the server")
            return
        if isinstance(message, Chunk):
            exchange.answered += message.frame
            exchange.trailers += message.trailers
            exchange.due.append((False, message.size))
        elif message.kind in (Kind.RESPONSE, Kind.ERROR):
            exchange.answered += message.frame.partition(b"\r\n\r\n")[2]
        elif getattr(message, "duplex", False):
            exchange.tunnel = exchange.asking = True
        self.to_client += bytes(self.client.send(message, exchange.client))
        closes = isinstance(message, Chunk) and message.kind is Kind.STREAM_CLOSE
        if message.kind in (Kind.RESPONSE, Kind.ERROR) or (closes and isinstance(message, Chunk) and message.final):
            self._end(exchange, "whole")

    def _end(self, exchange: Exchange, how: str) -> None:
        exchange.ended = how
        del self._by_client[exchange.client]
        del self._by_server[exchange.server]
