"""
The only way in which translators read a message: what they don't read is reported, so that nothing is dropped silently.

Lives here: `Fields`, `Extension`. Does not: what a field means (translators), texts of files (`reading`).

Each reader notes the field that it reads. `close` reports every field that is set and was not read, with its path, in
this message and in all those within it that were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from metaproxy.envoy.json_mapping import WRAPPERS, fill
from metaproxy.envoy.message_types import TYPED_STRUCTS, full_name, message_class
from metaproxy.envoy.report import Report

_SHARES = {0: 1.0, 1: 100.0, 2: 10000.0}
"""envoy.type.v3.FractionalPercent.DenominatorType -> what makes a percentage of its numerator, inverted."""


class Fields:
    """
    One message that is being translated. path: where it stands; report: where findings go.

    A reader of a field that is not set returns what stands beside it as `default`, or else the empty value of its type.
    """

    def __init__(self, message: Message, path: str, report: Report) -> None:
        self.message = message
        self.path = path
        self.report = report
        self._descriptors = message.DESCRIPTOR.fields_by_name
        self._read: set[str] = set()
        self._within: dict[str, list[Fields]] = {}
        self._given_up = False
        self._guards = False

    @property
    def type(self) -> str:
        """The message's full name."""
        return str(self.message.DESCRIPTOR.full_name)

    def at(self, name: str, place: int | str | None = None) -> str:
        """The path of a field, or of what stands at a place of it."""
        path = f"{self.path}.{name}" if self.path else name
        if place is None:
            return path
        if isinstance(place, int):
            return f"{path}[{place}]"
        return f"{path}.{place}" if re.fullmatch(r"[\w-]+", place) else f"{path}[{place!r}]"

    def given(self, name: str) -> bool:
        """Whether a field is set. This does not count as reading it."""
        field = self._descriptors[name]
        return self.message.HasField(name) if field.has_presence else bool(getattr(self.message, name))

    def has(self, name: str) -> bool:
        """Whether messages of this kind have a field of that name: newer ones have more."""
        return name in self._descriptors

    def which(self, oneof: str) -> str | None:
        """The name of the field that is set of those that exclude each other. This does not count as reading it."""
        found = self.message.WhichOneof(oneof)
        return None if found is None else str(found)

    # -- findings about fields

    def unhonoured(self, name: str, text: str) -> None:
        """Report a field that metaproxy does not do, as a whole: nothing more is said of what is within it."""
        self._read.add(name)
        self._within.pop(name, None)
        self.report.unhonoured(self.at(name), text)

    def essential(self, name: str, text: str) -> None:
        """As `unhonoured`, for what keeps somebody out; see `Report.essential`."""
        self._read.add(name)
        self._within.pop(name, None)
        self.report.essential(self.at(name), text)

    def invalid(self, name: str, text: str) -> None:
        """Report a field that is malformed."""
        self._read.add(name)
        self.report.invalid(self.at(name), text)

    def refuse(self, name: str, text: str, *harmless: object) -> None:
        """Report a field that metaproxy does not do, unless it is not set or has a value that changes nothing."""
        if self.given(name) and self._plain(name) not in harmless:
            self.report.unhonoured(self.at(name), text)
        self._read.add(name)

    def ignore(self, *names: str) -> None:
        """Count fields as read that change nothing: a note for people, or a setting of Envoy's own machinery."""
        for name in names:
            assert name in self._descriptors, name
            self._read.add(name)
            self.report.inert.add((self.type, name))

    def leave(self, name: str) -> None:
        """Report nothing of what is within a field: another `Fields` of the same messages did."""
        self._read.add(name)
        self._within.pop(name, None)

    def give_up(self) -> None:
        """Report no field of this message: that all of it is beyond metaproxy is reported where it is packed."""
        self._given_up = True

    def guard(self) -> None:
        """Count what is not read of this message, and within it, as essential: the message keeps somebody out."""
        self._guards = True

    def require(self, name: str) -> bool:
        """Report a field that must be set and is not. Return whether it is."""
        if self.given(name):
            return True
        self.report.invalid(self.path, f"{name} is missing")
        return False

    # -- single values

    def text(self, name: str, default: str = "") -> str:
        value = self._plain(name)
        return str(value) if value is not None and self.given(name) else default

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._plain(name)
        return bool(value) if value is not None and self.given(name) else default

    def whole(self, name: str, default: int = 0) -> int:
        value = self._plain(name)
        return int(value) if isinstance(value, (int, float)) and self.given(name) else default

    def decimal(self, name: str, default: float = 0.0) -> float:
        value = self._plain(name)
        return float(value) if isinstance(value, (int, float)) and self.given(name) else default

    def data(self, name: str) -> bytes:
        value = self._plain(name)
        return value if isinstance(value, bytes) else b""

    def choice(self, name: str) -> str:
        """The name of an enumeration's value; that of the first one when it is not set."""
        number = self._value(name)
        kind = self._descriptors[name].enum_type
        assert kind is not None
        known = kind.values_by_number.get(number if isinstance(number, int) else 0)
        if known is None:
            self.report.unhonoured(self.at(name), f"{number} is not known here")
            return str(kind.values[0].name)
        return str(known.name)

    def seconds(self, name: str, default: float | None = None) -> float | None:
        """A duration."""
        if not self.given(name):
            self._read.add(name)
            return default
        value = self._value(name)
        length = float(getattr(value, "seconds", 0)) + float(getattr(value, "nanos", 0)) / 1e9
        if length < 0:
            self.report.invalid(self.at(name), f"{length:g} s is less than nothing")
            return default
        return length

    def percent(self, name: str, default: float | None = None) -> float | None:
        """A percentage, whatever its type: Percent, FractionalPercent, RuntimeFractionalPercent's default value."""
        inner = self.message_at(name)
        if inner is None:
            return default
        return inner.as_percent()

    def as_percent(self) -> float:
        """This message as a percentage, where it is one; see `percent`."""
        if "value" in self._descriptors:
            return self._share(self.decimal("value"))
        value = float(self.whole("numerator"))
        share = _SHARES.get(self.whole("denominator"))
        if share is None:
            self.report.invalid(self.at("denominator"), "is none of HUNDRED, TEN_THOUSAND and MILLION")
            return 0.0
        return self._share(value / share)

    def _share(self, value: float) -> float:
        if not value >= 0:  # also what is no number
            self.report.invalid(self.path, f"{value:g} % is no share; write 0 to 100")
            return 0.0
        return min(value, 100.0)

    def struct(self, name: str) -> dict[str, object]:
        """A google.protobuf.Struct as plain values."""
        value = self._value(name)
        return self._plain_struct(value, name) if isinstance(value, Message) and self.given(name) else {}

    # -- values of values

    def message_at(self, name: str) -> Fields | None:
        """The message at a field; None when it is not set."""
        self._read.add(name)
        if not self.given(name):
            return None
        known = self._within.get(name)
        if known is None:
            known = self._within[name] = [Fields(getattr(self.message, name), self.at(name), self.report)]
        return known[0]

    def each(self, name: str) -> list[Fields]:
        """The messages of a list."""
        known = self._within.get(name)
        if known is None:
            self._read.add(name)
            items = enumerate(getattr(self.message, name))
            known = [Fields(item, self.at(name, place), self.report) for place, item in items]
            self._within[name] = known
        return known

    def texts(self, name: str) -> list[str]:
        """The texts of a list."""
        self._read.add(name)
        return [str(item) for item in getattr(self.message, name)]

    def wholes(self, name: str) -> list[int]:
        """The numbers of a list."""
        self._read.add(name)
        return [int(item) for item in getattr(self.message, name)]

    def entries(self, name: str) -> dict[str, Fields]:
        """The messages of a map, by their keys, in the order of these."""
        self._read.add(name)
        values = getattr(self.message, name)
        known = self._within.get(name)
        keys = sorted(values)
        if known is None:
            known = [Fields(values[key], self.at(name, str(key)), self.report) for key in keys]
            self._within[name] = known
        return dict(zip(map(str, keys), known, strict=True))

    def words(self, name: str) -> dict[str, str]:
        """The texts of a map, by their keys."""
        self._read.add(name)
        values = getattr(self.message, name)
        return {str(key): str(values[key]) for key in sorted(values)}

    def structs(self, name: str) -> dict[str, dict[str, object]]:
        """The google.protobuf.Struct messages of a map, as plain values."""
        self._read.add(name)
        values = getattr(self.message, name)
        return {str(key): self._plain_struct(values[key], name) for key in sorted(values)}

    def _plain_struct(self, struct: Message, name: str) -> dict[str, object]:
        try:
            return _plain_numbers(MessageToDict(struct))
        except (ValueError, SerializeToJsonError):  # what is no number, or without an end: JSON has no word for it
            self.report.invalid(self.at(name), "a number that is none")
            return {}

    # -- what is packed

    def extension(self, config: str = "typed_config", name: str | None = "name") -> Extension:
        """What is packed at a field, unpacked: also from a TypedStruct of either kind. name: the field of its name."""
        label = self.text(name) if name is not None else ""
        self._read.add(config)
        if not self.given(config):
            return Extension(label, "", None, self.path)
        return self._unpacked(label, getattr(self.message, config), config, self.at(config))

    def extensions(self, config: str) -> dict[str, Extension]:
        """What is packed in a map, by its keys."""
        self._read.add(config)
        values = getattr(self.message, config)
        return {
            str(key): self._unpacked(str(key), values[key], f"{config}.{key}", self.at(config, str(key)))
            for key in sorted(values)
        }

    def packed(self, config: str) -> list[Extension]:
        """What is packed in a list."""
        self._read.add(config)
        return [
            self._unpacked("", one, f"{config}[{place}]", self.at(config, place))
            for place, one in enumerate(getattr(self.message, config))
        ]

    def _unpacked(self, label: str, packed: Message, slot: str, path: str) -> Extension:
        type_url = str(getattr(packed, "type_url", ""))
        if not type_url:
            return Extension(label, "", None, path)
        kind = full_name(type_url)
        if slot in self._within:
            known = self._within[slot][0]
            return Extension(label, known.type, known, known.path)
        if kind in TYPED_STRUCTS:
            return self._from_struct(label, packed, slot, path)
        found = message_class(kind)
        if found is None:
            return Extension(label, kind, None, path)
        message = found()
        try:
            message.ParseFromString(getattr(packed, "value", b""))
        except DecodeError:
            self.report.invalid(path, f"these bytes are no {kind}")
            return Extension(label, kind, None, path)
        return self._keep(label, message, slot, path)

    def _from_struct(self, label: str, packed: Message, slot: str, path: str) -> Extension:
        message = (message_class(full_name(str(getattr(packed, "type_url", "")))) or Message)()
        try:
            message.ParseFromString(getattr(packed, "value", b""))
        except DecodeError:
            self.report.invalid(path, "these bytes are no TypedStruct")
            return Extension(label, "", None, path)
        kind = full_name(str(getattr(message, "type_url", "")))
        found = message_class(kind)
        path = f"{path}.value"
        if found is None:
            return Extension(label, kind, None, path)
        inner = found()
        try:
            plain: object = MessageToDict(getattr(message, "value", Message()))
        except (ValueError, SerializeToJsonError):
            self.report.invalid(path, "a number that is none")
            return Extension(label, kind, None, path)
        fill(inner, plain, path, self.report)
        return self._keep(label, inner, slot, path)

    def _keep(self, label: str, message: Message, slot: str, path: str) -> Extension:
        fields = Fields(message, path, self.report)
        self._within[slot] = [fields]
        return Extension(label, fields.type, fields, path)

    def beside(self, message: Message, path: str) -> Fields:
        """A message that stands elsewhere and that this one refers to: what is not read of it is reported as well."""
        fields = Fields(message, path, self.report)
        self._within[path] = [fields]
        return fields

    # -- the end

    def close(self, guarded: bool = False) -> None:
        """Report what is set and was not read, here and within. guarded: see `guard`; raises Unusable then."""
        if self._given_up:
            return
        guarded = guarded or self._guards
        report = self.report.essential if guarded else self.report.unhonoured
        for field, _ in self.message.ListFields():
            if field.name not in self._read:
                text = f"metaproxy can't honour this: it has nothing for {self.message.DESCRIPTOR.name}.{field.name}"
                report(self.at(field.name), text)
        unknown_fields = UnknownFieldSet(self.message)
        for place in range(len(unknown_fields)):
            unknown = unknown_fields[place]
            text = f"{self.message.DESCRIPTOR.name} has no field of this number here; it may be newer than metaproxy"
            report(self.at(f"<{unknown.field_number}>"), text)
        for inner in self._inner():
            inner.close(guarded)

    def _inner(self) -> Iterator[Fields]:
        for known in self._within.values():
            yield from known

    # -- reading

    def _value(self, name: str) -> object:
        self._read.add(name)
        value: object = getattr(self.message, name)
        return value

    def _plain(self, name: str) -> object:
        """A value; what a wrapper holds in its place. None for a wrapper that is not set."""
        value = self._value(name)
        if isinstance(value, Message) and value.DESCRIPTOR.full_name in WRAPPERS:
            return getattr(value, "value") if self.message.HasField(name) else None  # noqa: B009 - see json_mapping
        return value


def _plain_numbers(struct: dict[str, object]) -> dict[str, object]:
    """A Struct has fractions only, in no order: make whole numbers of those that are, and sort."""
    return {key: _whole(struct[key]) for key in sorted(struct)}


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return _plain_numbers(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Extension(NamedTuple):
    """
    What is packed at a field. name: of the extension, as the field beside says; type: the full name of its message, ''
    when nothing is packed; config: the message, None when nothing is packed or no such message is known; path: where.
    """

    name: str
    type: str
    config: Fields | None
    path: str


def shown_seconds(length: float) -> str:
    """A duration as our own configuration has it: 90s, 250ms, 0.5ms."""
    if length == int(length):
        return f"{int(length)}s"
    milliseconds = round(length * 1000, 6)
    return f"{int(milliseconds)}ms" if milliseconds == int(milliseconds) else f"{length:.9f}".rstrip("0") + "s"


def number(value: float) -> int | float:
    """A number as one would write it: without a fraction where there is none."""
    return int(value) if value == int(value) else round(value, 9)


def without_empty(section: Mapping[str, object]) -> dict[str, object]:
    """A section without the keys that say nothing."""
    return {key: value for key, value in section.items() if value not in (None, "", [], {}, ())}
