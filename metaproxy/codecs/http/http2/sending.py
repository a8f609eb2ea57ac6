"""
The way out of a connection of HTTP/2: frames of headers and data, as far as the peer's windows let them.

Lives here: `Sender`: the peer's settings, the connection's window, the compression, what waits. Does not: which
messages become which frames (`client`, `server`), what the peer sends (`connection`).
"""

from __future__ import annotations

from collections import deque

from metaproxy.codecs.http.http2 import frames
from metaproxy.codecs.http.http2.compression import Encoder, Field
from metaproxy.codecs.http.http2.frames import DATA, END_STREAM, HEAD, Code, ConnectionFault, StreamFault
from metaproxy.codecs.http.http2.settings import Settings
from metaproxy.codecs.http.http2.stream import Stream

_NONE: frozenset[bytes] = frozenset()

Buffer = bytes | memoryview


class Sender:
    """settings: the peer's. window: bytes that the peer takes on the connection. waiting: streams with a queue."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.encoder = Encoder()
        self.window = frames.FIRST_WINDOW
        self.waiting: dict[int, Stream] = {}

    def headers(
        self, stream: Stream, fields: list[Field], end: bool, never: frozenset[bytes] = _NONE, key: object = None
    ) -> bytes:
        """The frames of a block of fields; `end`: nothing comes behind it."""
        kept = self.encoder.kept(key) if key is not None else None
        return self.block(stream, kept or self.encoder.encode(fields, never, key), end)

    def block(self, stream: Stream, block: bytes, end: bool) -> bytes:
        """The frames of a block that is compressed already."""
        if end:
            stream.local_open = False
        return frames.headers(block, END_STREAM if end else 0, stream.number, self.settings.max_frame)

    def body(self, stream: Stream, payload: bytes, end: bool, trailers: list[Field] | None = None) -> bytes:
        """The frames of `payload` that may go now; the rest waits. end: `trailers`, or nothing, come behind it."""
        size = len(payload)
        if stream.queued or (size and (size > self.window or size > stream.window)):
            return self._enqueue(stream, payload, end, trailers)
        self.window -= size
        stream.window -= size
        last = END_STREAM if end and not trailers else 0
        written = b""
        if size <= self.settings.max_frame:
            if size or last:
                written = HEAD.pack(size >> 8, size & 0xFF, DATA, last, stream.number) + payload
        else:
            written = b"".join(self._cut(stream.number, payload, last))
        if end:
            stream.local_open = False
            if trailers:
                return written + self.headers(stream, trailers, True, key=tuple(trailers))
        return written

    def _cut(self, number: int, payload: bytes, last: int) -> list[Buffer]:
        """The frames of a payload that needs several."""
        parts: list[Buffer] = []
        view, most, end = memoryview(payload), self.settings.max_frame, len(payload)
        for at in range(0, end, most):
            size = min(most, end - at)
            flags = last if at + size == end else 0
            parts += (HEAD.pack(size >> 8, size & 0xFF, DATA, flags, number), view[at : at + size])
        return parts

    def _enqueue(self, stream: Stream, payload: bytes, end: bool, trailers: list[Field] | None) -> bytes:
        if stream.queue is None:
            stream.queue = deque()
        if payload:
            stream.queue.append(payload)
            stream.queued += len(payload)
        if end:
            stream.finishing, stream.trailers = True, trailers
        self.waiting[stream.number] = stream
        return self._advance(stream, self.window)

    def _advance(self, stream: Stream, most: int) -> bytes:
        """What of a stream's queue may go, at most so many bytes; with what ends it where nothing is left."""
        queue = stream.queue
        parts: list[Buffer] = []
        most = min(most, self.window)
        while queue:
            allowed = min(stream.window, most, self.settings.max_frame)
            if allowed <= 0:
                break
            first = queue[0]
            size = min(allowed, len(first) - stream.sent)
            parts += (frames.head(size, DATA, 0, stream.number), memoryview(first)[stream.sent : stream.sent + size])
            stream.sent += size
            stream.queued -= size
            stream.window -= size
            self.window -= size
            most -= size
            if stream.sent == len(first):
                queue.popleft()
                stream.sent = 0
        if not queue:
            self.waiting.pop(stream.number, None)
            if stream.finishing:
                parts.append(self._end(stream))
        return b"".join(parts)

    def _end(self, stream: Stream) -> bytes:
        if stream.trailers:
            return self.headers(stream, stream.trailers, True)
        stream.local_open = False
        return frames.head(0, DATA, END_STREAM, stream.number)

    def advance(self, stream: Stream) -> bytes:
        """What of one stream may go after its window grew."""
        return self._advance(stream, self.window) if stream.number in self.waiting else b""

    def advance_all(self) -> tuple[bytes, list[Stream]]:
        """What may go of all streams, in turn, a frame of each; and those whose half ended by it."""
        parts: list[bytes] = []
        ended: list[Stream] = []
        moved = True
        while moved and self.waiting and self.window > 0:
            moved = False
            for stream in list(self.waiting.values()):
                written = self._advance(stream, self.settings.max_frame)
                if written:
                    moved = True
                    parts.append(written)
                    # Behind the others for the next time.
                    if self.waiting.pop(stream.number, None) is not None:
                        self.waiting[stream.number] = stream
                    if not stream.local_open:
                        ended.append(stream)
        return b"".join(parts), ended

    def forget(self, stream: Stream) -> None:
        """Drop what waits of a stream that was reset."""
        if stream.queued or stream.finishing:
            self.waiting.pop(stream.number, None)
            stream.queue = None
            stream.queued = 0

    def widen(self, stream: Stream, size: int) -> None:
        """The peer takes more on a stream. Raises StreamFault."""
        if not size:
            raise StreamFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by 0 bytes")
        if stream.window + size > frames.LARGEST_WINDOW:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "a window of 2 GiB or more")
        stream.window += size

    def widen_all(self, size: int) -> bool:
        """The peer takes more on the connection; whether it was full. Raises ConnectionFault."""
        if not size:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by 0 bytes")
        if self.window + size > frames.LARGEST_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window of 2 GiB or more")
        full = self.window <= 0
        self.window += size
        return full
