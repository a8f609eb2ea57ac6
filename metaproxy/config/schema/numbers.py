"""
How numbers are written in a configuration: flags, counts, durations, sizes, percentages.

Lives here: a class for each; it says in one place what is read, what the docs call it and what an editor checks. Does
not: the notations themselves, which options of plugins share (`metaproxy.units`).
"""

from __future__ import annotations

import os

from metaproxy import units
from metaproxy.config.schema.leaf import Leaf, scalar, shown, text, variable
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Schema

MAX_WHOLE = 2**31 - 1
"""Where nothing else bounds a number: more than anybody means, and still a 32-bit number."""


class Flag(Leaf[bool]):
    def parse(self, node: Node) -> bool:
        value = scalar(node)
        if isinstance(value, str):
            value = _FLAGS.get(value, value)
        if not isinstance(value, bool):
            raise ValueError(f"{shown(node)} is neither true nor false")
        return value

    def words(self) -> str:
        return "`true` or `false`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "boolean"}, definitions)


_FLAGS = {"yes": True, "on": True, "no": False, "off": False}
"""What YAML 1.1 read as true and false, and many still write."""


class Whole(Leaf[int]):
    def __init__(self, least: int = 0, most: int = MAX_WHOLE) -> None:
        self._least = least
        self._most = most

    def parse(self, node: Node) -> int:
        value = scalar(node)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{shown(node)} is not a whole number")
        if not self._least <= value <= self._most:
            raise ValueError(f"{value} is out of bounds; allowed are {self._least} to {self._most}")
        return value

    def words(self) -> str:
        return f"a whole number, {self._least} to {self._most}" if self._most < MAX_WHOLE else "a whole number"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "integer", "minimum": self._least, "maximum": self._most}, definitions)


class Ports(Leaf[range]):
    """most: ports that there may be."""

    def __init__(self, most: int) -> None:
        self._most = most

    def parse(self, node: Node) -> range:
        first, _, last = str(scalar(node)).partition("-")
        if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
            raise ValueError(f"{shown(node)} is no range of ports; write FIRST-LAST, such as 9100-9199")
        found = range(int(first), int(last) + 1)
        if len(found) > self._most:
            raise ValueError(f"{len(found)} ports; allowed are {self._most}")
        return found

    def words(self) -> str:
        return "a range of ports, FIRST-LAST"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": "^[0-9]+-[0-9]+$"}, definitions)


class Decimal(Leaf[float]):
    """A number from 0, fractions allowed."""

    def parse(self, node: Node) -> float:
        value = scalar(node)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= MAX_WHOLE:
            raise ValueError(f"{shown(node)} is not a number from 0, such as 1.9")
        return float(value)

    def words(self) -> str:
        return "a number"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "number", "minimum": 0}, definitions)


BY_POSITION = -1.0
"""`read_your_writes: position`."""


class Duration(Leaf[units.Seconds]):
    """least, most: as a configuration has them."""

    def __init__(self, least: str = "0s", most: str = "365d") -> None:
        self._least, self._most = least, most

    def parse(self, node: Node) -> units.Seconds:
        value = units.seconds(scalar(node))
        if not units.seconds(self._least) <= value <= units.seconds(self._most):
            raise ValueError(f"{node.text} is out of bounds; allowed are {self._least} to {self._most}")
        return value

    def words(self) -> str:
        return "a duration"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        definitions["duration"] = {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?(us|ms|s|m|h|d)$|\$\{"},
            ],
            "description": "15s, 500ms, 5m or a number of seconds",
        }
        return {"$ref": "#/$defs/duration"}


class Span(Leaf[tuple[units.Seconds, units.Seconds]]):
    """A least and a greatest duration, written `25ms..250ms`; one alone stands for both."""

    def parse(self, node: Node) -> tuple[units.Seconds, units.Seconds]:
        least, dots, most = text(node).partition("..")
        try:
            found = units.seconds(least), units.seconds(most if dots else least)
        except ValueError:
            found = None
        if found is None or found[0] > found[1]:
            raise ValueError(f"{shown(node)} is no range of durations; write 25ms..250ms")
        return found

    def default(self, written: object) -> tuple[units.Seconds, units.Seconds]:
        least, _, most = str(written).partition("..")
        return units.seconds(least), units.seconds(most)

    def words(self) -> str:
        return "two durations, `25ms..250ms`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?(us|ms|s|m|h|d)(\.\.\d+(\.\d+)?(us|ms|s|m|h|d))?$|\$\{"}


class Freshness(Leaf[float]):
    """`position` as BY_POSITION, or a duration."""

    def parse(self, node: Node) -> float:
        if text(node) == "position":
            return BY_POSITION
        try:
            return units.seconds(node.text)
        except ValueError:
            raise ValueError(f"{shown(node)} is neither `position` nor a duration such as 500ms") from None

    def words(self) -> str:
        return "`position`, or a duration such as `500ms`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r"^(position|\d+(\.\d+)?(us|ms|s|m|h|d))$|\$\{"}


class Size(Leaf[units.Bytes]):
    """least, most: as a configuration has them."""

    def __init__(self, least: str, most: str) -> None:
        self._least, self._most = least, most

    def parse(self, node: Node) -> units.Bytes:
        value = units.size(scalar(node))
        if not units.size(self._least) <= value <= units.size(self._most):
            raise ValueError(f"{node.text} is out of bounds; allowed are {self._least} to {self._most}")
        return value

    def words(self) -> str:
        return f"a size, {self._least} to {self._most}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        definitions["size"] = {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?(B|KiB|MiB|GiB|KB|MB|GB)?$|\$\{"},
            ],
            "description": "64KiB, 16MiB or a number of bytes",
        }
        return {"$ref": "#/$defs/size"}


class Share(Leaf[units.Percent]):
    def parse(self, node: Node) -> units.Percent:
        return units.percent(scalar(node))

    def words(self) -> str:
        return "a percentage, 0 to 100"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "number", "minimum": 0, "maximum": 100}, definitions)


class WorkerCount(Leaf[int]):
    """A number of processes, or `auto`: as many as there are CPUs for this one."""

    MOST = 256

    def parse(self, node: Node) -> int:
        if node.value == "auto":
            return min(len(os.sched_getaffinity(0)), self.MOST)
        if type(node.value) is not int or not 1 <= node.value <= self.MOST:
            raise ValueError(f"{shown(node)} is no number of processes; write 1 to {self.MOST}, or auto")
        return node.value

    def words(self) -> str:
        return f"`1` to `{self.MOST}`, or `auto`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": self.MOST}, {"const": "auto"}]}
