"""
MySQL's packets in few words, for tests: a server's greeting, a client's login, commands, answers; a pair of sessions.

Lives here: what several test modules of the MySQL codec build. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Sequence

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.answers import read_error_metadata
from metaproxy.codecs.mysql.handshake import Capability, Greeting, Login
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, error_packet, ok_packet, packet, write_bytes
from metaproxy.codecs.mysql.passwords import NATIVE, proof
from metaproxy.message import Chunk, Hold, Kind, Message, Side

MAX = 1 << 20
C = Capability
BASE = (
    C.PROTOCOL_41 | C.SECURE_CONNECTION | C.PLUGIN_AUTH | C.CONNECT_WITH_DB | C.CONNECT_ATTRS | C.TRANSACTIONS
    | C.MULTI_RESULTS | C.MULTI_STATEMENTS | C.LENENC_AUTH_DATA | C.PS_MULTI_RESULTS
)  # fmt: skip
SERVER = BASE | C.SSL | C.COMPRESS | C.DEPRECATE_EOF | C.LOCAL_FILES | C.QUERY_ATTRIBUTES | C.PROGRESS | C.COM_MULTI
CHALLENGE = b"abcdefghijklmnopqrst"


def greeting(flags: int = SERVER, plugin: bytes = b"mysql_native_password") -> bytes:
    return packet(Greeting(b"8.0.42", 7, CHALLENGE, flags, 45, AUTOCOMMIT, plugin).write(), 0)


def login(
    flags: int = BASE, user: str = "app", database: str = "d", attributes: bytes = b"", sequence: int = 1
) -> bytes:
    login = Login(flags, 1 << 24, 45, user.encode(), b"proof", database.encode(), b"mysql_native_password", attributes)
    return packet(login.write(), sequence)


def native_login(said_first: bytes, user: str, password: str, database: str = "d") -> bytes:
    """What a client sends that knows the password, behind this greeting's payload."""
    seen = Greeting.read(said_first)
    flags = BASE & ~C.CONNECT_ATTRS & seen.capabilities
    proven = proof(NATIVE, password.encode(), seen.challenge)
    return packet(Login(flags, 1 << 24, 45, user.encode(), proven, database.encode(), NATIVE, b"").write(), 1)


def command(code: int, payload: bytes | str = b"") -> bytes:
    return packet(bytes((code,)) + (payload.encode() if isinstance(payload, str) else payload), 0)


def query(text: str) -> bytes:
    return command(3, text)


def ok(sequence: int = 1, status: int = AUTOCOMMIT) -> bytes:
    return ok_packet(sequence, status)


def error(number: int = 1146, sequence: int = 1, text: str = "no such table") -> bytes:
    return error_packet(sequence, number, "42S02", text)


def eof(sequence: int, status: int = AUTOCOMMIT) -> bytes:
    return packet(b"\xfe\0\0" + status.to_bytes(2, "little"), sequence)


def column(name: str, sequence: int) -> bytes:
    texts = b"".join(map(write_bytes, (b"def", b"d", b"t", b"t", name.encode(), name.encode())))
    return packet(texts + b"\x0c\x21\0\x0b\0\0\0\x03\0\0\0\0\0", sequence)


def rows(
    values: Sequence[Sequence[str]], deprecated: bool = False, status: int = AUTOCOMMIT, sequence: int = 1
) -> bytes:
    """A set of rows of texts, all with as many columns."""
    width = len(values[0])
    pieces = [packet(bytes((width,)), sequence)]
    pieces += [column(f"c{place}", sequence + 1 + place) for place in range(width)]
    sequence += 1 + width
    if not deprecated:
        pieces.append(eof(sequence, status & ~8))
        sequence += 1
    for row in values:
        pieces.append(packet(b"".join(write_bytes(value.encode()) for value in row), sequence))
        sequence += 1
    pieces.append(ok_packet(sequence, status, 0xFE) if deprecated else eof(sequence, status))
    return b"".join(pieces)


def prepared(id: int, parameters: int, columns: int, deprecated: bool = False) -> bytes:
    """What answers COM_STMT_PREPARE."""
    head = b"\0" + id.to_bytes(4, "little") + bytes((columns, 0, parameters, 0, 0, 0, 0))
    pieces, sequence = [packet(head, 1)], 2
    for count in (parameters, columns):
        for place in range(count):
            pieces.append(column(f"p{place}", sequence))
            sequence += 1
        if count and not deprecated:
            pieces.append(eof(sequence))
            sequence += 1
    return b"".join(pieces)


class Pair:
    """A client's session and a server's, logged in: what one of them reads the other sends."""

    def __init__(self, codec: MySQL | None = None, flags: int = BASE, logged_in: bool = True) -> None:
        self.codec = codec or MySQL()
        self.client: Session = self.codec.session(Side.CLIENT, MAX)
        self.server: Session = self.codec.session(Side.SERVER, MAX)
        self.client.open(None, {})
        self.server.open(None, {})
        self.to_client = self.to_server = b""
        if logged_in:
            self.hears(greeting())
            self.says(login(flags))
            self.hears(ok(2))
            self.take()

    def says(self, data: bytes) -> list[Message]:
        """What the client's session makes of these bytes; the server's gets what is not answered."""
        messages = self.client.receive(data)
        for message in messages:
            if message.answer is None:
                self.to_server += self.server.send(message, 0)
        return messages

    def hears(self, data: bytes, id: int = 0) -> list[Message]:
        """What the server's session makes of these bytes; the client's sends it on."""
        messages = self.server.receive(data)
        for message in messages:
            self.to_client += self.client.send(message, message.id)
        return messages

    def take(self) -> tuple[bytes, bytes]:
        """The bytes that came to the server and to the client since the last call."""
        taken = self.to_server, self.to_client
        self.to_server = self.to_client = b""
        return taken


def kinds(messages: Sequence[Message]) -> list[Kind]:
    return [message.kind for message in messages]


def join(head: Message, chunks: Sequence[Chunk]) -> Message:
    """The whole message that a head and its chunks mean."""
    frame = head.frame + b"".join(chunk.frame for chunk in chunks)
    if head.hold is not Hold.NONE:  # a client's
        return Message(Kind.REQUEST, frame, 0, None, head.more, hold=head.hold, profile=head.profile)
    failed, hold, metadata = chunks[-1].failed, chunks[-1].hold, chunks[-1].metadata
    more = read_error_metadata if failed else None
    return Message(Kind.ERROR if failed else Kind.RESPONSE, frame, 0, metadata, more, hold=hold)
