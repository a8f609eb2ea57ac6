"""
How plugins are written in a configuration, each with its options: codecs, filters, balancers, discoveries.

Lives here: a class for each place in which one may stand. Does not: which plugins there are (`registry`), what an
option is (`plugin_options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from zope.interface.interface import InterfaceClass

from metaproxy.config.schema.addresses import File
from metaproxy.config.schema.leaf import entries, shown, text
from metaproxy.config.schema.names import secret_name
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.plugin_options import built_in, option_schemas, options_schema
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema, Use, near
from metaproxy.interfaces import IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import kind_of
from metaproxy.support.nearest_name import nearest_name


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

    def default(self, written: object) -> Use:
        return Use(str(written))

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
            reading.problem(inner, f"{shown(inner)} is not a mapping with the options of {name}")
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
            inner = option_schemas(target, definitions)
            properties = {name if key == "target" else key: one for key, one in inner.items()}
            ours.append({"type": "object", "additionalProperties": False, "properties": properties, "required": [name]})
        other = {"type": "object", "minProperties": 1, "properties": dict.fromkeys(known, False)}
        return {"anyOf": [*ours, other, {"const": self.ORIGINAL_DESTINATION}]}
