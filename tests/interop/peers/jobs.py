"""
What every Python client program shares: one JSON job a line on stdin, one JSON list of results a line on stdout.

Lives here: the loop and the shape of a result, {"value": ...} or {"error": {"class": ..., "message": ...}}.
Does not: any protocol. The peers' programs run with the peers' libraries only, so this imports nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
Result = dict[str, Any]


def one(call: Callable[[], Any]) -> Result:
    """The outcome of one call: what it returned, or the exception it raised."""
    try:
        return {"value": call()}
    except Exception as error:
        return {"error": {"class": type(error).__name__, "message": str(getattr(error, "why", error))}}


def text(value: Any) -> str:
    """What JSON has no form for: bytes as text (Latin-1, so that every byte has a character), sets as lists."""
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    if isinstance(value, set | frozenset):
        return sorted(value)  # type: ignore[return-value]
    return str(value)


def serve(run: Callable[[Job], list[Result]]) -> None:
    """Runs jobs until stdin ends. Libraries that print to stdout are sent to stderr, so that results stand alone."""
    results, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line)), default=text), file=results, flush=True)
