"""
Changes to a message whose places a walk has found: other texts, and elements that are left out.

Lives here: `Splice`, which keeps the counts of arrays and the sizes of tags right. Does not: what is changed.
"""

from __future__ import annotations

from bisect import bisect_left

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.walk import ARRAY, SIZE_OF_TAG, Place


class Splice:
    """It is shown the places of a walk in their order. Each array of a form has a label of its own."""

    def __init__(self, frame: bytes, flexible: bool) -> None:
        self._frame, self._flexible = frame, flexible
        self._edits: list[wire.Edit] = []
        self._arrays: dict[str, _Array] = {}
        self._tags: list[tuple[int, int]] = []

    def see(self, place: Place) -> None:
        label, start, stop = place
        if label.startswith(ARRAY):
            self._recount(label[1:])
            self._arrays[label[1:]] = _Array(start, stop)
        elif label == SIZE_OF_TAG:
            self._tags.append((start, stop))

    def replace(self, start: int, stop: int, text: bytes) -> None:
        self._edits.append((start, stop, text))

    def drop(self, label: str, start: int, stop: int) -> None:
        """Leave out an element of the array with this label, and all that is changed in it."""
        self._arrays[label].dropped += 1
        self._edits.append((start, stop, b""))

    def done(self) -> bytes:
        """The message with these changes."""
        for label in list(self._arrays):
            self._recount(label)
        kept: list[wire.Edit] = []
        end = 0
        for edit in sorted(self._edits, key=lambda edit: (edit[0], -edit[1])):
            if edit[0] >= end:  # else it is in an element that is left out
                kept.append(edit)
                end = edit[1]
        return wire.edited(self._frame, self._with_tags(kept) if self._tags else kept)

    def _recount(self, label: str) -> None:
        array = self._arrays.pop(label, None)
        if array is None or not array.dropped:
            return
        if self._flexible:
            count = wire.write_varint(wire.varint(self._frame, array.start)[0] - array.dropped)
        else:
            count = wire.INT.pack(wire.INT.unpack_from(self._frame, array.start)[0] - array.dropped)
        self._edits.append((array.start, array.stop, count))

    def _with_tags(self, edits: list[wire.Edit]) -> list[wire.Edit]:
        """The changes, and those of the sizes of tags. Tags that are in others came behind these."""
        for start, stop in reversed(self._tags):
            size, _ = wire.varint(self._frame, start)
            first, last = bisect_left(edits, (stop,)), bisect_left(edits, (stop + size,))
            change = sum(len(text) - (to - at) for at, to, text in edits[first:last])
            if change:
                edit = start, stop, wire.write_varint(size + change)
                edits.insert(bisect_left(edits, edit), edit)
        return edits


class _Array:
    """Where the count of an array stands, and how many of its elements are left out."""

    __slots__ = ("dropped", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.dropped = 0
