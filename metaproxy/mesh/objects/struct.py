"""
How the objects of Kubernetes are written: mappings whose keys are lowerCamelCase.

Lives here: `Spec`, of which the objects are made, and `Struct`, which reads one. Does not: which objects there are
(`kinds`), single values (`values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from metaproxy.config.schema.leaf import entries
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema, near
from metaproxy.config.schema.shape import Nested, Section, options
from metaproxy.support.nearest_name import nearest_name

S = TypeVar("S", bound="Spec")


@dataclass(frozen=True, slots=True)
class Spec(Section):
    """
    A part of an object. Its fields are the keys in snake_case.

    SPELT: field -> key, where the key is not the field in lowerCamelCase. UNUSED: keys that the API has and that have
    no effect here: given, they are warned of. OPEN: whether keys beside these are passed over without a word, as in
    objects of which only a small part is read.
    """

    SPELT: ClassVar[Mapping[str, str]] = {}
    UNUSED: ClassVar[tuple[str, ...]] = ()
    OPEN: ClassVar[bool] = False


def key_of(section: type[Section], name: str) -> str:
    """Return the key of a field."""
    spelt = section.SPELT.get(name) if issubclass(section, Spec) else None
    first, *rest = name.rstrip("_").split("_")
    return spelt or first + "".join(word[:1].upper() + word[1:] for word in rest)


class Struct(Nested[S]):
    """
    A mapping with the keys of a section; `null` at a key counts as not given, as in Kubernetes.
    """

    def read(self, node: Node, reading: Reading) -> S:
        section = self.section
        given = self._known(node, reading)
        values: dict[str, object] = {}
        whole = True
        for name, known in options(section).items():
            if name in given:
                values[name] = reading.read(known.kind, given[name])
                needed = known.required or name in section.ONE_OF
                whole = whole and (values[name] is not BROKEN or not needed)
            elif known.required:
                reading.problem(node, f"{key_of(section, name)} is missing")
                whole = False
        if not whole or BROKEN in values.values():
            raise Refused
        made = section(**values)
        reading.keep(made, node, given)
        return made

    def _known(self, node: Node, reading: Reading) -> dict[str, Node]:
        """Return field -> node. Reports keys that are not known, and two of which only one may be given."""
        section = self.section
        fields = {key_of(section, name): name for name in options(section)}
        found = entries(node, f"a mapping with {', '.join(fields)}")
        given = {fields[key]: child for key, child in found.items() if key in fields and _is_given(child)}
        names = (*fields, *section.UNUSED)
        for key, child in found.items():
            if key in section.UNUSED:
                reading.warn(child, "has no effect here")
            elif key not in fields and not section.OPEN:
                reading.problem(child, f"unknown field {key!r}; {near(key, names, 'field')}", key=True)
                meant = fields.get(nearest_name(key, names) or "")
                if meant is not None:
                    given.setdefault(meant, child)  # so that a required field is not reported as missing besides
        both = [name for name in given if name in section.ONE_OF]
        if len(both) > 1:
            words = " and ".join(key_of(section, name) for name in both)
            reading.problem(given[both[1]], f"{words} exclude each other; write one of them", key=True)
        return given

    def words(self) -> str:
        return f"[{self.section.__name__}](#{self.section.__name__.lower()})"


def _is_given(node: Node) -> bool:
    return node.value is not None


class Anything(Kind[object]):
    """A value that is not looked at."""

    def read(self, node: Node, reading: Reading) -> object:
        return None

    def words(self) -> str:
        return "anything"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {}
