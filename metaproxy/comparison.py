"""
How two answers to one request differ, whatever the protocol.

Lives here: `compare` and `Difference`. Does not: which answers are compared (mirrors, recordings that are sent again).

Ids say nothing of what a server answers. The codec writes both messages under one id before their bytes are compared.
"""

from __future__ import annotations

from typing import NamedTuple

from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Kind, Message, Side

SHOWN = 48
"""Bytes of each side that the text has, from the first difference on."""
BEFORE = 16
"""Bytes that it has from before the first difference."""
BRIEF = 32
"""Bytes of each side that the brief text has."""


class Difference(NamedTuple):
    """
    kinds: of both messages. before, after: their frames under one id. at: the first byte that differs; where one ends
    and the other goes on; None when the bytes are equal, or too many to be compared.
    """

    kinds: tuple[Kind, Kind]
    before: bytes
    after: bytes
    at: int | None

    def __str__(self) -> str:
        """The kinds if they differ, and the bytes of both around the first difference."""
        at = len(self.before) if self.at is None else self.at
        words = f"{_shown(self.before, at)} became {_shown(self.after, at)}"
        return f"{self._kinds()}: {words}" if self.kinds[0] is not self.kinds[1] else f"from byte {at} on: {words}"

    def brief(self) -> str:
        """The kinds if they differ, or the sizes, or a few bytes from the first difference on."""
        before, after, at = self.before, self.after, self.at
        if self.kinds[0] is not self.kinds[1]:
            return self._kinds()
        if at is None or at == min(len(before), len(after)):
            return f"{len(before)} bytes became {len(after)}"
        return f"byte {at} differs: {before[at : at + BRIEF]!r} became {after[at : at + BRIEF]!r}"

    def _kinds(self) -> str:
        return f"{self.kinds[0].name.lower()} became {self.kinds[1].name.lower()}"


def compare(
    codec: ICodec, before: Message, after: Message, max_frame: int, most: int | None = None
) -> Difference | None:
    """Return how two messages differ; None when they do not. most: bytes of a frame beyond which only sizes count."""
    kinds = before.kind, after.kind
    if most is not None and max(len(before.frame), len(after.frame)) > most:
        same = kinds[0] is kinds[1] and len(before.frame) == len(after.frame)
        return None if same else Difference(kinds, before.frame, after.frame, None)
    one, other = (_under_one_id(codec, message, max_frame) for message in (before, after))
    at = first_difference(one, other)
    return None if at is None and kinds[0] is kinds[1] else Difference(kinds, one, other, at)


def _under_one_id(codec: ICodec, message: Message, max_frame: int) -> bytes:
    try:
        return bytes(codec.session(Side.CLIENT, max_frame).send(message, 1))
    except FrameError:
        return message.frame


def first_difference(before: bytes, after: bytes) -> int | None:
    """The place of the first byte that differs; where one ends and the other goes on; None when they are the same."""
    if before == after:
        return None
    found = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    return min(len(before), len(after)) if found is None else found


def _shown(data: bytes, at: int) -> str:
    start = max(0, at - BEFORE)
    return f"{'...' if start else ''}{data[start : at + SHOWN]!r}{'...' if len(data) > at + SHOWN else ''}"
