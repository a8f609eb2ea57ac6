"""
What client and server agree on in connection.tune, within the proxy's own limits.

Lives here: `Tune`. Does not: the login that it is a step of (`client`, `login`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.errors import Violation
from metaproxy.codecs.amqp.methods import METHODS

TUNED: Final = ("channel-max", "frame-max", "heartbeat")
"""The arguments of tune and tune-ok."""


class Tune:
    """What a connection may agree on. frame_max: bytes; channel_max: channels; 0 for no limit of the proxy's own."""

    __slots__ = ("channel_max", "frame_max")

    def __init__(self, channel_max: int, frame_max: int) -> None:
        self.channel_max = channel_max
        self.frame_max = frame_max

    def least(self, frame: bytes) -> bytes:
        """A server's tune with the smaller of both limits."""
        values = wire.read_arguments(frame, METHODS[methods.TUNE])
        channel_max, frame_max, heartbeat = (wire.number_at(values, name) for name in TUNED)
        channel_max = _least(channel_max, self.channel_max)
        frame_max = _least(frame_max, self.frame_max)
        arguments = channel_max.to_bytes(2, "big") + frame_max.to_bytes(4, "big") + heartbeat.to_bytes(2, "big")
        return wire.method_frame(0, methods.TUNE, arguments)

    def check(self, channel_max: int, frame_max: int) -> None:
        """Raise Violation where a client's tune-ok takes more."""
        for name, value, most in (
            ("channel_max", channel_max, self.channel_max),
            ("frame_max", frame_max, self.frame_max),
        ):
            if most and not 0 < value <= most:
                raise Violation("NOT_ALLOWED", f"tune-ok with {name} {value}; allowed are 1 to {most}")


def _least(theirs: int, ours: int) -> int:
    """Of two limits, where 0 is none."""
    return min(theirs, ours) if theirs and ours else theirs or ours
