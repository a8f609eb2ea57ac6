"""
A request without some of what it names, and what its answer says of these in the end.

    client      orders, secret                          secret: TOPIC_AUTHORIZATION_FAILED, orders: what the broker said
    broker      orders                 orders

A broker refuses what a client may not have by itself; so does this, with topics, partitions, groups and transactions,
as deep as they stand. What has nothing left in it goes, too: a group whose topics are all refused is not asked for.

Lives here: `part`. Does not: what the answer gets (`refusal`); what the errors look like (`errors`); who is refused
what.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from metaproxy.codecs.kafka import errors, schema, wire
from metaproxy.codecs.kafka.fetch_sessions import FETCH, given_up, without_session
from metaproxy.codecs.kafka.levels import PARTITIONS, TRANSACTIONS, Array, Element, depth_of, levels, name_of, read
from metaproxy.codecs.kafka.metadata import has_tags
from metaproxy.codecs.kafka.refusal import Refusal
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.codecs.kafka.values import Values, encode

_KEPT, _REFUSED, _BESIDE = 1, 2, 4
"""Groups of what is named; the last: it is refused with what stands beside it, as a transaction gets all or nothing."""
_ATOMIC: Final = schema.KEYS["AddPartitionsToTxn"]
_NOT_ATTEMPTED: Final = "OPERATION_NOT_ATTEMPTED"


class Parted(NamedTuple):
    """
    answered: the form of the answer; frame: what is sent on, b"" where nothing is; refusals: what the answer gets for
    the rest, none where there is no answer; answer: of a request of which nothing is sent on; ends: the frame is all
    that is sent of a large request.
    """

    answered: Form
    frame: bytes
    refusals: tuple[Refusal, ...] = ()
    answer: bytes = b""
    ends: bool = False


def part(
    frame: bytes, form: Form, key: str, refused: Collection[bytes], error: str, text: str, known: TopicIds,
    silent: bool = False,
) -> Parted | None:  # fmt: skip
    """
    The request without these, which are named under this metadata key, and what stands for them in its answer; silent:
    it gets none. None where that can't be: one of them is named elsewhere, or nothing would be left. Raises FrameError.
    """
    answered = schema.response(form.key, form.version)
    depth = depth_of(form, answered, key) if answered is not None else None
    if answered is None or depth is None or (key == PARTITIONS and _shares(form)):
        return None
    cut = wire.total(frame) > len(frame)
    top = read(frame, wire.request_body(frame, form.flexible), form, depth, cut)
    if top is None:
        return None
    parting = _Parting(form, key, frozenset(refused), known)
    mask = parting.mark(top)
    if not mask & _REFUSED or parting.found != parting.refused:
        return None
    if form.key == FETCH:
        # In a session its client would not name again what the broker has never heard of.
        sessionless = without_session(frame, form)
        if sessionless is None:
            return Parted(answered, b"", answer=given_up(frame, form))
        frame = sessionless
    if mask == _REFUSED:
        return None
    if form.key == _ATOMIC:
        mask = _all_or_nothing(top, form)
    rest = _only(frame, form, top, _KEPT) if mask & _KEPT else b""
    refusals: list[Refusal] = []
    for group, name in () if silent else ((_REFUSED, error), (_BESIDE, _NOT_ATTEMPTED)):
        if mask & group:
            elements = _elements(frame, form, top, group, name, text, depth)
            if not elements:
                return None
            refusals.append(Refusal(answered, depth, elements))
    if rest is None:
        return None
    ends = cut and wire.total(rest) == len(rest)
    return Parted(answered, rest, tuple(refusals), b"" if rest else _answer(frame, answered, refusals), ends)


def _elements(
    frame: bytes, form: Form, top: Array, group: int, name: str, text: str, depth: int
) -> list[Values] | None:
    """What an answer says of what is in this group. None where that can't be."""
    some = _only(frame, form, top, group)
    return errors.elements(some, form, name, text, depth) if some is not None else None


# -- whom it hits


class _Parting:
    """Which of what is named is refused. found: the names of those."""

    def __init__(self, form: Form, key: str, refused: frozenset[bytes], known: TopicIds) -> None:
        self.refused = refused
        self.found: set[bytes] = set()
        self._levels = levels(form)
        self._key = key
        self._known = known

    def mark(self, array: Array, level: int = 0, topic: bytes = b"") -> int:
        """The groups that there are in an array; each of its elements gets its own."""
        # What is still to come is not refused.
        mask = _KEPT if len(array.elements) < array.count else 0
        for element in array.elements:
            element.groups = self._groups(element, level, topic)
            mask |= element.groups
        return mask

    def _groups(self, element: Element, level: int, topic: bytes) -> int:
        about = self._levels[level]
        here = self._key in about.named()
        name = name_of(element, about, self._key if here else about.key, topic, self._known.name)
        if here:
            if name not in self.refused:
                return _KEPT
            self.found.add(name)
            return _REFUSED
        return (self.mark(element.inner, level + 1, name) if element.inner is not None else 0) or _KEPT


def _all_or_nothing(top: Array, form: Form) -> int:
    """A transaction gets all of its partitions or none, so what stands beside one that is refused is not tried."""
    if levels(form)[0].key != TRANSACTIONS:
        return _beside(top)
    mask = 0
    for element in top.elements:
        if element.groups == _KEPT | _REFUSED and element.inner is not None:
            element.groups = _beside(element.inner)
        mask |= element.groups
    return mask


def _beside(array: Array) -> int:
    """Has what would be kept of an array refused with the rest; the groups that there are then."""
    mask = 0
    for element in array.elements:
        if element.groups == _KEPT:
            element.groups = _BESIDE
        elif element.groups & _KEPT and element.inner is not None:
            element.groups = _beside(element.inner)
        mask |= element.groups
    return mask


def _shares(form: Form) -> bool:
    """Whether a broker remembers what a member of a share group asks for: what it never saw it would never answer."""
    return any(field.name == "ShareSessionEpoch" for field in form.fields)


# -- frames


class _CannotBe(Exception):
    """Something is to be left out of a large request behind which something comes that is not there yet."""


def _only(frame: bytes, form: Form, top: Array, group: int) -> bytes | None:
    """The request with what is in this group alone. None where that can't be."""
    edits: list[wire.Edit] = []
    try:
        ended = _leave_out(frame, form, top, group, 0, edits)
    except _CannotBe:
        return None
    made = wire.edited(frame, edits)
    return wire.framed(made[wire.SIZE :]) if ended else made


def _leave_out(frame: bytes, form: Form, array: Array, group: int, level: int, edits: list[wire.Edit]) -> bool:
    """Adds what changes; whether the frame is over with that, though the request was not."""
    kept = sum(bool(element.groups & group) for element in array.elements)
    count = array.count - (len(array.elements) - kept) if group == _KEPT else kept
    if count != array.count:
        edits.append((array.start, array.stop, wire.write_count(count, form.flexible)))
    ended = False
    for element in array.elements:
        if element.groups & group:
            if element.groups != group and element.inner is not None:
                ended = _leave_out(frame, form, element.inner, group, level + 1, edits)
        elif element.open:
            edits.append((element.start, len(frame), b"\0" * (level + 1) if form.flexible else b""))
            ended = True
        else:
            edits.append((element.start, element.stop, b""))
    if ended and group == _KEPT and len(array.elements) < array.count:
        raise _CannotBe
    return ended


def _answer(frame: bytes, answered: Form, refusals: Sequence[Refusal]) -> bytes:
    """To a request of which nothing is sent on."""
    tags = b"\0" if has_tags(answered) else b""
    answer = wire.framed(wire.INT.pack(wire.correlation_id(frame)) + tags + encode(answered, {}))
    for refusal in refusals:
        answer = refusal.put(answer, answered)
    return answer
