"""
Flow control of one half of a stream, for protocols in which both sides give each other windows.

Lives here: `Outgoing`, what waits for the peer's window; `Incoming`, what the peer may still send. Does not: how a
window is announced, which is the protocol's.

A sender of these protocols (bRPC, tRPC) may begin a message while its window is above 0, and sends all of it: windows
may fall below 0 by a message, and no receiver waits for the end of one that can't come.
"""

from __future__ import annotations

from collections import deque


class Outgoing:
    """
    The half that is sent to the peer. window: bytes that may be on their way, None for any number; nothing is sent
    before `open`. unsent: bytes that wait.
    """

    __slots__ = ("_opened", "_queue", "_window", "_within", "unsent")

    def __init__(self) -> None:
        self._opened = self._within = False
        self._window: int | None = 0
        self._queue: deque[tuple[bytes, int, bool]] = deque()
        self.unsent = 0

    def open(self, window: int | None) -> bytes:
        """The peer is there: what waited for it and may be sent."""
        self._opened = True
        self._window = window
        return self._release()

    def add(self, frame: bytes, size: int, continues: bool = False) -> bytes:
        """
        The frame, or b"" while it has to wait. size: bytes that the window counts, 0 for what needs none; continues: a
        further frame belongs to the same message.
        """
        if not self._queue and self._may_send(size):
            self._sent(size, continues)
            return frame
        self._queue.append((frame, size, continues))
        self.unsent += size
        return b""

    def grow(self, size: int) -> bytes:
        """The peer takes so many bytes more: what waited and may be sent."""
        if self._window is not None:
            self._window += size
        return self._release() if self._queue else b""

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._queue

    def clear(self) -> None:
        """What waits is not sent any more."""
        self._queue.clear()
        self.unsent = 0

    def _may_send(self, size: int) -> bool:
        return self._opened and (self._within or self._window is None or self._window > 0 or not size)

    def _sent(self, size: int, continues: bool) -> None:
        if self._window is not None:
            self._window -= size
        if size or continues:
            self._within = continues

    def _release(self) -> bytes:
        free = []
        queue = self._queue
        while queue and self._may_send(queue[0][1]):
            frame, size, continues = queue.popleft()
            self._sent(size, continues)
            self.unsent -= size
            free.append(frame)
        return b"".join(free)


class Incoming:
    """
    The half that the peer sends. window: bytes that it may send before it hears of more; most: bytes after which,
    uncredited, it certainly does not keep to that. waiting: bytes that came and were not credited.
    """

    __slots__ = ("_due", "_most", "_step", "waiting")

    def __init__(self, window: int, most: int) -> None:
        self._step = window // 4
        self._most = most
        self._due = self.waiting = 0

    def take(self, size: int) -> bool:
        """Count what came. False if the peer had no room for it by far."""
        fits = self.waiting < self._most or not size
        self.waiting += size
        return fits

    def credit(self, size: int) -> int:
        """So many bytes have left the proxy. How many the peer should hear of, some at a time; or 0."""
        self.waiting -= size
        self._due += size
        if self._due < self._step or not self._due:
            return 0
        due, self._due = self._due, 0
        return due
