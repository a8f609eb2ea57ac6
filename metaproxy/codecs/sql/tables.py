"""
The tables that a SQL text names, by a parser of SQL (sqlglot, extra `sql`).

Lives here: `tables_of`, `name_tables`, `can_find_tables`. Does not: what is done with them.

Parsing costs as much as a hundred exchanges: it is done once for each shape of a text, and only if it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from metaproxy.codecs.sql.dialect import Dialect
from metaproxy.codecs.sql.outline import MOST_NORMALIZED, Outline
from metaproxy.message import Both, Message, Several
from metaproxy.support.unparsed import UNPARSED

if TYPE_CHECKING:
    from sqlglot import exp

MOST_PARSED = 8 << 10
"""Characters of a text that is parsed; the tables of a longer one are not known."""
_KEPT = 4096


def can_find_tables() -> bool:
    """Whether the parser is installed."""
    return find_spec("sqlglot") is not None


def name_tables(texts: Sequence[tuple[str, Outline]], dialect: Dialect, message: Message) -> None:
    """Complete the metadata `tables` of a request with these texts, and what is certain of it."""
    found: dict[str, None] = {}
    certain = True
    for text, outline in texts:
        names = tables_of(text, outline, dialect)
        certain = certain and names is not None
        found.update(dict.fromkeys(names or ()))
    if not certain:
        UNPARSED[dialect.name, "tables"] += 1
    if found and message.metadata is not None:
        message.metadata["tables"] = Several(",".join(found))
    before = getattr(message, "unclear", None)

    def unclear(key: str) -> tuple[str | None, ...] | None:
        if key == "tables":
            return (Both(found) if found else None) if certain else ()
        known: tuple[str | None, ...] | None = before(key) if before is not None else None
        return known

    message.unclear = unclear


def tables_of(text: str, outline: Outline, dialect: Dialect) -> tuple[str, ...] | None:
    """
    Names in the order of their first use, as `table` or `schema.table`, in lower case unless they are quoted; None for
    what can't be parsed. outline: of the text.
    """
    if len(text) > MOST_PARSED:
        return None
    if len(outline.normalized) >= MOST_NORMALIZED:
        return _parsed(text, dialect)
    key = outline.normalized, dialect.name
    found = _kept.get(key)
    if found is None and key not in _kept:
        found = _parsed(text, dialect)
        while len(_kept) >= _KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = found
    return found


_kept: dict[tuple[str, str], tuple[str, ...] | None] = {}


@lru_cache(64)
def _parsed(text: str, dialect: Dialect) -> tuple[str, ...] | None:
    import sqlglot  # heavy: only for who asks
    from sqlglot import exp

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it can't parse is in our answer
    try:
        trees = sqlglot.parse(text, read=dialect.name, error_level=sqlglot.ErrorLevel.RAISE)
        found: dict[str, None] = {}
        for tree in trees:
            if tree is None:
                continue
            if tree.find(exp.Command) is not None:  # which the parser passes over
                return None
            common = {one.alias_or_name for one in tree.find_all(exp.CTE)}
            for table in tree.find_all(exp.Table):
                if table.name and not (table.name in common and not table.db):
                    found[_name(table)] = None
        return tuple(found)
    except Exception:  # to what is no SQL it has an error of its own, RecursionError, TypeError, or yet another one
        return None


def _name(table: exp.Table) -> str:
    schema, name = table.args.get("db"), table.this
    return ".".join(_identifier(part) for part in (schema, name) if part is not None)


def _identifier(part: exp.Identifier) -> str:
    return part.name if part.args.get("quoted") else part.name.lower()
