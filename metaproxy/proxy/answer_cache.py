"""
Answers that are given again for a time: `cache:` of a route.

Lives here: `AnswerCache`, one a route: hooks that look before a request is sent and keep what answers it. Does not:
which requests are alike (`ICodec.cache_key`), changes of what is stored: nothing is dropped for a write.

Only whole answers are kept, of clients that have no connection of their own: in a transaction a client reads what is
true there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from metaproxy.message import FrameError, Hold, Kind, Message, Reply
from metaproxy.proxy.roles import OpenExchange

MOST = 32 << 20
"""Bytes of answers that a route keeps; the ones that were asked for longest ago make room."""
LARGEST = 1 << 20
"""Bytes of an answer that is kept."""


class AnswerCache:
    """seconds: how long an answer is given again; clock: seconds of the reactor."""

    def __init__(self, seconds: float, clock: Callable[[], float], most: int = MOST) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._size = 0
        self._answers: OrderedDict[Hashable, tuple[Message, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def look(self, exchange: OpenExchange) -> Reply | None:
        """on_request, behind all filters."""
        key = self._key(exchange)
        found = self._answers.get(key) if key is not None else None
        if found is None:
            return None
        answer, until = found
        if self._clock() >= until:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        exchange.counts().cached += 1
        return Reply(None, frame=answer)

    def keep(self, exchange: OpenExchange) -> None:
        """on_response, before all filters."""
        answer = exchange.response
        if answer is None or answer.kind is not Kind.RESPONSE or len(answer.frame) > LARGEST:
            return
        if answer.hold is Hold.OPEN:  # its client keeps the connection, for what comes next
            return
        key = self._key(exchange)
        if key is None:
            return
        if key in self._answers:
            self._drop(key)
        self._answers[key] = answer, self._clock() + self._seconds
        self._size += len(answer.frame)
        while self._size > self._most:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Hashable) -> None:
        self._size -= len(self._answers.pop(key)[0].frame)

    def _key(self, exchange: OpenExchange) -> Hashable:
        """None for what is not to be kept."""
        message = exchange.message
        if message.kind is not Kind.REQUEST or exchange.client.session_pin is not None:
            return None
        codec = exchange.snapshot.codec
        try:
            key = codec.cache_key(message) if codec.safe(message) else None
        except FrameError:
            return None
        return None if key is None else (message.profile, key)
