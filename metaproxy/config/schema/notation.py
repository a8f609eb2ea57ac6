"""
How single values are written in a configuration: texts, numbers, durations, addresses, names, paths, secrets.

Lives here: a class for each; it says in one place what is read, what the docs call it and what an editor checks. Does
not: what is made of several values (`shape`), which options there are (`model`). Long, but each kind stands alone.

Longer than most modules: a list of small kinds that have nothing in common but their base.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from abc import abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from metaproxy import units
from metaproxy.config.schema.load import Node, Scalar, resolve
from metaproxy.config.schema.reading import Kind, Reading, Schema, near
from metaproxy.proxy.proxy_protocol import Trusted
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.pattern import compile_bytes
from metaproxy.support import addresses as address
from metaproxy.telemetry.access_log.format import compile_format
from metaproxy.units import Secret

T = TypeVar("T")

MAX_NAME = 256
"""Characters of the name of a listener, cluster, route or secret."""
MAX_WHOLE = 2**31 - 1
"""Where nothing else bounds a number: more than anybody means, and still a 32-bit number."""


# -- what stands in the file


def told(node: Node) -> str:
    """A value in an error: short, and as it was written."""
    if isinstance(node.value, (list, dict)):
        return "a list" if isinstance(node.value, list) else "a mapping"
    if node.value is None:
        return "nothing"
    return repr(node.text) if isinstance(node.value, str) or node.filled else node.text


def scalar(node: Node) -> Scalar:
    """A value that is meant to be no text; what variables made of a text in quotes counts as well."""
    if isinstance(node.value, (list, dict)):
        raise ValueError(f"{told(node)} where a single value belongs")
    return resolve(node.text) if node.filled else node.value


def text(node: Node) -> str:
    """A value that is meant to be a text. Raises ValueError for numbers and the like, which want quotes."""
    if isinstance(node.value, str) or node.filled:
        return node.text
    quotes = "" if node.value is None or isinstance(node.value, (list, dict)) else f"; write '{node.text}' in quotes"
    raise ValueError(f"{told(node)} is not a text{quotes}")


def entries(node: Node, words: str) -> dict[str, Node]:
    """What stands in a mapping."""
    if not isinstance(node.value, dict):
        raise ValueError(f"{told(node)} is not {words}")
    return node.value


def variable(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema of a value in whose place a variable or a live value may stand."""
    definitions["variable"] = {
        "description": "${NAME} or ${NAME:-default}, or {runtime: NAME}",
        "anyOf": [
            {"type": "string", "pattern": r"\$\{"},
            {
                "type": "object",
                "properties": {"runtime": {"type": "string"}},
                "required": ["runtime"],
                "additionalProperties": False,
            },
        ],
    }
    return {"anyOf": [schema, {"$ref": "#/$defs/variable"}]}


# -- single values


class Leaf(Kind[T]):
    """A single value, which is read without looking at anything else."""

    @abstractmethod
    def parse(self, node: Node) -> T:
        """As `read`."""

    def read(self, node: Node, reading: Reading) -> T:
        return self.parse(node)

    def default(self, written: Any) -> T:
        return self.parse(Node(written, 0, 0, text=str(written)))


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
            raise ValueError(f"{told(node)} is not a text")
        return node.text

    def words(self) -> str:
        return "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["string", "number", "boolean"]}


class Live(Leaf[object]):
    """A text, a number or a flag: what it must be is told where it is used."""

    def parse(self, node: Node) -> object:
        if isinstance(node.value, (list, dict)) or node.value is None:
            raise ValueError(f"{told(node)} is no text, number or flag")
        return node.value

    def words(self) -> str:
        return "a text, a number, or `true` or `false`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": ["string", "number", "boolean"]}


class Flag(Leaf[bool]):
    def parse(self, node: Node) -> bool:
        value = scalar(node)
        if isinstance(value, str):
            value = _FLAGS.get(value, value)
        if not isinstance(value, bool):
            raise ValueError(f"{told(node)} is neither true nor false")
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
            raise ValueError(f"{told(node)} is not a whole number")
        if not self._least <= value <= self._most:
            raise ValueError(f"{value} is out of bounds; allowed are {self._least} to {self._most}")
        return value

    def words(self) -> str:
        return f"a whole number, {self._least} to {self._most}" if self._most < MAX_WHOLE else "a whole number"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "integer", "minimum": self._least, "maximum": self._most}, definitions)


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
            raise ValueError(f"{told(node)} is no range of durations; write 25ms..250ms")
        return found

    def default(self, written: Any) -> tuple[units.Seconds, units.Seconds]:
        least, _, most = str(written).partition("..")
        return units.seconds(least), units.seconds(most)

    def words(self) -> str:
        return "two durations, `25ms..250ms`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?(us|ms|s|m|h|d)(\.\.\d+(\.\d+)?(us|ms|s|m|h|d))?$|\$\{"}


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


class Decimal(Leaf[float]):
    """A number from 0, fractions allowed."""

    def parse(self, node: Node) -> float:
        value = scalar(node)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= MAX_WHOLE:
            raise ValueError(f"{told(node)} is not a number from 0, such as 1.9")
        return float(value)

    def words(self) -> str:
        return "a number"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "number", "minimum": 0}, definitions)


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
            raise ValueError(f"{told(node)} is not hexadecimal; write two digits a byte, such as 0d0a") from None

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
            raise ValueError(f"{told(node)} is not a regular expression: {error}") from None
        return value

    def words(self) -> str:
        return "a regular expression"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "format": "regex"}, definitions)


class Source(Leaf[str]):
    """Where connections come from: a network, an address, or `unix`."""

    def parse(self, node: Node) -> str:
        value = text(node)
        Trusted([value])
        return value

    def words(self) -> str:
        return "a network such as `10.0.0.0/8`, an address, or `unix`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string"}, definitions)


class UrlPath(Leaf[str]):
    def parse(self, node: Node) -> str:
        value = text(node)
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f"{told(node)} is not a path; write one such as /health, blanks as %20")
        return value

    def words(self) -> str:
        return "a path, with a query if need be"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": "^/"}, definitions)


class WorkerCount(Leaf[int]):
    """A number of processes: one, as this version has no more."""

    def parse(self, node: Node) -> int:
        if node.value != 1 or isinstance(node.value, bool):
            raise ValueError(f"{told(node)}: more than one process is not supported yet in this version; write 1")
        return 1

    def words(self) -> str:
        return "`1`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"const": 1}


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


class Url(Leaf[str]):
    """Empty where there is a default."""

    def parse(self, node: Node) -> str:
        value = text(node)
        if value and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
            raise ValueError(f"{value!r} is no URL; write one such as http://127.0.0.1:4318/v1/traces")
        return value

    def words(self) -> str:
        return "a URL, http or https"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return variable({"type": "string", "pattern": "^https?://"}, definitions)


class Address(Leaf[str]):
    """port: the least one that is allowed; 0 asks the system for a free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def parse(self, node: Node) -> str:
        value = str(node.value) if isinstance(node.value, int) else text(node)
        where = address.parse(value)
        if where.family == socket.AF_UNIX:
            if not where.host.startswith("/") or len(where.host.encode(errors="replace")) > 107 or "\0" in where.host:
                raise ValueError(f"{value!r} is not the whole path of a socket, of 107 bytes at most; write unix:/path")
        elif not self._port <= where.port <= 65535 or not _is_host(where):
            raise ValueError(f"{value!r} is not an address; write host:port, [v6]:port or unix:/path")
        return value

    def words(self) -> str:
        return "`host:port`, `[v6]:port` or `unix:/path`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "pattern": r":\d+$|^unix:/|\$\{"}


_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")


def _is_host(where: address.Address) -> bool:
    try:
        version = ipaddress.ip_address(where.host).version
    except ValueError:
        # The last part of a name is never a number: 10.0.0.256 is a mistake and no name.
        named = where.family == socket.AF_INET and _HOST.fullmatch(where.host) is not None
        return named and not where.host.rstrip(".").rpartition(".")[2].isdigit()
    return version == (6 if where.family == socket.AF_INET6 else 4)


class Listen(Address):
    """An address that the proxy listens at; no two may be the same."""

    def read(self, node: Node, reading: Reading) -> str:
        value = self.parse(node)
        reading.addresses.append((address.parse(value), node))
        return value


class Name(Kind[str]):
    """what: of what it is a name, of which no two may be the same; '' where that does not matter."""

    def __init__(self, what: str = "") -> None:
        self._what = what

    def read(self, node: Node, reading: Reading) -> str:
        name = check_name(text(node))
        if self._what:
            reading.define(self._what, name, node)
        return name

    def words(self) -> str:
        return "a name"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": MAX_NAME}


def check_name(name: str) -> str:
    """Raises ValueError for what would not fit into a line of a log, a label of a metric, an address of the API."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} is not a name; write 1 to {MAX_NAME} printable characters")
    return name


class Reference(Leaf[str]):
    """The name of something that is defined anywhere in the file."""

    def __init__(self, what: str) -> None:
        self.what = what

    def parse(self, node: Node) -> str:
        return text(node)

    def read(self, node: Node, reading: Reading) -> str:
        name = self.parse(node)
        reading.refer(self.what, name, node)
        return name

    def words(self) -> str:
        return f"the name of a {self.what}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


class File(Kind[Path]):
    """The path of a file or folder; a relative one starts where the configuration's file is."""

    def read(self, node: Node, reading: Reading) -> Path:
        value = text(node)
        parts = [len(part.encode(errors="replace")) for part in value.split("/")]
        if not value or "\0" in value or sum(parts) > 4000 or max(parts) > 255:
            raise ValueError(f"{value!r} is not a path")
        return reading.folder / value

    def words(self) -> str:
        return "a path"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "minLength": 1}


class Hidden(Kind[Secret]):
    """A text that is never shown; by_name: or `{secret: NAME}`, which stands for one."""

    def __init__(self, by_name: bool = True) -> None:
        self._by_name = by_name

    def read(self, node: Node, reading: Reading) -> Secret:
        name = secret_name(node) if self._by_name else None
        return Secret(text(node)) if name is None else reading.secret(name)

    def words(self) -> str:
        return "a text, or `{secret: NAME}`" if self._by_name else "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        if not self._by_name:
            return {"type": "string"}
        definitions["hidden"] = {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"secret": {"type": "string"}},
                    "required": ["secret"],
                    "additionalProperties": False,
                },
            ],
            "description": "a text, or {secret: NAME}",
        }
        return {"$ref": "#/$defs/hidden"}


def secret_name(node: Node) -> str | None:
    """NAME where `{secret: NAME}` stands."""
    if isinstance(node.value, dict) and list(node.value) == ["secret"]:
        return text(node.value["secret"])
    return None


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
