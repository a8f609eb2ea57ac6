"""
Names of topics, groups and transactions with a prefix that clients do not see: tenants on one cluster.

    a request of the client      orders          blue.orders
    an answer for it             blue.orders     orders; what has not the prefix is left out

Which fields these are follows from the forms: whatever names a topic, a group or a transaction. Names in what only
clients read (the subscriptions of classic groups) stay as clients write them.

Lives here: `Prefix`. Does not: counts and sizes (`splice`).
"""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Final

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.splice import Splice
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, SIZE_OF_TAG, Plan, begun, plan, walk
from metaproxy.message import FrameError

_NAMES: Final = ("topicName", "groupId", "transactionalId", "coordinatorKey", "resourceName", "topicRegex")
_RESOURCES: Final = (2, 32)
"""Types of resources of a configuration that are topics, groups."""
_LONGEST: Final = 32767


class Prefix:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self._pattern = prefix.replace(".", "\\.").encode()

    def put(self, frame: bytes, form: Form, cut: bool = False) -> bytes:
        """A request with the prefix before each name; cut: the head of one, which has all names. Raises FrameError."""
        steps = _plan(form)
        if not steps:
            return frame
        at = wire.request_body(frame, form.flexible)
        found = Splice(frame, form.flexible)
        resource = 0
        for place in begun(frame, at, steps) if cut else walk(frame, at, steps):
            label, start, stop = place
            kind = label.partition("@")[0]
            if kind == "resourceType":
                resource = frame[start]
            elif kind not in _NAMES:
                found.see(place)
            elif text := wire.read_text(frame, start, stop, form.flexible):
                if kind == "resourceName" and resource not in _RESOURCES:
                    continue
                put = self._of_pattern(text) if kind == "topicRegex" else self._prefix + text
                if len(put) > _LONGEST:
                    raise FrameError(f"a name of {len(text)} bytes, with a prefix before it")
                found.replace(start, stop, wire.write_text(put, form.flexible))
        return found.done()

    def _of_pattern(self, text: bytes) -> bytes:
        return self._pattern + b"(?:" + text.removeprefix(b"^") + b")"

    def strip(self, frame: bytes, form: Form) -> bytes:
        """An answer without the prefix, and without what has it not. Raises FrameError."""
        steps = _plan(form)
        if not steps:
            return frame
        at = wire.answer_body(frame, wire.answer_has_tags(form.key, form.flexible))
        found = Splice(frame, form.flexible)
        resource = 0
        strange: list[int] = []  # where names stand that are none of the tenant's
        for place in walk(frame, at, steps):
            label, start, stop = place
            kind = label.partition("@")[0]
            if kind == "resourceType":
                resource = frame[start]
            elif label.startswith(ELEMENT):
                if strange and strange[-1] >= start:
                    found.drop(label[1:], start, stop)
                    while strange and strange[-1] >= start:
                        strange.pop()
            elif label.startswith(ARRAY) or label == SIZE_OF_TAG:
                found.see(place)
            elif text := wire.read_text(frame, start, stop, form.flexible):
                if kind == "resourceName" and resource not in _RESOURCES:
                    continue
                own = self._own(kind, text)
                if own is None:
                    strange.append(start)
                else:
                    found.replace(start, stop, wire.write_text(own, form.flexible))
        return found.done()

    def _own(self, kind: str, text: bytes) -> bytes | None:
        """A name without the prefix; None for one that has it not."""
        if kind == "topicRegex":
            start = self._pattern + b"(?:"
            return text[len(start) : -1] if text.startswith(start) else None
        return text[len(self._prefix) :] if text.startswith(self._prefix) else None


def names(form: Form) -> bool:
    """Whether messages of this form have such names."""
    return bool(_plan(form))


@cache
def _plan(form: Form) -> Plan:
    numbers = count()

    def wanted(field: Field, beside: tuple[Field, ...]) -> str:
        if field.entity in _NAMES and field.kind == "string":
            return f"{field.entity}@{next(numbers)}"
        if field.entity == "resourceType":
            return field.entity
        if field.repeated and any(inner.entity in _NAMES and not inner.repeated for inner in field.fields):
            return f"names@{next(numbers)}"
        return ""

    return plan(form, wanted)
