"""
Heads that are the same but for their id, as those of one call made again and again: known by comparing bytes.

    head: prefix, id (a varint), suffix

Lives here: `Shape`, what such messages have in common; `Located`, a message that knows where its id stands. Does not:
reading a head for the first time, which is the protocol's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from metaproxy.codecs.protobuf_wire import read_varint
from metaproxy.message import Kind, Message

MAX_HEAD = 2048
"""Bytes of a head that is remembered."""


class Located(Message):
    """id_at, id_stop: where the id's varint stands in the frame."""

    __slots__ = ("id_at", "id_stop")
    id_at: int
    id_stop: int


class Shape:
    """
    A head with its id cut out. kind: of its messages; at: where the id begins; parse: fills in the metadata of a
    message. What it filled in for the first one is that of all: they share it, and nothing changes it.
    """

    __slots__ = ("_metadata", "_parse", "_unclear", "at", "kind", "prefix", "start", "suffix")

    def __init__(
        self, kind: Kind, frame: bytes, start: int, at: int, stop: int, end: int, parse: Callable[[Message], None]
    ) -> None:
        """start, end: of the head in the frame; at, stop: of the id."""
        self.kind = kind
        self.start = start
        self.at = at
        self.prefix = frame[start:at]
        self.suffix = frame[stop:end]
        self._parse = parse
        self._metadata: dict[str, str] | None = None
        self._unclear: Callable[[str], tuple[str | None, ...] | None] | None = None

    def message(self, frame: bytes, end: int, profile: Hashable = None) -> Located | None:
        """The message of a frame whose head ends at `end`; None if its head is another."""
        at = self.at
        if at >= end or not frame.startswith(self.prefix, self.start):
            return None
        id = frame[at]
        stop = at + 1
        if id >= 0x80:
            if frame[end - 1] >= 0x80:  # a number without its end
                return None
            id, stop = read_varint(frame, at)
        if not at < stop <= end or frame[stop:end] != self.suffix:
            return None
        metadata, more = self.sources()
        message = Located(self.kind, frame, id, metadata, more, None, profile=profile)
        message.id_at = at
        message.id_stop = stop
        return message

    def sources(self) -> tuple[dict[str, str] | None, Callable[[Message], None] | None]:
        """`metadata` and `more` of the messages that are made next."""
        metadata = self._metadata
        return metadata, self._read if metadata is None or self._unclear is not None else None

    def _read(self, message: Message) -> None:
        if type(message) is not Located:  # a copy with another frame
            self._parse(message)
            return
        if self._metadata is None:
            self._parse(message)
            self._metadata = message.metadata
            self._unclear = getattr(message, "unclear", None)
            return
        message.metadata = self._metadata
        if self._unclear is not None:
            message.unclear = self._unclear
