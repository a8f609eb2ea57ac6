"""
A large answer that passes piece by piece, in which new leaders are named behind the records (NodeEndpoints, a tag).

What was sent of it says how long it is, so other addresses can't take the place of these. The tag gets a number that
no client knows, and clients pass over it: they look for the leaders in Metadata, as before KIP-951.

Lives here: `TagHider`. Does not: answers that are whole (`endpoints`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from metaproxy.codecs.kafka import endpoints
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.walk import BYTES, COMPACT, FIXED, MANY, MAYBE, SKIP, TAGS, TEXT, Plan, whole
from metaproxy.message import FrameError

_UNKNOWN: Final = 0x7F
_Run = Generator[None, None, None]
_Number = Generator[None, None, int]


class TagHider:
    """Is fed an answer from the beginning of its body on; work in the order of the bytes, however they are cut."""

    def __init__(self, form: Form) -> None:
        self._hidden = endpoints.broker_tags(form)
        self._data = b""
        self._at = 0
        self._changed: bytearray | None = None
        self._run: _Run | None = self._body(whole(form, lambda field, beside: ""))

    def feed(self, data: bytes) -> bytes:
        """What passes of a piece."""
        if self._run is None:
            return data
        self._data = data
        self._changed = None
        self._at = 0
        try:
            next(self._run)
        except StopIteration:
            self._run = None
        return data if self._changed is None else bytes(self._changed)

    def _body(self, plan: Plan) -> _Run:
        yield from self._steps(plan[:-1])
        count = yield from self._varint()
        for _ in range(count):
            tag = yield from self._varint()
            if tag in self._hidden:
                if self._changed is None:
                    self._changed = bytearray(self._data)
                self._changed[self._at - 1] = _UNKNOWN
            yield from self._skip((yield from self._varint()))

    def _steps(self, plan: Plan) -> _Run:
        for kind, size, _, compact, steps, _, _ in plan:
            if kind == SKIP:
                yield from self._skip(size)
            elif kind == COMPACT:
                yield from self._skip((yield from self._varint()) - 1)
            elif kind in (TEXT, BYTES):
                yield from self._skip((yield from self._number(2 if kind == TEXT else 4)))
            elif kind == TAGS:
                yield from self._tags()
            elif kind == MAYBE:
                if size or (yield from self._number(1)) >= 0:
                    yield from self._steps(steps)
            else:
                count = (yield from self._varint()) - 1 if compact else (yield from self._number(4))
                if kind == FIXED:
                    yield from self._skip(count * size)
                    continue
                assert kind == MANY
                for _ in range(count):
                    yield from self._steps(steps)

    def _tags(self) -> _Run:
        for _ in range((yield from self._varint())):
            yield from self._varint()
            yield from self._skip((yield from self._varint()))

    def _skip(self, size: int) -> _Run:
        while size > 0:
            there = min(len(self._data) - self._at, size)
            if not there:
                yield
                continue
            self._at += there
            size -= there

    def _number(self, size: int) -> _Number:
        value = 0
        for _ in range(size):
            value = value << 8 | (yield from self._byte())
        return value - (1 << 8 * size) if value >> 8 * size - 1 else value

    def _varint(self) -> _Number:
        value = shift = 0
        while True:
            byte = yield from self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise FrameError("a varint without end")

    def _byte(self) -> _Number:
        while self._at >= len(self._data):
            yield
        self._at += 1
        return self._data[self._at - 1]
