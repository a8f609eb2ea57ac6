"""
How two dialects of SQL are cut into words: quotes, comments, parameters.

Lives here: `Dialect`, `POSTGRES`, `MYSQL`. Does not: what the words mean (`outline`).

Each pattern matches at any place, and what is not closed goes on to the end of the text: so the work is linear in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DIGITS = r"0[xXoObB][0-9a-fA-F_]++|(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9]++)?"
_NUMBER = rf"(?P<number>{_DIGITS})"
_NAMED = r"(?:[nN][uU][lL][lL]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[dD][eE][fF][aA][uU][lL][tT])(?=\s*+[,)])"
_SPACE = r"(?P<space>\s++)"
_REST = r"(?P<end>;)|(?P<other>[\s\S])"
_BACKSLASHED = r"(?:[^{0}\\]++|\\[\s\S]?|{0}{0})*+(?:{0}|\Z)"


def _doubled(quote: str) -> str:
    """A quoted text in which the quote is written twice."""
    return rf"{quote}(?:[^{quote}]++|{quote}{quote})*+(?:{quote}|\Z)"


def _rows(text: str) -> str:
    """Lists of values in (), as many as follow each other: most of what makes statements long. text: a quoted one."""
    value = rf"(?:[+-]?(?:{_DIGITS})|{text}|{_NAMED})"
    row = rf"\(\s*+{value}\s*+(?:,\s*+{value}\s*+)*+\)"
    return rf"(?P<rows>{row}(?:\s*+,\s*+{row})*+)"


class Dialect(NamedTuple):
    """
    token: matches one; the name of its group says which. nested: whether comments hold comments. executed: whether
    what stands between /*! and */ is carried out.
    """

    name: str
    token: re.Pattern[str]
    nested: bool
    executed: bool


POSTGRES = Dialect(
    "postgres",
    re.compile(
        "|".join(
            (
                _SPACE,
                _rows(rf"(?:[eE]'{_BACKSLASHED.format(chr(39))}|{_doubled(chr(39))})"),
                r"(?P<line>--[^\n\r]*+)",
                r"(?P<block>/\*)",
                r"(?P<dollar>\$(?:[^\W\d]\w*+)?\$)",
                r"(?P<parameter>\$[0-9]++)",
                rf"(?P<text>[eE]'{_BACKSLASHED.format(chr(39))}|(?:[uU]&|[bBxXnN])?{_doubled(chr(39))})",
                rf"(?P<quoted>(?:[uU]&)?{_doubled(chr(34))})",
                _NUMBER,
                r"(?P<word>[^\W\d][\w$]*+)",
                _REST,
            )
        )
    ),
    nested=True,
    executed=False,
)

MYSQL = Dialect(
    "mysql",
    re.compile(
        "|".join(
            (
                _SPACE,
                _rows(rf"(?:'{_BACKSLASHED.format(chr(39))}|\"{_BACKSLASHED.format(chr(34))})"),
                r"(?P<line>#[^\n\r]*+|--(?=[\s\x00-\x1f]|\Z)[^\n\r]*+)",
                r"(?P<executed>/\*M?!\d*+)",
                r"(?P<block>/\*)",
                r"(?P<unexecuted>\*/)",
                r"(?P<parameter>\?)",
                rf"(?P<text>(?:_\w++\s*+|[bBxXnN])?(?:'{_BACKSLASHED.format(chr(39))}|\"{_BACKSLASHED.format(chr(34))}))",
                rf"(?P<quoted>{_doubled('`')})",
                _NUMBER,
                r"(?P<word>[^\W\d][\w$]*+|\$[\w$]*+|@++[\w$.]*+)",
                _REST,
            )
        )
    ),
    nested=False,
    executed=True,
)
