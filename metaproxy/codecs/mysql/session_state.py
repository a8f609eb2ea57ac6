"""
What a statement leaves behind on its connection: settings that can be made again elsewhere, and what can't be.

Lives here: `Outcome`, `outcome_of`. Does not: SET statements (`set_statement`), what is done about it
(`pooled_client`).

Statements are read by their words: what could mean something in one place counts wherever it stands, so that a
connection may be kept for nothing, and is never given away with something on it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import re2

from metaproxy.codecs.mysql.set_statement import read_set
from metaproxy.codecs.sql import MYSQL, outline

_SUSPICIOUS = re2.compile(
    rb"(?i)@|/\*M?!|;|temporary|get_lock|connection_id|release_|last_insert_id|found_rows|row_count"
    rb"|^[\s(]*(set|use|call|prepare|execute|deallocate|handler|lock|unlock|flush|xa|show|get|commit|rollback|begin|kill|"
    rb"binlog|install|change|backup|#|--|/)"
)
"""What most statements have nothing of. These are not looked at any further."""
_FIRST = {
    "call": "a procedure", "prepare": "PREPARE", "execute": "PREPARE", "deallocate": "PREPARE", "handler": "HANDLER",
    "lock": "LOCK TABLES", "xa": "XA", "backup": "BACKUP",
}  # fmt: skip
_KNOWN = frozenset((
    "alter", "analyze", "backup", "begin", "binlog", "cache", "call", "change", "check", "checksum", "clone", "commit",
    "create", "deallocate", "delete", "desc", "describe", "do", "drop", "execute", "explain", "flush", "get", "grant",
    "handler", "help", "import", "insert", "install", "kill", "load", "lock", "optimize", "prepare", "purge", "release",
    "rename", "repair", "replace", "reset", "resignal", "restart", "revoke", "rollback", "savepoint", "select", "set",
    "show", "shutdown", "signal", "start", "stop", "table", "truncate", "uninstall", "unlock", "update", "use",
    "values", "with", "xa",
))  # fmt: skip
"""How statements begin of which it is known what they leave behind. A compound statement has others behind its `;`."""
_QUOTED_LOCK = re.compile(r"[`\"]get_lock[`\"]", re.IGNORECASE)
_GIVEN_ID = re.compile(r"last_insert_id[`\"]?\s*\((?!\s*\))", re.IGNORECASE)
_SAY_IDS = frozenset(("insert", "update", "replace", "delete"))
_WORDS = {"get_lock": "GET_LOCK()", "temporary": "a temporary table"}
_USE = re.compile(r"\s*use\s+(`(?:[^`]|``)+`|[^\s`;]+)\s*\Z", re.IGNORECASE)
_ENDS = frozenset(("commit", "rollback"))
ADRIFT = "a database that is not known"
"""Of statements in which a USE may stand that can't be read: the reason until the next one."""


class Outcome(NamedTuple):
    """
    settings: see set_statement. database: that it chooses, None for none. reasons: why the connection must be kept from
    now on. gone: those that are there no more. lingers: whether the next statement may ask for something of this one.
    follows: what it asks of the one before: insert_id, warnings, rows, "" for nothing.
    names_clients: whether it may have numbers of clients, or ask for the own (`kill`).
    """

    settings: tuple[tuple[str, str], ...] = ()
    database: bytes | None = None
    reasons: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    lingers: bool = False
    follows: str = ""
    names_clients: bool = False

    @property
    def chooses(self) -> bool:
        """Whether it chooses a database, or may do so."""
        return self.database is not None or ADRIFT in self.reasons


NOTHING = Outcome()


def outcome_of(text: bytes) -> Outcome:
    """What a statement, or several, leave behind if they succeed."""
    text = text.rstrip(b"; \t\r\n")
    if not _SUSPICIOUS.search(text):
        return NOTHING
    return _outcome(text) if len(text) <= 1024 else _look(text)


def _look(data: bytes) -> Outcome:
    text = data.decode("utf-8", "surrogateescape")
    seen = outline(text, MYSQL)
    if not seen.whole:
        return Outcome(reasons=frozenset(("a statement of many words", ADRIFT)), names_clients=b"kill" in data.lower())
    first = seen.statements[0] if seen.statements else ""
    words = seen.words
    reasons = {why for word, why in _WORDS.items() if word in words}
    reasons |= {_FIRST[kind] for kind in seen.statements if kind in _FIRST}
    if any(word[:1] == "@" and word[:2] != "@@" for word in words):
        reasons.add("a user variable")
    if not _KNOWN.issuperset(seen.statements):
        reasons |= {"a compound statement", ADRIFT}
    if "get_lock" not in words and _QUOTED_LOCK.search(text):
        reasons.add("GET_LOCK()")
    if _GIVEN_ID.search(text) and not _SAY_IDS.issuperset(seen.statements):
        reasons.add("LAST_INSERT_ID(value)")  # of which no answer tells
    if "flush" in seen.statements and words & {"lock", "export"}:
        reasons.add("LOCK TABLES")
    settings: tuple[tuple[str, str], ...] = ()
    database = None
    if "execute" in seen.statements:
        reasons.add(ADRIFT)
    changes = [kind for kind in seen.statements if kind in ("set", "use")]
    if changes and len(seen.statements) > 1:
        reasons.add("SET or USE among other statements")
        if "use" in changes:
            reasons.add(ADRIFT)
    elif first == "set":
        settings, why = read_set(text)
        if why:
            reasons.add(why)
    elif first == "use":
        found = _USE.match(text)
        if found is None:
            reasons |= {"a USE that is not understood", ADRIFT}
        else:
            database = _unquoted(found[1])
    return Outcome(
        settings, database, frozenset(reasons), _gone(seen.statements, words, database), "sql_calc_found_rows" in words,
        _follows(first, words), "kill" in seen.statements or "connection_id" in words,
    )  # fmt: skip


_outcome = lru_cache(512)(_look)


def _gone(statements: tuple[str, ...], words: frozenset[str], database: bytes | None) -> frozenset[str]:
    gone = set() if database is None else {ADRIFT}
    if "unlock" in statements:
        gone.add("LOCK TABLES")
    if "release_all_locks" in words:
        gone.add("GET_LOCK()")
    if _ENDS.intersection(statements):
        gone.add("SET TRANSACTION")
    return frozenset(gone)


def _follows(first: str, words: frozenset[str]) -> str:
    if words & {"found_rows", "row_count"}:
        return "rows"
    if (first == "show" and words & {"warnings", "errors"}) or (first == "get" and "diagnostics" in words):
        return "warnings"
    if words & {"@@warning_count", "@@error_count", "@@session.warning_count", "@@session.error_count"}:
        return "warnings"
    if words & {"last_insert_id", "@@last_insert_id", "@@identity"}:
        return "insert_id"
    return ""


def _unquoted(name: str) -> bytes:
    plain = name[1:-1].replace("``", "`") if name[:1] == "`" else name
    return plain.encode("utf-8", "surrogateescape")
