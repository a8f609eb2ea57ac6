"""
The body of one message of HTTP/1.1 as it is read: sized, in chunked form, or to the end of the connection.

Lives here: `Body`, which joins what one read brought, and `HeadBuffer`, which waits for the end of a head. Does not:
heads, the order of messages (`client`, `server`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.http.chunked import ChunkedReader
from metaproxy.codecs.http.heads import HeadError, Pair, check_lines, check_start
from metaproxy.codecs.http.model import END
from metaproxy.message import Chunk, Kind, Message

UNSIZED = -1
"""The length of a body that ends with its connection."""
LARGEST_CHUNK = 65536
"""Bytes of a Chunk's payload, at most."""


def cut(payload: bytes, id: int, messages: list[Message]) -> None:
    """Add chunks of a bounded size."""
    if len(payload) <= LARGEST_CHUNK:
        messages.append(Chunk(Kind.STREAM_DATA, payload, id))
        return
    for at in range(0, len(payload), LARGEST_CHUNK):
        messages.append(Chunk(Kind.STREAM_DATA, payload[at : at + LARGEST_CHUNK], id))


def with_lines(frame: bytes, lines: bytes) -> bytes:
    """A head, or a frame, with field lines put behind its start line."""
    if not lines:
        return frame
    start = frame.index(b"\r\n") + 2
    return b"%b%b%b" % (frame[:start], lines, frame[start:])


class HeadBuffer:
    """
    What has come of a head that is not whole, each byte looked at once however it trickles in. size: bytes of it.

    max_head: bytes; timeout: seconds from its first byte to its last, 0 for any; clock: tells them.
    """

    __slots__ = ("_clock", "_held", "_max", "_seek", "_since", "_timeout")

    def __init__(self, max_head: int, timeout: float, clock: Callable[[], float]) -> None:
        self._max = max_head
        self._timeout = timeout
        self._clock = clock
        self._since = 0.0
        self._held = bytearray()
        self._seek = 0

    @property
    def size(self) -> int:
        return len(self._held)

    def join(self, data: bytes) -> bytes | None:
        """All that has come, once that is a whole head; None while it is not."""
        held = self._held
        held += data
        self.check_time()
        if held.find(END, self._seek, self._max) < 0:
            self._wait()
            return None
        data = bytes(held)
        self._held = bytearray()
        self._seek = 0
        return data

    def check_time(self) -> None:
        """Raise HeadError where a head takes too long."""
        if self._timeout and self._held and self._clock() - self._since > self._timeout:
            raise HeadError(f"a head that took more than {self._timeout:g} s", 408)

    def keep(self, data: bytes, at: int) -> None:
        """Keep the beginning of a head. Raises HeadError for what can become none."""
        if self._timeout:
            self._since = self._clock()
        self._held += data[at:]
        self._wait()

    def _wait(self) -> None:
        held = self._held
        check_start(held)
        check_lines(held, max(0, self._seek - 1), self._max)
        if len(held) >= self._max:
            if held.find(b"\r\n", 0, self._max) < 0:
                raise HeadError(f"a first line of more than {self._max} bytes", 414)
            raise HeadError(f"a head of more than {self._max} bytes", 431)
        self._seek = max(0, len(held) - 3)


class Body:
    """
    One body. left: bytes to come of a sized one, UNSIZED for one that ends with the connection; chunked: how the other
    form is read. done: it is whole; trailers: of it. size: bytes so far. most: bytes allowed, 0 for any.
    """

    __slots__ = ("_chunked", "_left", "_most", "done", "size", "trailers")

    def __init__(self, length: int, chunked: bool, max_trailers: int, most: int = 0) -> None:
        self._left = length
        self._chunked = ChunkedReader(max_trailers) if chunked else None
        self._most = most
        self.done = False
        self.size = 0
        self.trailers: list[Pair] | None = None

    @property
    def unsized(self) -> bool:
        return self._left < 0 and self._chunked is None

    @property
    def held(self) -> int:
        """Bytes that wait for the end of a line."""
        return self._chunked.held if self._chunked is not None else 0

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The payload in `data` from `at` on, and where it stopped. Raises HeadError."""
        chunked = self._chunked
        if chunked is not None:
            payload, at = chunked.feed(data, at)
            self.size += len(payload)
            if self._most and self.size > self._most:
                raise HeadError(f"a body of more than {self._most} bytes", 413)
            if chunked.done:
                self.done = True
                self.trailers = chunked.trailers or None
            return payload, at
        payload = data[at:] if self._left < 0 else data[at : at + self._left]
        if self._left >= 0:
            self._left -= len(payload)
            self.done = not self._left
        self.size += len(payload)
        return payload, at + len(payload)
