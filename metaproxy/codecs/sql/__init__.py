"""SQL as routes, filters and logs see it: kinds of statements, their shape without values, comments for tracing."""

from metaproxy.codecs.sql.dialect import MYSQL, POSTGRES, Dialect
from metaproxy.codecs.sql.outline import Outline, outline, tokens
from metaproxy.codecs.sql.reading import reads_only, varies
from metaproxy.codecs.sql.tables import can_find_tables, tables_of

__all__ = [
    "MYSQL",
    "POSTGRES",
    "Dialect",
    "Outline",
    "can_find_tables",
    "outline",
    "reads_only",
    "tables_of",
    "tokens",
    "varies",
]
