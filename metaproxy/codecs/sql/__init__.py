"""SQL as routes, filters and logs see it: kinds of statements, their shape without values, comments for tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    "all_of",
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


def all_of(outlines: Sequence[Outline]) -> Callable[[str], tuple[str | None, ...] | None] | None:
    """
    `Message.unclear` of a request with all of this SQL, where it has several statements, or others within: all of their
    kinds; anything where these can't be seen.
    """
    known: dict[str, tuple[str | None, ...]] = {}
    kinds = tuple(dict.fromkeys(kind for one in outlines for kind in (*one.statements, *one.within)))
    if any(one.opaque for one in outlines):
        known["statement"] = known["operation"] = ()
    elif len(kinds) > 1:
        known["statement"] = known["operation"] = kinds
    if len(outlines) > 1:
        known["fingerprint"] = tuple(dict.fromkeys(one.fingerprint for one in outlines))
        known["normalized"] = tuple(dict.fromkeys(one.normalized for one in outlines))
    return known.get if known else None
