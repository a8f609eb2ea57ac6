"""
Which exchanges are wanted: `match` of a tap or a recording.

Lives here: `compile_match`, and the check that what it asks for can be there. Does not: what conditions mean
(`routing.matcher`, `routing.expression`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from metaproxy.message import KIND_NAMES, ErrorKind, FrameError
from metaproxy.routing.expression import WORDS, compile_expression
from metaproxy.routing.matcher import compile_condition
from metaproxy.support.bounded_json import loads
from metaproxy.support.nearest_name import did_you_mean, nearest_name
from metaproxy.telemetry.roles import CompletedExchange

MAX_TEXT = 4096
"""Characters of a `match`."""
OWN = ("cluster", "listener", "outcome", "protocol", "route", "upstream_address")
"""What is asked of the exchange itself; every other key is metadata of the request, or a fact of its connection."""

OUTCOMES = ("ok", "error", "oneway", "event", "downstream_gone", *(kind.value for kind in ErrorKind))
"""How an exchange can end."""
CLOSED: Mapping[str, Collection[str]] = {"outcome": OUTCOMES, "kind": KIND_NAMES}
"""Keys of which all values are known in every proxy; others (listeners, routes ...) depend on its configuration."""
MAX_LISTED = 20
"""Values that an error lists where none is near."""

Choice = Callable[[CompletedExchange], bool]
"""Of an exchange that ended: whether it is wanted."""


def compile_match(
    text: str, listener: str = "", known: Mapping[str, Collection[str]] | None = None, keys: Collection[str] = ()
) -> Choice:
    """
    text: '' for all; `key=value` or `key: value`, several of them with commas between; or the conditions of a route's
    `match:` as JSON, with `and`, `or` and `not`. known: key -> all the values that it can have, besides CLOSED; keys:
    metadata keys that codecs are known to give. Raises ValueError with what to write instead.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"match of {len(text)} characters; allowed are {MAX_TEXT}")
    text = text.strip()
    spec = _spec(text) if text else {}
    holds = compile_expression(spec).holds if spec else None
    for key, condition in _conditions(spec):
        _check(key, condition, {**CLOSED, **(known or {})}, keys)

    def wanted(exchange: CompletedExchange) -> bool:
        if listener and exchange.listener != listener:
            return False
        if holds is None:
            return True
        try:
            return holds(lambda key: str(getattr(exchange, key)) if key in OWN else exchange.get(key))
        except FrameError:
            return False

    return wanted


def _conditions(spec: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Every condition of an expression that was compiled, however deep it stands: its key, and what it asks."""
    for key, value in spec.items():
        if key in ("and", "or"):
            for inner in value:
                yield from _conditions(inner)
        elif key == "not":
            yield from _conditions(value)
        elif key not in WORDS:
            yield key, value


def _check(key: str, condition: object, known: Mapping[str, Collection[str]], keys: Collection[str]) -> None:
    """Raises ValueError for a condition that no exchange can ever meet, or, with `not`, that every one meets."""
    key = key.lower()
    if key not in known:
        meant = did_you_mean(key, [*OWN, "kind"], cutoff=0.8)
        if meant and key not in (*OWN, *keys):
            raise ValueError(f"no key {key[:100]!r}; {meant}")
        return
    for value in _exact(condition):
        if value not in known[key]:
            raise ValueError(f"{key} is never {value[:100]!r}; {_instead(value, known[key])}")
    if isinstance(condition, Mapping) and not condition.get("not") and "default" not in condition:
        test = compile_condition(key, condition).test
        if not any(map(test, known[key])):
            raise ValueError(f"no {key} has {json.dumps(condition)[:200]}; {_instead('', known[key])}")


def _exact(condition: object) -> list[str]:
    """The values that a condition compares with as they are."""
    if not isinstance(condition, Mapping):
        return [str(condition)]
    if condition.get("ignore_case"):
        return []
    return [str(condition["exact"])] if "exact" in condition else [str(value) for value in condition.get("in", ())]


def _instead(value: str, known: Collection[str]) -> str:
    folded = {one.lower(): one for one in known}
    near = nearest_name(value.lower(), folded)
    if near:
        return f"did you mean {folded[near]!r}?"
    listed = ", ".join(map(repr, list(known)[:MAX_LISTED]))
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"there are {listed}{more}" if known else "there are none"


def _spec(text: str) -> dict[str, Any]:
    if text.startswith("{"):
        try:
            spec = loads(text)
        except ValueError as error:
            raise ValueError(f'not JSON: {error}; write {{"method": {{"prefix": "say"}}}}') from None
        if not isinstance(spec, dict) or not spec:
            raise ValueError("{} has no condition; leave match out for everything")
        return spec
    pairs = {}
    for pair in text.split(","):
        key, value = _pair(pair)
        if key in pairs:
            raise ValueError(f'{key!r} twice; for either of two write {{"{key}": {{"in": ["a", "b"]}}}}')
        pairs[key] = value
    return pairs


def _pair(text: str) -> tuple[str, str]:
    marks = [place for place in (text.find("="), text.find(": ")) if place > 0]
    if not marks:
        raise ValueError(f"{text.strip()[:100]!r} is no condition; write key=value, or a route's match as JSON")
    place = min(marks)
    return text[:place].strip(), text[place + 1 :].strip()
