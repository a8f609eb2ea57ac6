"""
A SQL text, cut into words once: what kinds of statements it has, its shape without values, its comments.

Nothing is parsed here: any text has an outline, and one that a server takes means to it what stands here. Lives here:
`Outline`, `outline`, `tokens`. Does not: which tables a statement names, whether it only reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote

from metaproxy.codecs.sql.dialect import Dialect
from metaproxy.codecs.sql.kinds import Kinds

MOST_NORMALIZED = 4096
"""Characters of a shape that is kept; its fingerprint is that of all of it."""
MOST_COMMENTS = 4096
"""Characters of the comments of a text in which pairs are looked for."""
MOST_TOKENS = 50_000
"""Of a text that are looked at, comments among them: some 40 ms. Rows of values are one."""
_KEPT, _SHORT = 1024, 8192
"""Outlines that are remembered, of texts with at most so many characters."""
_COMMENT = re.compile(r"/\*|\*/")
PAIR = re.compile(r"(?<![\w.%-])([\w.%-]++)\s*+=\s*+'((?:[^'\\]|\\.)*+)'")
"""key='value' in a comment. It begins nowhere within a key: else a long one is read from each of its characters."""
_TEXTS = frozenset(("text", "dollar"))
_GLUED_BEHIND = frozenset(")]*")
LISTS = re.compile(r"\?(?:,\?)++")
ROWS = re.compile(r"\(\?\)(?:,\(\?\))++")


class Outline(NamedTuple):
    """
    statements: the first word of each, in lower case; of a WITH the word that says what is done; within, opaque: see
    `kinds.Kinds`. words: all bare words, in lower case; called: those, and quoted names, that a ( follows, with their
    schemas. normalized: the text without values and comments, cut at `MOST_NORMALIZED`. fingerprint: of all of that.
    comments: key to value, as sqlcommenter writes them. whole: whether that is all; else what is behind `MOST_TOKENS`
    was not looked at.
    """

    statements: tuple[str, ...]
    words: frozenset[str]
    called: frozenset[str]
    normalized: str
    fingerprint: str
    comments: dict[str, str]
    whole: bool = True
    within: tuple[str, ...] = ()
    opaque: bool = False


def outline(text: str, dialect: Dialect) -> Outline:
    """The outline of a text; work is linear in it."""
    return _remembered(text, dialect) if len(text) <= _SHORT else _outlined(text, dialect)


def _outlined(text: str, dialect: Dialect) -> Outline:
    statements, words, called = Kinds(dialect.executed), set[str](), set[str]()
    schema = before = ""  # the last token, if a ( behind it would call it, and what stands before that with a dot
    comments: dict[str, str] = {}
    parts: list[str] = []
    wordy = False  # whether the last part wants a blank before a word
    whole, comments_left = True, MOST_COMMENTS
    for kind, token in tokens(text, dialect, MOST_TOKENS):
        if kind == "block":
            if len(token) <= comments_left:
                comments_left -= len(token)
                comments.update(_pairs(token))
            continue
        if kind == "cut":
            whole = False
            break
        if kind == "word":
            token = token.lower()
            words.add(token)
            statements.word(token)
        elif kind in ("text", "number", "parameter", "dollar"):
            statements.text(token if kind in _TEXTS else "")
            token = "?"
        elif kind == "rows":
            if before:
                called.add(before)
            token = "(?)"
            statements.rows()
        elif kind == "end":
            statements.end()
        else:
            statements.other(token)
        if token == "(" and before:
            called.add(before)
        if token == ".":
            schema, before = f"{before}.", ""
        else:
            before = f"{schema}{token}" if kind in ("word", "quoted", "text") else ""
            schema = ""
        is_word = kind not in ("other", "end", "rows")
        parts.append(f" {token}" if is_word and wordy else token)
        wordy = is_word or kind == "rows" or token in _GLUED_BEHIND
    normalized = ROWS.sub("(?)", LISTS.sub("?", "".join(parts).rstrip(";")))
    digest = blake2b(normalized.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    statements.end()
    kinds, within = tuple(statements.begun), tuple(statements.within)
    shape = normalized[:MOST_NORMALIZED]
    names = frozenset(words), frozenset(called)
    return Outline(kinds, *names, shape, digest, comments, whole, within, statements.opaque)


_remembered = lru_cache(_KEPT)(_outlined)


def tokens(text: str, dialect: Dialect, most: int | None = None) -> Iterator[tuple[str, str]]:
    """
    Each token but blanks, with its kind: word, quoted (a name), text, number, parameter, dollar (a text), rows (of
    values), block (a comment, with its marks), end (a semicolon) or other; or cut, where there are more than `most`,
    comments included.
    """
    match, at, end = dialect.token.match, 0, len(text)
    executed = False
    left = len(text) if most is None else most
    while at < end:
        found = match(text, at)
        assert found is not None  # the last alternative is any character
        kind, start = found.lastgroup or "", at
        at = found.end()
        if kind == "space":
            continue
        left -= 1
        if kind == "block":
            at, marks = _end_of_comment(text, at, dialect.nested, left)
            left -= marks
        if left < 0:
            yield "cut", ""
            return
        if kind == "line":
            continue
        if kind == "dollar":
            close = text.find(found[0], at)
            at = end if close < 0 else close + len(found[0])
        elif kind == "executed":
            executed = True
            continue
        elif kind == "unexecuted" and executed:
            executed = False
            continue
        yield ("other" if kind == "unexecuted" else kind), text[start:at]


def _end_of_comment(text: str, at: int, nested: bool, most: int) -> tuple[int, int]:
    """Where it ends, and how many marks of comments were read; not further than one more than `most`."""
    if not nested:
        close = text.find("*/", at)
        return len(text) if close < 0 else close + 2, 1
    depth, marks = 1, 0
    while depth and marks <= most:
        found = _COMMENT.search(text, at)
        if found is None:
            return len(text), marks
        at = found.end()
        marks += 1
        depth += 1 if found[0] == "/*" else -1
    return at, marks


def _pairs(comment: str) -> Iterator[tuple[str, str]]:
    """key='value', as sqlcommenter writes them: in percent-encoding, quotes with a backslash."""
    for key, value in PAIR.findall(comment):
        yield unquote(key).lower(), unquote(value.replace("\\'", "'"))
