"""
Conditions within a filter's options.

Lives here: `matching`, whose errors lead to the place in the file. Does not: the conversion of values
(`metaproxy.options`); what a condition means (`metaproxy.routing`).
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.options import OptionError
from metaproxy.routing.expression import ALWAYS, Expression, compile_expression


def matching(match: Mapping[str, object] | None, option: str = "match") -> Expression:
    """What `match:` asks: every entry of it, and nothing at all of an empty one. Raises OptionError."""
    if not match:
        return ALWAYS
    for key, value in match.items():
        try:
            compile_expression({key: value})
        except ValueError as error:
            raise OptionError(option, str(error), path=(key,)) from None
    return compile_expression(match)
