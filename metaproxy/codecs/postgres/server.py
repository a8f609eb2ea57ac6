"""
A server's connection: where its answers end, what it says by itself, which of it is passed on as it comes.

Rows and data of COPY are not looked at: only where messages end. Lives here: `ServerSession`, for one client whose
login passes; the beginning of TLS; the end of an answer whose server is gone. Does not: connections that the proxy logs
in on (`pooled_server`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping

from metaproxy.codecs.cutters import postgres_rows
from metaproxy.codecs.framing import Session
from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.errors import CODES
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.codecs.postgres.units import CHUNK, EXTENDED, LONGEST, SYNCED
from metaproxy.codecs.postgres.wire import FATAL, HEAD, HEAD_SIZE, READY_SIZE, error_fields
from metaproxy.message import Chunk, ErrorKind, FrameError, Hold, Kind, Message

AUTHENTICATION, READY, ERROR, KEY, STATUS, COMPLETE = b"RZEKSC"
LOOKED_AT = frozenset((AUTHENTICATION, READY, ERROR, COMPLETE))
DONE = frozenset(b"123TnCIs")
"""Each of these ends what the server does for one message of the extended protocol."""
KNOWN = frozenset(b"RZEGWNASK123CDTtnsIHVvdc")
_COUNTED = LOOKED_AT | DONE
_ASKS = frozenset((b"P", b"B", b"D", b"E", b"C"))
_BY_ITSELF = frozenset(b"NASE")
"""What a server also says when it was asked nothing: notices, notifications, parameters, and why it ends."""
_READIES, SYNCS = -1, 0
"""In place of the number of messages that end an answer: ReadyForQuery does, to a simple message or to a Sync."""
_ROWS = frozenset(b"Dd")
_STATES = frozenset((b"I", b"T", b"E"))
_NEEDS_NOTHING = (0, 12)
"""Authentication messages that a client does not answer: it is done, or a last one of SASL."""
GONE = wire.error("FATAL", CODES[ErrorKind.RESET], "the server closed the connection within an answer")
"""The end of an answer of which the server, as it shuts down, has said the beginning: a notice, rows."""
_SSL_REQUEST = wire.LENGTH.pack(8) + wire.LENGTH.pack(wire.SSL)


class ServerSession(Session):
    """max_frame: bytes of a message that is looked at, and of a whole answer."""

    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self._most = max_frame
        self._over = min(stream_over, max_frame)
        self._piece = min(CHUNK, self._over)
        self._held = bytearray()  # the beginning of a message that must be whole to be understood
        self._need = 0
        self._left = 0  # bytes of a message that is passed on as it comes
        self._asked: deque[int] = deque()  # what ends each of the answers that are to come
        self._done = 0  # messages of the extended protocol that are done, of the first of them
        self._parts: list[bytes] = []  # of an answer that something was taken out of
        self._ending = False  # the last of them is a notice that the server ends, and waits for what follows
        self._skipping = False  # there was an error: up to the next Sync nothing is answered
        self._opened = False  # the answer's head was passed on
        self._sqlstate = ""  # of the last error in the answer
        self._rows = -1  # in the answer, or changed by what was asked; -1 where it does not say
        self._head: Message | None = None
        self._looked = KNOWN  # messages that must be whole: at the login all of them
        self._securing = False  # TLS was asked for
        self.key = b""
        self.cutter = postgres_rows

    # -- a new connection

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        self.start_tls = False
        if "tls.start" in self.facts:
            self.ready, self._securing = False, True
            return _SSL_REQUEST
        return self._hello(profile, credentials)

    def _hello(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        """What is said first, over TLS or without."""
        self.ready = True
        return b""

    def _take_tls(self, data: bytes) -> None:
        """The server's answer to the request for TLS."""
        if data != b"S":
            said = "something behind its answer that is not encrypted" if data[:1] == b"S" else f"{data[:20]!r}"
            raise FrameError(f"the server has no TLS, or is not PostgreSQL: asked for it, it said {said}")
        self._securing = False
        self.start_tls = self.owes = True

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is Kind.REQUEST or message.kind is Kind.STREAM_OPEN:
            flags = message.id & (EXTENDED | SYNCED)
            self._expect(self._asks(message) if flags == EXTENDED else SYNCS if flags else _READIES)
        return message.frame

    def _asks(self, message: Message) -> int:
        """How many of its messages are answered."""
        return sum(kind in _ASKS for kind, _, _ in steps(message.frame))

    def _expect(self, answer: int) -> None:
        self._asked.append(answer)
        if len(self._asked) == 1:
            self._look()

    def _look(self) -> None:
        """Which messages of the answer that comes next must be whole."""
        if self._looked is not KNOWN:
            self._looked = _COUNTED if self._asked and self._asked[0] > 0 else LOOKED_AT

    def companion(self, message: Message) -> bytes | Message:
        """A CancelRequest for what is under way."""
        if not self.key:
            raise FrameError("the server gave no key by which it could be asked to cancel")
        return wire.LENGTH.pack(8 + len(self.key)) + wire.LENGTH.pack(wire.CANCEL) + self.key

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                self.buffered = len(self._held)
                return messages
            data = bytes(self._held)
            self._held = bytearray()
        try:
            if self._securing:
                self._take_tls(data)
            else:
                self._cut(data, messages)
        except FrameError as error:
            self.error = error
        self.buffered = len(self._held)
        return messages

    def eof(self) -> list[Message]:
        """An answer that has begun ends with an error, unless a message of it has begun, too."""
        if not self._opened or self._left or self._held or self.error is not None:
            return []
        known = {"sqlstate": CODES[ErrorKind.RESET]}
        if self._head is not None:
            self._head.metadata = known
        return [Chunk(Kind.STREAM_CLOSE, GONE, 0, known, hold=self._hold(b"", True), failed=True)]

    def _cut(self, data: bytes, messages: list[Message]) -> None:
        start = at = 0
        end = len(data)
        asked, looked, head, cutter = self._asked, self._looked, HEAD.unpack_from, self.cutter
        while at < end:
            if self._left:
                size = min(self._left, end - at)
                self._left -= size
                at += size
                continue
            if end - at < HEAD_SIZE:
                self._keep(data[at:], HEAD_SIZE)
                break
            kind, size = head(data, at)
            if size < 4 or size > LONGEST or kind not in KNOWN:
                raise FrameError(f"a message of type {chr(kind)!r} with a length of {size}")
            begun, stop = at, at + 1 + size
            if kind not in looked and asked:
                at = stop
                if stop > end:
                    self._left, at = stop - end, end
                elif kind in _ROWS and cutter is not None:
                    at = cutter(data, stop, messages)
                continue
            if size >= self._most:
                raise FrameError(f"a message of type {chr(kind)!r} and {size} bytes; allowed are {self._most}")
            if stop > end:
                self._keep(data[at:], stop - at)
                break
            at = stop
            if kind == READY and self._skipping:
                self._silence(messages)
            if not asked:
                self._say(kind, data[start:stop], messages)
            elif self._takes_out(kind, body := data[begun + HEAD_SIZE : stop]):
                self._parts.append(data[start : stop if self._ending else begun])
            elif self._ends(kind, body):
                self._finish(self._joined(data[start:stop]) if self._parts else data[start:stop], messages)
            else:
                continue
            start, looked = stop, self._looked
        if at > start or (self._parts and not self._ending):
            self._pass_on(self._joined(data[start:at]), messages)

    def _joined(self, data: bytes) -> bytes:
        self._ending = False
        if not self._parts:
            return data
        parts, self._parts = self._parts, []
        return b"".join((*parts, data))

    def _keep(self, piece: bytes, need: int) -> None:
        self._held += piece
        self._need = need

    def _say(self, kind: int, frame: bytes, messages: list[Message]) -> None:
        """What the server says though it was asked nothing."""
        if kind not in _BY_ITSELF:
            raise FrameError(f"a message of type {chr(kind)!r}, and nothing was asked")
        messages.append(Message(Kind.EVENT, frame))

    def _takes_out(self, kind: int, body: bytes) -> bool:
        """Whether a message of an answer is the session's business and not the client's."""
        return False

    def _ends(self, kind: int, body: bytes) -> bool:
        """Whether the answer ends with that message."""
        if kind == READY:
            if body not in _STATES:
                raise FrameError(f"a ReadyForQuery with the state {body[:8]!r}")
            if self._looked is KNOWN:
                self._looked = LOOKED_AT
            return True
        if kind == AUTHENTICATION:
            if self._looked is not KNOWN:
                raise FrameError("a request for a login behind the login")
            return int.from_bytes(body[:4], "big") not in _NEEDS_NOTHING
        if kind == ERROR:
            fields = error_fields(body)
            self._sqlstate = fields.get("C", b"").decode("ascii", "replace") or "XX000"
            self._skipping = self._asked[0] > 0
            return self._skipping or fields.get("V", fields.get("S")) in FATAL
        if kind == KEY:
            self.key = body
        elif kind == COMPLETE:
            number = body[:-1].rpartition(b" ")[2]
            if number.isdigit() and len(number) < 20:
                self._rows = int(number) + max(0, self._rows)
        if self._asked[0] <= 0 or kind not in DONE:
            return False
        self._done += 1
        return self._done >= self._asked[0]

    def _finish(self, frame: bytes, messages: list[Message]) -> None:
        """The end of an answer."""
        self._done = 0
        self._asked.popleft()
        self._look()
        sqlstate, self._sqlstate = self._sqlstate, ""
        rows, self._rows = self._rows, -1
        known = {"sqlstate": sqlstate} if sqlstate else {"rows": str(rows)} if rows >= 0 else None
        hold = self._hold(wire.state_of(frame), bool(sqlstate))
        if not self._opened and len(frame) <= self._over:
            kind = Kind.ERROR if sqlstate else Kind.RESPONSE
            messages.append(Message(kind, frame, 0, known, hold=hold))
        else:
            self._pass_on(frame[:-READY_SIZE], messages)
            last = frame[-READY_SIZE:]
            messages.append(Chunk(Kind.STREAM_CLOSE, last, 0, known, hold=hold, failed=bool(sqlstate)))
            if self._head is not None and known is not None:
                self._head.metadata = known  # for those who look at the end
            self._opened, self._head = False, None
        if self._skipping:
            self._silence(messages)

    def _hold(self, state: bytes, failed: bool) -> Hold:
        """Whether the client keeps the connection. state: b"" where a Sync is still to come."""
        return Hold.NONE

    def _silence(self, messages: list[Message]) -> None:
        """Up to the next Sync nothing is answered."""
        while self._skipping and self._asked:
            if self._asked[0] == SYNCS:
                self._skipping = False
            else:
                self._asked.popleft()
                messages.append(Message(Kind.SILENCE, b""))
            self._look()

    def _pass_on(self, data: bytes, messages: list[Message]) -> None:
        """
        A part of an answer: its head, if that has not come, and chunks. Any of them may hold the request for the data
        of a COPY, so that the client's half is open from the head on.
        """
        for at in range(0, len(data), self._piece):
            piece = data[at : at + self._piece]
            if self._opened:
                messages.append(Chunk(Kind.STREAM_DATA, piece))
                continue
            self._opened = True
            head = Message(Kind.STREAM_OPEN, piece)
            head.duplex = True
            self._head = head
            messages.append(head)
