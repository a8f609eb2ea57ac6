"""
Conditions joined by and, or and not, and the first of many that holds.

Lives here: `compile_expression`, `any_of`, `all_of`, and `FirstMatch`, which looks up what compares with exact values.
Does not: what a single condition means (`matcher`); routes, which have a table of their own (`table`); what follows
when something holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from metaproxy.message import Both
from metaproxy.routing.matcher import Condition, compile_condition

Get = Callable[[str], "str | None"]
"""Gives the value of a metadata key or fact, such as `IExchange.get`."""
Values = Callable[[str], "tuple[str | None, ...]"]
"""Gives all values that a key may have, () where it may have any, such as `Message.values`."""
Test = Callable[[Get], bool]
Verdict = Callable[[Values], "bool | None"]

MAX_DEPTH = 16
"""How deep expressions may stand within each other."""
MAX_PATHS = 1024
"""Entries that one expression may take in an index; keys whose values multiply to more are tested instead."""

WORDS = ("and", "or", "not", "any")
"""What an expression may hold besides conditions. A metadata key of such a name can't be asked for."""


class Expression(NamedTuple):
    """
    holds(get): whether it is true. needs: key -> the values of which it must have one, or the expression is false;
    exact: whether these are all that it asks; surely(values): whether it is true or false whichever of its values each
    key has, None where that depends.
    """

    holds: Test
    needs: Mapping[str, frozenset[str]]
    exact: bool
    surely: Verdict


ALWAYS = Expression(lambda get: True, {}, True, lambda values: True)
NEVER = Expression(lambda get: False, {}, False, lambda values: False)


def compile_expression(spec: object, depth: int = 0) -> Expression:
    """
    The expression that a mapping stands for: every entry must hold. An entry is a condition as in a route's `match:`,
    `and: [...]` or `or: [...]` of further mappings, `not: {...}`, or `any: true`. Raises ValueError with a text that
    says what to write.
    """
    if not isinstance(spec, Mapping) or not spec:
        raise ValueError(f"{spec!r:.100} is not a mapping of conditions; write {{method: sayHello}} or {{any: true}}")
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} expressions within each other")
    return all_of([_entry(str(key), value, depth) for key, value in spec.items()])


def any_of(specs: object, depth: int = 0) -> Expression:
    """The expression that one at least of the listed mappings holds; never, of an empty list. Raises ValueError."""
    return _one_of([compile_expression(spec, depth) for spec in _list(specs)])


def _entry(key: str, value: object, depth: int) -> Expression:
    try:
        if key == "or":
            return any_of(value, depth + 1)
        if key == "and":
            return all_of([compile_expression(spec, depth + 1) for spec in _list(value)])
        if key == "not":
            return _not(compile_expression(value, depth + 1))
        if key == "any":
            if value is not True:
                raise ValueError(f"{value!r:.100} is not true; write any: true, or not: {{any: true}} for never")
            return ALWAYS
        return _leaf(compile_condition(key, value))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _list(specs: object) -> Sequence[object]:
    if not isinstance(specs, (list, tuple)):
        raise ValueError(f"{specs!r:.100} is not a list; write [{{method: sayHello}}, ...]")
    return specs


def _leaf(condition: Condition) -> Expression:
    name, test, values = condition.name, condition.test, condition.values
    needs = {name: values} if values is not None else {}
    surely = _each(name, test, bool(condition.spec.get("not")))
    return Expression(lambda get: test(get(name)), needs, values is not None, surely)


def _each(name: str, test: Callable[[str | None], bool], inverted: bool = False) -> Verdict:
    """What a test of one key says to all of its values."""

    def surely(values: Values) -> bool | None:
        given = values(name)
        found = {test(value) for value in given}
        if len(found) == 1:
            return found.pop()
        # One of Both has to meet a condition; that none does is what an inverted one asks.
        return not inverted if isinstance(given, Both) else None

    return surely


def _not(inner: Expression) -> Expression:
    """True wherever the inner one is not: also where a key is missing, unlike a condition's own `not: true`."""
    holds, inner_surely = inner.holds, inner.surely

    def surely(values: Values) -> bool | None:
        found = inner_surely(values)
        return None if found is None else not found

    return Expression(lambda get: not holds(get), {}, False, surely)


def _joined(parts: Sequence[Expression], decisive: bool) -> Verdict:
    """What all of one or more parts say, of which one that is `decisive` decides: False for "and", True for "or"."""
    verdicts = tuple(part.surely for part in parts)

    def surely(values: Values) -> bool | None:
        result: bool | None = not decisive
        for verdict in verdicts:
            found = verdict(values)
            if found is decisive:
                return decisive
            if found is None:
                result = None
        return result

    return surely


def all_of(parts: Sequence[Expression]) -> Expression:
    """The expression that each of one or more parts holds."""
    if len(parts) == 1:
        return parts[0]
    needs: dict[str, frozenset[str]] = {}
    for part in parts:
        for key, values in part.needs.items():
            needs[key] = needs[key] & values if key in needs else values
    tests = tuple(part.holds for part in parts)

    def holds(get: Get) -> bool:
        for test in tests:  # noqa: SIM110 - a third of what all() and its generator take
            if not test(get):
                return False
        return True

    return Expression(holds, needs, all(part.exact for part in parts), _joined(parts, False))


def _one_of(parts: Sequence[Expression]) -> Expression:
    if not parts:
        return NEVER
    if len(parts) == 1:
        return parts[0]
    needs = {
        key: values.union(*(part.needs[key] for part in parts[1:]))
        for key, values in parts[0].needs.items()
        if all(key in part.needs for part in parts[1:])
    }
    # Alternatives for one and the same key are a list of its values; with more keys the values belong together.
    exact = all(part.exact and part.needs.keys() == needs.keys() for part in parts) and len(needs) == 1
    if exact:
        ((name, listed),) = needs.items()
        return Expression(lambda get: get(name) in listed, needs, True, _each(name, lambda value: value in listed))
    tests = tuple(part.holds for part in parts)

    def holds(get: Get) -> bool:
        for test in tests:  # noqa: SIM110 - as above
            if test(get):
                return True
        return False

    return Expression(holds, needs, False, _joined(parts, True))


class _Group:
    """
    Expressions that need values of the same keys. root: value of the first key -> value of the second -> ... -> entries
    (place, what is left to be tested or None), in order; without keys the entries. first: the least place.
    """

    __slots__ = ("first", "keys", "root")

    def __init__(self, keys: tuple[str, ...], first: int) -> None:
        self.keys = keys
        self.first = first
        self.root: Any = {} if keys else []


class FirstMatch:
    """
    Which of some expressions holds first. What a search costs depends on the number of different sets of keys with
    exact values, and on what else is asked of the keys that were found; not on the number of expressions.
    """

    __slots__ = ("_groups",)

    def __init__(self, expressions: Sequence[Expression]) -> None:
        groups: dict[tuple[str, ...], _Group] = {}
        for place, expression in enumerate(expressions):
            keys = _indexed(expression.needs)
            rest = None if expression.exact and len(keys) == len(expression.needs) else expression.holds
            group = groups.setdefault(keys, _Group(keys, place))
            for path in product(*(sorted(expression.needs[key]) for key in keys)):
                _entries(group, path).append((place, rest))
        self._groups = tuple((group.first, group.keys, group.root) for group in groups.values())

    def find(self, get: Get) -> int:
        """The place of the first that holds, or -1. Raises what `get` raises."""
        best = -1
        node: Any
        for first, keys, root in self._groups:
            if 0 <= best < first:
                continue
            node = root
            for key in keys:
                node = node.get(get(key))
                if node is None:
                    break
            else:
                for place, rest in node:
                    if 0 <= best < place:
                        break
                    if rest is None or rest(get):
                        best = place
                        break
        return best


def _indexed(needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The keys to look up, those with few values first, as long as all combinations of them are not too many."""
    keys: list[str] = []
    paths = 1
    for key in sorted(needs, key=lambda key: (len(needs[key]), key)):
        paths *= max(len(needs[key]), 1)
        if paths > MAX_PATHS:
            break
        keys.append(key)
    return tuple(sorted(keys))


def _entries(group: _Group, path: tuple[str, ...]) -> list[tuple[int, Test | None]]:
    node = group.root
    for value in path[:-1]:
        node = node.setdefault(sys.intern(value), {})
    entries: list[tuple[int, Test | None]] = node.setdefault(sys.intern(path[-1]), []) if path else node
    return entries
