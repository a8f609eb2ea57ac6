"""SQL as routes, filters and logs see it: kinds of statements, their shape without values, comments for tracing."""

from __future__ import annotations

from collections.abc import Sequence

from metaproxy.codecs.sql.dialect import MYSQL, POSTGRES, Dialect
from metaproxy.codecs.sql.outline import Outline, outline, tokens
from metaproxy.codecs.sql.reading import changes, is_known, reads_only, varies
from metaproxy.codecs.sql.tables import can_find_tables, name_tables, tables_of
from metaproxy.support.unparsed import UNPARSED

__all__ = [
    "MYSQL",
    "POSTGRES",
    "Dialect",
    "Outline",
    "can_find_tables",
    "changes",
    "is_known",
    "name_tables",
    "outline",
    "read_only",
    "reads_only",
    "tables_of",
    "tokens",
    "varies",
]


def read_only(outlines: Sequence[Outline], dialect: Dialect) -> str:
    """The metadata `read_only` of all SQL of a request."""
    if not all(map(is_known, outlines)):
        UNPARSED[dialect.name, "read_only"] += 1
    return "true" if all(map(reads_only, outlines)) else "false"
