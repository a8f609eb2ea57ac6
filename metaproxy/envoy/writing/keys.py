"""
The only way in which writers read a section: what they don't read is an error, so that nothing is dropped silently.

Lives here: `Keys`, `OptionKeys`, `Unsayable`. Does not: what a key means in Envoy (writers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import Section

Plain = dict[str, object]
"""A message of Envoy's, as its JSON has it, with the names of its .proto files."""


class Unsayable(Exception):
    """A configuration that Envoy's form has no words for. lines: a key each, with the reason."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


class Keys:
    """The keys of a section that is being written. path: where it stands; wrong: what can't be said, so far."""

    def __init__(self, section: Section, path: str, wrong: list[str]) -> None:
        self.section = section
        self.path = path
        self.wrong = wrong
        self._defaults = {
            one.name: one.default_factory()
            for one in fields(section)
            if "option" in one.metadata and callable(one.default_factory)
        }
        self._left = {one.name for one in fields(section) if "option" in one.metadata}

    def at(self, key: str, place: int | str | None = None) -> str:
        path = f"{self.path}.{key}" if self.path else key
        return path if place is None else f"{path}[{place!r}]"

    def given(self, key: str) -> bool:
        """Whether a key has another value than by default. This does not count as reading it."""
        return key not in self._defaults or getattr(self.section, key) != self._defaults[key]

    def ignore(self, *keys: str) -> None:
        """Count keys as read that change nothing in Envoy."""
        self._left.difference_update(keys)

    def cannot(self, key: str, text: str) -> None:
        """Envoy's form has no words for what a key says."""
        self._left.discard(key)
        self.wrong.append(f"{self.at(key)}: {text}")

    def refuse(self, key: str, text: str) -> None:
        """As `cannot`, unless the key has its default."""
        self._left.discard(key)
        if self.given(key):
            self.cannot(key, text)

    def text(self, key: str) -> str:
        return str(self._value(key) or "")

    def flag(self, key: str) -> bool:
        return bool(self._value(key))

    def number(self, key: str) -> float:
        value = self._value(key)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def whole(self, key: str) -> int:
        return int(self.number(key))

    def texts(self, key: str) -> list[str]:
        value = self._value(key)
        return [str(one) for one in value] if isinstance(value, (tuple, list)) else []

    def mapping(self, key: str) -> dict[str, object]:
        value = self._value(key)
        return {str(name): one for name, one in value.items()} if isinstance(value, Mapping) else {}

    def use(self, key: str) -> Use | None:
        value = self._value(key)
        return value if isinstance(value, Use) else None

    def uses(self, key: str) -> list[Use]:
        value = self._value(key)
        return [one for one in value if isinstance(one, Use)] if isinstance(value, tuple) else []

    def inner(self, key: str) -> Keys | None:
        """A section within; None when there is none. The writer closes it."""
        value = self._value(key)
        return Keys(value, self.at(key), self.wrong) if isinstance(value, Section) else None

    def each(self, key: str) -> list[Keys]:
        """The sections of a list. The writer closes them."""
        value = self._value(key)
        if not isinstance(value, (tuple, list)):
            return []
        return [
            Keys(one, self.at(key, getattr(one, "name", "") or place), self.wrong)
            for place, one in enumerate(value)
            if isinstance(one, Section)
        ]

    def each_of(self, key: str) -> dict[str, Keys]:
        """The sections of a mapping. The writer closes them, if it does not read them whole."""
        value = self._value(key)
        if not isinstance(value, Mapping):
            return {}
        return {
            str(name): Keys(one, self.at(key, str(name)), self.wrong)
            for name, one in value.items()
            if isinstance(one, Section)
        }

    def options(self, use: Use, path: str) -> OptionKeys:
        """The options of a plugin. The writer closes them."""
        return OptionKeys(use.options, path, self.wrong)

    def close(self) -> None:
        """Report what was not read and says something."""
        for key in sorted(self._left):
            if self.given(key):
                self.cannot(key, "Envoy's form has nothing for this")

    def _value(self, key: str) -> object:
        self._left.discard(key)
        value: object = getattr(self.section, key)
        return value


class OptionKeys:
    """The options of a plugin that is being written."""

    def __init__(self, options: Mapping[str, object], path: str, wrong: list[str]) -> None:
        self._options = options
        self.path = path
        self.wrong = wrong
        self._left = set(options)

    def take(self, name: str, default: object = None) -> object:
        self._left.discard(name)
        return self._options.get(name, default)

    def cannot(self, name: str, text: str) -> None:
        self._left.discard(name)
        self.wrong.append(f"{self.path}.{name}: {text}")

    def close(self) -> None:
        for name in sorted(self._left):
            self.cannot(name, "Envoy's form has nothing for this")


def seconds(length: float) -> str:
    """A duration."""
    return f"{length:.9f}".rstrip("0").rstrip(".") + "s"


def typed(kind: str, **fields_: object) -> Plain:
    """A packed message."""
    return {"@type": f"type.googleapis.com/{kind}", **fields_}


def extension(name: str, config: Plain, key: str = "typed_config") -> Plain:
    """An extension by its name, with its message."""
    return {"name": name, key: config}


def without_empty(message: Mapping[str, object]) -> Plain:
    """A message without the fields that say nothing."""
    return {key: value for key, value in message.items() if value not in (None, "", [], {}, ())}


def address(text: str) -> Plain:
    """An address such as 127.0.0.1:80, [::1]:80 or unix:/path."""
    if text.startswith("unix:"):
        return {"pipe": {"path": text.removeprefix("unix:")}}
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def percent(share: float) -> Plain:
    """A RuntimeFractionalPercent."""
    return {"default_value": {"numerator": round(share * 10000), "denominator": "MILLION"}}


def file(path: object) -> Plain:
    """A DataSource."""
    return {"filename": str(path)}
