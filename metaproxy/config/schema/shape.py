"""
What is made of several values in a configuration: sections, lists, names with values.

Lives here: `Section` and `option`, of which the model is made, and the kinds that read them. Does not: single values
(`texts`, `numbers`, `names`, `addresses`), plugins (`uses`), which options there are (`model`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import ClassVar, TypeVar, overload

from metaproxy.config.schema.leaf import entries, shown, text
from metaproxy.config.schema.names import check_name
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.numbers import Flag
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema, near
from metaproxy.config.schema.texts import Value
from metaproxy.support.nearest_name import nearest_name

T = TypeVar("T")
S = TypeVar("S", bound="Section")


# -- what a section is


@dataclass(frozen=True)
class Section:
    """
    A mapping with fixed keys: a frozen dataclass whose fields are made by `option`.

    SHORT: the key whose value alone may stand in the place of the mapping. ONE_OF: keys of which exactly one must be
    given. LATER: keys that are known and refused, for this version does nothing with them. WITHIN: the key of a mapping
    in which it stands, where it is one of several kinds.
    """

    __slots__ = ()
    SHORT: ClassVar[str] = ""
    ONE_OF: ClassVar[tuple[str, ...]] = ()
    LATER: ClassVar[tuple[str, ...]] = ()
    WITHIN: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A key of a section. default: what the docs show; '' for a key that is required or has none."""

    kind: Kind[object]
    about: str
    default: str
    required: bool


@overload
def option(kind: Kind[T], about: str) -> T: ...


@overload
def option(kind: Kind[T], about: str, default: None, otherwise: str = "") -> T | None: ...


@overload
def option(kind: Kind[T], about: str, default: object, otherwise: str = "") -> T: ...


def option(kind: Kind[T], about: str, default: object = MISSING, otherwise: str = "") -> T | None:
    """
    A key of a section. about: a line for the docs. default: as a configuration would have it, None for no value;
    without it the key is required. otherwise: what the docs call the default where its value does not tell.
    """
    if default is MISSING:
        required: T = field(metadata={"option": Option(kind, about, "", True)})
        return required
    value = None if default is None else kind.default(default)
    default_text = otherwise or _shown(default, value)
    return field(default_factory=lambda: value, metadata={"option": Option(kind, about, default_text, False)})


def _shown(default: object, value: object) -> str:
    if isinstance(value, Section):
        return "see there"
    if default in (None, "", (), {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


_options: dict[type, dict[str, Option]] = {}
"""What `options` found."""


def options(section: type[Section]) -> dict[str, Option]:
    """The keys of a section, in the order of the model."""
    known = _options.get(section)
    if known is None:
        found = {one.name: one.metadata["option"] for one in fields(section) if "option" in one.metadata}
        known = _options[section] = found
    return known


def about(section: type[Section]) -> str:
    """What a section is, for the docs: the first paragraph of its docstring."""
    return " ".join((section.__doc__ or "").strip().partition("\n\n")[0].split())


# -- values of values


class ListOf(Kind[tuple[T, ...]]):
    """least: how many there must be. alone: whether one may stand there without a list."""

    def __init__(self, kind: Kind[T], least: int = 0, alone: bool = False) -> None:
        self.kind = kind
        self._least = least
        self._alone = alone

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        items = node.value
        if not isinstance(items, list):
            if items is None or not self._alone:
                raise ValueError(f"{shown(node)} is not a list")
            items = [node]
        if len(items) < self._least:
            raise ValueError(f"an empty list; write at least {self._least}")
        values = [reading.read(self.kind, item) for item in items]
        return tuple(value for value in values if value is not BROKEN)

    def default(self, written: object) -> tuple[T, ...]:
        if not isinstance(written, (list, tuple)):
            raise ValueError(f"{written!r} is not a list")
        return tuple(self.kind.default(one) for one in written)

    def words(self) -> str:
        return f"a list; each {self.kind.words()}" + (", or one alone" if self._alone else "")

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        item = self.kind.schema(definitions)
        schema: Schema = {"type": "array", "items": item}
        if self._least:
            schema["minItems"] = self._least
        return {"anyOf": [item, schema]} if self._alone else schema


class MapOf(Kind[Mapping[str, T]]):
    """Names that the user chooses, each with a value. names: what they are names of; refers: of what they must be."""

    def __init__(self, kind: Kind[T], key: str = "NAME", least: int = 0, defines: str = "", refers: str = "") -> None:
        self.kind = kind
        self._key = key
        self._least = least
        self._defines = defines
        self._refers = refers

    def read(self, node: Node, reading: Reading) -> Mapping[str, T]:
        found = entries(node, f"a mapping such as {{{self._key}: ...}}")
        if len(found) < self._least:
            raise ValueError("an empty mapping")
        # All names first: what stands at one may refer to another.
        names = {name: child for name, child in found.items() if self._named(name, child, reading)}
        values = {name: reading.read(self.kind, child) for name, child in names.items()}
        return {name: value for name, value in values.items() if value is not BROKEN}

    def _named(self, name: str, node: Node, reading: Reading) -> bool:
        try:
            check_name(name)
        except ValueError as error:
            reading.problem(node, str(error), key=True)
            return False
        if self._defines:
            reading.define(self._defines, name, node, key=True)
        if self._refers:
            reading.refer(self._refers, name, node, key=True)
        return True

    def default(self, written: object) -> Mapping[str, T]:
        """written: {}, as nothing else is anywhere."""
        if written != {}:
            raise ValueError(f"{written!r} is not an empty mapping")
        return {}

    def words(self) -> str:
        return f"`{{{self._key}: ...}}`; each {self.kind.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "object", "additionalProperties": self.kind.schema(definitions), "minProperties": self._least}


class Tree(Kind[object]):
    """A text, or a mapping or a list of the same; numbers and flags are texts, as they were written."""

    def read(self, node: Node, reading: Reading) -> object:
        if isinstance(node.value, dict):
            return {str(name): reading.read(self, child) for name, child in node.value.items()}
        if isinstance(node.value, list):
            return [reading.read(self, child) for child in node.value]
        return Value().parse(node)

    def words(self) -> str:
        return "a text, or a mapping or list of texts"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        definitions["tree"] = {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}},
                {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            ]
        }
        return {"$ref": "#/$defs/tree"}


class Nested(Kind[S]):
    """A section."""

    def __init__(self, section: type[S]) -> None:
        self.section = section

    def read(self, node: Node, reading: Reading) -> S:
        section = self.section
        reused = reading.reused(node)
        if isinstance(reused, section):
            return reused
        if section.SHORT and not isinstance(node.value, dict):
            given = {section.SHORT: node}
        else:
            given = self._meant(node, reading)
        values: dict[str, object] = {}
        whole = True
        for key, known in options(section).items():
            if key in given:
                values[key] = reading.read(known.kind, given[key])
                needed = known.required or key in section.ONE_OF
                whole = whole and (values[key] is not BROKEN or not needed)
            elif known.required:
                reading.problem(node, f"{key} is missing")
                whole = False
        whole = self._one_of(node, given, reading) and whole
        if not whole:
            raise Refused
        made = section(**{key: value for key, value in values.items() if value is not BROKEN})
        reading.keep(made, node, given)
        return made

    def _meant(self, node: Node, reading: Reading) -> dict[str, Node]:
        """
        Key -> value's node. A key that is not known is reported, and taken for the nearest one that is not given: so
        what stands there is looked at, and the right key is not missed besides.
        """
        section, known = self.section, options(self.section)
        found = entries(node, f"a mapping with {', '.join(known)}")
        given = {key: child for key, child in found.items() if key in known}
        for key, child in found.items():
            if key in section.LATER:
                reading.problem(child, "not supported yet in this version", key=True)
            elif key not in known:
                names = (*known, *section.LATER)
                reading.problem(child, f"unknown key {key!r}; {near(key, names, 'key')}", key=True)
                meant = nearest_name(key, names)
                if meant in known and meant not in found:
                    given.setdefault(meant, child)
        return given

    def _one_of(self, node: Node, given: Mapping[str, Node], reading: Reading) -> bool:
        wanted = self.section.ONE_OF
        found = [key for key in given if key in wanted]
        if not wanted or len(found) == 1:
            return True
        if found:
            reading.problem(given[found[1]], f"{' and '.join(found)} exclude each other; write one of them", key=True)
        else:
            reading.problem(node, f"one of {', '.join(wanted)} is missing")
        return False

    def default(self, written: object) -> S:
        """written: values of keys, as the section has them; {} for the defaults of all."""
        if not isinstance(written, Mapping):
            raise ValueError(f"{written!r} is not a mapping")
        return self.section(**written)

    def words(self) -> str:
        name = self.section.__name__
        if self.section.SHORT:
            return f"[{name}](#{name.lower()}), or its `{self.section.SHORT}` alone"
        return f"[{name}](#{name.lower()})"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        section, name = self.section, self.section.__name__
        known = options(section)
        if name not in definitions:
            schema = definitions[name] = {"type": "object", "additionalProperties": False}
            schema["description"] = about(section)
            schema["properties"] = {
                key: {**one.kind.schema(definitions), "description": one.about} for key, one in known.items()
            }
            schema["required"] = [key for key, one in known.items() if one.required]
            if section.ONE_OF:
                schema["oneOf"] = [{"required": [key]} for key in section.ONE_OF]
        whole: Schema = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [known[section.SHORT].kind.schema(definitions), whole]} if section.SHORT else whole


class FlagOr(Kind["bool | S"]):
    """`true` or `false`, or a section."""

    def __init__(self, section: type[S]) -> None:
        self._flag = Flag()
        self.kind = Nested(section)

    def read(self, node: Node, reading: Reading) -> bool | S:
        return self.kind.read(node, reading) if isinstance(node.value, dict) else self._flag.read(node, reading)

    def default(self, written: object) -> bool | S:
        return self._flag.default(written)

    def words(self) -> str:
        return f"{self._flag.words()}, or {self.kind.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [self._flag.schema(definitions), self.kind.schema(definitions)]}


class OneCheck(Kind["str | S"]):
    """A kind of health check: its name, or `{name: {options}}` where it has some."""

    WORDS = ("tcp", "codec", "http")

    def __init__(self, section: type[S]) -> None:
        self.kind = Nested(section)

    def read(self, node: Node, reading: Reading) -> str | S:
        if isinstance(node.value, dict):
            return self.kind.read(node, reading)
        word = text(node)
        if word not in self.WORDS:
            known = (*self.WORDS, "script")
            hint = "write {script: {expect: ...}}" if word == "script" else near(word, known, "kind of health check")
            raise ValueError(f"no health check {word!r}; {hint}")
        return word

    def default(self, written: object) -> str | S:
        return str(written)

    def words(self) -> str:
        return f"`tcp`, `codec`, `http`, or {self.kind.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [{"enum": list(self.WORDS)}, self.kind.schema(definitions)]}
