"""
Serializations 6, fastjson, and 16, gson: an item is a JSON text and a line feed.

Source: org.apache.dubbo.common.serialize.fastjson and .gson of Dubbo 2.7.23. Lives here: such bodies. Does not: JSON's
strings and numbers, which are the standard library's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, Attachments, Body, Pair, well_formed
from metaproxy.message import FrameError

_SPACE = re.compile(r"[ \t\r]*")
_JSON = json.JSONDecoder()


class JsonLines(Body):
    """Serializations 6 (fastjson) and 16 (gson)."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        for _ in range(5):
            at = frame.find(b"\n", at) + 1
            if not at:
                return 0
        return at

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            text = _json(frame, at)
            if text is not None and not isinstance(text, str):
                raise FrameError(f"JSON: a string expected at {at}, {text!r:.64} read")
            texts.append(well_formed(text or ""))
            at = _line_end(frame, at)
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        value = _json(frame, at)
        return well_formed(value) if isinstance(value, str) else None

    def result(self, frame: bytes) -> tuple[int | None, int]:
        value = _json(frame, HEAD)
        if value is not None and type(value) is not int:
            raise FrameError(f"JSON: a result type expected, {value!r:.64} read")
        return value, _line_end(frame, HEAD)

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _line_end(frame, at)
        if at == len(frame):
            return at, at, b"{", ()
        end = frame.find(b"\n", at) + 1 or len(frame)
        try:
            line = frame[at:end].decode().strip()
            pairs = [] if line == "null" else list(islice(_members(line), MAX_PAIRS + 1))
        except (ValueError, RecursionError, IndexError) as error:
            raise FrameError(f"JSON: the attachments at {at} are no object: {error}") from error
        if len(pairs) > MAX_PAIRS:
            raise FrameError(f"JSON: a map of more than {MAX_PAIRS} attachments")
        return at, end, b"{", pairs

    def pair(self, key: str, value: str) -> bytes:
        return f"{_written(key)}:{_written(value)}".encode()

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        return opening + b",".join(raws) + b"}\n"

    def string(self, text: str) -> bytes:
        return f"{_written(text)}\n".encode()

    def event(self, frame: bytes) -> str:
        return self.first_argument(frame, HEAD) or ""


def _written(text: str) -> str:
    return json.dumps(well_formed(text), ensure_ascii=False)


def _line_end(frame: bytes, at: int) -> int:
    end = frame.find(b"\n", at) + 1
    if not end:
        raise FrameError(f"JSON: a line expected at {at}; the frame has {len(frame)} bytes")
    return end


def _json(frame: bytes, at: int) -> Any:
    try:
        return _JSON.decode(frame[at : _line_end(frame, at)].decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"JSON: the line at {at} cannot be read: {error}") from error


def _members(text: str) -> Iterator[Pair]:
    """The members of an object. Raises ValueError or IndexError when it is none."""
    at, mark = 0, "{"
    while text[at] == mark:
        start = _space(text, at + 1)
        if text[start] == "}" and mark == "{":
            at = start
            break
        if text[start] != '"':
            raise ValueError(f"a key expected at {start}")
        key, at = _JSON.raw_decode(text, start)
        at = _space(text, at)
        if text[at] != ":":
            raise ValueError(f"a colon expected at {at}")
        begin = _space(text, at + 1)
        value, end = _JSON.raw_decode(text, begin)
        shown = well_formed(value) if isinstance(value, str) else None
        if value is not None and not isinstance(value, (str, dict, list)):
            shown = text[begin:end]
        yield well_formed(key), shown, text[start:end].encode(), isinstance(value, (dict, list))
        at, mark = _space(text, end), ","
    if text[at:] != "}":
        raise ValueError(f"the end expected at {at}")


def _space(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at
