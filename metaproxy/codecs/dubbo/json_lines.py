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
from typing import Final

from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, Attachments, Body, Pair, well_formed
from metaproxy.message import FrameError

MAX_NESTED: Final = 1 << 15
"""Lists and objects in the attachments of one message."""

_SPACE = re.compile(r"[ \t\r]*")
_RESULT = re.compile(rb"[ \t\r]*(?:(-?[0-9]{1,9})|null)[ \t\r]*\n")
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
            texts.append(_string(frame, at) or "")
            at = _line_end(frame, at)
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        return _string(frame, at) if _first(frame, at) == b'"' else None

    def result(self, frame: bytes) -> tuple[int | None, int]:
        end = _line_end(frame, HEAD)
        found = _RESULT.fullmatch(frame, HEAD, end)
        if found is None:
            raise FrameError(f"JSON: a result type expected, {frame[HEAD : min(end, HEAD + 64)]!r} read")
        return int(found[1]) if found[1] else None, end

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _line_end(frame, at)
        if at == len(frame):
            return at, at, b"{", ()
        end = frame.find(b"\n", at) + 1 or len(frame)
        nested = frame.count(b"[", at, end) + frame.count(b"{", at, end)
        if nested > MAX_NESTED:
            raise FrameError(f"JSON: {nested} lists and objects in the attachments; allowed are {MAX_NESTED}")
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


def _first(frame: bytes, at: int) -> bytes:
    """The first byte of a line that is no blank."""
    return frame[at : _line_end(frame, at)].lstrip()[:1]


def _string(frame: bytes, at: int) -> str | None:
    """The line at `at`, a string or null. Nothing else is decoded, whatever its size."""
    if _first(frame, at) not in (b'"', b"n"):
        raise FrameError(f"JSON: a string expected at {at}, {frame[at : min(_line_end(frame, at), at + 64)]!r} read")
    text = _json(frame, at)
    return well_formed(text) if isinstance(text, str) else None


def _json(frame: bytes, at: int) -> object:
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
