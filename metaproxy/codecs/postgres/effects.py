"""
What a statement does to the session that it is run in, beyond its transaction.

Lives here: `Effects`, `effects_of`, `effects_of_call`. Does not: settings in detail (`settings`); what follows
(`pooled_client`, `pooled_server`). What functions and procedures do inside is not seen.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from metaproxy.codecs import sql
from metaproxy.codecs.postgres.settings import NOTHING, UNKNOWN, Change, change_of

_SHORT, _KEPT = 8192, 2048
"""Bytes of a text whose effects are remembered, and how many are."""
_LOCKS = ("pg_advisory_lock", "pg_try_advisory_lock")
_HELD_NAMES = ("pg_temp", "set_config", *_LOCKS)
"""What names begin with that count also within quotes."""
_ESCAPED = 'u&"'
"""What a name begins with whose letters may be written as numbers."""
_CALL = re.compile(r"set_config\b", re.IGNORECASE)
_LOCAL_CALL = re.compile(r"set_config\s*\([^();,]*,[^();,]*,\s*true\s*\)", re.IGNORECASE)
TEMPORARY = "temporary tables"
_ON_COMMIT_DROP = re.compile(r"\bon\s+commit\s+drop\b", re.IGNORECASE)
_QUOTES = frozenset("'\"$")
_TEMPORARY = frozenset(("temp", "temporary", "pg_temp"))
_CREATING = frozenset(("create", "into"))
_SETTING = frozenset(("set", "reset", "discard"))
_BLOCKS = frozenset((("do", "?"), ("do", "?", "language", "plpgsql"), ("do", "language", "plpgsql", "?")))
"""DO in PL/pgSQL."""
_MOST_OF_DO = 100
"""Tokens of a DO, comments included, whose block may be harmless."""
_BLOCK_SETS = re.compile(
    r"\b(?:set|reset|discard|listen|load|execute|hold|prepare|deallocate)\b|set_config|temp|advisory|u&", re.IGNORECASE
)
"""What a block has that does something to its session, or carries out what is not seen here."""
_OF_LARGE_OBJECTS = frozenset(
    (715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460)
)
"""Functions that drivers call by their numbers (lo_open, loread ...): what they open lasts as long as a transaction."""


class Effects(NamedTuple):
    """
    binds: why the client needs the server connection for itself from now on, '' if it does not. change: of settings.
    commits, rolls_back: how it ends a transaction; rolls_to: it goes back to a savepoint. deallocates: prepared
    statements of the connection are gone; of which name, b'' for all of them, None for none. discards: all of the
    session's state is.
    """

    binds: str = ""
    change: Change = NOTHING
    commits: bool = False
    rolls_back: bool = False
    deallocates: str | None = None
    discards: bool = False
    rolls_to: bool = False


NONE = Effects()
_CALLED = Effects("a call by number")

_MARKS = re.compile(rb"temp|advisory|set_config|u&\"", re.IGNORECASE)
_PLAIN = frozenset(("select", "insert", "update", "delete", "merge", "values", "with", "table", "copy", "explain"))
"""Statements that do nothing to a session, unless one of `_MARKS` is in them."""
_BEGINNINGS = frozenset((b"select ", b"insert ", b"update ", b"delete "))


def effects_of(text: bytes) -> Effects:
    if text[:7].lower() in _BEGINNINGS and b";" not in text.rstrip(b" \t\r\n;"):
        lowered = text.lower()
        if (
            b"temp" not in lowered
            and b"advisory" not in lowered
            and b"set_config" not in lowered
            and b'u&"' not in lowered
        ):
            return NONE  # with values in it, a text seldom comes again: this costs less than to remember it
    if len(text) <= _SHORT:
        return _remembered(text)
    return NONE if _is_plain(text) else _found(text)


def effects_of_call(number: int) -> Effects:
    """Of the message that calls a function by its number."""
    return NONE if number in _OF_LARGE_OBJECTS else _CALLED


def _is_plain(text: bytes) -> bool:
    """
    Whether a long text is certainly one statement without effects. Rows of values are what makes most of them long: so
    nothing is cut into words, which takes a hundred times as long.
    """
    if b";" in text.rstrip(b" \t\r\n;"):
        return False
    kinds = sql.outline(text[:_SHORT].decode("utf-8", "replace"), sql.POSTGRES).statements
    return len(kinds) == 1 and kinds[0] in _PLAIN and _MARKS.search(text) is None


def _found(text: bytes) -> Effects:
    decoded = text.decode("utf-8", "replace")
    outline = sql.outline(decoded, sql.POSTGRES)
    if not outline.whole:
        return Effects("a statement of many words", UNKNOWN)
    kinds, words = outline.statements, outline.words
    if b'"' in text and _MARKS.search(text) is not None:
        words |= _quoted(decoded)
    change, deallocates, discards = NOTHING, None, False
    binds = _why_bound(kinds, words)
    if not binds and _ESCAPED in decoded.lower():
        binds = "a name in numbers"
    if not binds and "do" in kinds and not _is_harmless(decoded):
        binds = "DO"
    if binds == TEMPORARY and kinds == ("create",) and _is_dropped(decoded, words):
        binds = ""  # it is gone with its transaction
    if not binds and "set_config" in words and not _sets_locally(decoded):
        binds = "set_config"
    if not _SETTING.isdisjoint(kinds):
        change = change_of(decoded) if len(kinds) == 1 else UNKNOWN
        discards = kinds == ("discard",) and change.everything
        if not change.known:
            binds = binds or "SET"
        elif "pg_temp" in (change.settings.get("search_path") or "").lower():
            binds = TEMPORARY  # where tables are made from now on
    if "deallocate" in kinds or discards:
        deallocates = _deallocated(decoded) if len(kinds) == 1 and not discards else ""
    commits = "commit" in kinds or "end" in kinds
    rolls_back = "rollback" in kinds or "abort" in kinds
    rolls_to = rolls_back and len(kinds) == 1 and "to" in words
    found = Effects(binds, change, commits, rolls_back and not rolls_to, deallocates, discards, rolls_to)
    return NONE if found == NONE else found


_remembered = lru_cache(_KEPT)(_found)


def _why_bound(kinds: tuple[str, ...], words: frozenset[str]) -> str:
    if "listen" in kinds:
        return "LISTEN"
    if "prepare" in kinds and "transaction" not in words:
        return "PREPARE"
    if "load" in kinds:
        return "LOAD"
    if "hold" in words and "declare" in kinds:
        return "WITH HOLD"
    if not _TEMPORARY.isdisjoint(words) and not _CREATING.isdisjoint(words):
        return TEMPORARY
    if any(word.startswith(_LOCKS) for word in words):
        return "advisory locks"
    return ""


def _quoted(text: str) -> frozenset[str]:
    """Those of the names within quotes that count."""
    names = (token[1:-1] for kind, token in sql.tokens(text, sql.POSTGRES) if kind == "quoted")
    return frozenset(name for name in names if name.startswith(_HELD_NAMES))


def _is_harmless(text: str) -> bool:
    """Whether a text is one DO whose block, as far as that can be seen, does nothing to the session."""
    if _BLOCK_SETS.search(text) is not None:
        return False
    shape = []
    for kind, token in sql.tokens(text, sql.POSTGRES, _MOST_OF_DO):
        if kind == "dollar" or (kind == "text" and token[0] == "'"):  # one without escapes
            shape.append("?")
        elif kind not in ("block", "end"):
            shape.append(token.lower())
    return tuple(shape) in _BLOCKS


def _is_dropped(text: str, words: frozenset[str]) -> bool:
    """Whether ON COMMIT DROP is certainly not within quotes or a comment."""
    found = _ON_COMMIT_DROP.search(text) if words.issuperset(("on", "commit", "drop")) else None
    return found is not None and not _QUOTES.intersection(text[found.end() :])


def _sets_locally(text: str) -> bool:
    """Whether each call of set_config says that it is for the transaction alone."""
    return len(_CALL.findall(text)) == len(_LOCAL_CALL.findall(text))


def _deallocated(text: str) -> str:
    """The name of the statement, '' for all."""
    every = (found for found in sql.tokens(text, sql.POSTGRES) if found[0] in ("word", "quoted"))
    words = list(islice(every, 1, 3))
    if words and words[0][1].lower() == "prepare":
        words = words[1:]
    if not words or (words[0][0] == "word" and words[0][1].lower() == "all"):
        return ""
    kind, token = words[0]
    return token[1:-1].replace('""', '"') if kind == "quoted" else token.lower()
