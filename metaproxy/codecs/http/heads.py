"""
Heads of HTTP/1.1 read from bytes: a start line and header lines, strict by RFC 9112.

Lives here: `read_request`, `read_answer`, `read_trailers`, and `HeadError`, which refuses. llhttp does the reading, by
way of httptools: docs/explanation/http.md has the figures. Does not: what fields mean (`fields`), where a body ends.
"""

from __future__ import annotations

import re
from typing import NoReturn

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser
from httptools import HttpResponseParser as AnswerParser

from metaproxy.message import FrameError

Pair = tuple[bytes, bytes]
"""A field: its name in lower case, and its value without blanks around it."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([!-~]++) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*+))?\r\n")
_VERSION = re.compile(rb"[^\r\n]* HTTP/([0-9])\.([0-9])\r\n")
_TRAILERS = b"GET / HTTP/1.0\r\n"
_BLANKS = b" \t"


class HeadError(FrameError):
    """A head that is refused. status: what HTTP calls the reason."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class _Fields:
    """What llhttp calls back: collects the fields of one head. done: the message ends with its head."""

    __slots__ = ("done", "pairs")

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.lower(), value.rstrip(_BLANKS)))

    def on_message_complete(self) -> None:
        self.done = True


class _Reader:
    """
    Reads one head after the other, all of them whole. A parser serves the next head too where llhttp takes it for one
    message behind the other; else another one is made, which is cheap.
    """

    def __init__(self, parser: type[HttpRequestParser] | type[AnswerParser]) -> None:
        self._fields = _Fields()
        self._make = parser
        self._parser = parser(self._fields)

    def read(self, head: bytes) -> list[Pair]:
        fields = self._fields
        pairs: list[Pair] = []
        fields.pairs = pairs
        fields.done = False
        try:
            self._parser.feed_data(head)
            if fields.done and self._parser.should_keep_alive():
                return pairs
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            self._parser = self._make(fields)
            self._refuse(error)
        self._parser = self._make(fields)
        return pairs

    def _refuse(self, error: HttpParserError) -> NoReturn:
        if isinstance(error, HttpParserInvalidMethodError):
            raise HeadError("a method that is not known", 501) from None
        raise HeadError(str(error)[:200]) from None


_requests = _Reader(HttpRequestParser)
_answers = _Reader(AnswerParser)


def read_request(head: bytes) -> tuple[bytes, bytes, bytes, list[Pair]]:
    """Method, target, minor version (b"0" or b"1") and fields of a whole head, its empty line included."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise _bad_line(head)
    method, target, minor = line.groups()
    return method, target, minor, _requests.read(head)


def read_answer(head: bytes) -> tuple[int, bytes, bytes, list[Pair]]:
    """Status, reason, minor version and fields of a whole head, its empty line included."""
    line = _STATUS_LINE.match(head)
    if line is None:
        raise HeadError(f"no status line: {head[:40]!r}")
    return int(line[2]), line[3] or b"", line[1], _answers.read(head)


def read_trailers(block: bytes) -> list[Pair]:
    """The fields of a block of lines, without the empty line behind them."""
    return _requests.read(b"%b%b\r\n" % (_TRAILERS, block)) if block else []


def _bad_line(head: bytes) -> HeadError:
    version = _VERSION.match(head)
    if version is not None and version[1] != b"1":
        return HeadError("HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    return HeadError(f"no request line: {head[:40]!r}")
