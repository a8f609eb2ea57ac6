"""
What is made of several values in a configuration: sections, lists, names with values, plugins with options.

Lives here: `Section` and `option`, of which the model is made, and the kinds that read them. Does not: single values
(`texts`, `numbers`, `names`, `addresses`), which options there are (`model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar, cast

from zope.interface.interface import InterfaceClass

from metaproxy.config.schema.addresses import File
from metaproxy.config.schema.leaf import entries, text, told
from metaproxy.config.schema.load import Node
from metaproxy.config.schema.names import check_name, secret_name
from metaproxy.config.schema.numbers import Flag
from metaproxy.config.schema.plugin_options import built_in, options_schema
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema, Use, near
from metaproxy.config.schema.texts import Value
from metaproxy.interfaces import IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import kind_of
from metaproxy.support.nearest_name import nearest_name

T = TypeVar("T")
S = TypeVar("S", bound="Section")


# -- what a section is


class Section:
    """
    A mapping with fixed keys: a frozen dataclass whose fields are made by `option`.

    SHORT: the key whose value alone may stand in the place of the mapping. ONE_OF: keys of which exactly one must be
    given. LATER: keys that are known and refused, for this version does nothing with them.
    """

    __slots__ = ()
    SHORT: ClassVar[str] = ""
    ONE_OF: ClassVar[tuple[str, ...]] = ()
    LATER: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """A key of a section. default: what the docs show; '' for a key that is required or has none."""

    kind: Kind[Any]
    about: str
    default: str
    required: bool


def option(kind: Kind[T], about: str, default: Any = MISSING, otherwise: str = "") -> T:
    """
    A key of a section. about: a line for the docs. default: as a configuration would have it, None for no value;
    without it the key is required. otherwise: what the docs call the default where its value does not tell.
    """
    if default is MISSING:
        return cast(T, field(metadata={"option": Option(kind, about, "", True)}))
    value = None if default is None else kind.default(default)
    shown = otherwise or _shown(default, value)
    return cast(T, field(default_factory=lambda: value, metadata={"option": Option(kind, about, shown, False)}))


def _shown(default: object, value: object) -> str:
    if isinstance(value, Section):
        return "see there"
    if default in (None, "", (), {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def options(section: type[Section]) -> dict[str, Option]:
    """The keys of a section, in the order of the model."""
    return {one.name: one.metadata["option"] for one in fields(cast(Any, section)) if "option" in one.metadata}


def about(section: type[Section]) -> str:
    """What a section is, for the docs: the first paragraph of its docstring."""
    return " ".join((section.__doc__ or "").strip().partition("\n\n")[0].split())


# -- values of values


class ListOf(Kind[tuple[T, ...]]):
    """
    least: how many there must be. alone: whether one may stand there without a list. later: keys of a mapping that may
    once stand in its place.
    """

    def __init__(self, kind: Kind[T], least: int = 0, alone: bool = False, later: Sequence[str] = ()) -> None:
        self.kind = kind
        self._least = least
        self._alone = alone
        self._later = later

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        items = node.value
        if not isinstance(items, list):
            if isinstance(items, dict) and any(key in self._later for key in items):
                raise ValueError(f"{', '.join(items)}: not supported yet in this version; write a list")
            if items is None or not self._alone:
                raise ValueError(f"{told(node)} is not a list")
            items = [node]
        if len(items) < self._least:
            raise ValueError(f"an empty list; write at least {self._least}")
        values = [reading.read(self.kind, item) for item in items]
        return tuple(value for value in values if value is not BROKEN)

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
        what stands there is looked at, and nobody misses the right key besides.
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

    def default(self, written: Any) -> S:
        """written: {}, as there are no other defaults of a whole section than those of its keys."""
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

    def words(self) -> str:
        return f"{self._flag.words()}, or {self.kind.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [self._flag.schema(definitions), self.kind.schema(definitions)]}


class Discovery(Kind[Use]):
    """
    Where endpoints come from: `{NAME: TARGET, ...}`, the rest being the plugin's options. `original_destination` is no
    plugin: the client's connection tells.
    """

    ORIGINAL_DESTINATION: ClassVar = "original_destination"

    def read(self, node: Node, reading: Reading) -> Use:
        if node.value == self.ORIGINAL_DESTINATION:
            return Use(self.ORIGINAL_DESTINATION)
        found = dict(entries(node, "a mapping such as {dns: demo.svc:20880, refresh: 5s}"))
        known = reading.names(IDiscovery)
        names = [key for key in found if key in known]
        if len(names) > 1:
            reading.problem(found[names[1]], f"{' and '.join(names)} exclude each other; write one of them", key=True)
            raise Refused
        if not found:
            raise ValueError(f"an empty mapping; write {near('', known, 'discovery')}")
        name = names[0] if names else next((key for key in found if nearest_name(key, known)), next(iter(found)))
        at = found.pop(name)
        if name not in known:
            reading.problem(at, f"no discovery {name!r}; {near(name, known, 'discovery')}", key=True)
            raise Refused
        found["target"] = at
        if name == "file":
            path = reading.read(File(), at)
            found["target"] = at if path is BROKEN else replace(at, value=str(path), text=str(path))
        return plugin(IDiscovery, name, at, found, reading, key=True)

    def words(self) -> str:
        return "`{dns: ...}`, `{file: ...}` or another discovery, with its options beside; or `original_destination`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        known = built_in(IDiscovery)
        ours: list[Schema] = []
        for name, target in known.items():
            schema = options_schema(target, definitions, {})
            properties = {name if key == "target" else key: one for key, one in schema["properties"].items()}
            ours.append({**schema, "properties": properties, "required": [name]})
        other = {"type": "object", "minProperties": 1, "properties": dict.fromkeys(known, False)}
        return {"anyOf": [*ours, other, {"const": self.ORIGINAL_DESTINATION}]}


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

    def default(self, written: Any) -> str | S:
        return str(written)

    def words(self) -> str:
        return f"`tcp`, `codec`, `http`, or {self.kind.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [{"enum": list(self.WORDS)}, self.kind.schema(definitions)]}


class Plain(Kind[object]):
    """Whatever stands there, as Python has it; `{secret: NAME}` is replaced."""

    def read(self, node: Node, reading: Reading) -> object:
        name = secret_name(node)
        if name is not None:
            return reading.secret(name)
        if isinstance(node.value, list):
            items = [reading.read(self, child) for child in node.value]
            return items if BROKEN not in items else BROKEN
        if isinstance(node.value, dict):
            values = {key: reading.read(self, child) for key, child in node.value.items()}
            return values if BROKEN not in values.values() else BROKEN
        return node.value

    def words(self) -> str:
        return "any value"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {}


PLAIN = Plain()


def _options_of(interface: InterfaceClass, name: str, definitions: dict[str, Schema], beside: Schema) -> Schema:
    """The schema of a built-in plugin's options. beside: what else stands in their mapping."""
    key = f"{kind_of(interface)}.{name}"
    definitions[key] = options_schema(built_in(interface)[name], definitions, beside)
    return {"$ref": f"#/$defs/{key}"}


def plugin(
    interface: InterfaceClass, name: str, at: Node, found: Mapping[str, Node], reading: Reading, key: bool = False
) -> Use:
    """A plugin with what stands at its options. at: where its name stands, as the node's key or not."""
    given = {option: reading.read(PLAIN, child) for option, child in found.items()}
    use = reading.use(interface, name, at, found, given, key)
    if interface is not ILoadBalancer:  # that is built from endpoints, by a rule of the cluster
        reading.build(use)
    return use


class Named(Kind[Use]):
    """A plugin: its name, or `{name: NAME, ...}` with its options."""

    def __init__(self, interface: InterfaceClass) -> None:
        self.interface = interface

    def read(self, node: Node, reading: Reading) -> Use:
        if not isinstance(node.value, dict):
            return plugin(self.interface, text(node), node, {}, reading)
        found = dict(node.value)
        at = found.pop("name", None) or self._misspelt(found, reading)
        return plugin(self.interface, text(at), at, found, reading)

    def _misspelt(self, found: dict[str, Node], reading: Reading) -> Node:
        """What stands at the key that was meant to be `name`, out of `found`."""
        key = next((key for key in found if nearest_name(key, ["name"])), None)
        if key is None:
            raise ValueError(f"name is missing; write the name of a {kind_of(self.interface)}")
        reading.problem(found[key], f"unknown key {key!r}; did you mean 'name'?", key=True)
        return found.pop(key)

    def default(self, written: Any) -> Use:
        return Use(written)

    def words(self) -> str:
        kind = kind_of(self.interface)
        return f"the name of a {kind}, or `{{name: NAME, ...}}` with its options"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        known = list(built_in(self.interface))
        other: Schema = {"type": "object", "properties": {"name": {"not": {"enum": known}}}, "required": ["name"]}
        ours = [_options_of(self.interface, name, definitions, {"name": {"const": name}}) for name in known]
        definitions[kind_of(self.interface)] = {
            "anyOf": [{"type": "string"}, *ours, other],
            "description": self.words(),
        }
        return {"$ref": f"#/$defs/{kind_of(self.interface)}"}


class Filter(Kind[Use]):
    """A filter of a list: its name, or `name: {options}`."""

    def read(self, node: Node, reading: Reading) -> Use:
        if not isinstance(node.value, dict):
            return plugin(IFilter, text(node), node, {}, reading)
        if len(node.value) != 1:
            raise ValueError("a filter is written `name` or `name: {options}`, each in its own item of the list")
        ((name, inner),) = node.value.items()
        if not isinstance(inner.value, (dict, type(None))):
            reading.problem(inner, f"{told(inner)} is not a mapping with the options of {name}")
            raise Refused
        found = inner.value or {}
        return plugin(IFilter, name, inner, found, reading, key=True)

    def words(self) -> str:
        return "`name` or `name: {options}`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        ours = {name: _options_of(IFilter, name, definitions, {}) for name in built_in(IFilter)}
        mapping = {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": ours}
        return {"anyOf": [{"type": "string"}, mapping]}


class Override(Kind["Use | None"]):
    """The options of the filter whose name is the key, or `off`."""

    def read(self, node: Node, reading: Reading) -> Use | None:
        if node.value in ("off", False):
            return None
        found = entries(node, f"a mapping with the options of {node.key}, or off")
        return plugin(IFilter, str(node.key), node, found, reading, key=True)

    def words(self) -> str:
        return "`{options}`, or `off`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [{"const": "off"}, {"const": False}, {"type": "object"}]}
