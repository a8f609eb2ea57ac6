"""
Variables of the path and of the query, as the fields of a message that they name.

Lives here: `as_json`, which makes of them what JSON would hold: its reader (google.protobuf.json_format) does the rest.
Does not: the body.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from metaproxy.filters.transcode.descriptors import TYPE_BOOL, Api, Descriptor, FieldDescriptor

MOST = 1000
"""Parameters of one query."""
_TEXTS = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Timestamp", "Duration", "FieldMask", "DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value",
        "UInt32Value", "BoolValue", "StringValue", "BytesValue",
    )
)  # fmt: skip
"""Messages that are one value in JSON."""
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


class Unknown(ValueError):
    """A name that the message has no field of."""


def pairs_of(query: str) -> list[tuple[str, str]]:
    """Names and values of a query, in order. Raises ValueError."""
    pieces = [piece for piece in query.split("&") if piece]
    if len(pieces) > MOST:
        raise ValueError(f"more than {MOST} parameters")
    return [(_decoded(name), _decoded(value)) for name, _, value in (piece.partition("=") for piece in pieces)]


def _decoded(raw: str) -> str:
    if "+" in raw:
        raw = raw.replace("+", " ")
    if "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw.encode()).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{raw!r:.100} is no UTF-8") from None


class Nested:
    """A message as a tree of its fields that are given."""

    def __init__(self, api: Api, kind: Descriptor) -> None:
        self._api = api
        self._kind = kind
        self.values: dict[str, object] = {}

    def add(self, name: str, value: str) -> None:
        """Raises Unknown, and ValueError for what the field can't hold."""
        values, kind = self.values, self._kind
        parts = name.split(".")
        for part in parts[:-1]:
            inner = self._field(kind, part, name)
            message = inner.message_type
            if message is None or inner.is_repeated or message.full_name in _TEXTS:
                raise Unknown(f"{name}: {part} has no fields")
            kept = values.setdefault(inner.name, {})
            if not isinstance(kept, dict):
                raise ValueError(f"{name}: {part} has a value as well")
            values, kind = kept, message
        field = self._field(kind, parts[-1], name)
        found = _value(field, name, value)
        if field.is_repeated:
            several = values.setdefault(field.name, [])
            if isinstance(several, list):
                several.append(found)
        elif field.name in values:
            raise ValueError(f"{name} is given twice")
        else:
            values[field.name] = found

    def _field(self, kind: Descriptor, part: str, name: str) -> FieldDescriptor:
        field = self._api.fields(kind).get(part)
        if field is None:
            raise Unknown(f"{name}: {kind.full_name} has no field {part!r:.100}")
        return field


def _value(field: FieldDescriptor, name: str, value: str) -> object:
    message = field.message_type
    if message is not None and message.full_name not in _TEXTS:
        raise ValueError(f"{name} is a message, which has no place in a path or a query; name its fields")
    if field.type == TYPE_BOOL or (message is not None and message.name == "BoolValue"):
        if value not in _BOOLS:
            raise ValueError(f"{name} is {value!r:.100}; write true or false")
        return _BOOLS[value]
    return value


def as_json(
    api: Api, kind: Descriptor, path: Iterable[tuple[str, str]], query: Iterable[tuple[str, str]], lenient: bool
) -> dict[str, object]:
    """lenient: names in the query that the message has no field of are left out. Raises ValueError."""
    nested = Nested(api, kind)
    for name, value in path:
        nested.add(name, value)
    for name, value in query:
        try:
            nested.add(name, value)
        except Unknown:
            if not lenient:
                raise
    return nested.values
