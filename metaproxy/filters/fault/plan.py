"""
The faults that a configuration asks for, one by one: whom each hits, how often, and what it does.

Lives here: `Plan`, compiled from one entry of `faults:`; delays and their distributions; who has had how many turns;
what happens to an answer's bytes. Does not: when these are asked, and what is under way (`fault`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from metaproxy.message import SEVERAL, ErrorKind
from metaproxy.routing.expression import Test, compile_expression
from metaproxy.support.bounded_map import BoundedMap
from metaproxy.support.nearest_name import did_you_mean
from metaproxy.units import percent, seconds, size

T = TypeVar("T")

MAX_DELAY = 3600.0
"""Seconds that a fault may hold an exchange."""
MAX_TEXT = 1024
"""Bytes of an error's message."""
MAX_CALLER = 256
"""Characters that distinguish callers."""

Draw = Callable[[random.Random], float]
"""A number of a distribution."""
Change = Callable[[bytes], bytes]


class Turns:
    """
    The requests of each caller, counted. kind: 'first' n, the 'nth', or 'every' nth of them is due. callers: how many
    are remembered; of more the one that has not come for the longest time is forgotten, and would start again.
    """

    __slots__ = ("_callers", "_counts", "_kind", "_number")

    def __init__(self, kind: str, number: int, callers: int) -> None:
        self._kind = kind
        self._number = number
        self._callers = callers
        self._counts: BoundedMap[str, int] = BoundedMap(callers)

    def inherit(self, before: Turns) -> None:
        self._counts = before._counts
        self._counts.limit(self._callers)

    def due(self, caller: str) -> bool:
        """Counts one more request of a caller, and tells whether it is one that is to fail."""
        counts = self._counts
        caller = caller[:MAX_CALLER]
        seen = counts.get(caller, 0) + 1
        counts.keep(caller, seen)
        if self._kind == "first":
            return seen <= self._number
        return seen == self._number if self._kind == "nth" else not seen % self._number


class Abort(NamedTuple):
    """Where a stream ends: `of` request or answer, behind so many bytes or chunks; one of the two is None."""

    of: str
    bytes: int | None
    chunks: int | None

    def cut(self, bytes: int, chunks: int, size: int) -> int | None:
        """How many bytes of a chunk of that size pass, behind so many bytes and chunks; None where it goes on."""
        if self.chunks is not None:
            return None if chunks < self.chunks else 0
        room = (self.bytes or 0) - bytes
        return None if size <= room else max(room, 0)


class Plan:
    """
    One entry of `faults:`. Raises ValueError with a text that says what to write.

    name: for logs; percentage: of what it matches; holds: what it matches, None for everything; turns: see there;
    each: a metadata key: of what a request names under it the percentage is hit, each by itself; '' for requests.
    What it does, each None, 0 or False when it doesn't: delay, delay_answer: seconds, drawn; error: (kind, text, name);
    reset: 'request' or 'answer'; rate: bytes of the answer a second; truncate: bytes of the answer that are sent;
    corrupt: (how many bytes, from where on or None for anywhere); abort: see there.
    """

    def __init__(self, written: Mapping[str, object], name: str, callers: int) -> None:
        _check_keys(written, KEYS)
        self.name = _name(written.get("name", name))
        self.percentage = percent(written.get("percentage", 0))
        self.holds: Test | None = compile_expression(written["match"]).holds if "match" in written else None
        self.turns = _turns(written, callers)
        self.delay = _at(written, "delay", delay)
        self.delay_answer = _at(written, "delay_answer", delay)
        self.error = _at(written, "error", _error)
        self.reset = _at(written, "reset", _reset) or ""
        self.rate = _at(written, "rate", _rate) or 0
        self.truncate: int | None = _at(written, "truncate", _bytes)
        self.corrupt: tuple[int, int | None] | None = _at(written, "corrupt", _corrupt)
        self.abort: Abort | None = _at(written, "abort", _abort)
        self.each = _at(written, "each", _each) or ""
        given = [key for key in ACTIONS if key in written]
        if not given:
            raise ValueError(f"it does nothing; write one of {', '.join(ACTIONS)}")
        if self.each and self.error is None:
            raise ValueError("each has an error stand for some of what a request names; write `error`, or leave it out")
        if self.error or self.reset == "request":
            ends = "error" if self.error else "reset"
            others = [key for key in given if key not in ("delay", ends)]
            if others:
                raise ValueError(f"{ends} and {others[0]} exclude each other: it leaves no answer")
        if self.reset and (self.truncate is not None or self.corrupt):
            raise ValueError("reset leaves no byte to truncate or corrupt")
        if self.reset == "answer" and self.abort is not None and self.abort.of == "answer":
            raise ValueError("reset and abort exclude each other: it leaves no answer")

    @property
    def hits_answers(self) -> bool:
        """Whether it acts on servers' answers."""
        altered = self.truncate is not None or self.corrupt is not None
        return bool(altered or self.rate or self.delay_answer or self.reset == "answer")

    @property
    def hits_chunks(self) -> bool:
        """Whether it acts on what comes in pieces."""
        return bool(self.truncate is not None or self.corrupt is not None or self.rate or self.abort is not None)

    def change(self, draw: random.Random) -> Change | None:
        """What makes other bytes of an answer's, if it does."""
        corrupt, truncate = self.corrupt, self.truncate
        if corrupt is None and truncate is None:
            return None

        def changed(data: bytes) -> bytes:
            if corrupt is not None:
                data = corrupted(data, *corrupt, draw)
            # A fault that is asked for happens, also to an answer that is short.
            return data if truncate is None else data[: min(truncate, max(len(data) - 1, 0))]

        return changed


def corrupted(data: bytes, count: int, start: int | None, draw: random.Random) -> bytes:
    """The bytes with `count` of them inverted: from `start` on (below 0: from the end), or at places that are drawn."""
    changed = bytearray(data)
    if start is None:
        places: Sequence[int] = draw.sample(range(len(data)), min(count, len(data)))
    else:
        start = max(start + len(data), 0) if start < 0 else start
        places = range(start, min(start + count, len(data)))
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


# -- delays


def delay(written: object) -> Draw:
    """
    A duration, `100ms..300ms` for any time between, or a mapping: {fixed: D}, {uniform: D..D}, {exponential: MEAN} or
    {normal: MEAN, deviation: D}, the last two with `min` and `max`. Raises ValueError.
    """
    if not isinstance(written, Mapping):
        return _uniform(written) if isinstance(written, str) and ".." in written else _fixed(written)
    kinds = [key for key in written if key in DISTRIBUTIONS]
    if len(kinds) != 1:
        raise ValueError(f"{written!r:.200} is not a delay; write 200ms, or one of {', '.join(DISTRIBUTIONS)}")
    kind = kinds[0]
    allowed = (kind, *{"fixed": (), "uniform": (), "exponential": BOUNDS, "normal": ("deviation", *BOUNDS)}[kind])
    _check_keys(written, allowed)
    if kind == "fixed":
        return _fixed(written[kind])
    if kind == "uniform":
        return _uniform(written[kind])
    return _bounded(_spread(kind, written), written)


DISTRIBUTIONS = ("fixed", "uniform", "exponential", "normal")
BOUNDS = ("min", "max")
USUAL_MOST = 10.0
"""By how many means a distribution without `max` is bounded."""


def _time(written: object) -> float:
    found = seconds(written)
    if found > MAX_DELAY:
        raise ValueError(f"{written} is more than {MAX_DELAY:g} s, the longest delay")
    return found


def _fixed(written: object) -> Draw:
    time = _time(written)
    return lambda draw: time


def _uniform(written: object) -> Draw:
    least, dots, most = str(written).partition("..")
    if not dots:
        raise ValueError(f"{written!r} is not a span of time; write 100ms..300ms")
    low, high = _time(least), _time(most)
    if low > high:
        raise ValueError(f"{written}: the first is the lesser one")
    return lambda draw: draw.uniform(low, high)


def _spread(kind: str, written: Mapping[str, object]) -> Draw:
    mean = _time(written[kind])
    if mean <= 0:
        raise ValueError(f"{kind}: a mean of 0 is no distribution; write fixed: 0s")
    if kind == "exponential":
        return lambda draw: draw.expovariate(1.0 / mean)
    if "deviation" not in written:
        raise ValueError("deviation is missing; write {normal: 200ms, deviation: 50ms}")
    deviation = _time(written["deviation"])
    return lambda draw: draw.gauss(mean, deviation)


def _bounded(spread: Draw, written: Mapping[str, object]) -> Draw:
    """What is drawn beyond a bound counts as the bound."""
    mean = _time(written.get("exponential", written.get("normal")))
    low = _time(written.get("min", 0))
    high = _time(written["max"]) if "max" in written else min(mean * USUAL_MOST, MAX_DELAY)
    if low > high:
        raise ValueError(f"min {low:g} s is above max {high:g} s")
    return lambda draw: min(max(spread(draw), low), high)


# -- the other keys


ACTIONS = ("delay", "delay_answer", "error", "reset", "rate", "truncate", "corrupt", "abort")
TURNS = ("first", "nth", "every")
KEYS = ("name", "match", "percentage", "each", *TURNS, *ACTIONS)


def _check_keys(written: Mapping[str, object], known: Sequence[str]) -> None:
    for key in written:
        if key not in known:
            raise ValueError(f"unknown key {key!r}; {did_you_mean(str(key), known, _listed(known))}")


def _listed(known: Sequence[str]) -> str:
    return f"there is {', '.join(known)}"


def _at(written: Mapping[str, object], key: str, read: Callable[[object], T]) -> T | None:
    """What stands at a key; None where nothing does."""
    return _read(written, key, read) if key in written else None


def _read(written: Mapping[str, object], key: str, read: Callable[[object], T]) -> T:
    try:
        return read(written[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _name(written: object) -> str:
    if not isinstance(written, str) or not 1 <= len(written) <= 128 or not written.isprintable():
        raise ValueError(f"name: {written!r:.150} is no name; write 1 to 128 letters")
    return written


def _each(written: object) -> str:
    if not isinstance(written, str) or written not in SEVERAL:
        listed = ", ".join(sorted(SEVERAL))
        raise ValueError(f"{written!r:.100} is no metadata key of several names; there is {listed}")
    return written


def _turns(written: Mapping[str, object], callers: int) -> Turns | None:
    given = [key for key in TURNS if key in written]
    if len(given) > 1:
        raise ValueError(f"{given[0]} and {given[1]} exclude each other")
    return Turns(given[0], _read(written, given[0], _whole), callers) if given else None


def _whole(written: object) -> int:
    if not isinstance(written, int) or isinstance(written, bool) or written < 1:
        raise ValueError(f"{written!r:.100} is not a whole number of 1 or more")
    return written


def _error(written: object) -> tuple[ErrorKind, str, str]:
    """Kind, text and the protocol's own name of `timeout`, or {kind: timeout, message: ..., name: ...}."""
    given = written if isinstance(written, Mapping) else {"kind": written}
    _check_keys(given, ("kind", "message", "name"))
    text, name = given.get("message", "fault injected"), given.get("name", "")
    if not isinstance(text, str) or len(text.encode()) > MAX_TEXT:
        raise ValueError(f"message: {text!r:.100} is not a text of {MAX_TEXT} bytes at most")
    if not isinstance(name, str) or len(name) > 64:
        raise ValueError(f"name: {name!r:.100} is not a name of the protocol, such as LOADING")
    if "kind" not in given and not name:
        raise ValueError("write its kind, or its name in the protocol")
    try:
        return ErrorKind(given.get("kind", "internal")), text, name
    except ValueError:
        kinds = ", ".join(kind.value for kind in ErrorKind)
        raise ValueError(f"{given['kind']!r:.100} is no kind of error; there is {kinds}") from None


def _reset(written: object) -> str:
    if written is True or written == "request":
        return "request"
    if written == "answer":
        return "answer"
    raise ValueError(f"{written!r:.100} is neither request nor answer")


def _rate(written: object) -> int:
    found = size(written)
    if not found:
        raise ValueError("0 bytes a second would hold the answer for ever")
    return found


def _bytes(written: object) -> int:
    return size(written)


def _abort(written: object) -> Abort:
    """{bytes: 64KiB} or {chunks: 3}, with `of: request` where it is not about the answer."""
    if not isinstance(written, Mapping) or ("bytes" in written) == ("chunks" in written):
        raise ValueError(f"{written!r:.100} is not where it ends; write {{bytes: 64KiB}} or {{chunks: 3}}")
    _check_keys(written, ("bytes", "chunks", "of"))
    of = written.get("of", "answer")
    if of not in ("request", "answer"):
        raise ValueError(f"of: {of!r:.100} is neither request nor answer")
    return Abort(
        of,
        _read(written, "bytes", _bytes) if "bytes" in written else None,
        _read(written, "chunks", _whole) if "chunks" in written else None,
    )


def _corrupt(written: object) -> tuple[int, int | None]:
    if not isinstance(written, Mapping):
        return _whole(written), None
    _check_keys(written, ("bytes", "from"))
    start = written.get("from")
    if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
        raise ValueError(f"from: {start!r:.100} is not a whole number")
    return _whole(written.get("bytes", 1)), start
