"""
SET statements, read as far as their effect can be made again on another connection.

Lives here: `read_set`. Does not: what else changes a session (`session_state`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from metaproxy.codecs.mysql.profile import ACCESS, ISOLATION, NAMES

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|--\s[^\n]*|/\*(?!!|M!).*?\*/)
    |(?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<variable>@@[\w.$]+)
    |(?P<user>@)
    |(?P<word>[\w$.]+)
    |(?P<mark>:=|[-+*/(),=])""",
    re.VERBOSE | re.DOTALL,
)
_SCOPES = frozenset(("session", "local"))
_ELSEWHERE = frozenset(("global", "persist", "persist_only"))
_NO_VARIABLES = frozenset(("password", "role", "default", "resource", "statement"))
_MOST = 4096
_MODES = re.compile(r"ansi|no_backslash_escapes|oracle|mssql|db2|maxdb|postgresql|mysql323|mysql40", re.IGNORECASE)
"""Modes with which statements are read in another way than here."""


class Settings(NamedTuple):
    """
    made: name and expression of what is set. why: the reason for which the effect can't be made again, "" if it can.
    """

    made: tuple[tuple[str, str], ...] = ()
    why: str = ""


def read_set(text: str) -> Settings:
    """The effect of a SET statement, without a `;`."""
    if len(text) > _MOST:
        return Settings(why="a long SET")
    tokens = _tokens(text)
    if tokens is None or not tokens or tokens[0][1].lower() != "set":
        return Settings(why="a SET that is not understood")
    tokens = tokens[1:]
    first = tokens[0][1].lower() if tokens else ""
    second = tokens[1][1].lower() if len(tokens) > 1 else ""
    if first == "names":
        return _one(NAMES, tokens[1:])
    if first == "charset" or (first == "character" and second == "set"):
        return Settings(why="SET CHARACTER SET")
    if first == "transaction":
        return Settings(why="SET TRANSACTION")
    if first in _SCOPES and second == "transaction":
        return _transaction(tokens[2:])
    if first in _ELSEWHERE and second == "transaction":
        return Settings()
    if first == "password":
        return Settings()
    if first in _NO_VARIABLES:
        return Settings(why=f"SET {first.upper()}")
    return _variables(tokens)


def _tokens(text: str) -> list[tuple[str, str]] | None:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            return None
        if found.lastgroup != "space":
            tokens.append((found.lastgroup, found[0]))
        at = found.end()
    return tokens


def _joined(tokens: list[tuple[str, str]]) -> str:
    return " ".join(token for _, token in tokens)


def _one(name: str, tokens: list[tuple[str, str]]) -> Settings:
    if not tokens or any(kind in ("user", "mark", "variable") for kind, _ in tokens):
        return Settings(why="a SET that is not understood")
    return Settings(((name, _joined(tokens)),))


def _transaction(tokens: list[tuple[str, str]]) -> Settings:
    words = [token.lower() for _, token in tokens]
    if words[:2] == ["isolation", "level"] and "," not in words:
        return Settings(((ISOLATION, _joined(tokens[2:]).upper()),))
    if words in (["read", "only"], ["read", "write"]):
        return Settings(((ACCESS, _joined(tokens).upper()),))
    return Settings(why="SET SESSION TRANSACTION with several characteristics")


def _variables(tokens: list[tuple[str, str]]) -> Settings:
    made = []
    for assignment in _split(tokens):
        found = _assignment(assignment)
        if isinstance(found, str):
            return Settings(why=found)
        if found is not None:
            made.append(found)
    return Settings(tuple(made))


def _split(tokens: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """At the commas that stand in no parentheses."""
    parts: list[list[tuple[str, str]]] = [[]]
    depth = 0
    for kind, token in tokens:
        depth += (token == "(") - (token == ")") if kind == "mark" else 0
        if kind == "mark" and token == "," and not depth:
            parts.append([])
        else:
            parts[-1].append((kind, token))
    return parts


def _assignment(tokens: list[tuple[str, str]]) -> tuple[str, str] | str | None:
    """A name and its value; None: it is no state of this connection; a text: the reason for which it can't be made."""
    scoped = len(tokens) > 1 and tokens[0][0] == "word" and tokens[1][0] in ("word", "quoted")
    if scoped:
        scope = tokens[0][1].lower()
        if scope in _ELSEWHERE:
            return None
        if scope not in _SCOPES:
            return "a SET that is not understood"
        tokens = tokens[1:]
    if len(tokens) < 3 or tokens[1][1] not in ("=", ":="):
        return "a user variable" if tokens and tokens[0][0] == "user" else "a SET that is not understood"
    kind, name = tokens[0]
    name = name.lower().strip("`")
    if kind == "variable":
        scope, _, rest = name[2:].partition(".")
        if rest and scope in _ELSEWHERE:
            return None
        name = rest if rest and scope in _SCOPES else name[2:]
    elif kind == "user":
        return "a user variable"
    if not re.fullmatch(r"\w+", name):
        return "a SET that is not understood"
    value = tokens[2:]
    if any(each == "user" or token.lower() == "select" for each, token in value):
        return "a SET that depends on other things"
    text = _joined(value)
    if name == "autocommit" and text.upper() == "DEFAULT":
        return "an autocommit that depends on the server"
    if name == "sql_mode" and _MODES.search(text):
        return "an sql_mode in which statements are read in another way"
    return name, text
