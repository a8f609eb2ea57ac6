"""
What Kafka's messages have in them, version by version, as Kafka's own definitions say it.

Lives here: the data of schemas.json as `Api`, `Form` and `Field`, and the numbers of errors. Does not: bytes (`walk`,
`wire`). tools/kafka_schemas.py makes the data; no API is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

ENDLESS: Final = 999


class Field(NamedTuple):
    """
    A field of a version. kind: its type, without `[]`; repeated: an array of these; tag: -1 for none; fields: of a
    struct; entity: what it names, such as topicName, or ''; default: what the definition says, or None.
    """

    name: str
    kind: str
    repeated: bool
    nullable: bool
    tag: int
    entity: str
    default: object
    fields: tuple[Field, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """
    What requests, or answers, of a version of an API have behind their header. There is one of each, so that what is
    made of a form is found by it without a look at its fields.
    """

    api: str
    key: int
    version: int
    flexible: bool
    fields: tuple[Field, ...]


class Api(NamedTuple):
    """name: as in Produce; first, last: versions that are known; flexible: the first with compact types and tags."""

    name: str
    key: int
    first: int
    last: int
    flexible: int
    request: Sequence[Mapping[str, Any]]
    response: Sequence[Mapping[str, Any]]


def _load() -> tuple[dict[int, Api], dict[str, int]]:
    data = json.loads(files(__package__).joinpath("schemas.json").read_text("utf-8"))
    apis = (
        Api(one["name"], one["key"], first, last, one["flexible"], one["request"], one["response"])
        for one in data["apis"]
        for first, last in [one["versions"]]
    )
    return {api.key: api for api in apis}, data["errors"]


APIS, ERRORS = _load()
ERROR_NAMES: Final = {code: name for name, code in ERRORS.items()}
KEYS: Final = {api.name: key for key, api in APIS.items()}


@cache
def request(key: int, version: int) -> Form | None:
    """None for what is not known."""
    return _form(key, version, answer=False)


@cache
def response(key: int, version: int) -> Form | None:
    """None for what is not known."""
    return _form(key, version, answer=True)


def _form(key: int, version: int, answer: bool) -> Form | None:
    api = APIS.get(key)
    if api is None or not api.first <= version <= api.last:
        return None
    listed = api.response if answer else api.request
    return Form(api.name, key, version, version >= api.flexible, _fields(listed, version))


def _fields(listed: Sequence[Mapping[str, Any]], version: int) -> tuple[Field, ...]:
    return tuple(_field(one, version) for one in listed if _within(one["v"], version))


def _field(one: Mapping[str, Any], version: int) -> Field:
    kind = one["t"]
    tag = one.get("g")
    return Field(
        one["n"],
        kind.removeprefix("[]"),
        kind.startswith("[]"),
        _within(one.get("z", ()), version),
        tag[0] if tag and _within(tag[1:], version) else -1,
        one.get("e", ""),
        one.get("d"),
        _fields(one.get("f", ()), version),
    )


def _within(versions: Sequence[int], version: int) -> bool:
    return bool(versions) and versions[0] <= version <= versions[1]
