"""
How a method on a channel is refused: its server is made to close that channel, and the client gets the proxy's reason.

A channel that only the proxy closed would go on at its server, with consumers and messages that are not acknowledged.
So what is refused is replaced by a method that closes the channel there: behind all that came before, and nothing of
what comes after is executed. That method is a passive declaration of an exchange that does not exist. Where an answer
is refused, or late, the same is sent behind what the server has. A channel.close of the proxy's own would do less: its
answer, and a close of the server that crosses it, could not be told from those that belong to the client's.

Lives here: `Refusals`. Does not: which code a refusal has (`errors`, `codec`).
"""

from __future__ import annotations

from secrets import token_hex
from typing import NamedTuple

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.methods import METHODS
from metaproxy.message import Message

_NOT_FOUND = 404
_CLOSES = (methods.CHANNEL_CLOSE, methods.CHANNEL_CLOSE_OK)
_ABOUT = 100
"""Bytes of the reason that the server's log gets to see."""


class _Refusal(NamedTuple):
    code: int
    text: str
    number: int


class Refusals:
    """Those of a connection."""

    __slots__ = ("_left", "_reasons", "_under_way", "_word")

    def __init__(self) -> None:
        self._under_way: set[int] = set()
        """Channels that their server is about to close."""
        self._left: set[int] = set()
        """Those that were open, and that client or server has closed."""
        self._reasons: dict[int, _Refusal] = {}
        self._word = ""

    def provoke(self, message: Message, text: str) -> bytes:
        """
        `Message.refused`: what is sent in the place of a message of a channel. What closes it closes it in any case.
        """
        if wire.number_of(message.frame) in _CLOSES:
            return message.frame
        channel = wire.channel_of(message.frame)
        self._under_way.add(channel)
        if not self._word:
            self._word = token_hex(8)
        name = f"refused by the proxy ({text[:_ABOUT]}) {self._word}".encode("utf-8", "replace")[-255:]
        arguments = b"\0\0" + wire.short_string(name) + wire.short_string(b"direct") + b"\1\0\0\0\0"
        return wire.method_frame(channel, methods.EXCHANGE_DECLARE, arguments)

    def revoke(self, message: Message, text: str) -> bytes:
        """`Message.revoked`: what is sent behind a message of a channel; b"" where that is not open any more."""
        channel = wire.channel_of(message.frame)
        return b"" if channel in self._left else self.provoke(message, text)

    def enter(self, channel: int) -> None:
        """The client opens it."""
        self._left.discard(channel)

    def leave(self, channel: int) -> None:
        self._left.add(channel)

    def is_left_by_client(self, channel: int) -> bool:
        """Whether it is closed, or will be, without a word about a refusal."""
        return channel in self._left and channel not in self._under_way

    def is_under_way(self, channel: int) -> bool:
        return channel in self._under_way

    def give_reason(self, channel: int, code: int, text: str, number: int) -> None:
        """What the client is to get in the place of the server's reason. The first one holds."""
        self._reasons.setdefault(channel, _Refusal(code, text, number))

    def reworded(self, frame: bytes, channel: int) -> bytes:
        """A channel.close on its way to the client, with the proxy's reason if that is why."""
        self._under_way.discard(channel)
        refusal = self._reasons.pop(channel, None)
        if refusal is None:
            return frame
        values = wire.read_arguments(frame, METHODS[methods.CHANNEL_CLOSE])
        about = methods.number(wire.number_at(values, "class"), wire.number_at(values, "method"))
        if about != methods.EXCHANGE_DECLARE or values["code"] != _NOT_FOUND:
            return frame
        return wire.close_channel(channel, refusal.code, refusal.text, refusal.number)

    def forget(self, channel: int) -> None:
        self._under_way.discard(channel)
        self._reasons.pop(channel, None)
