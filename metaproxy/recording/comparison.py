"""
Whether a server answers what it answered when the traffic was recorded.

Lives here: `difference`. Does not: sending (`player`). What the protocol uses to find answers again, their ids, is put
on one value by the codec before bytes are compared; so it works for every codec.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from metaproxy.differing import place, under_one_id
from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Message, Mutation
from metaproxy.recording.entries import Entry
from metaproxy.recording.redaction import redacted

MAX_FRAME = 16 << 20
SHOWN = 48
"""Bytes of each side that are told from the first difference on."""
BEFORE = 16


def difference(codec: ICodec, entry: Entry, answer: Message, ignore: Iterable[str] = ()) -> str:
    """
    How the answer differs from the recorded one; '' when it does not, or none was recorded. ignore: metadata keys of
    answers that may differ; only of protocols whose answers have such (`codec.mutable` is '').
    """
    if entry.response is None:
        return ""
    recorded = copy.copy(answer)
    recorded.kind, recorded.frame, recorded.id = entry.response.kind, entry.response.data, entry.response.id
    recorded.metadata, recorded.more = dict(entry.response.metadata or {}), None
    before, after = (_comparable(codec, one, entry, tuple(ignore)) for one in (recorded, answer))
    at = place(before, after)
    if at is None and recorded.kind is answer.kind:
        return ""
    at = len(before) if at is None else at
    words = f"{_shown(before, at)} became {_shown(after, at)}"
    if recorded.kind is not answer.kind:
        return f"{recorded.kind.name.lower()} became {answer.kind.name.lower()}: {words}"
    return f"from byte {at} on: {words}"


def _comparable(codec: ICodec, message: Message, entry: Entry, ignore: tuple[str, ...]) -> bytes:
    """The frame under one id, without what is ignored, and without the secrets that the recorded one is without."""
    changed = copy.copy(message)
    try:
        if ignore and not codec.mutable:
            spelled = tuple(name for key in ignore for name in (message.spellings(key) or (key,)))
            changed.frame = codec.mutate(message, Mutation(remove=spelled))
        if entry.redacted:
            masked = redacted(codec, changed)
            changed.frame = masked[0] if masked is not None else changed.frame
    except FrameError:
        return changed.frame
    return under_one_id(codec, changed, MAX_FRAME)


def _shown(data: bytes, place: int) -> str:
    start = max(0, place - BEFORE)
    return f"{'...' if start else ''}{data[start : place + SHOWN]!r}{'...' if len(data) > place + SHOWN else ''}"
