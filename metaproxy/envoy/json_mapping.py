"""
Protobuf's JSON mapping, from plain values to a message: both spellings of names, and everything that is wrong at once.

Lives here: `fill`. Does not: reading texts (`reading`). protobuf's own json_format stops at the first mistake and has
no path for it; single well-known values (durations, structs) are left to it.

As in Envoy, a value alone may stand where a list is meant, and of a field that is given in both spellings the last one
counts; both are warned of.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from metaproxy.envoy.message_types import full_name, message_class
from metaproxy.envoy.report import Report
from metaproxy.support.nearest_name import did_you_mean

if TYPE_CHECKING:
    from google._upb import _message as upb

    Field: TypeAlias = FieldDescriptor | upb.FieldDescriptor

MAX_DEPTH = 64
"""Messages within messages."""
WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
_WELL_KNOWN: Mapping[str, str] = {
    "google.protobuf.Duration": "a duration; write seconds such as 1.5s",
    "google.protobuf.Timestamp": "a time; write one such as 2026-01-31T12:00:00Z",
    "google.protobuf.FieldMask": "a list of paths; write a text such as a.b,c",
    "google.protobuf.Struct": "a mapping",
    "google.protobuf.Value": "a value",
    "google.protobuf.ListValue": "a list",
}
"""Full name -> what a value of it is."""
_DURATION = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")
"""protobuf's own reader takes blanks, too."""
_FLAGS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False, "y": True, "n": False}
"""What Envoy's reader of YAML takes for a flag."""
_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FRACTIONS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def fill(message: Message, plain: object, path: str, report: Report) -> None:
    """Put what a mapping says into a message. What can't be read is reported and left out."""
    _fill(message, plain, path, report, 0)


def _fill(message: Message, plain: object, path: str, report: Report, depth: int) -> None:
    if depth > MAX_DEPTH:
        report.invalid(path, f"more than {MAX_DEPTH} levels of messages within messages")
        return
    if not isinstance(plain, Mapping):
        report.invalid(path, f"{_shown(plain)} is not a mapping; write {{...}} with fields of {_short(message)}")
        return
    names = _names(message)
    given: dict[str, str] = {}
    oneofs: dict[str, str] = {}
    for key, value in plain.items():
        field = names.get(key) if isinstance(key, str) else None
        where = _within(path, str(key))
        if field is None:
            hint = did_you_mean(str(key), [one.name for one in message.DESCRIPTOR.fields], "see Envoy's reference")
            report.unhonoured(where, f"{_short(message)} has no field {str(key)[:100]!r}; {hint}")
            continue
        if field.name in given:
            report.warn(where, f"the same field as {given[field.name]!r}; the last one counts")
            message.ClearField(field.name)
        given[field.name] = str(key)
        if value is None and not _takes_null(field):
            continue
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            other = oneofs.setdefault(oneof.name, str(key))
            if names[other] is not field:
                report.invalid(where, f"{other} and {key} exclude each other; write one of them")
                continue
        _set(message, field, value, _within(path, field.name), report, depth)


def _set(message: Message, field: Field, value: object, path: str, report: Report, depth: int) -> None:
    if _is_map(field):
        _set_map(message, field, value, path, report, depth)
    elif field.is_repeated:
        items = value
        if not isinstance(items, (list, tuple)):
            report.warn(path, "one value alone where a list is meant; it counts as a list of one")
            items = [value]
        into = getattr(message, field.name)
        for place, item in enumerate(items):
            where = f"{path}[{place}]"
            if field.message_type is not None:
                _fill_any(into.add(), item, where, report, depth + 1)
            else:
                scalar = _scalar(field, item, where, report)
                if scalar is not None:
                    into.append(scalar)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _fill_any(inner, value, path, report, depth + 1)
    else:
        scalar = _scalar(field, value, path, report)
        if scalar is not None:
            setattr(message, field.name, scalar)


def _set_map(message: Message, field: Field, value: object, path: str, report: Report, depth: int) -> None:
    if not isinstance(value, Mapping):
        report.invalid(path, f"{_shown(value)} is not a mapping")
        return
    entry = field.message_type
    assert entry is not None
    keys, values = entry.fields_by_name["key"], entry.fields_by_name["value"]
    into: MutableMapping[Any, Any] = getattr(message, field.name)
    for key, item in value.items():
        where = _within(path, str(key))
        known = _scalar(keys, key, where, report)
        if known is None:
            continue
        if values.message_type is not None:
            _fill_any(into[known], item, where, report, depth + 1)
        else:
            scalar = _scalar(values, item, where, report)
            if scalar is not None:
                into[known] = scalar


def _fill_any(message: Message, value: object, path: str, report: Report, depth: int) -> None:
    """A message of any kind: one of those that have a form of their own in JSON, or a usual one."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":
        _fill_packed(message, value, path, report, depth)
    elif name in WRAPPERS:
        if value is not None:
            scalar = _scalar(message.DESCRIPTOR.fields_by_name["value"], value, path, report)
            if scalar is not None:
                setattr(message, "value", scalar)  # noqa: B010 - the class is known by its name alone
    elif name in _WELL_KNOWN:
        if name.endswith("Duration") and not (isinstance(value, str) and _DURATION.fullmatch(value)):
            report.invalid(path, f"{_shown(value)} is not {_WELL_KNOWN[name]}")
            return
        try:
            json_format.Parse(json.dumps(value), message)
        except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            report.invalid(path, f"{_shown(value)} is not {_WELL_KNOWN[name]}")
    else:
        _fill(message, value, path, report, depth)


def _fill_packed(message: Message, value: object, path: str, report: Report, depth: int) -> None:
    if not isinstance(value, Mapping):
        report.invalid(path, f'{_shown(value)} is not a mapping with "@type"')
        return
    if not value:
        return
    type_url = value.get("@type")
    if not isinstance(type_url, str):
        report.invalid(path, '"@type" is missing; write type.googleapis.com/ and the full name of the message')
        return
    kind = message_class(full_name(type_url))
    any_: Any = message
    if kind is None:
        # Kept by its name: who needs it says which there are.
        any_.type_url = type_url
        return
    inner = kind()
    rest = {key: one for key, one in value.items() if key != "@type"}
    if inner.DESCRIPTOR.full_name in _WELL_KNOWN or inner.DESCRIPTOR.full_name in WRAPPERS:
        _fill_any(inner, rest.get("value"), _within(path, "value"), report, depth + 1)
    else:
        _fill(inner, rest, path, report, depth + 1)
    any_.Pack(inner, deterministic=True)


# -- single values


def _scalar(field: Field, value: object, path: str, report: Report) -> object:
    """The value as the field wants it, None when it is reported."""
    try:
        return _converted(field, value)
    except ValueError as error:
        report.invalid(path, str(error))
        return None


def _converted(field: Field, value: object) -> object:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _bytes(value)
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is not a text; write it in quotes")
        return value.encode(errors="replace").decode()
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        flag = _FLAGS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(flag, bool):
            raise ValueError(f"{_shown(value)} is neither true nor false")
        return flag
    if kind in _INTEGERS:
        return _integer(value, *_INTEGERS[kind])
    if kind in _FRACTIONS:
        return _fraction(value)
    return _enum(field, value)


def _bytes(value: object) -> bytes:
    try:
        if not isinstance(value, str):
            raise ValueError
        standard = value.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"{_shown(value)} is not base64") from None


def _integer(value: object, least: int, most: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})", value):
        value = int(value, 16) if "x" in value.lower() else int(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?", value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{_shown(value)} is out of bounds; allowed are {least} to {most}")
    return value


def _fraction(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(
        r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?|NaN|-?Infinity", value
    ):
        value = float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not a number")
    return float(value)


def _enum(field: Field, value: object) -> int:
    kind = field.enum_type
    assert kind is not None
    if kind.full_name == "google.protobuf.NullValue":
        return 0
    if isinstance(value, str):
        known = kind.values_by_name.get(value)
        if known is not None:
            return int(known.number)
        if not re.fullmatch(r"-?[0-9]{1,10}", value):
            hint = did_you_mean(value, list(kind.values_by_name), f"write one of {', '.join(kind.values_by_name)}")
            raise ValueError(f"{_shown(value)} is not known here; {hint}")
    number = _integer(value, -(2**31), 2**31 - 1)
    if number not in kind.values_by_number:
        raise ValueError(f"{number} is not known here; write one of {', '.join(kind.values_by_name)}")
    return number


# -- names


_known_names: dict[str, dict[str, Field]] = {}


def _names(message: Message) -> dict[str, Field]:
    """Both spellings of each field's name."""
    descriptor = message.DESCRIPTOR
    found = _known_names.get(descriptor.full_name)
    if found is None:
        found = {one.json_name: one for one in descriptor.fields} | {one.name: one for one in descriptor.fields}
        _known_names[descriptor.full_name] = found
    return found


def _is_map(field: Field) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def _takes_null(field: Field) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"


def _within(path: str, key: str) -> str:
    step = key if re.fullmatch(r"[\w-]+", key) else f"[{key[:100]!r}]"
    return step if not path else f"{path}{step}" if step.startswith("[") else f"{path}.{step}"


def _short(message: Message) -> str:
    return str(message.DESCRIPTOR.name)


def _shown(value: object) -> str:
    """A value as an error shows it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else f"{value!r:.100}"
