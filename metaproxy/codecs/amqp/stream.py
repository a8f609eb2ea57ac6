"""
Frames cut from what a peer sends: a method as one message, a content whole or as a head and chunks.

    method                                              one message
    method, header, bodies, one behind the other        one message, up to stream_over bytes
    the same, over it or with others' frames between    STREAM_OPEN with method and header, STREAM_DATA ... STREAM_CLOSE

So what a content becomes follows from the bytes and never from how they were read, and one content at most is kept.

Lives here: `FrameStream`; heartbeats, as they only need the frames. Does not: what methods mean (`client`, `server`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.amqp.errors import Violation
from metaproxy.codecs.amqp.methods import name_of
from metaproxy.codecs.amqp.wire import (
    AROUND,
    BEAT,
    BODY,
    CONTENT,
    END,
    HEAD,
    HEARTBEAT,
    METHOD,
    body_size,
    frame_end,
    frames,
    head,
)  # fmt: skip
from metaproxy.codecs.framing import Session
from metaproxy.message import Chunk, FrameError, Kind, Message

CHUNK: Final = 65536
"""Bytes of a chunk at most."""
BEFORE_TUNE: Final = 131072
"""Bytes of a frame while nothing is agreed on: a login may have a long token."""
_METHOD_MOST: Final = 1024
"""Bytes of a method that has a content; its strings are of 255 bytes at most."""
_TYPES: Final = frozenset((METHOD, CONTENT, BODY))
_TICK: Final = 1.0
"""Seconds between two looks at a connection, or a little more."""
_NONE, _HEADER = -1, -1


class Content:
    """
    A content that is passed on in pieces. number: its method; head: the method's frame, until the header's has come;
    id: of its exchange, 0 where it is dropped; left: bytes of the body that are still to come.
    """

    __slots__ = ("channel", "head", "id", "left", "number", "opened")

    def __init__(self, channel: int, number: int) -> None:
        self.channel = channel
        self.number = number
        self.head = b""
        self.id = self.left = 0
        self.opened = False


class FrameStream(Session):
    """A subclass says which methods have a content, and what messages are."""

    __slots__ = (
        "_apart", "_at", "_heard", "_heard_at", "_held", "_interval", "_kept", "_left", "_most", "_need", "_number",
        "_passing", "_payload_most", "_rest", "_spoke", "_spoke_at", "_way", "_whole",
    )  # fmt: skip

    contents: frozenset[int] = frozenset()

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self._most = max_frame
        self._whole = min(stream_over, max_frame)
        self._payload_most = min(BEFORE_TUNE, max_frame) - AROUND
        self._held = bytearray()
        self._need = HEAD  # bytes of what is held that the next step takes
        self._at = 0  # where the next frame begins in what is held: a content is under way before it
        self._way = _NONE  # the channel of that content
        self._left = _HEADER  # bytes of its body that are still to come
        self._number = 0  # its method
        self._apart: dict[int, Content] = {}
        """Contents in pieces, by channel."""
        self._kept = 0  # bytes of their heads that wait for a header
        self._passing: Content | None = None  # the one whose body frame is not over
        self._rest = 0  # bytes of that frame that are still to come, its end included
        self._interval = 0.0
        self._heard = self._spoke = False
        self._heard_at = self._spoke_at = 0.0
        self.unread = False

    # -- what a subclass does

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        """Add the messages that a method without a content is."""
        raise NotImplementedError

    def _take_content(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        """Add the message that a method with its whole content is."""
        raise NotImplementedError

    def _open(self, beginning: bytes, channel: int, number: int, messages: list[Message]) -> int:
        """Add the head of a content that comes in pieces; the id of these, or 0 where they are to be dropped."""
        raise NotImplementedError

    # -- reading

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None or self.closing:
            return messages
        self._heard = True
        held = self._held
        buffer: bytes | bytearray = data
        if held:
            held += data
            if len(held) < self._need:
                self.buffered = len(held) + self._kept
                return messages
            buffer = held
        try:
            start = self._read(buffer, messages)
            if len(buffer) - start + self._kept > self._most:
                raise Violation("FRAME_ERROR", f"more than {self._most} bytes of messages that are not whole")
        except FrameError as error:
            self.error = error
            for content in self._apart.values():
                if content.id:
                    messages.append(Chunk(Kind.STREAM_RESET, b"", content.id))
            return messages
        if buffer is held:
            del held[:start]
        elif start < len(data):
            held += data[start:] if start else data
        self.buffered = len(held) + self._kept
        return messages

    def _read(self, data: bytes | bytearray, messages: list[Message]) -> int:
        """Add the messages that are there; where the first one begins that is not."""
        start, at, end = 0, self._at, len(data)
        way, left, number = self._way, self._left, self._number
        unpack, whole, apart = head.unpack_from, self._whole, self._apart
        contents = self.contents
        need = HEAD
        if self._rest:
            start = at = self._pass_on(data, 0, messages)
        while end - at >= HEAD and not self.closing:
            kind, channel, size = unpack(data, at)
            stop = at + AROUND + size
            if size > self._payload_most:  # which what was just read may have changed
                most = self._payload_most + AROUND
                raise Violation("FRAME_ERROR", f"a frame of {size + AROUND} bytes; allowed are {most}")
            if way != channel and way >= 0:
                # Another channel's frame stands between those of a content.
                self._put_apart(bytes(data[start:at]), way, number, messages)
                way, start = _NONE, at
            content = apart.get(channel) if apart else None
            if content is not None and kind == BODY and content.opened:
                self._begin_body(content, size)
                start = at = self._pass_on(data, at + HEAD, messages)
                continue
            if stop > end:
                need = AROUND + size
                break
            if data[stop - 1] != END:
                raise Violation("FRAME_ERROR", f"a frame ends with {data[stop - 1]:#x}; it ends with 0xce")
            if kind == METHOD:
                if size < 4:
                    raise Violation("FRAME_ERROR", f"a method in {size} bytes; its number has 4")
                number = int.from_bytes(data[at + HEAD : at + HEAD + 4], "big")
                if way >= 0 or content is not None:
                    raise Violation("UNEXPECTED_FRAME", f"{name_of(number)} within the content of channel {channel}")
                if number in contents:
                    if size > _METHOD_MOST:
                        raise Violation("SYNTAX_ERROR", f"{name_of(number)} of {size} bytes")
                    way, left = channel, _HEADER
                else:
                    self._take(bytes(data[at:stop]), channel, number, messages)
                    start = stop
            elif way >= 0 and kind == CONTENT and left == _HEADER:
                left = body_size(data, at)
                if not left:
                    self._check_whole(stop - start)
                    self._take_content(bytes(data[start:stop]), channel, number, messages)
                    way, start = _NONE, stop
                elif stop - start + AROUND + left > whole:
                    self._put_apart(bytes(data[start:stop]), channel, number, messages)
                    way, start = _NONE, stop
            elif way >= 0 and kind == BODY and left >= 0:
                left -= size
                if left < 0:
                    raise _too_long(channel)
                if not left:
                    self._check_whole(stop - start)
                    self._take_content(bytes(data[start:stop]), channel, number, messages)
                    way, start = _NONE, stop
                elif stop - start > whole:  # frames that are next to nothing but frames
                    self._put_apart(bytes(data[start:stop]), channel, number, messages)
                    way, start = _NONE, stop
            elif content is not None and kind == CONTENT and not content.opened:
                self._meet_header(content, bytes(data[at:stop]), messages)
                start = stop
            elif kind == HEARTBEAT:
                if channel or size:
                    name = "UNEXPECTED_FRAME" if channel else "FRAME_ERROR"
                    raise Violation(name, f"a heartbeat of {size} bytes on channel {channel}")
                messages.append(Message(Kind.HEARTBEAT, BEAT, answer=self._beat_answer))
                start = stop
            else:
                name = "UNEXPECTED_FRAME" if kind in _TYPES else "FRAME_ERROR"
                raise Violation(name, f"a frame of type {kind} on channel {channel}, where none may come")
            at = stop
        self._way, self._left, self._number = way, left, number
        if self.closing:
            start = end
        self._at = at - start
        self._need = self._at + need
        return start

    _beat_answer: bytes | None = None

    def _check_whole(self, size: int) -> None:
        if size > self._most:
            raise Violation("FRAME_ERROR", f"a message of {size} bytes; allowed are {self._most}")

    # -- contents in pieces

    def _put_apart(self, data: bytes, channel: int, number: int, messages: list[Message]) -> None:
        """The content whose first frames these are will not come in one piece."""
        self._apart[channel] = content = Content(channel, number)
        stop = frame_end(data)
        content.head = data[:stop]
        self._kept += stop
        if stop == len(data):
            return
        end = frame_end(data, stop)
        self._meet_header(content, data[stop:end], messages)
        self._add_body(content, _payload(data, end), messages)

    def _meet_header(self, content: Content, frame: bytes, messages: list[Message]) -> None:
        beginning = content.head + frame
        self._kept -= len(content.head)
        content.head = b""
        content.left = body_size(frame, 0)
        if not content.left:
            del self._apart[content.channel]
            self._check_whole(len(beginning))
            self._take_content(beginning, content.channel, content.number, messages)
            return
        content.opened = True
        content.id = self._open(beginning, content.channel, content.number, messages)

    def _begin_body(self, content: Content, size: int) -> None:
        if size > content.left:
            raise _too_long(content.channel)
        self._passing = content
        self._rest = size + 1

    def _pass_on(self, data: bytes | bytearray, at: int, messages: list[Message]) -> int:
        """More of a body frame; where it ends, or the end of what was read."""
        content = self._passing
        assert content is not None
        end = len(data)
        stop = min(at + self._rest, end)
        self._rest -= stop - at
        payload = bytes(data[at : stop if self._rest else stop - 1])
        self._add_body(content, payload, messages)
        if not self._rest and stop > at:
            self._passing = None
            if data[stop - 1] != END:
                raise Violation("FRAME_ERROR", f"a frame ends with {data[stop - 1]:#x}; it ends with 0xce")
        return stop

    def _add_body(self, content: Content, payload: bytes, messages: list[Message]) -> None:
        if not payload:
            return
        content.left -= len(payload)
        if not content.left:
            del self._apart[content.channel]
        if not content.id:
            return
        at = 0
        while len(payload) - at > CHUNK:
            messages.append(Chunk(Kind.STREAM_DATA, payload[at : at + CHUNK], content.id))
            at += CHUNK
        kind = Kind.STREAM_DATA if content.left else Kind.STREAM_CLOSE
        messages.append(Chunk(kind, payload[at:] if at else payload, content.id))

    def _drop_content(self, id: int) -> bool:
        """Whether a content in pieces has this id, of which nothing more is wanted then."""
        content = next((one for one in self._apart.values() if one.id == id), None)
        if content is not None:
            content.id = 0
        return content is not None

    # -- what is agreed on

    def _agree(self, frame_max: int, heartbeat: int) -> None:
        """frame_max: bytes, 0 for no limit; heartbeat: seconds, 0 for none."""
        self._payload_most = min(frame_max or self._most, self._most) - AROUND
        self._interval = float(heartbeat)

    # -- heartbeats

    def beat(self, now: float) -> None:
        """
        Speaks when it said nothing for half of the interval, `_TICK` early as it may have spoken long before it is
        asked; a peer that is silent for two of them is gone.
        """
        if self._spoke or not self._spoke_at:
            self._spoke, self._spoke_at = False, now
        if self._heard or self.unread or not self._heard_at:
            self._heard, self._heard_at = False, now
        if not self._interval or self.error is not None:
            return
        if now - self._spoke_at >= self._interval / 2 - _TICK:
            self._spoke_at = now
            self.say(BEAT)
        if now - self._heard_at > 2 * self._interval - _TICK / 2:
            self.error = Violation("CONNECTION_FORCED", f"no heartbeat within {2 * self._interval:g} s")


def _payload(data: bytes, at: int) -> bytes:
    """Of the body frames from `at` on."""
    bodies = data[at:]
    return b"".join([bodies[start:stop] for _, start, stop in frames(bodies)])


def _too_long(channel: int) -> Violation:
    return Violation("UNEXPECTED_FRAME", f"a body on channel {channel} that is longer than its header says")
