"""
Streams as whole messages again, so that checks can compare what sessions give however their bytes were cut.

Lives here: `Join`, and `joined`, which puts heads and chunks together. Does not: any check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metaproxy.message import Chunk, Kind, Message

Join = Callable[[Message, Sequence[Chunk]], Message]
"""Makes the whole message that a head and all of its chunks mean."""


def join_bytes(head: Message, chunks: Sequence[Chunk]) -> Message:
    """The head with all payload and the trailers behind it, for a codec that never gives both forms of a message."""
    return head.with_frame(b"".join((head.frame, *(chunk.frame + chunk.trailers for chunk in chunks))))


def joined(messages: Sequence[Message], join: Join, broken: bool) -> list[Message]:
    """
    The messages with each stream as one of them, where its head stood: whole ones by `join`, others as a head with
    all payload so far. Streams that were reset are left out; broken: so are those that are not whole, for after a
    bad frame a session need not pass on what stands before it in the same message.
    """
    found: list[Message | None] = []
    heads: dict[int, tuple[int, Message, list[Chunk]]] = {}
    for message in messages:
        known = heads.get(message.id) if isinstance(message, Chunk) else None
        if message.kind in (Kind.STREAM_OPEN, Kind.EVENT_OPEN):
            heads[message.id] = (len(found), message, [])
            found.append(message)
        elif known is None or not isinstance(message, Chunk):
            found.append(message)
        else:
            place, head, chunks = known
            chunks.append(message)
            if message.kind is Kind.STREAM_CLOSE:
                found[place] = join(head, chunks)
                del heads[message.id]
            elif message.kind is Kind.STREAM_RESET:
                found[place] = None
                del heads[message.id]
    for place, head, chunks in heads.values():
        payload = b"".join(chunk.frame for chunk in chunks)
        found[place] = None if broken else head.with_frame(head.frame + payload)
    return [message for message in found if message is not None]
