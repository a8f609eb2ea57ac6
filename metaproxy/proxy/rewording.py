"""
Statements and keys that are changed on their way: `rewrite: {statement: ...}` and `{key: ...}` of a route.

Lives here: `Rewording`, one a route: a hook behind all filters. Does not: how a protocol writes another statement or
key into its request (`ICodec.reword`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from metaproxy.message import ErrorKind, FrameError, Message, Reply
from metaproxy.proxy.snapshot import ListenerSnapshot


class Rewordable(Protocol):
    """An exchange that is not sent on yet."""

    @property
    def message(self) -> Message: ...
    @property
    def snapshot(self) -> ListenerSnapshot: ...
    def forward_as(self, message: Message) -> None: ...


class Rewording:
    """change: gives another text for that of a statement or key, None to leave it; see routing.pattern."""

    def __init__(self, change: Callable[[str], str | None]) -> None:
        self._change = change

    def reword(self, exchange: Rewordable) -> Reply | None:
        """on_request."""
        try:
            message = exchange.snapshot.codec.reword(exchange.message, self._change)
        except FrameError as error:
            return Reply(ErrorKind.UNSUPPORTED, f"this request is to be rewritten, and can't be: {error}")
        if message is not None:
            exchange.forward_as(message)
        return None
