"""
Whether a server answers what it answered when the traffic was recorded.

Lives here: `difference`, and what is taken out of both answers first. Does not: comparing (`metaproxy.comparison`),
sending (`player`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from metaproxy.comparison import Difference, compare, first_difference
from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Kind, Message, Mutation
from metaproxy.recording.connection import Body
from metaproxy.recording.entries import Entry, Frame
from metaproxy.recording.redaction import redacted

MAX_FRAME = 16 << 20


def difference(
    codec: ICodec, entry: Entry, answer: Message, ignore: Iterable[str] = (), body: Body | None = None
) -> str:
    """
    How the answer differs from the recorded one; '' when it does not, or none was recorded. ignore: metadata keys of
    answers that may differ; only of protocols whose answers have such (`codec.mutable` is ''). body: what came behind
    the head of an answer, None for a whole one.
    """
    recorded = entry.response
    if recorded is None:
        return ""
    if recorded.chunks is None and body is None:
        return _heads(codec, entry, recorded, answer, ignore)
    before = "error" if recorded.reports_failure else "response"
    failed = answer.kind is Kind.ERROR if body is None else body.failed
    after = "error" if failed else "response"
    if before != after:
        return f"{before} became {after}"
    if recorded.chunks is None or body is None:
        # The same bytes came in pieces, or whole: where in a whole frame they are, its codec knows.
        frame, payload = (recorded.data, bytes(body.data)) if body is not None else (answer.frame, recorded.payload)
        return "" if payload in frame else f"the {len(payload)} bytes of the stream are not in the whole answer"
    return _heads(codec, entry, recorded, answer, ignore) or _payloads(recorded, body)


def _payloads(recorded: Frame, body: Body) -> str:
    """What is missing of a recording that was cut may be anything."""
    before, after = recorded.payload, bytes(body.data)
    if recorded.cut:
        after = after[: len(before)]
    elif len(before) != body.size:
        return f"{len(before)} bytes became {body.size}"
    found = first_difference(before, after)
    if found is None:
        return ""
    kinds = Kind.RESPONSE, Kind.RESPONSE
    return f"the stream {Difference(kinds, before, after, found)}"


def _heads(codec: ICodec, entry: Entry, response: Frame, answer: Message, ignore: Iterable[str]) -> str:
    recorded = copy.copy(answer)
    recorded.kind, recorded.frame, recorded.id = response.kind, response.data, response.id
    recorded.metadata, recorded.more = dict(response.metadata or {}), None
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
