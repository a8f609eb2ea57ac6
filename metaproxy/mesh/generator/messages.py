"""
Envoy's messages, made of JSON: what is made of objects is written as control planes write it.

Lives here: `message`, `Messages`, `packed`, `duration`. Does not: what is in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from metaproxy.envoy.message_types import message_class, url
from metaproxy.envoy.resources import TYPE_NAMES, Kind

Json = dict[str, object]
T = TypeVar("T")


class Messages:
    """
    Messages by what they are made of. before: those that were made of the same objects in an earlier version, which are
    taken where they are the same: a digest of the JSON costs a tenth of a message.

    made: by digest, all that were asked for; new: how many of them are.
    """

    def __init__(self, before: Mapping[bytes, Message]) -> None:
        self.made: dict[bytes, Message] = {}
        self.new = 0
        self._before = before

    def of(self, kind: Kind, data: Mapping[str, object]) -> Message:
        """Return the message of a kind of resource."""
        key = blake2b(f"{kind} {json.dumps(data)}".encode(), digest_size=16).digest()
        found = self.made.get(key, self._before.get(key))
        if found is None:
            found = message(kind, data)
            self.new += 1
        self.made[key] = found
        return found


def message(kind: Kind, data: Mapping[str, object]) -> Message:
    """Return the message of a kind of resource."""
    found = message_class(TYPE_NAMES[kind])
    assert found is not None
    return ParseDict(dict(data), found())


def packed(name: str, data: Mapping[str, object] | None = None) -> Json:
    """Return a message that stands within another, by its full name."""
    found = message_class(name)
    assert found is not None, name  # and its type is known from now on
    return {"@type": url(name), **(data or {})}


def duration(seconds: float) -> str:
    """Return a duration as JSON has it."""
    text = f"{seconds:.9f}".rstrip("0").rstrip(".")
    return f"{text}s"


def without_nothing(data: Mapping[str, T | None]) -> dict[str, T]:
    """Return JSON without what is None."""
    return {key: value for key, value in data.items() if value is not None}
