"""
A server's connection: where its answers end, what it says by itself, which of it is passed on as it comes.

Rows and data of COPY are not looked at: only where messages end. Lives here: `ServerSession`. Does not: logging in by
itself (`login`).
"""

from __future__ import annotations

from collections import deque

from metaproxy.codecs.framing import Session
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.codecs.postgres.units import CHUNK, EXTENDED, LONGEST, SYNCED
from metaproxy.codecs.postgres.wire import FATAL, HEAD, HEAD_SIZE, READY_SIZE, error_fields
from metaproxy.message import Chunk, FrameError, Kind, Message

_AUTHENTICATION, _READY, _ERROR = b"RZE"
_LOOKED_AT = frozenset((_AUTHENTICATION, _READY, _ERROR))
_DONE = frozenset(b"123TnCIs")
"""Each of these ends what the server does for one message of the extended protocol."""
_COUNTED = _LOOKED_AT | _DONE
_ASKS = frozenset((b"P", b"B", b"D", b"E", b"C"))
_BY_ITSELF = frozenset(b"NASE")
_READIES, _SYNCS = -1, 0
"""In place of the number of messages that end an answer: ReadyForQuery does, to a simple message or to a Sync."""
"""What a server also says when it was asked nothing: notices, notifications, parameters, and why it ends."""
_KNOWN = frozenset(b"RZEGWNASK123CDTtnsIHVvdc")
_NEEDS_NOTHING = (0, 12)
"""Authentication messages that a client does not answer: it is done, or a last one of SASL."""


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
        self._skipping = False  # there was an error: up to the next Sync nothing is answered
        self._opened = False  # the answer's head was passed on
        self._sqlstate = ""  # of the last error in the answer

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is Kind.REQUEST or message.kind is Kind.STREAM_OPEN:
            flags = message.id & (EXTENDED | SYNCED)
            if flags == EXTENDED:
                self._asked.append(sum(kind in _ASKS for kind, _, _ in steps(message.frame)))
            else:
                self._asked.append(_SYNCS if flags else _READIES)
        return message.frame

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
            self._cut(data, messages)
        except FrameError as error:
            self.error = error
        self.buffered = len(self._held)
        return messages

    def _cut(self, data: bytes, messages: list[Message]) -> None:
        start = at = 0
        end = len(data)
        while at < end:
            if self._left:
                size = min(self._left, end - at)
                self._left -= size
                at += size
                continue
            if end - at < HEAD_SIZE:
                self._hold(data[at:], HEAD_SIZE)
                break
            kind, size = HEAD.unpack_from(data, at)
            if size < 4 or size > LONGEST or kind not in _KNOWN:
                raise FrameError(f"a message of type {chr(kind)!r} with a length of {size}")
            stop = at + 1 + size
            if self._asked and kind not in (_COUNTED if self._asked[0] > 0 else _LOOKED_AT):
                self._left = stop - at
                continue
            if size >= self._most:
                raise FrameError(f"a message of type {chr(kind)!r} and {size} bytes; allowed are {self._most}")
            if stop > end:
                self._hold(data[at:], stop - at)
                break
            at = stop
            if kind == _READY:
                self._silence(messages)
            if not self._asked:
                self._say(kind, data[start:stop], messages)
            elif self._ends(kind, data[stop - size + 4 : stop]):
                self._finish(data[start:stop], messages)
            else:
                continue
            start = stop
        if at > start:
            self._pass_on(data[start:at], messages)

    def _hold(self, piece: bytes, need: int) -> None:
        self._held += piece
        self._need = need

    def _say(self, kind: int, frame: bytes, messages: list[Message]) -> None:
        """What the server says though it was asked nothing."""
        if kind not in _BY_ITSELF:
            raise FrameError(f"a message of type {chr(kind)!r}, and nothing was asked")
        messages.append(Message(Kind.EVENT, frame))

    def _ends(self, kind: int, body: bytes) -> bool:
        """Whether the answer ends with that message."""
        if kind == _READY:
            return True
        if kind == _AUTHENTICATION:
            return int.from_bytes(body[:4], "big") not in _NEEDS_NOTHING
        if kind == _ERROR:
            fields = error_fields(body)
            self._sqlstate = fields.get("C", b"").decode("ascii", "replace") or "XX000"
            self._skipping = self._asked[0] > 0
            return self._skipping or fields.get("V", fields.get("S")) in FATAL
        self._done += 1
        return self._done >= self._asked[0]

    def _finish(self, frame: bytes, messages: list[Message]) -> None:
        """The end of an answer."""
        self._done = 0
        self._asked.popleft()
        sqlstate, self._sqlstate = self._sqlstate, ""
        known = {"sqlstate": sqlstate} if sqlstate else None
        if not self._opened and len(frame) <= self._over:
            messages.append(Message(Kind.ERROR if sqlstate else Kind.RESPONSE, frame, 0, known))
        else:
            self._end_stream(frame, known, messages)
        self._silence(messages)

    def _silence(self, messages: list[Message]) -> None:
        """Up to the next Sync nothing is answered."""
        while self._skipping and self._asked:
            if self._asked[0] == _SYNCS:
                self._skipping = False
            else:
                self._asked.popleft()
                messages.append(Message(Kind.SILENCE, b""))

    def _end_stream(self, frame: bytes, known: dict[str, str] | None, messages: list[Message]) -> None:
        self._pass_on(frame[:-READY_SIZE], messages)
        messages.append(Chunk(Kind.STREAM_CLOSE, frame[-READY_SIZE:], 0, known, failed=known is not None))
        self._opened = False

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
            messages.append(head)
