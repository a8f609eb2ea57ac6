"""Two sessions of a codec with what the data path does between them, and no more: ids, credit, ends."""

from __future__ import annotations

from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Side

ANSWERS = (Kind.RESPONSE, Kind.ERROR)
ENDS = (Kind.STREAM_CLOSE, Kind.STREAM_RESET)


class Call:
    """An exchange: its id on either side, and what came and was not credited, by who sent it."""

    def __init__(self, client_id: int, server_id: int, head: Message) -> None:
        self.client_id, self.server_id, self.head = client_id, server_id, head
        self.owing = {Side.CLIENT: 0, Side.SERVER: 0}
        self.open = head.kind is Kind.STREAM_OPEN
        self.begun = False


class Relay:
    """
    `from_client`, `from_server` take bytes; `to_client`, `to_server` are what came out, until `take`. holding: the
    sides whose chunks are not credited, as the other side of them is slow. seen: all messages, with their sender.
    """

    def __init__(self, codec: Codec, max_frame: int = 1 << 20) -> None:
        self.codec = codec
        self.client: Session = codec.session(Side.CLIENT, max_frame)
        self.server: Session = codec.session(Side.SERVER, max_frame)
        self.server.open(None, {})
        self.to_client, self.to_server = bytearray(), bytearray()
        self.calls: dict[int, Call] = {}
        self.holding: set[Side] = set()
        self.seen: list[tuple[Side, Message]] = []
        self.greatest = {Side.CLIENT: 0, Side.SERVER: 0}
        self._next = 1

    def take(self, side: Side) -> bytes:
        """What was written to a side."""
        out = self.to_client if side is Side.CLIENT else self.to_server
        data = bytes(out)
        out.clear()
        return data

    # -- bytes

    def from_client(self, data: bytes) -> None:
        for message in self.client.receive(data):
            self.seen.append((Side.CLIENT, message))
            self._of_client(message)
        self.turn()

    def from_server(self, data: bytes) -> None:
        for message in self.server.receive(data):
            self.seen.append((Side.SERVER, message))
            self._of_server(message)
        self.turn()

    def turn(self) -> None:
        """Writes what sessions owe, and credits what has left."""
        self._settle()
        for call in list(self.calls.values()):
            self._credit(call, Side.CLIENT, self.client, call.client_id, self.server.unsent_bytes(call.server_id))
            self._credit(call, Side.SERVER, self.server, call.server_id, self.client.unsent_bytes(call.client_id))

    def _settle(self) -> None:
        for session, out in ((self.client, self.to_client), (self.server, self.to_server)):
            assert session.error is None, session.error
            if session.owes:
                out += session.owed()

    def _credit(self, call: Call, side: Side, session: Session, id: int, unsent: int) -> None:
        size = call.owing[side]
        self.greatest[side] = max(self.greatest[side], size)
        if size and not unsent and side not in self.holding:
            call.owing[side] = 0
            session.credit(id, size)
            self._settle()

    # -- messages

    def _of_client(self, message: Message) -> None:
        if message.answer is not None:
            self.to_client += message.answer
        elif message.kind in (Kind.REQUEST, Kind.STREAM_OPEN):
            id, self._next = self._next, self._next + 1
            self.calls[id] = Call(message.id, id, message)
            self.to_server += self.server.send(message, id)
        elif message.kind is Kind.ONEWAY:
            self.to_server += self.server.send(message, self._next)
            self._next += 1
        elif isinstance(message, Chunk):
            self._chunk_of_client(message)

    def _chunk_of_client(self, chunk: Chunk) -> None:
        call = next((call for call in self.calls.values() if call.client_id == chunk.id), None)
        if call is None:
            self.client.credit(chunk.id, chunk.size)
        elif chunk.kind is Kind.STREAM_RESET:
            self.abandon(call)
        else:
            call.owing[Side.CLIENT] += chunk.size
            self.to_server += self.server.send(chunk, call.server_id)
            call.open = call.open and chunk.kind is not Kind.STREAM_CLOSE

    def _of_server(self, message: Message) -> None:
        call = self.calls.get(message.id)
        if call is None:
            return
        if message.kind is Kind.STREAM_RESET:
            del self.calls[message.id]
            self.to_client += self.client.reset(call.client_id, ErrorKind.RESET, message.frame.decode()) or b""
            return
        if isinstance(message, Chunk):
            call.owing[Side.SERVER] += message.size
        call.begun = call.begun or message.kind is Kind.STREAM_OPEN
        self.to_client += self.client.send(message, call.client_id)
        if message.kind in ANSWERS or message.kind is Kind.STREAM_CLOSE:
            del self.calls[message.id]
            if call.open:
                self.to_server += self.server.reset(call.server_id, None, "") or b""

    # -- what the proxy does by itself

    def abandon(self, call: Call) -> None:
        """The client is gone, or has reset the stream."""
        self.calls.pop(call.server_id, None)
        self.to_server += self.server.reset(call.server_id, ErrorKind.TIMEOUT, "its client has left") or b""

    def fail(self, call: Call, kind: ErrorKind, text: str = "why") -> None:
        """The proxy ends the exchange: time is over, its server is gone."""
        self.abandon(call)
        if call.begun:
            self.to_client += self.client.reset(call.client_id, kind, text) or b""
            return
        reply = self.codec.reply(call.head, kind, text)
        self.to_client += self.client.send(reply, call.client_id) if isinstance(reply, Message) else reply
