"""
Bodies as values, and back: for what is seldom done, such as an answer of the proxy's own.

Lives here: `decode`, of a body whose form is known, `encode` and `encode_element`. Does not: what passes (`walk`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.message import FrameError

Value = object
Values = dict[str, Value]

MOST: Final = 50_000
"""Values of a body that is read like this."""
_NUMBERS: Final = {
    "bool": struct.Struct(">?"), "int8": struct.Struct(">b"), "int16": struct.Struct(">h"),
    "uint16": struct.Struct(">H"), "int32": struct.Struct(">i"), "uint32": struct.Struct(">I"),
    "int64": struct.Struct(">q"), "float64": struct.Struct(">d"),
}  # fmt: skip
_NONE: Final = b"\0" * 16


def decode(data: bytes, at: int, form: Form, cut: bool = False) -> Values:
    """
    cut: the body ends within its last records, as the head of a large one does. Raises FrameError, also if something
    comes behind these records.
    """
    reading = _Reading(data, at, form.flexible, cut)
    try:
        return reading.struct(form.fields)
    except (struct.error, IndexError):
        raise FrameError(f"a body of {form.api} that ends within a field") from None


class _Reading:
    def __init__(self, data: bytes, at: int, flexible: bool, cut: bool) -> None:
        self._data, self._at, self._flexible = data, at, flexible
        self._cut = cut
        self._over = False  # the data ended within records
        self._left = MOST

    def struct(self, fields: tuple[Field, ...]) -> Values:
        found = {field.name: self._field(field) for field in fields if field.tag < 0}
        if self._flexible and not self._over:
            self._tags({field.tag: field for field in fields if field.tag >= 0}, found)
        return found

    def _tags(self, known: dict[int, Field], found: Values) -> None:
        for _ in range(self._varint()):
            self._count()
            tag, size = self._varint(), self._varint()
            end = self._at + size
            if tag in known:
                found[known[tag].name] = self._field(known[tag])
            if end > len(self._data) or self._at > end:
                raise FrameError(f"tag {tag} ends behind its body")
            self._at = end

    def _field(self, field: Field) -> Value:
        if self._over:
            return None
        if not field.repeated:
            return self._one(field)
        count = self._varint() - 1 if self._flexible else self._number("int32")
        if count < 0:
            return None
        found = []
        for _ in range(count):
            if self._over:
                raise FrameError("something comes behind the records that were cut")
            found.append(self._one(field))
        return found

    def _one(self, field: Field) -> Value:
        self._count()
        if field.kind == "struct":
            if field.nullable and not field.repeated and self._number("int8") < 0:
                return None
            return self.struct(field.fields)
        if field.kind in _NUMBERS:
            return self._number(field.kind)
        if field.kind == "uuid":
            return self._take(16)
        width = "int16" if field.kind == "string" else "int32"
        size = self._varint() - 1 if self._flexible else self._number(width)
        if self._cut and field.kind == "records" and self._at + size > len(self._data):
            self._over = True
            return None
        if size >= 0:
            return self._take(size)
        if not field.nullable and not field.repeated:
            raise FrameError(f"{field.name} is null")
        return None

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise FrameError(f"a body of more than {MOST} values")

    def _number(self, kind: str) -> int:
        packed = _NUMBERS[kind]
        self._at += packed.size
        number: int = packed.unpack_from(self._data, self._at - packed.size)[0]
        return number

    def _take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise IndexError
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        value, self._at = wire.varint(self._data, self._at)
        return value


def encode(form: Form, values: Values) -> bytes:
    """What the values leave out has its default."""
    return _struct(form.fields, form.flexible, values)


def encode_element(field: Field, flexible: bool, value: Value) -> bytes:
    """One element of an array."""
    return _one(field, flexible, value)


def _struct(fields: tuple[Field, ...], flexible: bool, values: Values) -> bytes:
    parts = [_field(field, flexible, values.get(field.name)) for field in fields if field.tag < 0]
    if flexible:
        tagged = sorted((field.tag, field) for field in fields if field.tag >= 0 and field.name in values)
        parts.append(wire.write_varint(len(tagged)))
        for tag, field in tagged:
            text = _field(field, True, values[field.name])
            parts += [wire.write_varint(tag), wire.write_varint(len(text)), text]
    return b"".join(parts)


def _field(field: Field, flexible: bool, value: Value) -> bytes:
    if not field.repeated:
        return _one(field, flexible, value)
    if value is None and field.nullable:
        return b"\0" if flexible else b"\xff\xff\xff\xff"
    items = value if isinstance(value, list) else []
    count = wire.write_varint(len(items) + 1) if flexible else wire.INT.pack(len(items))
    return count + b"".join(_one(field, flexible, item) for item in items)


def _one(field: Field, flexible: bool, value: Value) -> bytes:
    if field.kind == "struct":
        if field.nullable and not field.repeated:
            if value is None:
                return b"\xff"
            return b"\1" + _struct(field.fields, flexible, _values(value))
        return _struct(field.fields, flexible, _values(value))
    if field.kind in _NUMBERS:
        return _NUMBERS[field.kind].pack(_default(field) if value is None else value)
    if field.kind == "uuid":
        return value if isinstance(value, bytes) else _NONE
    text = value if isinstance(value, bytes) else None if field.nullable else b""
    if field.kind == "string":
        return wire.write_text(text, flexible)
    if flexible:
        return b"\0" if text is None else wire.write_varint(len(text) + 1) + text
    return wire.INT.pack(-1 if text is None else len(text)) + (text or b"")


def _values(value: Value) -> Values:
    return value if isinstance(value, dict) else {}


def _default(field: Field) -> int | float | bool:
    """Of a number: the definitions have it as a text."""
    text = str(field.default or 0)
    if field.kind == "bool":
        return text == "true"
    if field.kind == "float64":
        return float(text)
    return int(text, 16) if text.startswith("0x") else int(text)
