"""
Answers that say where brokers are, with the addresses at which clients reach them through the proxy.

    Metadata, DescribeCluster                             brokers
    FindCoordinator                                       the broker of a group or a transaction
    Produce, Fetch, ShareFetch, ShareAcknowledge          the new leaders of partitions (tagged, KIP-951)

Which fields these are follows from the forms: a struct with a node's id, a Host and a Port. A broker that has no
address for clients is left out; of a coordinator it is said that it is not available, so clients ask until it is.

Lives here: `names_brokers`, `rewrite`. Does not: the addresses (the proxy's `doors`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, SIZE_OF_TAG, Place, Plan, plan, walk
from metaproxy.interfaces import IDoors

_NODES: Final = ("NodeId", "BrokerId")
_NODE, _HOST, _PORT, _ERROR, _BROKERS = "node", "host", "port", "error", "brokers"
_LABELS: Final = {"NodeId": _NODE, "BrokerId": _NODE, "Host": _HOST, "Port": _PORT, "ErrorCode": _ERROR}
_NO_NODE: Final = wire.INT.pack(-1)


def names_brokers(form: Form) -> bool:
    return bool(_plan(form))


@cache
def broker_tags(form: Form) -> frozenset[int]:
    """The tags of a body that name brokers."""
    return frozenset(field.tag for field in form.fields if field.tag >= 0 and _is_broker(field.fields))


def rewrite(frame: bytes, at: int, form: Form, doors: IDoors) -> bytes:
    """The answer, whose body begins there, with the addresses of the doors. Raises FrameError."""
    steps = _plan(form)
    if not steps:
        return frame
    found = _Edits(frame, form.flexible, doors)
    for place in walk(frame, at, steps):
        found.see(place)
    found.finish()
    return wire.edited(frame, sorted(found.edits))


class _Edits:
    def __init__(self, frame: bytes, flexible: bool, doors: IDoors) -> None:
        self.edits: list[wire.Edit] = []
        self._frame, self._flexible, self._doors = frame, flexible, doors
        self._struct: dict[str, Place] = {}  # what was seen of the one that is under way
        self._count: Place | None = None
        self._dropped = 0
        self._tags: list[tuple[int, int]] = []

    def see(self, place: Place) -> None:
        label, start, stop = place
        if label == ELEMENT + _BROKERS:
            self._end_struct(start, stop)
        elif label == ARRAY + _BROKERS:
            self._end_array()
            self._count = place
        elif label == SIZE_OF_TAG:
            self._tags.append((start, stop))
        else:
            self._struct[label] = place

    def finish(self) -> None:
        self._end_struct(0, 0)
        self._end_array()
        for start, stop in self._tags:
            size, _ = wire.varint(self._frame, start)
            change = sum(len(text) - (to - at) for at, to, text in self.edits if stop <= at < stop + size)
            if change:
                self.edits.append((start, stop, wire.write_varint(size + change)))

    def _end_array(self) -> None:
        if self._count is not None and self._dropped:
            _, start, stop = self._count
            if self._flexible:
                count, _ = wire.varint(self._frame, start)
                self.edits.append((start, stop, wire.write_varint(count - self._dropped)))
            else:
                (count,) = wire.INT.unpack_from(self._frame, start)
                self.edits.append((start, stop, wire.INT.pack(count - self._dropped)))
        self._count, self._dropped = None, 0

    def _end_struct(self, start: int, stop: int) -> None:
        """A struct is whole. start, stop: of an element of an array; 0, 0: the body itself."""
        struct, self._struct = self._struct, {}
        if _NODE not in struct or (node := wire.INT.unpack_from(self._frame, struct[_NODE][1])[0]) < 0:
            return
        address = self._doors.address(str(node))
        if address is not None:
            self._put(struct, _HOST, wire.write_text(address[0].encode(), self._flexible))
            self._put(struct, _PORT, wire.INT.pack(address[1]))
        elif _ERROR in struct:
            self._put(struct, _NODE, _NO_NODE)
            self._put(struct, _HOST, wire.write_text(b"", self._flexible))
            self._put(struct, _PORT, _NO_NODE)
            self._put(struct, _ERROR, wire.SHORT.pack(schema.ERRORS["COORDINATOR_NOT_AVAILABLE"]))
        elif stop:
            self.edits.append((start, stop, b""))
            self._dropped += 1

    def _put(self, struct: dict[str, Place], label: str, text: bytes) -> None:
        _, start, stop = struct[label]
        self.edits.append((start, stop, text))


@cache
def _plan(form: Form) -> Plan:
    return plan(form, _wanted)


def _wanted(field: Field, beside: tuple[Field, ...]) -> str:
    if field.fields:
        return _BROKERS if field.repeated and _is_broker(field.fields) else ""
    return _LABELS.get(field.name, "") if _is_broker(beside) else ""


@cache
def _is_broker(fields: tuple[Field, ...]) -> bool:
    names = {field.name for field in fields}
    return names.issuperset(("Host", "Port")) and not names.isdisjoint(_NODES)
