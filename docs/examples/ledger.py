"""
Ledger: entries in books, with a login, a book in use and transactions. | size 2 | type 1 | body |, size counts all.

A client asks: Q (query), U (use the book), B (begin), C (commit), X (goodbye). A server answers R or E, in order, and
sends N, a notice, when it likes. On a new connection it wants A (user, a 0 byte, password), and answers that, too.
"""

from collections import deque
from collections.abc import Hashable, Mapping

from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, ErrorKind, FrameError, Hold, Kind, Message, Side
from metaproxy.plugins import Declaration

HEAD = 3


def frame(type: bytes, body: bytes = b"") -> bytes:
    return (HEAD + len(body)).to_bytes(2, "big") + type + body


def size(data: bytes, offset: int) -> int:
    return data[offset] << 8 | data[offset + 1]


class Ledger(Codec):
    name = "ledger"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True  # a client's session knows the book, so it lives as long as the connection
    connections = "multiplex"
    keys = {"operation": "query, use, begin or commit", "book": "the book in use"}

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        return Client(max_frame) if side is Side.CLIENT else Server(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return frame(b"E", text.encode())

    def safe(self, request: Message) -> bool:
        return request.hold is Hold.NONE and request.frame[HEAD:].startswith(b"show")

    def confidential(self, request: Message) -> bool:
        return b"password" in request.frame

    def probe(self) -> Message:
        return Message(Kind.REQUEST, frame(b"Q", b"show time"), 0, {"operation": "query"})


class Client(LengthFramed):
    """A client's connection: the book that it uses is the profile of what it asks from then on."""

    def __init__(self, max_frame: int) -> None:
        super().__init__(HEAD, size, self.parse, max_frame)
        self.book = ""

    def parse(self, data: bytes) -> Message:
        type, body = data[2:HEAD], data[HEAD:]
        if type == b"X":
            self.closing = True
            return Message(Kind.REQUEST, data, 0, {"operation": "goodbye"}, answer=frame(b"R", b"bye"))
        if type == b"U":
            self.book = body.decode("latin-1")
            metadata = {"operation": "use", "book": self.book}
            # Answered here: a server's connection is in the right book when it is opened. WAIT: what was asked before
            # is answered before.
            return Message(Kind.REQUEST, data, 0, metadata, answer=frame(b"R", b"used"), hold=Hold.WAIT)
        operation, hold = OPERATIONS.get(type, ("", Hold.NONE))
        if not operation:
            raise FrameError(f"no request of type {type!r}")
        metadata = {"operation": operation, "book": self.book}
        return Message(Kind.REQUEST, data, 0, metadata, hold=hold, profile=self.book or None)


OPERATIONS = {b"Q": ("query", Hold.NONE), b"B": ("begin", Hold.OPEN), b"C": ("commit", Hold.CLOSE)}


class Server(LengthFramed):
    """A server's connection: logs in, uses the book that its requests need, knows of its transaction."""

    def __init__(self, max_frame: int) -> None:
        super().__init__(HEAD, size, self.parse, max_frame)
        self.greetings = 0  # answers to what `open` sent that are to come
        self.asked: deque[bytes] = deque()  # the types of the requests under way

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        greeting = []
        if credentials:
            words = f"{credentials.get('username', '')}\0{credentials.get('password', '')}"
            greeting.append(frame(b"A", words.encode()))
        if profile:
            greeting.append(frame(b"U", str(profile).encode("latin-1")))
        self.greetings = len(greeting)
        self.ready = not greeting
        return b"".join(greeting)

    def receive(self, data: bytes) -> list[Message]:
        return [message for message in super().receive(data) if message.kind is not Kind.HEARTBEAT]

    def send(self, message: Message, id: int) -> bytes:
        self.asked.append(message.frame[2:HEAD])
        if message.hold is Hold.OPEN:
            self.reusable = False
        return message.frame

    def parse(self, data: bytes) -> Message:
        type = data[2:HEAD]
        if type not in (b"R", b"E", b"N"):
            raise FrameError(f"no answer of type {type!r}")
        if type == b"N":
            return Message(Kind.EVENT, data)
        if self.greetings:
            if type == b"E":
                raise FrameError(f"login refused: {data[HEAD:][:80]!r}")
            self.greetings -= 1
            self.ready = not self.greetings
            return Message(Kind.HEARTBEAT, data)  # for no client: left out by `receive`
        if self.asked and self.asked.popleft() == b"C" and type == b"R":
            self.reusable = True
        return Message(Kind.ERROR if type == b"E" else Kind.RESPONSE, data)


ledger = Declaration(ICodec, "ledger", Ledger)
