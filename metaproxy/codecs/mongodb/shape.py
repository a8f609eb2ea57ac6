"""
The shape of a command: its fields without their values, so that commands that only differ in these are the same.

    {find: "orders", filter: {price: {$gt: 5}, state: {$in: ["a", "b"]}}}
    find shop.orders filter:{price:{$gt:?},state:{$in:[?]}}

Field names stay, as do the stages of a pipeline; of equal neighbours in an array one is left. What says who asks, how
long, and how sure it wants to be of an answer is left out. Bounded: whatever a client sends, some hundred fields are
looked at, and the text ends with `...`.

Lives here: `shape`, `fingerprint`. Does not: values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.message import FrameError

LONGEST: Final = 2048
"""Characters of a shape."""
_MOST_FIELDS: Final = 256
_DEEPEST: Final = 12
_LEFT_OUT: Final = frozenset(
    (
        b"$clusterTime", b"$db", b"$readPreference", b"apiDeprecationErrors", b"apiStrict", b"apiVersion",
        b"autocommit", b"batchSize", b"comment", b"cursor", b"documents", b"lsid", b"maxTimeMS", b"ordered",
        b"readConcern", b"startTransaction", b"txnNumber", b"writeConcern",
    )
)  # fmt: skip
_SHOWN_SEQUENCES: Final = frozenset((b"deletes", b"ops", b"updates"))
"""Sequences beside the command whose first document shows what it does; `documents` are only values."""


class _Writer:
    """The text so far. left: fields that may still be looked at."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self.left = _MOST_FIELDS

    def add(self, part: str) -> None:
        self.parts.append(part)
        self.size += len(part)

    @property
    def full(self) -> bool:
        return self.left <= 0 or self.size > LONGEST


def shape(frame: bytes, body: wire.Body, operation: str) -> str:
    """The shape of a command. operation: its name and namespace, which it begins with."""
    writer = _Writer()
    writer.add(operation)
    for place, element in enumerate(bson.elements(frame, *body)):
        nested = element.type in (bson.DOCUMENT, bson.ARRAY)
        if element.name in _LEFT_OUT or (not place and not nested):
            continue
        if writer.full:
            break
        writer.add(f" {_name(element)}:")
        _value(frame, element, writer, 0)
    for name, document in _sequences(frame):
        writer.add(f" {name.decode('latin-1')}:[")
        _fields(frame, document, writer, 0)
        writer.add("]")
    text = "".join(writer.parts)
    return f"{text[:LONGEST]}..." if writer.full else text


def fingerprint(text: str) -> str:
    """Sixteen digits that are the same for equal shapes."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _name(element: bson.Element) -> str:
    return element.name[:128].decode("utf-8", "replace")


def _value(frame: bytes, element: bson.Element, writer: _Writer, depth: int) -> None:
    if element.type not in (bson.DOCUMENT, bson.ARRAY):
        writer.add("?")
    elif depth >= _DEEPEST or writer.full:
        writer.add("...")
    elif element.type == bson.DOCUMENT:
        _fields(frame, element, writer, depth + 1)
    else:
        _items(frame, element, writer, depth + 1)


def _fields(frame: bytes, document: bson.Element, writer: _Writer, depth: int) -> None:
    writer.add("{")
    for place, element in enumerate(bson.elements(frame, document.at, document.stop)):
        if writer.full:
            break
        writer.left -= 1
        writer.add(f"{',' if place else ''}{_name(element)}:")
        _value(frame, element, writer, depth)
    writer.add("}")


def _items(frame: bytes, array: bson.Element, writer: _Writer, depth: int) -> None:
    """The items, of equal neighbours one."""
    writer.add("[")
    before = ""
    for element in bson.elements(frame, array.at, array.stop):
        if writer.full:
            break
        writer.left -= 1
        inner = _Writer()
        inner.left, inner.size = writer.left, writer.size
        _value(frame, element, inner, depth)
        writer.left = inner.left
        item = "".join(inner.parts)
        if item != before:
            writer.add(f",{item}" if before else item)
            before = item
    writer.add("]")


def _sequences(frame: bytes) -> Iterator[tuple[bytes, bson.Element]]:
    """The first document of each sequence that shows what a command does, where the message is whole."""
    if wire.op_code(frame) != wire.OP_MSG or len(frame) < wire.total(frame):
        return
    for name, at, end in wire.sequences(frame):
        if name in _SHOWN_SEQUENCES and at < end:
            try:
                stop = at + bson.size(frame, at, end)
            except FrameError:  # the server says what is wrong with it
                return
            yield name, bson.Element(bson.DOCUMENT, name, at, stop, at)
