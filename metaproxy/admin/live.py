"""
Answers without an end that is known: lines that are sent as they come.

Lives here: `Live`. Does not: what the lines say (`tap`), answers whose pieces are there (`resource.Stream`).

A slow reader loses lines, and the proxy does not wait for it: the lines that it did not take yet are bounded, and the
next line that it gets says how many are missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITCPTransport
from twisted.web.server import Request
from zope.interface import implementer

MAX_WAITING = 1 << 20
"""Bytes of lines that wait for a slow reader."""
SIGN_OF_LIFE = 15.0
"""
Seconds after which an empty line is sent when there is no other: a reader that is gone is noticed by it. One that takes
nothing for so long while lines wait is cut off.
"""


@implementer(IPushProducer)
class Live:
    """
    ended: called once when it is over, be it by `end` or as the reader is gone. lost: lines that could not be put since
    the last one that could.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self.lost = 0
        self._ended: Callable[[], None] | None = ended
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._closing = False
        self._request: Request | None = None
        self._clock: IReactorTime | None = None
        self._timer: IDelayedCall | None = None

    def begin(self, request: Request, clock: IReactorTime) -> None:
        """Sends the head, and what was put before."""
        self._request, self._clock = request, clock
        request.notifyFinish().addBoth(lambda _: self.stopProducing())
        request.registerProducer(self, True)
        request.write(b"")
        self._timer = clock.callLater(SIGN_OF_LIFE, self._silent)
        self._send()

    def room(self) -> bool:
        """Whether a line would be taken now; a line that would not is counted as lost."""
        if self._size < MAX_WAITING and not self._closing:
            return True
        self.lost += 1
        return False

    def put(self, line: bytes) -> None:
        """line: with its line break. Ask for `room` first."""
        self.lost = 0
        self._waiting.append(line)
        self._size += len(line)
        self._send()

    def end(self) -> None:
        """No line follows; those that wait are still sent."""
        self._closing = True
        self._over()
        self._send()

    def _send(self) -> None:
        request = self._request
        if request is None or self._paused:
            return
        while self._waiting and not self._paused:
            line = self._waiting.popleft()
            self._size -= len(line)
            request.write(line)  # may call pauseProducing
            if self._timer is not None:
                self._timer.reset(SIGN_OF_LIFE)
        if self._closing and not self._waiting:
            self._request = None
            self._stop_timer()
            request.unregisterProducer()
            request.finish()

    def _silent(self) -> None:
        self._timer = None
        request, clock = self._request, self._clock
        if request is None or clock is None:
            return
        if self._paused:
            # It took nothing for so long: it is taken as gone, as taps are few.
            cast(ITCPTransport, request.channel.transport).abortConnection()
            return
        self._timer = clock.callLater(SIGN_OF_LIFE, self._silent)
        request.write(b"\n")

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _over(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    # -- the connection

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._send()

    def stopProducing(self) -> None:
        """The reader is gone, or has all."""
        self._request = None
        self._closing = True
        self._waiting.clear()
        self._size = 0
        self._stop_timer()
        self._over()
