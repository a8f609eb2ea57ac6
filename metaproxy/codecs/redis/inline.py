r"""
Inline commands: a line of words, as people type it into a terminal.

Words are separated by blanks; \v and \f are blanks before a word and behind a quote, not behind other bytes. In "..."
\n \r \t \b \a, \xHH and \ before any other byte are escapes, in '...' only \' is.

Source: sdssplitargs of redis-server. Lives here: `words`. Does not: where the line ends (`stream`).
"""

from __future__ import annotations

import re

from metaproxy.codecs.redis.command_scanner import ProtocolError

_WORD = re.compile(rb"""[^ \t\r\n"']+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\'|\\(?!'))*'""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ENDS = b" \t\r\n"
_BLANKS = b" \t\r\n\v\f"
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def words(line: bytes) -> list[bytes]:
    """
    Raises ProtocolError for quotes that do not match, and for a NUL: behind one redis-server sees no end of the line,
    and refuses it once it is too long.
    """
    if b"\0" in line:
        raise ProtocolError("too big inline request", "a NUL in an inline command")
    found: list[bytes] = []
    at, end = 0, len(line)
    while at < end:
        if line[at] in _BLANKS:
            at += 1
            continue
        word = b""
        while at < end and line[at] not in _ENDS:
            match = _WORD.match(line, at)
            if match is None:
                raise ProtocolError("unbalanced quotes in request")
            at = match.end()
            piece = match[0]
            if piece[:1] not in b"\"'":
                word += piece
                continue
            word += _unquoted(piece)
            if at < end and line[at] not in _BLANKS:
                raise ProtocolError("unbalanced quotes in request", "a closing quote is followed by no blank")
        found.append(word)
    return found


def _unquoted(piece: bytes) -> bytes:
    inside = piece[1:-1]
    if piece[:1] == b"'":
        return inside.replace(b"\\'", b"'")
    return _ESCAPE.sub(_escaped, inside)


def _escaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return bytes((int(match[1], 16),))
    return _LETTERS.get(match[2], match[2])
