"""
How single values are written in objects of Kubernetes: durations of Go, host names, ports, texts that may be empty.

Lives here: a class for each. Does not: mappings (`struct`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.schema.leaf import Leaf, entries, scalar, shown, text
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.numbers import Whole
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema
from metaproxy.config.schema.shape import option
from metaproxy.config.schema.texts import Text
from metaproxy.mesh.objects.struct import Spec
from metaproxy.routing.pattern import compile_text
from metaproxy.units import Seconds

PORT = Whole(1, 65535)
TEXT = Text(16384, empty=True)
NAME = Text(253)

_LABEL = r"(?:[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)"
_FQDN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_HOST = re.compile(rf"(?:\*|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?)")
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class GoDuration(Leaf[Seconds]):
    """A duration such as `10s`, `1h30m` or `0.5s`. above: whether it must be more than nothing."""

    def __init__(self, above: bool = False) -> None:
        self._above = above

    def parse(self, node: Node) -> Seconds:
        written = text(node)
        if len(written) > 64 or not _GO_DURATION.fullmatch(written):
            raise ValueError(f"{shown(node)} is not a duration; write 10s, 500ms or 1h30m")
        value = sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(written))
        if self._above and value <= 0:
            raise ValueError(f"{written} must be more than nothing")
        if value > 365 * 86400:
            raise ValueError(f"{written} is out of bounds; allowed is up to 8760h")
        return Seconds(value)

    def words(self) -> str:
        return "a duration, `10s` or `1h30m`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r"^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$"}


class Fqdn(Leaf[str]):
    """A fully qualified name without wildcards."""

    def parse(self, node: Node) -> str:
        name = text(node)
        if len(name) > 253 or not _FQDN.fullmatch(name):
            raise ValueError(f"{shown(node)} is not a fully qualified name such as demo.shop.svc.cluster.local")
        return name

    def words(self) -> str:
        return "a fully qualified name"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "maxLength": 253}


class Host(Leaf[str]):
    """A name; `*.` may stand before it, or `*` alone."""

    def parse(self, node: Node) -> str:
        name = text(node)
        if len(name) > 253 or not _HOST.fullmatch(name):
            raise ValueError(f"{shown(node)} is not a host such as demo.shop.svc.cluster.local or *.example.org")
        return name

    def words(self) -> str:
        return "a host, also `*.example.org`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "maxLength": 253}


class Choice(Leaf[str]):
    """One of some words. other: words of the API that are not supported here, with the reason."""

    def __init__(self, *words: str, other: Mapping[str, str] | None = None) -> None:
        self._words = words
        self._other = other or {}

    def parse(self, node: Node) -> str:
        word = text(node)
        if word in self._other:
            raise ValueError(f"{word} is not supported: {self._other[word]}")
        if word not in self._words:
            raise ValueError(f"{shown(node)} is not known here; write {', '.join(self._words)}")
        return word

    def words(self) -> str:
        return ", ".join(f"`{word}`" for word in self._words)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"enum": list(self._words)}


class TextMap(Kind[Mapping[str, str]]):
    """Names with texts, such as labels."""

    def read(self, node: Node, reading: Reading) -> Mapping[str, str]:
        found = {key: reading.read(TEXT, child) for key, child in entries(node, "a mapping with texts").items()}
        if BROKEN in found.values():
            raise Refused
        return {key: str(value) for key, value in found.items()}

    def default(self, written: object) -> Mapping[str, str]:
        return {}

    def words(self) -> str:
        return "`{NAME: TEXT}`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "object", "additionalProperties": {"type": "string"}}


class NumberOrName(Leaf["int | str"]):
    """The number or the name of a port."""

    def parse(self, node: Node) -> int | str:
        value = scalar(node)
        if isinstance(value, str) and value:
            return value
        return PORT.parse(node)

    def words(self) -> str:
        return "a port's number or name"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["integer", "string"]}


class PercentValue(Leaf[float]):
    """A percentage, fractions allowed."""

    def parse(self, node: Node) -> float:
        value = scalar(node)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 100:
            raise ValueError(f"{shown(node)} is not a percentage; write a number from 0 to 100")
        return float(value)

    def words(self) -> str:
        return "a percentage, 0 to 100"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "number", "minimum": 0, "maximum": 100}


class Pattern(Leaf[str]):
    """A regular expression of RE2, which must match the whole of a value."""

    def parse(self, node: Node) -> str:
        pattern = text(node)
        try:
            compile_text(pattern)
        except ValueError as error:
            raise ValueError(f"{shown(node)} is not a regular expression: {error}") from None
        return pattern

    def words(self) -> str:
        return "a regular expression (RE2)"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "format": "regex"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StringMatch(Spec):
    """How a text is compared. Without any of the three, every text holds."""

    ONE_OF: ClassVar = ("exact", "prefix", "regex")

    exact: str | None = option(TEXT, "The text itself; an empty one holds for each value that is there.", None)
    prefix: str | None = option(TEXT, "What it begins with.", None)
    regex: str | None = option(Pattern(), "What the whole of it matches.", None)


def decimal(node: Node) -> float:
    """Return a number at a node. Raises ValueError."""
    value = scalar(node)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{shown(node)} is not a number")
    return float(value)
