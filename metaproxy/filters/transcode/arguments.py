"""
The named arguments of a call, out of a request's path, query and body: for protocols without rules of their own.

Lives here: `listed`, the option `calls:` as a table of paths; `arguments_of`. Does not: what a value becomes
(`java`, `thrift_writing`).

As in google.api.http: a variable of the path and a parameter of the query name an argument, or with dots a field of it;
`body` is "" (none), the name of the argument that the body is, or "*" for an object of arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.calls import Request, check_json
from metaproxy.filters.transcode.parameters import pairs_of
from metaproxy.filters.transcode.paths import Match, Paths, Template, WrongMethod
from metaproxy.options import OptionError
from metaproxy.support.bounded_json import loads

T = TypeVar("T")


class Text(str):
    """A value of the path or of the query: a text of no type yet."""

    __slots__ = ()


def listed(calls: Mapping[str, T]) -> Paths[T]:
    """A table of what is listed under `METHOD /template`. Raises OptionError."""
    found: Paths[T] = Paths()
    for key, call in calls.items():
        method, _, path = key.partition(" ")
        try:
            if not method.isalpha() or not method.isupper():
                raise ValueError(f"{key!r:.100} is no method and template; write GET /users/{{id}}")
            found.add(method, Template(path.strip()), call)
        except ValueError as error:
            raise OptionError("calls", str(error), path=(key,)) from None
    return found


def match_of(paths: Paths[T], method: str, path: str) -> Match[T] | None:
    """What a request means. Raises Refused."""
    try:
        return paths.find(method, path)
    except WrongMethod as error:
        raise Refused(405, str(error), error.allowed) from None
    except ValueError as error:
        raise Refused(400, str(error)) from None


def check_names(key: str, names: Collection[str], body: str) -> None:
    """Raises ValueError where the body or a variable of the template `key` names no argument."""
    known = ", ".join(names) or "none"
    if body not in ("", "*", *names):
        raise ValueError(f"body is {body!r:.60}, which is no argument; there are {known}")
    for variable in Template(key.partition(" ")[2].strip()).variables:
        if variable.name.partition(".")[0] not in names:
            raise ValueError(f"{variable.name!r:.60} is no argument; there are {known}")


def arguments_of(request: Request, values: Mapping[str, str], names: Collection[str], body: str) -> dict[str, object]:
    """The arguments that a request has, by name. Raises Refused."""
    try:
        found = _body(request, body)
        query = pairs_of(request.query)
        if query and body == "*":
            raise ValueError(f"{query[0][0]!r:.100} is in the query; all that the path has not is in the body")
        for name, value in query:
            _put(found, name, Text(value), True)
        for name, value in values.items():
            _put(found, name, Text(value), False)
        for name in found:
            if name not in names:
                raise ValueError(f"no argument {name!r:.100}; there are {', '.join(names) or 'none'}")
    except ValueError as error:
        raise Refused(400, str(error)) from None
    return found


def _body(request: Request, body: str) -> dict[str, object]:
    if not request.body:
        return {}
    if not body:
        raise ValueError("this call has no body")
    check_json(request)
    value = loads(request.body)
    if body != "*":
        return {body: value}
    if not isinstance(value, dict):
        raise ValueError("the body is no object of arguments")
    return value


def _put(found: dict[str, object], name: str, value: Text, several: bool) -> None:
    *parts, last = name.split(".")
    for part in parts:
        inner = found.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{name!r:.100}: {part!r:.100} has a value as well")
        found = inner
    before = found.get(last)
    if not several or before is None:
        found[last] = value
    elif isinstance(before, Text):
        found[last] = [before, value]
    elif isinstance(before, list) and before and isinstance(before[-1], Text):
        before.append(value)
    else:
        raise ValueError(f"{name!r:.100} has a value in the body as well")
