"""
The annotations google.api.http of a method, read from the bytes of its options.

Source: google/api/http.proto of github.com/googleapis/googleapis. They are an extension of MethodOptions; read here by
numbers, so that the set of descriptors need not hold google/api/annotations.proto, nor a package be installed. Lives
here: `rules_in`, `Rule`. Does not: templates of paths (`paths`).
"""

from __future__ import annotations

from typing import NamedTuple

from metaproxy.codecs.protobuf_wire import Field, fields
from metaproxy.message import FrameError

_HTTP = 72295728 << 3 | 2
_METHODS = {2: "GET", 3: "PUT", 4: "POST", 5: "DELETE", 6: "PATCH"}
_BODY, _CUSTOM, _MORE, _ANSWER = 7, 8, 11, 12
_DEPTH = 2
"""Additional bindings have none of their own."""


class Rule(NamedTuple):
    """body: "", "*" or the name of a field; answer: the field that is the answer's body, "" for all of it."""

    method: str
    path: str
    body: str = ""
    answer: str = ""


def rules_in(options: bytes) -> list[Rule]:
    """The rules of a method whose MethodOptions these are. Raises ValueError for bytes that are none."""
    found: list[Rule] = []
    try:
        for each in fields(options, 0, len(options)):
            if each[0] == _HTTP:
                _read(options, each, found, 1)
    except FrameError as error:
        raise ValueError(str(error)) from None
    return found


def _read(data: bytes, rule: Field, found: list[Rule], depth: int) -> None:
    method = path = body = answer = ""
    inner: list[Field] = []
    for each in fields(data, rule[2], rule[3]):
        number, value = each[0] >> 3, data[each[2] : each[3]].decode("utf-8", "replace")
        if number in _METHODS:
            method, path = _METHODS[number], value
        elif number == _CUSTOM:
            method, path = _custom(data, each)
        elif number == _BODY:
            body = value
        elif number == _ANSWER:
            answer = value
        elif number == _MORE and depth < _DEPTH:
            inner.append(each)
    if path:
        found.append(Rule(method, path, body, answer))
    for each in inner:
        _read(data, each, found, depth + 1)


def _custom(data: bytes, pattern: Field) -> tuple[str, str]:
    kind = path = ""
    for tag, _, start, stop in fields(data, pattern[2], pattern[3]):
        if tag == 0x0A:
            kind = data[start:stop].decode("utf-8", "replace")
        elif tag == 0x12:
            path = data[start:stop].decode("utf-8", "replace")
    return kind, path
