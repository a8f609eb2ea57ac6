"""
What a global rate limit counts by: descriptors, made of a request's metadata.

Lives here: `Descriptor`, its entries and limit as they are written, and `Asked`, what one request asks about. Does not:
who counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Annotated, Literal, NamedTuple

from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.units import Option

Get = Callable[[str], "str | None"]

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
LONGEST = 256
"""Characters of a value; what stands for a longer one is a digest of it, as each value takes memory somewhere."""


class Limit:
    """How many requests may pass in which time. Equal where both are: what is known by it outlasts a reload."""

    def __init__(
        self,
        requests_per_unit: Annotated[int, Option("How many.", least=0)],
        unit: Annotated[Literal["second", "minute", "hour", "day"], Option("In which time.")],
    ) -> None:
        self.requests = requests_per_unit
        self.unit = unit
        self.seconds = UNITS[unit]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limit) and (self.requests, self.unit) == (other.requests, other.unit)

    def __hash__(self) -> int:
        return hash((self.requests, self.unit))


class Asked(NamedTuple):
    """One descriptor of one request: its entries, key and value, and its limit, if it has one."""

    entries: tuple[tuple[str, str], ...]
    limit: Limit | None


class _Entry:
    """`{key, from: metadata key}` or `{key, value: literal}`."""

    def __init__(self, key: str, source: str, value: str, skip_if_absent: bool) -> None:
        self.key = key
        self.source = source
        self.value = value
        self.skip_if_absent = skip_if_absent


class Descriptor:
    """Entries that belong together; each combination of their values is counted for itself."""

    def __init__(self, entries: list[_Entry], limit: Limit | None) -> None:
        self._entries = entries
        self.limit = limit

    def asked(self, get: Get) -> Asked | None:
        """None when an entry without which it does not count is missing."""
        found = []
        for entry in self._entries:
            value = entry.value
            if entry.source:
                given = get(entry.source)
                if given is None and entry.skip_if_absent:
                    return None
                value = _bounded(given or "")
            found.append((entry.key, value))
        return Asked(tuple(found), self.limit)


def _bounded(value: str) -> str:
    if len(value) <= LONGEST:
        return value
    return "blake2b:" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def descriptors(written: list[object]) -> list[Descriptor]:
    """
    Each is a list of entries, or a mapping with `entries` and `limit`, or with `property` and `descriptor_key` for one
    entry. Raises OptionError.
    """
    if not written:
        raise OptionError("descriptors", "an empty list; write what requests are counted by")
    return [_descriptor(one, place) for place, one in enumerate(written)]


def _descriptor(written: object, place: int) -> Descriptor:
    if isinstance(written, list):
        return Descriptor(_entries(written, place, ()), None)
    if not isinstance(written, Mapping):
        text = f"{written!r:.100} is neither a list of entries such as {{key: user, from: user}} nor a mapping"
        raise OptionError("descriptors", text, path=(place,))
    inner = dict(written)
    limit = made(Limit, inner.pop("limit"), "descriptors", place, "limit") if "limit" in inner else None
    if inner.keys() == {"entries"} and isinstance(inner["entries"], list):
        return Descriptor(_entries(inner["entries"], place, ("entries",)), limit)
    if inner.keys() == {"property", "descriptor_key"}:
        entry = {"key": inner["descriptor_key"], "from": inner["property"]}
        return Descriptor([_entry(entry, (place,))], limit)
    text = "write {entries: [...], limit: {...}} or {property: ..., descriptor_key: ..., limit: {...}}"
    raise OptionError("descriptors", f"{', '.join(map(str, inner)) or 'nothing'}: {text}", path=(place,))


def _entries(written: list[object], place: int, path: tuple[str | int, ...]) -> list[_Entry]:
    if not written:
        raise OptionError("descriptors", "a descriptor without entries", path=(place, *path))
    return [_entry(one, (place, *path, number)) for number, one in enumerate(written)]


def _entry(written: object, path: tuple[str | int, ...]) -> _Entry:
    if not isinstance(written, Mapping):
        raise OptionError("descriptors", f"{written!r:.100} is not {{key: ..., from: ...}}", path=path)
    for key in written:
        if key not in ("key", "from", "value", "skip_if_absent"):
            text = f"unknown key {key!r}; there are key, from, value, skip_if_absent"
            raise OptionError("descriptors", text, path=(*path, str(key)))
    key, source, value = (written.get(name) for name in ("key", "from", "value"))
    if not isinstance(key, str) or not key:
        raise OptionError("descriptors", "key is missing, or no text", path=path)
    if (source is None) == (value is None):
        raise OptionError("descriptors", "write from: METADATA KEY, or value: TEXT; one of them", path=path)
    if source is not None and (not isinstance(source, str) or not source):
        raise OptionError("descriptors", f"{source!r:.100} is not the name of a metadata key", path=(*path, "from"))
    if isinstance(value, (dict, list, bool)):
        raise OptionError("descriptors", f"{value!r:.100} is not a text", path=(*path, "value"))
    skip = written.get("skip_if_absent", False)
    if not isinstance(skip, bool) or (skip and source is None):
        raise OptionError("descriptors", "write true or false, with from", path=(*path, "skip_if_absent"))
    return _Entry(key, source or "", "" if value is None else str(value), skip)
