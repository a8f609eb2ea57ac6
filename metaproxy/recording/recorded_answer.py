"""
Whether a server answers what it answered when the traffic was recorded.

Lives here: `difference`, and what is taken out of both answers first. Does not: comparing (`metaproxy.comparison`),
sending (`player`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from metaproxy.comparison import compare
from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Message, Mutation
from metaproxy.recording.entries import Entry
from metaproxy.recording.redaction import redacted

MAX_FRAME = 16 << 20


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
    found = compare(codec, before, after, MAX_FRAME)
    return "" if found is None else str(found)


def _comparable(codec: ICodec, message: Message, entry: Entry, ignore: tuple[str, ...]) -> Message:
    """A copy without what is ignored, and without the secrets that the recorded one is without."""
    changed = copy.copy(message)
    try:
        if ignore and not codec.mutable:
            spelled = tuple(name for key in ignore for name in (message.spellings(key) or (key,)))
            changed.frame = codec.mutate(message, Mutation(remove=spelled))
        if entry.redacted:
            masked = redacted(codec, changed)
            changed.frame = masked[0] if masked is not None else changed.frame
    except FrameError:
        pass  # a frame that the codec can't read is compared as it is
    return changed
