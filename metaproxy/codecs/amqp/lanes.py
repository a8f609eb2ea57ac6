"""
What is written to a peer, channel by channel: contents in pieces, and what must wait for the end of one.

Frames of several channels may stand between each other, those of one channel may not: where a filter still has a piece
of a content, what follows on its channel waits here. Lives here: `Lanes`. Does not: what is read (`stream`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from metaproxy.codecs.amqp.errors import Violation
from metaproxy.codecs.amqp.stream import BEFORE_TUNE
from metaproxy.codecs.amqp.wire import body_frames
from metaproxy.message import Kind, Message

MOST_WAITING: Final = 1 << 20
"""Bytes that may wait on a channel for the end of a content."""


class Lane:
    """
    A channel with a content that is not whole. id: of that content's exchange; waiting: what follows it, and the id of
    its exchange where that is a head; pieces: chunks of such heads, by id; ended: those whose last chunk is there.
    """

    __slots__ = ("channel", "ended", "id", "pieces", "size", "waiting")

    def __init__(self, channel: int, id: int) -> None:
        self.channel = channel
        self.id = id
        self.waiting: deque[tuple[bytes, int]] = deque()
        self.pieces: dict[int, list[bytes]] = {}
        self.ended: set[int] = set()
        self.size = 0

    def count(self, size: int) -> None:
        self.size += size
        if self.size > MOST_WAITING:
            text = f"more than {MOST_WAITING} bytes wait on channel {self.channel} for the end of a content"
            raise Violation("RESOURCE_ERROR", text)


class Lanes:
    """active: whether any content is not whole. frame_max: bytes of a frame that the peer takes."""

    __slots__ = ("_by_channel", "_by_id", "active", "frame_max")

    def __init__(self) -> None:
        self._by_channel: dict[int, Lane] = {}
        self._by_id: dict[int, Lane] = {}
        self.active = False
        self.frame_max = BEFORE_TUNE

    def channel_of(self, id: int) -> int:
        """On which channel the content of this id is under way; 0 for none."""
        lane = self._by_id.get(id)
        return lane.channel if lane is not None else 0

    def put(self, data: bytes, channel: int, opens: int = 0) -> bytes:
        """What may be written now, of a whole message or a head. opens: the id of the exchange, of a head."""
        lane = self._by_channel.get(channel)
        if lane is not None:
            lane.count(len(data))
            lane.waiting.append((data, opens))
            if opens:
                lane.pieces[opens] = []
                self._by_id[opens] = lane
            return b""
        if opens:
            self._by_channel[channel] = self._by_id[opens] = Lane(channel, opens)
            self.active = True
        return data

    def chunk(self, chunk: Message, id: int) -> bytes:
        """What may be written now that this piece of a content has come."""
        lane = self._by_id.get(id)
        if lane is None:
            return b""
        data = body_frames(lane.channel, chunk.frame, self.frame_max)
        ends = chunk.kind is not Kind.STREAM_DATA
        if ends:
            del self._by_id[id]
        if lane.id != id:
            lane.count(len(data))
            lane.pieces[id].append(data)
            if ends:
                lane.ended.add(id)
            return b""
        if not ends:
            return data
        return data + self._follow(lane)

    def _follow(self, lane: Lane) -> bytes:
        """A content is whole: what waited for that, up to the next one that is not."""
        lane.id = 0
        out = []
        while lane.waiting and not lane.id:
            data, opens = lane.waiting.popleft()
            out.append(data)
            if opens:
                out += lane.pieces.pop(opens)
                if opens in lane.ended:
                    lane.ended.remove(opens)
                else:
                    lane.id = opens
        written = b"".join(out)
        lane.size -= len(written)
        if not lane.id:
            del self._by_channel[lane.channel]
            self.active = bool(self._by_channel)
        return written
