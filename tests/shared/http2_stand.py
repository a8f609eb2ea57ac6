"""
Sessions of HTTP/2 with the `h2` library as their peer, and frames as a peer may write them, right or wrong.

`ClientStand`: our session towards clients, asked by h2. `ServerStand`: our session towards servers, answered by h2.
"""

from __future__ import annotations

from collections.abc import Sequence

import hpack
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http.http2 import PREFACE, Http2Client, Http2Server, Options
from metaproxy.message import Message

Fields = Sequence[tuple[str, str]]

GET: Fields = ((":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/one?x=1"))
POST: Fields = ((":method", "POST"), *GET[1:])
OK: Fields = ((":status", "200"),)

MAX_FRAME = 1 << 20


def raw_frame(type: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame by the layout of RFC 9113, section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes((type, flags)) + stream.to_bytes(4, "big") + payload


def raw_headers(stream: int, fields: Fields, flags: int = 0x5) -> bytes:
    """HEADERS with END_HEADERS and END_STREAM whose block changes no table."""
    return raw_frame(1, flags, stream, literal_block(fields))


def literal_block(fields: Fields) -> bytes:
    """A block in which each field is spelled out."""
    return b"".join(
        b"\0" + length(name) + name.encode("latin-1") + length(value) + value.encode("latin-1")
        for name, value in fields
    )


def length(text: str) -> bytes:
    """The length of a string, as HPACK writes it."""
    return bytes(hpack.hpack.encode_integer(len(text), 7))


SETTINGS = raw_frame(4, 0, 0)
SETTINGS_ACK = raw_frame(4, 1, 0)


def connected_client(options: Options | None = None) -> Http2Client:
    """Our session towards a client that sent its preface and no more."""
    session = Http2Client(options or Options(), MAX_FRAME)
    session.open(None, {})
    assert session.receive(PREFACE + SETTINGS + SETTINGS_ACK) == []
    assert session.owed() == SETTINGS_ACK
    return session


def connected_server(options: Options | None = None, settings: bytes = b"") -> Http2Server:
    """Our session towards a server that sent its SETTINGS and no more."""
    session = Http2Server(options or Options(), MAX_FRAME)
    session.open(None, {})
    assert session.receive(raw_frame(4, 0, 0, settings) + SETTINGS_ACK) == []
    assert session.owed() == SETTINGS_ACK
    return session


def ending(session: Http2Client | Http2Server) -> tuple[int, int]:
    """Code and last stream of the GOAWAY with which a session that failed takes its leave."""
    assert session.error is not None
    frames = split(session.owed())
    kind, _, stream, payload = frames[-1]
    assert (kind, stream) == (7, 0)
    return int.from_bytes(payload[4:8], "big"), int.from_bytes(payload[:4], "big")


def resets(data: bytes) -> dict[int, int]:
    """Stream -> code of each RST_STREAM."""
    return {stream: int.from_bytes(payload, "big") for kind, _, stream, payload in split(data) if kind == 3}


def said(session: Http2Client, data: bytes = b"") -> bytes:
    """What a session has to say, `data` first, to a client that answers each PING when it has read what is before."""
    heard = data + session.owed()
    whole = heard
    while pings := [payload for kind, flags, _, payload in split(heard) if kind == 6 and not flags & 1]:
        for payload in pings:
            session.receive(raw_frame(6, 1, 0, payload))
        heard = session.owed()
        whole += heard
    return whole


def split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of each frame."""
    frames = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        stream = int.from_bytes(data[at + 5 : at + 9], "big")
        frames.append((data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size]))
        at += 9 + size
    assert at == len(data), "half a frame was written"
    return frames


class ClientStand:
    """h2 as a client, and our session behind it. `messages`: what the session made of it, not yet taken."""

    def __init__(
        self, options: Options | None = None, max_frame: int = MAX_FRAME, session: Session | None = None
    ) -> None:
        self.session: Session = session or Http2Client(options or Options(), max_frame)
        self.peer = H2Connection(H2Configuration(client_side=True))
        self.peer.initiate_connection()
        self.peer.receive_data(self.session.open(None, {}))
        self.messages: list[Message] = []
        self.talk()

    def talk(self) -> list[Event]:
        """Pass on what the peer wrote, and give it what is owed, until both are silent."""
        events: list[Event] = []
        while data := self.peer.data_to_send():
            self.messages += self.session.receive(data)
            assert self.session.error is None
            if self.session.owes:
                events += self.peer.receive_data(self.session.owed())
        return events

    def take(self) -> list[Message]:
        """What the peer wrote, as messages."""
        self.talk()
        taken, self.messages = self.messages, []
        return taken

    def send(self, message: Message, id: int) -> list[Event]:
        """Give the peer a message of the other side."""
        events = self.peer.receive_data(self.session.send(message, id))
        return [*events, *self.talk()]


class ServerStand:
    """h2 as a server, and our session towards it."""

    def __init__(
        self, options: Options | None = None, max_frame: int = MAX_FRAME, session: Session | None = None
    ) -> None:
        self.session: Session = session or Http2Server(options or Options(), max_frame)
        self.peer = H2Connection(H2Configuration(client_side=False))
        self.peer.initiate_connection()
        self.peer.receive_data(self.session.open(None, {}))
        self.messages: list[Message] = []
        self.talk()

    def talk(self) -> list[Event]:
        """Pass on what the peer wrote, and give it what is owed, until both are silent."""
        events: list[Event] = []
        while data := self.peer.data_to_send():
            self.messages += self.session.receive(data)
            assert self.session.error is None
            if self.session.owes:
                events += self.peer.receive_data(self.session.owed())
        return events

    def take(self) -> list[Message]:
        """What the peer wrote, as messages."""
        self.talk()
        taken, self.messages = self.messages, []
        return taken

    def send(self, message: Message, id: int) -> list[Event]:
        """Give the peer a message of the other side."""
        events = self.peer.receive_data(self.session.send(message, id))
        return [*events, *self.talk()]
