"""SQL as routes, filters and logs see it: kinds of statements, their shape without values, comments for tracing."""

from metaproxy.codecs.sql.dialect import MYSQL, POSTGRES, Dialect
from metaproxy.codecs.sql.outline import Outline, outline, tokens

__all__ = ["MYSQL", "POSTGRES", "Dialect", "Outline", "outline", "tokens"]
