"""
Options within a filter's options: objects made of a mapping in a list, and conditions.

Lives here: `made`, `matching`, and errors that lead to the place in the file. Does not: the conversion of single values
(`metaproxy.plugins`); what a condition means (`metaproxy.routing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from metaproxy.plugins import OptionError, convert
from metaproxy.routing.expression import ALWAYS, Expression, compile_expression

T = TypeVar("T")


def made(target: Callable[..., T], spec: object, option: str, *path: str | int, **given: Any) -> T:
    """
    `target(**spec, **given)`, where `spec` stands at the path in an option: converted to the annotations of `target`
    and checked as the options of a plugin are. given: arguments that are no options. Raises OptionError.
    """
    try:
        if not isinstance(spec, Mapping):
            raise ValueError(f"{spec!r:.100} is not a mapping")
        return target(**convert(target, spec, given))
    except OptionError as error:
        inner = () if error.option is None else (error.option,)
        known = f"; there are {', '.join(error.known)}" if error.known else ""
        raise OptionError(option, f"{error}{known}", path=(*path, *inner, *error.path)) from None
    except ValueError as error:
        raise OptionError(option, str(error), path=path) from None


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
