"""
What the options of plugins are, for the reference and for editors.

Lives here: `rows`, the lines of a plugin's table; `options_schema`, its JSON schema; `built_in`, the plugins that come
with metaproxy. Does not: reading and checking options (`metaproxy.options`).
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from functools import lru_cache

from zope.interface.interface import InterfaceClass

from metaproxy.config.schema.leaf import variable
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.numbers import Duration, Flag, Share, Size
from metaproxy.config.schema.reading import Kind, Schema
from metaproxy.options import COLLECTIONS, Target, annotation, declared
from metaproxy.plugins import KINDS, Registry
from metaproxy.units import Bound, Bytes, Option, Percent, Seconds, Secret

LEAVES: dict[object, Kind[object]] = {
    Seconds: Duration(),
    Bytes: Size("0B", "1024GiB"),
    Percent: Share(),
    bool: Flag(),
    str: Hidden(),
    Secret: Hidden(),
}


class Row(typing.NamedTuple):
    """A line of a plugin's table. name: with dots where it is an option within another: `service.grpc`."""

    name: str
    words: str
    default: str
    about: str


@lru_cache(maxsize=1)
def _installed() -> Registry:
    return Registry()


def built_in(interface: InterfaceClass) -> dict[str, Target]:
    """name -> class of the plugins that come with metaproxy."""
    registry = _installed()
    found = {name: registry.load(interface, name) for name in registry.names(interface)}
    return {name: target for name, target in found.items() if target.__module__.startswith("metaproxy.")}


def built_in_plugins() -> Iterator[tuple[str, str, Target]]:
    """Kind, name and class of each."""
    for kind, interface in KINDS.items():
        for name, target in built_in(interface).items():
            yield kind, name, target


# -- the reference


def rows(target: Target, before: str = "") -> Iterator[Row]:
    """The options of a plugin, each followed by those within it."""
    for name, (hint, parameter) in declared(target).items():
        option = annotation(hint).option or Option("")
        yield Row(before + name, words(hint), _default(option, hint, parameter.default), option.about)
        for section, steps in _sections(hint, ""):
            yield from rows(section, f"{before}{name}{steps}.")


def _sections(hint: object, steps: str) -> Iterator[tuple[Target, str]]:
    """The classes whose options stand within an annotation, and what leads there."""
    kind, _, section, _ = annotation(hint)
    if section is not None:
        yield section, steps
        return
    collection = COLLECTIONS.get(typing.get_origin(kind))
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    if collection is dict and len(inner) > 1:
        yield from _sections(inner[1], f"{steps}.NAME")
    elif typing.get_origin(kind) is not typing.Literal:
        for one in inner:
            yield from _sections(one, steps + ("[]" if collection is not None else ""))


def _default(option: Option, hint: object, value: object) -> str:
    if option.default:
        return option.default
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value == "" or value == ():
        return "none"
    return f"`{_written(hint, value)}`"


def _written(hint: object, value: object) -> str:
    """A default as a configuration would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and _mentions(hint, Seconds):
        return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value / 60:g}m" if value > 60 else f"{value:g}s"
    if isinstance(value, int) and value and _mentions(hint, Bytes):
        unit, size = next((one for one in _UNITS if not value % one[1]), ("B", 1))
        return f"{value // size}{unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


_UNITS = (("MiB", 1 << 20), ("KiB", 1 << 10))


def _mentions(hint: object, kind: object) -> bool:
    return hint is kind or any(_mentions(one, kind) for one in typing.get_args(hint))


_WORDS: dict[object, str] = {
    Seconds: "a duration",
    Bytes: "a size",
    Percent: "a percentage",
    Secret: "a text, or `{secret: NAME}`",
    bool: "`true` or `false`",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a mapping",
    list: "a list",
    object: "any value",
}


def words(hint: object) -> str:
    """What may be written."""
    kind, option, section, _ = annotation(hint)
    said = "a mapping" if section is not None else _of_kind(kind)
    return said + (_bounds(option, kind) if option is not None else "")


def _of_kind(kind: object) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(words(one) for one in inner if one is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner if one != "")
    collection = COLLECTIONS.get(origin)
    if collection is dict:
        return f"`{{NAME: ...}}`; each {words(inner[1])}" if inner and inner[1] is not object else "a mapping"
    if collection is not None:
        return f"a list; each {words(inner[0])}" if inner and inner[0] is not object else "a list"
    return "any value"


def _bounds(option: Option, kind: object) -> str:
    """In words: `, 1 or more`."""
    least, most, above = option.least, option.most, option.above
    least = None if least == 1 and not _is_number(kind) else least  # "not empty" goes without saying
    if least is not None and most is not None:
        return f", {_said(least)} to {_said(most)}"
    parts = [f"above {_said(above)}"] if above is not None else []
    parts += [f"{_said(least)} or more"] if least is not None else []
    of = "" if _is_number(kind) else " characters" if kind is str else " entries"
    parts += [f"{_said(most)}{of} at most"] if most is not None else []
    return "".join(f", {part}" for part in parts)


def _said(bound: Bound) -> str:
    return bound if isinstance(bound, str) else f"{bound:.12g}"


def _is_number(kind: object) -> bool:
    return any(_mentions(kind, one) for one in (int, float, Seconds, Bytes, Percent))


# -- editors


def options_schema(target: Target, definitions: dict[str, Schema], beside: Schema) -> Schema:
    """What the mapping with a plugin's options must be. beside: the schemas of further keys, all required."""
    schema: Schema = {"type": "object", "additionalProperties": False}
    schema["properties"] = {**beside, **option_schemas(target, definitions)}
    required = [name for name, (_, one) in declared(target).items() if one.default is inspect.Parameter.empty]
    if required or beside:
        schema["required"] = [*beside, *required]
    return schema


def option_schemas(target: Target, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Option -> what must stand there."""
    return {name: _schema(hint, definitions) for name, (hint, _) in declared(target).items()}


def _schema(hint: object, definitions: dict[str, Schema]) -> Schema:
    kind, option, section, _ = annotation(hint)
    schema = _schema_of(kind, definitions) if section is None else options_schema(section, definitions, {})
    if option is None:
        return schema
    return {**_bounded(schema, option, kind, definitions), "description": option.about}


def _schema_of(kind: object, definitions: dict[str, Schema]) -> Schema:
    if kind in LEAVES:
        return LEAVES[kind].schema(definitions)
    if kind in (int, float):
        return variable({"type": "integer" if kind is int else "number"}, definitions)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        found = [_schema(one, definitions) for one in inner if one is not type(None)]
        return found[0] if len(found) == 1 else {"anyOf": found}
    if origin is typing.Literal:
        return variable({"enum": list(inner)}, definitions)
    collection = COLLECTIONS.get(origin if origin is not None else kind)
    if collection is dict:
        return {"type": "object", **({"additionalProperties": _schema(inner[1], definitions)} if inner else {})}
    if collection is not None:
        return {"type": "array", **({"items": _schema(inner[0], definitions)} if inner else {})}
    return {}


_NUMBER, _LENGTH = ("minimum", "maximum"), {"array": ("minItems", "maxItems"), "object": ("minProperties", "")}


def _bounded(schema: Schema, option: Option, kind: object, definitions: dict[str, Schema]) -> Schema:
    """The schema with the bounds that a number, a list or a mapping has; those of durations and sizes stay with us."""
    bounds = (option.least, option.most)
    if any(isinstance(one, str) for one in (*bounds, option.above)):
        return schema
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return {**schema, "anyOf": [_bounded(one, option, kind, definitions) for one in choices]}
    if schema.get("type") in ("integer", "number"):
        found = {key: one for key, one in zip(_NUMBER, bounds, strict=True) if one is not None}
        return {**schema, **found, **({"exclusiveMinimum": option.above} if option.above is not None else {})}
    keys = _LENGTH.get(str(schema.get("type")), ("", ""))
    return {**schema, **{key: one for key, one in zip(keys, bounds, strict=True) if key and one is not None}}
