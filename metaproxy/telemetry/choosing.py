"""
Which exchanges somebody wants to see: `match` of a tap or a recording.

Lives here: `compile_match`. Does not: what conditions mean (`routing.matcher`, `routing.expression`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from metaproxy.message import FrameError
from metaproxy.routing.expression import compile_expression

MAX_TEXT = 4096
"""Characters of a `match`."""
OWN = ("cluster", "listener", "outcome", "protocol", "route", "upstream_address")
"""What is asked of the exchange itself; every other key is metadata of the request, or a fact of its connection."""

Choice = Callable[[Any], bool]
"""Of an exchange that ended: whether it is wanted."""


def compile_match(text: str, listener: str = "") -> Choice:
    """
    text: '' for all; `key=value` or `key: value`, several of them with commas between; or the conditions of a route's
    `match:` as JSON, with `and`, `or` and `not`. Raises ValueError with what to write instead.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"match of {len(text)} characters; allowed are {MAX_TEXT}")
    text = text.strip()
    spec = _spec(text) if text else {}
    holds = compile_expression(spec).holds if spec else None

    def wanted(exchange: Any) -> bool:
        if listener and exchange.listener != listener:
            return False
        if holds is None:
            return True
        try:
            return holds(lambda key: str(getattr(exchange, key)) if key in OWN else exchange.get(key))
        except FrameError:
            return False

    return wanted


def _spec(text: str) -> dict[str, Any]:
    if text.startswith("{"):
        try:
            spec = json.loads(text)
        except ValueError as error:
            raise ValueError(f'not JSON: {error}; write {{"method": {{"prefix": "say"}}}}') from None
        if not spec:
            raise ValueError("{} has no condition; leave match out for everything")
        return dict(spec)
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
