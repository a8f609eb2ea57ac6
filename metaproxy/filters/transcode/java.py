"""
Values of JSON as arguments of Java, in hessian2: what a generic call of Dubbo carries.

Lives here: `written`, by the type that the configuration gives an argument. Does not: reading
(`codecs.dubbo.hessian2_values`). Objects are maps without a type: Dubbo's PojoUtils makes objects of them, and of texts
what has no form in JSON (a BigDecimal, a Date).
"""

from __future__ import annotations

import struct

from metaproxy.codecs.dubbo.hessian2 import write_string
from metaproxy.filters.transcode.arguments import Text

_INT, _LONG = range(-(1 << 31), 1 << 31), range(-(1 << 63), 1 << 63)
_RANGES = {"byte": range(-128, 128), "short": range(-32768, 32768), "int": _INT, "long": _LONG}
_BOXES = {
    "java.lang.Byte": "byte", "java.lang.Short": "short", "java.lang.Integer": "int", "java.lang.Long": "long",
    "java.lang.Boolean": "boolean", "java.lang.Float": "float", "java.lang.Double": "double",
    "java.lang.String": "text", "java.lang.Character": "char",
}  # fmt: skip
PRIMITIVES = frozenset(("byte", "short", "int", "long", "boolean", "float", "double", "char"))
_LISTS = ("java.util.List", "java.util.Collection", "java.util.Set", "java.lang.Iterable")
_BOOLS = {"true": True, "false": False}


def written(kind: str, value: object, name: str) -> bytes:
    """The value of the argument `name`, of this type. Raises ValueError."""
    if value is None:
        if kind in PRIMITIVES:
            raise ValueError(f"{name} is missing; it is a {kind}")
        return b"N"
    plain = _BOXES.get(kind, kind)
    if plain in _RANGES:
        number = _whole(value, name)
        if number not in _RANGES[plain]:
            raise ValueError(f"{name} is {number}, which is no {plain}")
        return _long(number) if plain == "long" else _int(number)
    if plain in ("float", "double"):
        return b"D" + struct.pack(">d", _number(value, name))
    if plain == "boolean":
        return _boolean(value, name)
    if plain in ("text", "char"):
        if not isinstance(value, str) or (plain == "char" and len(value) != 1):
            raise ValueError(f"{name} is no {'text' if plain == 'text' else 'character'}")
        return write_string(value)
    if isinstance(value, Text) and (kind.endswith("[]") or kind in _LISTS):
        value = [value]
    if kind.endswith("[]") and isinstance(value, list):
        return _list([written(kind[:-2], each, f"{name}[{place}]") for place, each in enumerate(value)])
    return _any(value, name)


def typed_list(kind: str, items: list[bytes]) -> bytes:
    """An array of Java, such as `[string`."""
    return b"V" + write_string(kind) + _int(len(items)) + b"".join(items)


def string_map(pairs: dict[str, str]) -> bytes:
    return b"H" + b"".join(write_string(key) + write_string(value) for key, value in pairs.items()) + b"Z"


def _whole(value: object, name: str) -> int:
    try:
        if isinstance(value, str):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    except ValueError:
        pass
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r:.60}, which is no whole number")
    return value


def _number(value: object, name: str) -> float:
    try:
        if not isinstance(value, bool) and isinstance(value, (int, float, str)):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} is {value!r:.60}, which is no number")


def _boolean(value: object, name: str) -> bytes:
    if isinstance(value, Text):
        value = _BOOLS.get(value, value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.60}; write true or false")
    return b"T" if value else b"F"


def _int(value: int) -> bytes:
    return b"I" + struct.pack(">i", value)


def _long(value: int) -> bytes:
    return b"L" + struct.pack(">q", value)


def _list(items: list[bytes]) -> bytes:
    return b"X" + _int(len(items)) + b"".join(items)


def _any(value: object, name: str) -> bytes:
    """A value of which only JSON says what it is."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, str):
        return write_string(value)
    if isinstance(value, int):
        if value not in _LONG:
            raise ValueError(f"{name} has a number of more than 64 bits")
        return _int(value) if value in _INT else _long(value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    if isinstance(value, list):
        return _list([_any(each, name) for each in value])
    if isinstance(value, dict):
        pairs = b"".join(write_string(key) + _any(each, f"{name}.{key}") for key, each in value.items())
        return b"H" + pairs + b"Z"
    raise ValueError(f"{name} is {value!r:.60}, which JSON does not have")
