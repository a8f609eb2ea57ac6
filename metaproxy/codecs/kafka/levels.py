"""
What a message names, as a tree: groups or transactions, in these topics, in these partitions.

    OffsetFetch 8    Groups [ GroupId, Topics [ Name, PartitionIndexes [ ... ] ] ]

Lives here: `levels`, which arrays of a form these are, and `read`, the tree of one message with the places of all that
is in it. Does not: what is taken out of it, or put into it (`partly`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.topic_ids import NO_ID
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, Place, Plan, begun, plan, walk

TOPICS, GROUPS, TRANSACTIONS, PARTITIONS = "topics", "groups", "transactional_ids", "partitions"
KEY_OF: Final = {"topicName": TOPICS, "groupId": GROUPS, "transactionalId": TRANSACTIONS}
"""Metadata keys of what fields name."""
COORDINATORS, RESOURCES = "coordinators", "resources"
"""Levels of which each element says itself, or a number before them says, what it names."""
_TYPED: Final = {"coordinatorKey": COORDINATORS, "resourceName": RESOURCES}
_TYPES: Final = ("coordinatorType", "resourceType")
OF_TYPE: Final = {
    COORDINATORS: {0: GROUPS, 1: TRANSACTIONS, 2: GROUPS},
    RESOURCES: {2: TOPICS, 32: GROUPS},
}
"""What FindCoordinator's keys name by their type, and resources of configurations by theirs."""
_NOT_ANSWERED: Final = "ForgottenTopicsData"
"""Topics that a Fetch wants no more of, which its answer says nothing of."""
_PARTITIONS: Final = frozenset(
    ("Index", "Partition", "PartitionId", "PartitionIndex", "PartitionIndexes", "Partitions")
)
_ARRAY, _TEXT, _ID, _NUMBER, _TYPE = "array", "text", "id", "number", "type"


class Level(NamedTuple):
    """field: an array; key: what each of its elements names; text, id, number: the names of the fields that say it."""

    field: Field
    key: str
    text: str
    id: str
    number: str

    def named(self) -> frozenset[str]:
        """Metadata keys of what its elements may name."""
        return frozenset(OF_TYPE[self.key].values()) if self.key in OF_TYPE else frozenset((self.key,))


@cache
def levels(form: Form) -> tuple[Level, ...]:
    """The arrays that name something, from the outermost to the innermost; up to where there are two side by side."""
    return _levels(form.fields, "")


def _levels(fields: tuple[Field, ...], outer: str) -> tuple[Level, ...]:
    found = [level for field in fields if (level := _level(field, outer)) is not None]
    others = [field for field in fields if field.name != _NOT_ANSWERED and all(field is not one.field for one in found)]
    if len(found) != 1 or any(map(_has_names, others)):
        return ()
    return (found[0], *_levels(found[0].field.fields, found[0].key))


def _level(field: Field, outer: str) -> Level | None:
    if not field.repeated or field.tag >= 0 or field.name == _NOT_ANSWERED:
        return None
    inside = field.fields or (field._replace(repeated=False),)
    for one in inside:
        key = KEY_OF.get(one.entity) or _TYPED.get(one.entity)
        if not one.repeated and one.kind == "string" and key:
            return Level(field, key, one.name, _topic_id(inside), "")
    if _topic_id(inside):
        return Level(field, TOPICS, "", _topic_id(inside), "")
    number = next((one.name for one in inside if not one.repeated and is_partition(one)), "")
    return Level(field, PARTITIONS, "", "", number) if outer == TOPICS and number else None


def _topic_id(fields: tuple[Field, ...]) -> str:
    return next((one.name for one in fields if one.name == "TopicId" and one.kind == "uuid"), "")


def is_partition(field: Field) -> bool:
    """Whether it is the number of a partition, however it is called."""
    return field.kind.startswith("int") and field.name in _PARTITIONS


def _has_names(field: Field) -> bool:
    """Whether there is an array in it that names topics, groups or transactions."""
    return _level(field, "") is not None or any(map(_has_names, field.fields))


def depth_of(asked: Form, answered: Form, key: str) -> int | None:
    """At which level requests name what the key stands for; None where answers do not name the same at the same."""
    theirs = levels(answered)
    for depth, level in enumerate(levels(asked)):
        if depth >= len(theirs) or theirs[depth].key != level.key:
            return None
        if key in level.named():
            return depth
    return None


# -- a message


class Element:
    """
    Something that is named. text, id: of its name, b"" for none; number: of a partition; kind: of a type; inner: what
    it names inside; stop: -1 for one that ends behind what is there of the message. groups: for who takes it apart.
    """

    __slots__ = ("groups", "id", "inner", "kind", "number", "start", "stop", "text")

    def __init__(self, start: int, stop: int = -1, number: int = -1) -> None:
        self.start, self.stop, self.number = start, stop, number
        self.text = self.id = b""
        self.kind = self.groups = 0
        self.inner: Array | None = None

    @property
    def open(self) -> bool:
        return self.stop < 0

    @property
    def same(self) -> tuple[object, object]:
        """What tells it apart from what is beside it."""
        return self.text, self.id


class Array:
    """start, stop: where its count stands, which is 0 for null too; elements: those that are there, at least begun."""

    __slots__ = ("count", "elements", "start", "stop")

    def __init__(self, start: int, stop: int, count: int) -> None:
        self.start, self.stop, self.count = start, stop, count
        self.elements: list[Element] = []


def read(frame: bytes, at: int, form: Form, depth: int, cut: bool = False) -> Array | None:
    """
    What a message names whose body begins there, down to this level; cut: it is the head of a large one. None where
    it ends before. Raises FrameError.
    """
    steps = _plan(form, depth)
    places = begun(frame, at, steps) if cut else walk(frame, at, steps)
    return _Reading(frame, form, depth).tree(places, cut)


class _Reading:
    """The element under construction at each level, and the array that it belongs to."""

    def __init__(self, frame: bytes, form: Form, depth: int) -> None:
        self._frame, self._form = frame, form
        self._levels = levels(form)
        self._arrays: list[Array | None] = [None] * (depth + 1)
        self._elements: list[Element] = [Element(0) for _ in range(depth + 1)]
        self._kind = 0
        self._top: Array | None = None

    def tree(self, places: list[Place], cut: bool) -> Array | None:
        for label, start, stop in places:
            if label == _TYPE:
                self._kind = self._frame[start]
            elif label[0] == ARRAY:
                self._open(int(label[1:]), start, stop)
            elif label[0] == ELEMENT:
                self._close(int(label[1:]), start, stop)
            else:
                what, _, level = label.partition("@")
                self._note(what, int(level or what), start, stop)
        if cut:
            self._leave_open(self._top, 0)
        return self._top

    def _open(self, level: int, start: int, stop: int) -> Array:
        array = Array(start, stop, _count(self._frame, start, self._form.flexible))
        self._arrays[level] = array
        if level:
            self._elements[level - 1].inner = array
        else:
            self._top = array
        self._elements[level] = Element(stop)
        return array

    def _close(self, level: int, start: int, stop: int) -> None:
        element, array = self._elements[level], self._arrays[level]
        assert array is not None
        element.start, element.stop = start, stop
        element.kind = self._kind
        array.elements.append(element)
        self._elements[level] = Element(stop)

    def _note(self, what: str, level: int, start: int, stop: int) -> None:
        element = self._elements[level]
        if what == _ID:
            element.id = b"" if self._frame[start:stop] == NO_ID else self._frame[start:stop]
        elif what == _NUMBER:
            element.number = wire.INT.unpack_from(self._frame, start)[0]
        elif not self._levels[level].field.fields and self._levels[level].key == PARTITIONS:
            self._numbers(level, start, stop)
        else:
            element.text = wire.read_text(self._frame, start, stop, self._form.flexible) or b""

    def _numbers(self, level: int, start: int, stop: int) -> None:
        """Partitions that are nothing but their numbers."""
        at = wire.varint(self._frame, start)[1] if self._form.flexible else start + wire.INT.size
        array = self._open(level, start, at)
        array.elements = [
            Element(place, place + 4, wire.INT.unpack_from(self._frame, place)[0]) for place in range(at, stop, 4)
        ]

    def _leave_open(self, array: Array | None, level: int) -> None:
        if array is not None and len(array.elements) < array.count:
            element = self._elements[level]
            element.kind = self._kind
            array.elements.append(element)
            if level + 1 < len(self._arrays):
                self._leave_open(element.inner, level + 1)


def begins_all(array: Array, depth: int) -> bool:
    """Whether the head of a large message, read down to the partitions at this level, has the numbers of them all."""
    if len(array.elements) < array.count:
        return False
    last = array.elements[-1] if array.elements else None  # what stands before it is there to its end
    if last is None or not last.open:
        return True
    return last.number >= 0 if not depth else last.inner is not None and begins_all(last.inner, depth - 1)


def _count(frame: bytes, start: int, flexible: bool) -> int:
    written = wire.varint(frame, start)[0] - 1 if flexible else wire.INT.unpack_from(frame, start)[0]
    return max(written, 0)


@cache
def _plan(form: Form, depth: int) -> Plan:
    chosen = levels(form)[: depth + 1]

    def wanted(field: Field, beside: tuple[Field, ...]) -> str:
        if field.entity in _TYPES:
            return _TYPE
        for number, level in enumerate(chosen):
            if field is level.field:
                return str(number)
            if beside is level.field.fields and not field.repeated:
                if field.name == level.text:
                    return f"{_TEXT}@{number}"
                if field.name == level.id:
                    return f"{_ID}@{number}"
                if field.name == level.number:
                    return f"{_NUMBER}@{number}"
        return ""

    return plan(form, wanted)


# -- names


Name = Callable[[bytes], bytes | None]
"""The name of a topic's id; None for one that is not known."""


def name_of(element: Element, level: Level, key: str, topic: bytes, known: Name) -> bytes:
    """The name of an element, under this metadata key; b"" for none. topic: the one that a partition is of."""
    if level.key == PARTITIONS:
        return b"%s-%d" % (topic, element.number) if topic else b""
    if level.key in OF_TYPE:
        if OF_TYPE[level.key].get(element.kind) != key:
            return b""
        return element.text.partition(b":")[0] if (level.key, element.kind) == (COORDINATORS, 2) else element.text
    return element.text or (known(element.id) or b"" if element.id else b"")


def partitions_of(array: Array, form: Form, known: Name) -> Iterator[bytes]:
    """The names of the partitions in the tree of a message."""
    return _partitions(array, levels(form), b"", known)


def _partitions(array: Array, below: tuple[Level, ...], topic: bytes, known: Name) -> Iterator[bytes]:
    for element in array.elements:
        if below[0].key == PARTITIONS:
            if topic and element.number >= 0:
                yield name_of(element, below[0], PARTITIONS, topic, known)
        elif element.inner is not None:
            yield from _partitions(
                element.inner, below[1:], name_of(element, below[0], below[0].key, b"", known), known
            )
