"""
What of a client's stream is one exchange.

In the simple protocol it is a message. In the extended one it is what comes up to a Sync; if the client waits before
(it says so by a Flush), or sends more than `stream_over` bytes, what came until then is one, and the rest are others.
So each Parse and each Bind is in a request that is routed, and may be refused, by what it says. Then the server's error
and ours mean the same: what follows up to the Sync is skipped.

A message that is larger than `stream_over` is passed on as it comes: its request is a head, and chunks. The data of a
COPY are chunks of the exchange that is being answered.

Lives here: `UnitReader`, which cuts a client's messages into requests. Does not: the login (`client`), what the
requests ask for (`metadata`).
"""

from __future__ import annotations

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.wire import HEAD, HEAD_SIZE, LENGTH
from metaproxy.message import Chunk, FrameError, Kind, Message

CHUNK = 65536
"""Bytes of a chunk at most, and those of a large message that are waited for before its head is passed on."""
LONGEST = 0x3FFFFFFF
"""Bytes of a message; PostgreSQL takes none that is longer."""
LONGEST_SECRET = 65536
"""Bytes of what a client answers to an authentication request."""
EXTENDED, SYNCED = 1, 2
"""Set in the ids of requests in the extended protocol, and of those of them that end with a Sync."""
_STEP = 4
FLUSH = wire.message(b"H")
_SYNC, _FLUSH, _BYE, _SECRET, _DATA, _PARSE = b"SHXpdP"
_COPY = frozenset(b"dcf")
_BATCH = frozenset(b"PBDECHS")
_SINGLE = frozenset(b"QF")
_EMPTY = frozenset(b"SHX")
_WITHIN = frozenset(b"BDEC")
"""Parts of a batch that end nothing and prepare nothing."""


class UnitReader:
    """
    The messages behind the login. max_frame: bytes of a whole request; stream_over: those beyond which it is passed on
    as it comes. quit: the client said goodbye. logging_in: passwords may come. skipping: up to the next Sync nothing is
    done any more.
    """

    __slots__ = (
        "_answered", "_answering", "_closes", "_copying", "_dropping", "_held", "_left", "_most", "_need", "_number",
        "_open", "_over", "_piece", "_scanned", "_synced", "logging_in", "quit", "skipping",
    )  # fmt: skip

    def __init__(self, max_frame: int, stream_over: int) -> None:
        self._most = max_frame
        self._over = min(stream_over, max_frame)
        self._piece = min(CHUNK, self._over)
        self._held = bytearray()
        self._scanned = 0  # of what is held: where the last whole message ends
        self._need = 0
        self._dropping = 0  # bytes of a message that is not waited for
        self._open = 0  # the exchange whose request is passed on as it comes
        self._left = 0  # bytes of its message that is under way
        self._closes = False  # it ends with that message
        self._copying = False  # the server takes the data of a COPY, and ignores Sync and Flush
        self._answering = 0  # the exchange whose answer has come in part
        self._answered = 0  # the last one whose answer is whole
        self._number = 0
        self._synced = 0  # the last request that ends with a Sync
        self.logging_in = True
        self.skipping = False
        self.quit = False

    def make(self, kind: Kind, frame: bytes, id: int) -> Message:
        """The message of a request."""
        raise NotImplementedError

    def bye(self, frame: bytes) -> Message | None:
        """What is done about a client's goodbye: a message to the server, or nothing."""
        raise NotImplementedError

    def parsed(self, name: bytes, text: bytes) -> None:
        """The client prepares a statement."""

    def parsed_unseen(self) -> None:
        """The client prepares a statement in a message that is not kept."""

    @property
    def size(self) -> int:
        return len(self._held)

    # -- what the answers say

    @property
    def unanswered(self) -> int:
        """Requests whose answers are not whole."""
        return (self._number >> 2) - (self._answered >> 2)

    def answer_begins(self, id: int) -> None:
        """A part of the answer has come: data of the client are for that exchange from now on."""
        self._answering = id

    def answer_ends(self, id: int) -> None:
        """The answer is whole: what still comes of data is not wanted any more."""
        self._answered = max(id, self._answered)
        if self._answering == id:
            self._answering = 0
        if self._open == id:
            self._copying = False
            if self._left:
                self._closes = True
            else:
                self._open = 0

    def fails(self, id: int) -> None:
        """Behind that request nothing is done up to the next Sync, which may have come meanwhile."""
        self.skipping = self._synced < id

    # -- what the client says

    def read(self, data: bytes, messages: list[Message]) -> None:
        """Add the requests and chunks that `data` complete. May raise FrameError."""
        held = self._held
        buffer: bytes | bytearray = data
        if held:
            held += data
            if len(held) < self._need:
                return
            buffer = held
        at = self._cut(buffer, messages)
        if buffer is held:
            del held[:at]
        elif at < len(data):
            held += data[at:] if at else data

    def _cut(self, buffer: bytes | bytearray, messages: list[Message]) -> int:
        """Cut off what is whole; where the rest begins."""
        start, at, end = 0, self._scanned, len(buffer)
        self._scanned = self._need = 0
        while start < end and not self.quit:
            if self._open:
                start = at = self._pass_on(buffer, start, end, messages)
                if self._open:
                    break
            elif self._dropping:
                size = min(self._dropping, end - start)
                self._dropping -= size
                start = at = start + size
            elif at == start and buffer[at] in _COPY and not self.logging_in:
                if not self._take_data(buffer, start, end):
                    break
            else:
                if end - at >= HEAD_SIZE and buffer[at] in _WITHIN and not self.skipping:
                    stop = at + 1 + LENGTH.unpack_from(buffer, at + 1)[0]
                    if at + HEAD_SIZE <= stop <= end and stop - start <= self._over:
                        at = stop
                        continue
                stop = self._end_of_message(buffer, at, end)
                known = end - at >= HEAD_SIZE
                if self.skipping and known and buffer[at] not in (_SYNC, _BYE):
                    self._dropping = stop - at
                elif known and stop - start > self._over and not self.logging_in:
                    before = start
                    start = self._cut_large(buffer, start, at, stop, messages)
                    if start == before:
                        self._scanned, self._need = at - start, min(stop - start, self._piece)
                        break
                    at = start
                elif stop <= end:
                    start, at = self._take(buffer, start, at, stop, messages)
                else:
                    self._scanned, self._need = at - start, stop - start
                    break
        return start

    def _end_of_message(self, buffer: bytes | bytearray, at: int, end: int) -> int:
        """Where the message that begins at `at` ends; beyond `end` if it is not whole."""
        if end - at < HEAD_SIZE:
            return at + HEAD_SIZE
        kind, stop = _head(buffer, at)
        if kind in _BATCH or kind in _SINGLE or kind == _BYE:
            return stop
        if kind != _SECRET or not self.logging_in:
            raise FrameError(f"a message of type {chr(kind)!r}, which no client sends here")
        if stop - at > LONGEST_SECRET:
            raise FrameError(f"a password of {stop - at} bytes; allowed are {LONGEST_SECRET}")
        return stop

    def _take(
        self, buffer: bytes | bytearray, start: int, at: int, stop: int, messages: list[Message]
    ) -> tuple[int, int]:
        """Take in a whole message: where the next request begins, and the next message."""
        kind = buffer[at]
        if kind == _SYNC:
            self.skipping = False
            self._request(bytes(buffer[start:stop]), EXTENDED | SYNCED, messages)
            return stop, stop
        if kind in _BATCH:
            if kind == _FLUSH:
                if at > start:  # else all that was sent is flushed
                    self._request(bytes(buffer[start:stop]), EXTENDED, messages)
                return stop, stop
            if kind == _PARSE:
                self._parse(buffer, at, stop)
            return start, stop
        if at > start:
            self._request(bytes(buffer[start:at]), EXTENDED, messages)
        if kind == _BYE:
            self.quit = True
            message = self.bye(bytes(buffer[at:stop]))
            if message is not None:
                messages.append(message)
        else:
            self._request(bytes(buffer[at:stop]), 0, messages)
        return stop, stop

    def _cut_large(self, buffer: bytes | bytearray, start: int, at: int, stop: int, messages: list[Message]) -> int:
        """
        What begins at `start` is too large with the message at `at`, which goes to `stop`. Where the next request
        begins: that message, or what is behind the head of one that is too large by itself; `start` if it has to wait.
        """
        large = stop - at > self._over
        if at > start and (not large or at - start > self._piece // 2 or buffer[at] in _SINGLE):
            frame = bytes(buffer[start:at])
            self._request(frame if frame.endswith(FLUSH) else frame + FLUSH, EXTENDED, messages)
            return at
        if len(buffer) - start < self._piece and len(buffer) < stop:
            return start
        return self._begin_stream(buffer, start, at, stop, messages)

    def _request(self, frame: bytes, flags: int, messages: list[Message]) -> None:
        id = self.begin(flags)
        if flags & SYNCED:
            self._synced = id
        messages.append(self.make(Kind.REQUEST, frame, id))

    def begin(self, flags: int = 0) -> int:
        """The id of a new exchange."""
        self._number += _STEP
        return self._number | flags

    def _parse(self, buffer: bytes | bytearray, at: int, stop: int) -> None:
        name, after = wire.text_at(buffer, at + HEAD_SIZE, stop)
        text, _ = wire.text_at(buffer, after, stop)
        self.parsed(name, text)

    # -- what is passed on as it comes

    def _take_data(self, buffer: bytes | bytearray, start: int, end: int) -> bool:
        """
        Take data of a COPY; False if they have to wait. They belong to the exchange that is being answered. While no
        answer has begun, one may yet ask for them; once all is answered the COPY has failed, and as PostgreSQL does it
        they are dropped.
        """
        if self._answering and not self.skipping:
            self._open = self._answering
            return True
        if self.unanswered and not self.skipping:
            if end - start > self._most:
                raise FrameError(f"more than {self._most} bytes of data before the server asked for them")
            return False
        if end - start < HEAD_SIZE:
            self._need = HEAD_SIZE
            return False
        self._dropping = _head(buffer, start)[1] - start
        return True

    def _begin_stream(self, buffer: bytes | bytearray, start: int, at: int, stop: int, messages: list[Message]) -> int:
        """The head of a request whose last message is large; where what follows it begins."""
        kind, place = buffer[at], min(stop, start + self._piece)
        if kind == _PARSE:
            self.parsed_unseen()
        self._left, self._closes = stop - place, True
        self._open = self.begin(EXTENDED if kind in _BATCH else 0)
        messages.append(self.make(Kind.STREAM_OPEN, bytes(buffer[start:place]), self._open))
        return place

    def _pass_on(self, buffer: bytes | bytearray, start: int, end: int, messages: list[Message]) -> int:
        """Pass on what there is of the open request; where what follows it begins."""
        at, id, ends = start, self._open, False
        while at < end and not ends:
            if not self._left:
                if end - at < HEAD_SIZE:
                    self._need = HEAD_SIZE
                    break
                kind, stop = _head(buffer, at)
                if not self._continues(kind):
                    ends = True
                    break
                self._left = stop - at
            size = min(self._left, end - at)
            at += size
            self._left -= size
            ends = self._closes and not self._left
        for place in range(start, at, self._piece):
            messages.append(Chunk(Kind.STREAM_DATA, bytes(buffer[place : min(at, place + self._piece)]), id))
        if ends:
            self._end_stream(messages, at > start)
        return at

    def _end_stream(self, messages: list[Message], joined: bool) -> None:
        """The request is whole. joined: its last chunk is there already."""
        if joined:
            messages[-1].kind = Kind.STREAM_CLOSE
        else:
            messages.append(Chunk(Kind.STREAM_CLOSE, b"", self._open))
        if self._open & (EXTENDED | SYNCED) == EXTENDED:
            messages[-1].frame += FLUSH
        self._open, self._closes, self._copying = 0, False, False

    def _continues(self, kind: int) -> bool:
        """Whether a message of that type belongs to the exchange that the data of a COPY belong to."""
        if kind in _COPY:
            self._copying = kind == _DATA
            self._closes = not self._copying and self._open & (EXTENDED | SYNCED) == EXTENDED
            return True
        if self._copying:
            if kind in (_SYNC, _FLUSH):
                return True
            if kind != _BYE:
                raise FrameError(f"a message of type {chr(kind)!r} among the data of a COPY")
        if self._open & SYNCED:
            self._closes = kind == _SYNC  # the one that the COPY was sent with was ignored by the server
            return kind in _BATCH
        return False


def _head(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    """The type of a message, and where it ends."""
    kind, size = HEAD.unpack_from(buffer, at)
    if not 4 <= size <= LONGEST or (size > 4 and kind in _EMPTY):
        raise FrameError(f"a message of type {chr(kind)!r} with a length of {size}")
    return kind, at + 1 + size
