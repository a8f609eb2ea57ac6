"""
How two answers to one request differ, whatever the protocol.

Lives here: `compare` and `Difference`; `compare_streams` and `Digest`, for answers of which not all is kept. Does not:
which answers are compared (mirrors, recordings that are sent again).

Ids say nothing of what a server answers. The codec writes both messages under one id before their bytes are compared,
or says what they are compared by (`ICodec.comparable`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from metaproxy.interfaces import ICodec
from metaproxy.message import Chunk, FrameError, Kind, Message, Side

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
    comparable = getattr(codec, "comparable", None)
    try:
        written: bytes | None = comparable(message) if comparable is not None else None
        if written is not None:
            return written
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


# -- streams


class Digest:
    """What is kept of an answer that comes as a stream: its size, a hash, and whether it reports failure."""

    __slots__ = ("_hash", "failed", "size")

    def __init__(self, head: Message) -> None:
        self.failed = bool(getattr(head, "failed", False))
        self.size = 0
        self._hash = _hash()

    def add(self, chunk: Chunk) -> None:
        self.size += len(chunk.frame)
        self._hash.update(chunk.frame)
        self.failed = self.failed or chunk.failed

    def has(self, payload: bytes) -> bool:
        """Whether the stream had these bytes and no others."""
        return len(payload) == self.size and _hash(payload).digest() == self._hash.digest()

    def same(self, other: Digest) -> bool:
        return self._hash.digest() == other._hash.digest()


def _hash(data: bytes = b"") -> blake2b:
    return blake2b(data, digest_size=16)


def compare_streams(before: Message, before_digest: Digest | None, after: Message, after_digest: Digest | None) -> str:
    """
    How two answers differ of which one at least was a stream, by failure, status, size and hash; '' when they do not.
    A digest is None for a whole one: its payload is taken to be the end of its frame.
    """
    failures = _failed(before, before_digest), _failed(after, after_digest)
    if failures[0] != failures[1]:
        return "error became response" if failures[0] else "response became error"
    statuses = _status(before), _status(after)
    if statuses[0] != statuses[1]:
        return f"status {statuses[0]} became {statuses[1]}"
    if before_digest is not None and after_digest is not None:
        if before_digest.size != after_digest.size:
            return f"{before_digest.size} bytes became {after_digest.size}"
        return "" if before_digest.same(after_digest) else f"other bytes among {after_digest.size}"
    digest, whole = (before_digest, after) if before_digest is not None else (after_digest, before)
    if digest is None or digest.has(whole.frame[len(whole.frame) - digest.size :] if digest.size else b""):
        return ""
    return f"the {digest.size} bytes of a stream are not the end of the whole answer"


def _failed(message: Message, digest: Digest | None) -> bool:
    return message.kind is Kind.ERROR if digest is None else digest.failed


def _status(head: Message) -> str | None:
    try:
        return head.get("status")
    except FrameError:
        return None
