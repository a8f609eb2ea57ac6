"""
Changes to what a bRPC frame's meta carries.

Pairs stand in user_fields of the meta in bRPC, and in the request's own meta in brpc-java and Starlight, which have
them under the number of bRPC's request_id. Lives here: putting them into one of the two, and taking them out of both;
fields of the request that are keys of their own. Does not: what any of it means (`metadata`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Final

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.brpc.frame import HEAD, meta_end, meta_fields, spliced
from metaproxy.codecs.brpc.metadata import PREFIX
from metaproxy.codecs.protobuf_wire import Field, changed_map, fields, write, write_entry, write_number
from metaproxy.message import FrameError, Mutation

_NUMBERS: Final = {"timeout_ms": tags.TIMEOUT_MS, "log_id": tags.LOG_ID}
_REQUEST_ID: Final = ("request_id", "x-request-id")


def mutated(frame: bytes, mutation: Mutation, dialect: str) -> bytes:
    """dialect: auto, cpp or java. Raises FrameError."""
    found = meta_fields(frame)
    inner = [
        field for outer in found if outer[0] == tags.REQUEST for field in fields(frame, outer[2], outer[3])
    ]  # readers of protobuf make one request of several
    has_request = any(field[0] == tags.REQUEST for field in found)
    java = has_request and (dialect == "java" or (dialect == "auto" and _has_pairs(frame, inner)))
    numbers = _NUMBERS if has_request else {}
    ids = () if java or not has_request else _REQUEST_ID
    put = {_name(key): value for key, value in mutation.set.items() if key not in numbers and key not in ids}
    gone = {_name(key) for key in (*mutation.remove, *put)} | {key for key in mutation.set if key in ids}
    if has_request:
        request = _kept(frame, inner, mutation, numbers, ids, gone)
        request += [
            write_number(numbers[key], _number(key, mutation.set[key])) for key in numbers if key in mutation.set
        ]
        request += [_text(tags.REQUEST_ID, mutation.set[key]) for key in ids if key in mutation.set][-1:]
        if java:
            request += [write_entry(tags.REQUEST_ID, key, value) for key, value in put.items()]
            put = {}
        frame, found = _with_request(frame, found, inner, b"".join(request))
    meta = b"".join(changed_map(frame, found, tags.USER_FIELDS, put, gone - put.keys()))
    end = meta_end(frame)
    return frame if meta == frame[HEAD:end] else spliced(frame, HEAD, end, meta)


def _name(key: str) -> str:
    """A pair's name: one that is that of another key is shown with a prefix."""
    return key.removeprefix(PREFIX)


def _has_pairs(frame: bytes, inner: Iterable[Field]) -> bool:
    return any(field[0] == tags.REQUEST_ID and tags.pair(frame, field) is not None for field in inner)


def _kept(
    frame: bytes,
    inner: Iterable[Field],
    mutation: Mutation,
    numbers: Mapping[str, int],
    ids: Iterable[str],
    gone: Set[str],
) -> list[bytes]:
    """The request's fields that are neither set nor removed, as they are."""
    named = {*mutation.set, *mutation.remove}
    without = {numbers[key] for key in named if key in numbers}
    no_id = not named.isdisjoint(ids)
    names = {name.encode("utf-8", "replace") for name in gone}
    kept = []
    for field in inner:
        if field[0] in without:
            continue
        if field[0] == tags.REQUEST_ID:
            pair = tags.pair(frame, field)
            if no_id if pair is None else pair[0] in names:
                continue
        kept.append(frame[field[1] : field[3]])
    return kept


def _with_request(
    frame: bytes, found: list[Field], inner: Iterable[Field], request: bytes
) -> tuple[bytes, list[Field]]:
    """The frame with another request in the place of those that it has, if it is another; and its fields."""
    if request == b"".join(frame[start:stop] for _, start, _, stop in inner):
        return frame, found
    parts, written = [], False
    for field in found:
        if field[0] != tags.REQUEST:
            parts.append(frame[field[1] : field[3]])
        elif not written:
            written = True
            parts.append(write(tags.REQUEST, request))
    changed = spliced(frame, HEAD, meta_end(frame), b"".join(parts))
    return changed, meta_fields(changed)


def _number(key: str, value: str) -> int:
    """Raises FrameError for what is no number."""
    if not re.fullmatch("-?[0-9]{1,18}", value):
        raise FrameError(f"{key}: {value[:40]!r} is no number, which it must be in bRPC")
    return int(value)


def _text(tag: int, value: str) -> bytes:
    return write(tag, value.encode("utf-8", "replace"))
