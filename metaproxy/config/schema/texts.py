"""
How texts are written in a configuration: free ones, words of a list, and texts with a grammar of their own.

Lives here: a class for each; it says in one place what is read, what the docs call it and what an editor checks. Does
not: texts that name something (`names`) or say where it is (`addresses`).
"""

from __future__ import annotations

from metaproxy.config.schema.leaf import Leaf, shown, text, variable
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Kind, Reading, Schema, near
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.pattern import compile_bytes
from metaproxy.telemetry.access_log.format import compile_format


class Text(Leaf[str]):
    """most: bytes in UTF-8."""

    def __init__(self, most: int = 65536, empty: bool = False) -> None:
        self._most = most
        self._empty = empty

    def parse(self, node: Node) -> str:
        value = text(node)
        if not value and not self._empty:
            raise ValueError("an empty text")
        size = len(value.encode(errors="replace"))
        if size > self._most:
            raise ValueError(f"a text of {size} bytes; allowed are {self._most}")
        return value

    def words(self) -> str:
        return "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


class Value(Leaf[str]):
    """A text of which it does not matter whether it looks like a number: what a metadata key is set to."""

    def parse(self, node: Node) -> str:
        if isinstance(node.value, (list, dict)) or (node.value is None and not node.filled):
            raise ValueError(f"{shown(node)} is not a text")
        return node.text

    def words(self) -> str:
        return "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["string", "number", "boolean"]}


class Live(Leaf[object]):
    """A text, a number or a flag: what it must be is said where it is used."""

    def parse(self, node: Node) -> object:
        if isinstance(node.value, (list, dict)) or node.value is None:
            raise ValueError(f"{shown(node)} is no text, number or flag")
        return node.value

    def words(self) -> str:
        return "a text, a number, or `true` or `false`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["string", "number", "boolean"]}


class Choice(Leaf[str]):
    def __init__(self, *words: str) -> None:
        self._words = words

    def parse(self, node: Node) -> str:
        value = text(node)
        if value not in self._words:
            raise ValueError(f"{value!r} is not known here; {near(value, self._words, 'word')}")
        return value

    def words(self) -> str:
        return ", ".join(f"`{word}`" for word in self._words[:-1]) + f" or `{self._words[-1]}`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"enum": list(self._words)}, definitions)


class Hex(Leaf[bytes]):
    """Bytes, two hexadecimal digits each; blanks between them don't count."""

    def parse(self, node: Node) -> bytes:
        value = text(node) if node.value != "" else ""
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise ValueError(f"{shown(node)} is not hexadecimal; write two digits a byte, such as 0d0a") from None

    def words(self) -> str:
        return "hexadecimal digits"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": r"^([0-9a-fA-F]{2}\s*)*$"}, definitions)


class Regex(Leaf[str]):
    """A regular expression of RE2, of bytes."""

    def parse(self, node: Node) -> str:
        value = text(node)
        try:
            compile_bytes(value)
        except ValueError as error:
            raise ValueError(f"{shown(node)} is not a regular expression: {error}") from None
        return value

    def words(self) -> str:
        return "a regular expression"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "format": "regex"}, definitions)


class LogFormat(Leaf[str]):
    """What a line of an access log shows: the formats of `telemetry.log_format`."""

    def parse(self, node: Node) -> str:
        value = text(node)
        compile_format(value)
        return value

    def words(self) -> str:
        return "`text`, `json`, or a line with operators"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


class LogField(Leaf[str]):
    """A text with the operators of `telemetry.log_format`."""

    def parse(self, node: Node) -> str:
        value = text(node)
        compile_format({"field": value})
        return value

    def words(self) -> str:
        return "a text with operators"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


class Condition(Kind[object]):
    """What the metadata key at which it stands must be; see docs/reference/routing.md."""

    def read(self, node: Node, reading: Reading) -> object:
        spec = _as_matched(node)
        compile_condition(str(node.key), spec)
        return spec

    def words(self) -> str:
        return "a text, or a [matcher](routing.md)"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["string", "number", "object"]}


def _as_matched(node: Node) -> object:
    if isinstance(node.value, list):
        return [_as_matched(child) for child in node.value]
    if isinstance(node.value, dict):
        return {key: _as_matched(child) for key, child in node.value.items()}
    # No matcher compares fractions; 1.10 is meant as it is written.
    return node.text if isinstance(node.value, float) else node.value
