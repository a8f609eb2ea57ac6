"""
Values of JSON in the encodings binary and compact of Thrift, by the types of an IDL.

Source: Apache Thrift, doc/specs/thrift-binary-protocol.md and thrift-compact-protocol.md. Lives here: `WRITERS`. What
the encodings share is the walk through types; what they don't is how a number, a field, a container begins. Does not:
what comes back (`thrift_reading`); heads of messages (`codecs.thrift`).
"""

from __future__ import annotations

import base64
import binascii
import struct
import uuid
from collections.abc import Callable, Mapping

from metaproxy.codecs.thrift.encodings import to_varint
from metaproxy.filters.transcode.arguments import Text
from metaproxy.filters.transcode.thrift_types import BINARY, BITS, COMPACT, MAX_DEPTH, Struct, Type

_BOOLS = {"true": True, "false": False}
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_FIELD = struct.Struct(">bh")


# -- what a value may be


def whole(value: object, kind: str, name: str) -> int:
    bits = BITS[kind]
    try:
        if isinstance(value, str) or (isinstance(value, float) and value.is_integer()):
            value = int(value)
    except ValueError:
        pass
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r:.60}, which is no whole number")
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"{name} is {value!r:.60}, which has more than {bits} bits")
    return value


def _enum(value: object, type: Type, name: str) -> int:
    assert type.enum is not None
    if isinstance(value, str) and value in type.enum.values:
        return type.enum.values[value]
    try:
        return whole(value, "enum", name)
    except ValueError:
        raise ValueError(f"{name} is {value!r:.60}; there are {', '.join(type.enum.values)}"[:400]) from None


def _double(value: object, name: str) -> float:
    try:
        if isinstance(value, str):
            return _NUMBERS[value] if value in _NUMBERS else float(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} is {value!r:.60}, which is no number")


def _bool(value: object, name: str) -> bool:
    if isinstance(value, str):
        value = _BOOLS.get(value, value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.60}; write true or false")
    return value


def _bytes(value: object, kind: str, name: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    if kind == "string":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is no base64") from None


def _uuid(value: object, name: str) -> bytes:
    try:
        return uuid.UUID(str(value)).bytes
    except ValueError:
        raise ValueError(f"{name} is {value!r:.60}, which is no UUID") from None


# -- writing


class Writer:
    """Appends values to `out`. Raises ValueError for what a type can't hold."""

    def __init__(self) -> None:
        self.out = bytearray()

    def struct(self, kind: Struct, values: Mapping[str, object], name: str, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"{name[:60]} is nested more than {MAX_DEPTH} deep")
        for key in values:
            if key not in kind.by_name:
                raise ValueError(f"{kind.name} has no field {key!r:.60}")
        last, given = 0, 0
        for field in kind.fields:
            value = values.get(field.name)
            inner = f"{name}.{field.name}" if name else field.name
            if value is None:
                if field.required:
                    raise ValueError(f"{inner} is missing")
                continue
            given += 1
            if field.type.kind == "bool":
                self._bool_field(field.number, last, _bool(value, inner))
            else:
                self._field(field.type, field.number, last)
                self.value(field.type, value, inner, depth + 1)
            last = field.number
        if kind.kind == "union" and given != 1:
            raise ValueError(f"{name or kind.name} has {given} fields; of a union there is one")
        self.out.append(0)

    def value(self, type: Type, value: object, name: str, depth: int) -> None:
        kind = type.kind
        if kind == "enum":
            self._whole(_enum(value, type, name), "enum")
        elif kind in BITS:
            self._whole(whole(value, kind, name), kind)
        elif kind == "bool":
            self._bool(_bool(value, name))
        elif kind == "double":
            self._double(_double(value, name))
        elif kind in ("string", "binary"):
            data = _bytes(value, kind, name)
            self._size(len(data))
            self.out += data
        elif kind == "uuid":
            self.out += _uuid(value, name)
        elif kind == "struct":
            if not isinstance(value, dict) or type.struct is None:
                raise ValueError(f"{name} is no object")
            self.struct(type.struct, value, name, depth)
        else:
            self._container(type, value, name, depth + 1)

    def _container(self, type: Type, value: object, name: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"{name[:60]} is nested more than {MAX_DEPTH} deep")
        if type.kind == "map":
            if not isinstance(value, dict):
                raise ValueError(f"{name} is no object")
            self._map(type, len(value))
            for key, each in value.items():
                self.value(type.parts[0], key, f"the key {key!r:.40} of {name}", depth)
                self.value(type.parts[1], each, f"{name}.{key}"[:200], depth)
            return
        if isinstance(value, Text):
            value = [value]
        if not isinstance(value, list):
            raise ValueError(f"{name} is no array")
        self._list(type, len(value))
        for place, each in enumerate(value):
            self.value(type.parts[0], each, f"{name}[{place}]", depth)

    def _field(self, type: Type, number: int, last: int) -> None:
        raise NotImplementedError

    def _bool_field(self, number: int, last: int, value: bool) -> None:
        raise NotImplementedError

    def _bool(self, value: bool) -> None:
        raise NotImplementedError

    def _whole(self, value: int, kind: str) -> None:
        raise NotImplementedError

    def _double(self, value: float) -> None:
        raise NotImplementedError

    def _size(self, size: int) -> None:
        raise NotImplementedError

    def _list(self, type: Type, size: int) -> None:
        raise NotImplementedError

    def _map(self, type: Type, size: int) -> None:
        raise NotImplementedError


class BinaryWriter(Writer):
    def _field(self, type: Type, number: int, last: int) -> None:
        self.out += _FIELD.pack(BINARY[type.kind], number)

    def _bool_field(self, number: int, last: int, value: bool) -> None:
        self.out += _FIELD.pack(2, number)
        self.out.append(value)

    def _bool(self, value: bool) -> None:
        self.out.append(value)

    def _whole(self, value: int, kind: str) -> None:
        self.out += value.to_bytes(BITS[kind] // 8, "big", signed=True)

    def _double(self, value: float) -> None:
        self.out += struct.pack(">d", value)

    def _size(self, size: int) -> None:
        self.out += size.to_bytes(4, "big")

    def _list(self, type: Type, size: int) -> None:
        self.out.append(BINARY[type.parts[0].kind])
        self._size(size)

    def _map(self, type: Type, size: int) -> None:
        self.out += bytes(BINARY[part.kind] for part in type.parts)
        self._size(size)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


class CompactWriter(Writer):
    def _begin(self, code: int, number: int, last: int) -> None:
        delta = number - last
        if 0 < delta <= 15:
            self.out.append(delta << 4 | code)
        else:
            self.out.append(code)
            self.out += to_varint(_zigzag(number))

    def _field(self, type: Type, number: int, last: int) -> None:
        self._begin(COMPACT[type.kind], number, last)

    def _bool_field(self, number: int, last: int, value: bool) -> None:
        self._begin(1 if value else 2, number, last)

    def _bool(self, value: bool) -> None:
        self.out.append(1 if value else 2)

    def _whole(self, value: int, kind: str) -> None:
        if kind == "i8":
            self.out.append(value & 0xFF)
        else:
            self.out += to_varint(_zigzag(value))

    def _double(self, value: float) -> None:
        self.out += struct.pack("<d", value)

    def _size(self, size: int) -> None:
        self.out += to_varint(size)

    def _list(self, type: Type, size: int) -> None:
        code = COMPACT[type.parts[0].kind]
        if size < 15:
            self.out.append(size << 4 | code)
        else:
            self.out.append(0xF0 | code)
            self.out += to_varint(size)

    def _map(self, type: Type, size: int) -> None:
        self.out += to_varint(size)
        if size:
            self.out.append(COMPACT[type.parts[0].kind] << 4 | COMPACT[type.parts[1].kind])


WRITERS: dict[str, Callable[[], Writer]] = {"binary": BinaryWriter, "compact": CompactWriter}
