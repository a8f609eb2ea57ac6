"""
Statements that have passwords in them, or ask for what a server keeps of these: recordings and taps leave them out.

Lives here: `is_confidential`. Does not: logins, which always are (`codec`).
"""

from __future__ import annotations

from collections.abc import Collection

import re2

_MARKS = re2.compile(
    rb"(?i)identified|password|authentication_string|global_priv|grants|mysql[`\"]?\s*\.|create\s+user"
)
_KEPT = re2.compile(
    rb"(?i)password[`\"]?\s*\(|authentication_string|global_priv|mysql[`\"]?\s*\.\s*[`\"]?(user|servers)\b"
    rb"|show\s+(grants|create\s+user)"
)
_OF_ACCOUNTS = re2.compile(rb"(?i)identified|\b(user|server)\b")
_DATA = frozenset((
    "select", "insert", "update", "delete", "replace", "with", "values", "table", "show", "desc", "describe",
    "explain", "begin", "start", "commit", "rollback", "use", "truncate", "load",
))  # fmt: skip
"""Statements about rows, which may have columns of such names."""
_DEFINES = frozenset(("create", "alter", "drop", "rename"))


def is_confidential(text: bytes, kinds: Collection[str | None]) -> bool:
    """kinds: of its statements, none where they are not known."""
    if not _MARKS.search(text):
        return False
    if _KEPT.search(text):
        return True
    others = frozenset(kinds) - _DATA
    if kinds and others <= _DEFINES:
        return bool(others) and bool(_OF_ACCOUNTS.search(text))
    return True
