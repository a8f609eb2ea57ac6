"""
Heads of HTTP/1.1 read from bytes: a start line and header lines, strict by RFC 9112.

Lives here: `read_request`, `read_answer`, `read_trailers`, and `HeadError`, which refuses. llhttp does the reading, by
way of httptools: docs/explanation/http.md has the figures. Does not: what fields mean (`fields`), where a body ends.
"""

from __future__ import annotations

import re
import sys
from typing import NoReturn

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser
from httptools import HttpResponseParser as AnswerParser

from metaproxy.message import FrameError

Pair = tuple[bytes, bytes]
"""A field: its name in lower case, and its value without blanks around it."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([!-~]++) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t -~\x80-\xff]*+)?\r\n")
_VERSION = re.compile(rb"[^\r\n]* HTTP/([0-9])\.([0-9])\r\n")
_TRAILERS = b"GET / HTTP/1.1\r\n"
_BLANKS = b" \t"
_BARE = re.compile(rb"(?<!\r)\n|\r[^\n]")
_LONGEST_METHOD = 32
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z/]*(?: |\Z)")
"""What a head begins with, as far as it has come: a method, or a version with its slash."""


class HeadError(FrameError):
    """A head that is refused. status: what HTTP calls the reason."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


SPECIAL = frozenset(
    (
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"te",
        b"upgrade", b"http2-settings", b"expect", b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto",
    )
)  # fmt: skip
"""The fields that a proxy must look at: the ends of messages, what is between neighbours, what proxies add."""
_ORDINARY = frozenset((b"host", b"content-length", b"via", b"expect", b"te"))
"""Those of them that leave the connection as it is."""


class _Fields:
    """What llhttp calls back: the fields of one head. whole: it came to its end; done: the message ends there too."""

    __slots__ = ("done", "pairs", "special", "whole")

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.special: list[Pair] = []
        self.whole = self.done = False

    def on_headers_complete(self) -> None:
        self.whole = True

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        (self.special if name in SPECIAL else self.pairs).append((name, value.rstrip(_BLANKS)))

    def on_message_complete(self) -> None:
        self.done = True


class _Reader:
    """
    Reads one head after the other, all of them whole. A parser reads the next head too where llhttp takes it for one
    message behind the other; else another one is made. A head that is refused is judged by a new parser: what was read
    before, on other connections, must not count.
    """

    def __init__(self, parser: type[HttpRequestParser] | type[AnswerParser]) -> None:
        self._fields = _Fields()
        self._make = parser
        self._parser = parser(self._fields)

    def read(self, head: bytes, persistent: bool = True) -> tuple[list[Pair], list[Pair]]:
        """The fields, and the SPECIAL ones. persistent: whether the version lets the connection go on behind it."""
        try:
            return self._feed(head, persistent)
        except HttpParserError:
            self._parser = self._make(self._fields)
        try:
            return self._feed(head, persistent)
        except HttpParserError as error:
            self._parser = self._make(self._fields)
            self._refuse(error, head)

    def _feed(self, head: bytes, persistent: bool) -> tuple[list[Pair], list[Pair]]:
        fields = self._fields
        pairs: list[Pair] = []
        special: list[Pair] = []
        fields.pairs, fields.special, fields.whole, fields.done = pairs, special, False, False
        try:
            self._parser.feed_data(head)
        except HttpParserUpgrade:
            persistent = False
        if not fields.whole:
            raise HttpParserError("a head that does not end")
        if not (persistent and fields.done and (not special or (len(special) == 1 and special[0][0] in _ORDINARY))):
            self._parser = self._make(self._fields)
        return pairs, special

    def _refuse(self, error: HttpParserError, head: bytes) -> NoReturn:
        check_start(head)  # the same texts as where that is seen before the head is whole
        check_lines(head)
        if isinstance(error, HttpParserInvalidMethodError):
            raise HeadError("a method that is not known", 501) from None
        raise HeadError(str(error)[:200]) from None


_requests = _Reader(HttpRequestParser)
_answers = _Reader(AnswerParser)


def check_start(block: bytes | bytearray) -> None:
    """Raise HeadError for what is the beginning of no head. The empty lines that may stand before it are left out."""
    first = bytes(block[: _LONGEST_METHOD + 8])
    start = first.lstrip(b"\r\n")
    check_lines(first, 0, len(first) - len(start) + 1)
    start = start[: _LONGEST_METHOD + 1]
    if not _METHOD.match(start) or (len(start) > _LONGEST_METHOD and b" " not in start):
        raise HeadError("not HTTP: no method, and no version")


def check_lines(block: bytes | bytearray, start: int = 0, stop: int = sys.maxsize) -> None:
    """Raise HeadError where a line between two places does not end with CRLF."""
    if _BARE.search(block, start, stop):
        raise HeadError("a line that does not end with CRLF")


def read_request(head: bytes) -> tuple[bytes, bytes, bytes, list[Pair], list[Pair]]:
    """Method, target, minor version (b"0" or b"1"), fields, and SPECIAL fields of a whole head with its empty line."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise _bad_line(head)
    method, target, minor = line.groups()
    return method, target, minor, *_requests.read(head, minor == b"1")


def read_answer(head: bytes) -> tuple[int, bytes, list[Pair], list[Pair]]:
    """Status, minor version, fields, and SPECIAL fields of a whole head with its empty line."""
    line = _STATUS_LINE.match(head)
    if line is None:
        check_start(head)
        check_lines(head)
        raise HeadError(f"no status line: {head[:40]!r}")
    minor, status = line.groups()
    return int(status), minor, *_answers.read(head, minor == b"1")


def read_trailers(block: bytes) -> tuple[list[Pair], list[Pair]]:
    """The fields of a block of lines, without the empty line behind them, and the SPECIAL ones, which end nothing."""
    return _requests.read(b"%b%b\r\n" % (_TRAILERS, block)) if block else ([], [])


def _bad_line(head: bytes) -> HeadError:
    check_start(head)
    check_lines(head)
    version = _VERSION.match(head)
    if version is not None and version.groups() not in ((b"1", b"0"), (b"1", b"1")):
        return HeadError("HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    return HeadError(f"no request line: {head[:40]!r}")
