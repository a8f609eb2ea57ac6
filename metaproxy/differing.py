"""
Where two answers to one request differ, whatever the protocol.

Lives here: `under_one_id`, `place`. Does not: which answers are compared (mirrors, replayed recordings), what is told.
"""

from __future__ import annotations

from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Message, Side


def under_one_id(codec: ICodec, message: Message, max_frame: int) -> bytes:
    """The frame with the same id, whatever id it came with: ids tell nothing of what a server answers."""
    try:
        return bytes(codec.session(Side.CLIENT, max_frame).send(message, 1))
    except FrameError:
        return message.frame


def place(before: bytes, after: bytes) -> int | None:
    """The first byte that differs; where one goes on and the other has ended; None where they are equal."""
    if before == after:
        return None
    found = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    return min(len(before), len(after)) if found is None else found
