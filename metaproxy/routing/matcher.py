"""
One condition of a route's `match:`, compiled to a callable.

Lives here: what each kind of matcher means (docs/reference/routing.md), and the texts that say what to write instead.
Does not: the order of routes (`table`); where in a file a condition stands (the configuration checker adds it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from metaproxy.message import SEVERAL, Several
from metaproxy.routing.pattern import compile_text
from metaproxy.support.nearest_name import did_you_mean

MAX_PATTERN = 1024
"""Characters of a regular expression; a longer one is a list in disguise, and slow."""
MAX_ADDRESS = 64
"""Characters that a value may have to be looked at as an address; the longest one, with its scope, has fewer."""

FACTS = ("source.", "destination.", "tls.")
"""How the names of the connection's own facts begin; all other names are metadata keys."""

Test = Callable[[str], bool]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Condition:
    """
    What one metadata key, or one fact of the connection, has to be.

    name: the key to look up, in lower case unless it is a fact. kind: one of KINDS. test(value): whether the condition
    holds; value: None for a key that is not there. values: the only values that hold, where those can be listed; a
    table looks them up in place of asking `test`. spec: the condition as one would write it, in its long form.
    """

    name: str
    kind: str
    test: Callable[[str | None], bool]
    values: frozenset[str] | None
    spec: Mapping[str, object]

    @property
    def fact(self) -> bool:
        """Whether the name is one of the connection's facts, such as source.address."""
        return self.name.startswith(FACTS)

    def __str__(self) -> str:
        """Such as `method: not prefix "say", ignoring case`."""
        text = f"{self.name}: {'not ' if self.spec.get('not') else ''}{self.kind} {_json(self.spec[self.kind])}"
        if self.spec.get("ignore_case"):
            text += ", ignoring case"
        if "default" in self.spec:
            text += f", {_json(self.spec['default'])} by default"
        return text

    def __repr__(self) -> str:
        return f"Condition({self})"


def compile_condition(name: str, spec: object) -> Condition:
    """
    The condition `name: spec` of a `match:`. spec: a text to be equal to, or a mapping of one kind and, if wanted,
    `not`, `ignore_case` and `default`. Raises ValueError with a text that says what to write.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"{name!r} is not the name of a metadata key; write one such as method or source.address")
    if not name.startswith(FACTS):
        name = name.lower()
    long = spec if isinstance(spec, Mapping) else {"exact": spec}
    kind = _kind(long)
    inverted, ignore_case = _flag(long, "not"), _flag(long, "ignore_case")
    default = _text("default", long["default"]) if "default" in long else None
    if ignore_case and kind not in _CASELESS:
        instead = "write (?i) before the pattern" if kind == "regex" else "leave it out"
        raise ValueError(f"ignore_case goes with {', '.join(_CASELESS)}; {instead}")
    written, test = KINDS[kind](long[kind], ignore_case)
    final: dict[str, object] = {kind: written}
    final.update((name, long[name]) for name in _MODIFIERS if name in long)
    if name in SEVERAL:
        test = _of_several(test)
    if kind == "present":
        if default is not None:
            raise ValueError("default gives the key to every message, so present asks nothing; leave one of them out")
        return Condition(name, kind, _is_missing if written == inverted else _is_there, None, final)
    plain = not inverted and not ignore_case and default is None and name not in SEVERAL
    listed = _listed(kind, written) if plain else None
    return Condition(name, kind, _of_maybe(test, inverted, default), listed, final)


def _kind(long: Mapping[object, object]) -> str:
    """Which kind a mapping names. Raises ValueError unless it is one, and all else in it are modifiers."""
    known = (*KINDS, *_MODIFIERS)
    for key in long:
        if key not in known:
            raise ValueError(f"no matcher {key!r}; {did_you_mean(str(key), known, _ONE_OF)}")
    kinds = [str(key) for key in long if key in KINDS]
    if len(kinds) != 1:
        raise ValueError(f"{' and '.join(kinds) if kinds else 'nothing'} to compare with; {_ONE_OF}")
    return kinds[0]


def _of_several(test: Test) -> Test:
    """Of a value that names several things: that one of them meets it."""
    return lambda value: any(map(test, value.parts)) if isinstance(value, Several) else test(value)


def _of_maybe(test: Test, inverted: bool, default: str | None) -> Callable[[str | None], bool]:
    """The test of a value that may be missing: without a default it fails then, also where it is inverted."""
    if default is not None:
        missing = test(default) is not inverted
        if inverted:
            return lambda value: missing if value is None else not test(value)
        return lambda value: missing if value is None else test(value)
    if inverted:
        return lambda value: value is not None and not test(value)
    return lambda value: value is not None and test(value)


def _is_there(value: str | None) -> bool:
    return value is not None


def _is_missing(value: str | None) -> bool:
    return value is None


def _listed(kind: str, written: object) -> frozenset[str] | None:
    if kind == "exact":
        return frozenset([str(written)])
    return frozenset(map(str, written)) if kind == "in" and isinstance(written, list) else None


def _flag(long: Mapping[object, object], name: str) -> bool:
    value = long.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {_json(value)} is neither true nor false")
    return value


def _text(kind: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # YAML reads 1.10 as the number 1.1 and yes as true: what was meant is lost.
    raise ValueError(f"{kind}: {_json(value)} is not a text; write it in quotes, or a mapping such as {{prefix: say}}")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _exact(value: object, ignore_case: bool) -> tuple[object, Test]:
    text = _text("exact", value)
    if ignore_case:
        folded = text.lower()
        return text, lambda value: value.lower() == folded
    return text, lambda value: value == text


def _prefix(value: object, ignore_case: bool) -> tuple[object, Test]:
    text = _text("prefix", value)
    if ignore_case:
        folded = text.lower()
        return text, lambda value: value.lower().startswith(folded)
    return text, lambda value: value.startswith(text)


def _suffix(value: object, ignore_case: bool) -> tuple[object, Test]:
    text = _text("suffix", value)
    if ignore_case:
        folded = text.lower()
        return text, lambda value: value.lower().endswith(folded)
    return text, lambda value: value.endswith(text)


def _contains(value: object, ignore_case: bool) -> tuple[object, Test]:
    text = _text("contains", value)
    if ignore_case:
        folded = text.lower()
        return text, lambda value: folded in value.lower()
    return text, lambda value: text in value


def _regex(value: object, _: bool) -> tuple[object, Test]:
    text = _text("regex", value)
    if len(text) > MAX_PATTERN:
        raise ValueError(f"regex of {len(text)} characters; allowed are {MAX_PATTERN}; for a list write in: [a, b]")
    try:
        return text, compile_text(text)
    except ValueError as error:
        raise ValueError(f"regex: {_json(text)} is not a regular expression: {error}") from None


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")  # 64 bits and their sign; int() alone would take 1_000 and other scripts


def _range(value: object, _: bool) -> tuple[object, Test]:
    if not isinstance(value, Sequence) or len(value) != 2 or not all(type(bound) is int for bound in value):
        raise ValueError(f"range: {_json(value)} is not a range; write [10, 20] for 10 to 19")
    low, high = value
    if low >= high:
        raise ValueError(f"range: [{low}, {high}] holds no number; the second is the first number that fails")
    whole = _INTEGER.fullmatch
    return [low, high], lambda value: whole(value) is not None and low <= int(value) < high


def _present(value: object, _: bool) -> tuple[object, Test]:
    if not isinstance(value, bool):
        raise ValueError(f"present: {_json(value)} is neither true nor false; to compare with it write {{exact: ...}}")
    return value, _is_there if value else _is_missing


def _in(value: object, _: bool) -> tuple[object, Test]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"in: {_json(value)} is not a list of texts; write in: [a, b]")
    texts = [_text("in", one) for one in value]
    return texts, frozenset(texts).__contains__


def _cidr(value: object, _: bool) -> tuple[object, Test]:
    written = list(value) if isinstance(value, (list, tuple)) else [value]
    if not written:
        raise ValueError("cidr: [] holds no address; write 10.0.0.0/8 or a list of such networks")
    networks = [_network(one) for one in written]

    # Reading an address takes microseconds, and the same few come again and again.
    @lru_cache(maxsize=1024)
    def holds(value: str) -> bool:
        try:
            address = ip_address(value)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in networks)

    return value, lambda value: len(value) <= MAX_ADDRESS and holds(value)


def _network(value: object) -> IPv4Network | IPv6Network:
    """The network; one of v4-mapped addresses as the v4 network that they map, as sockets for both report them."""
    try:
        if not isinstance(value, str):
            raise ValueError
        network = ip_network(value, strict=False)
        exact = ip_address(value.partition("/")[0]) == network.network_address
    except ValueError:
        raise ValueError(f"cidr: {_json(value)} is not a network; write 10.0.0.0/8 or fd00::/8") from None
    if not exact:
        raise ValueError(f"cidr: {value} is a host and not its network; write {network}, or {value.partition('/')[0]}")
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


KINDS: dict[str, Callable[[object, bool], tuple[object, Test]]] = {
    "exact": _exact,
    "prefix": _prefix,
    "suffix": _suffix,
    "contains": _contains,
    "regex": _regex,
    "range": _range,
    "present": _present,
    "in": _in,
    "cidr": _cidr,
}
"""kind -> what checks its value and makes the test of a metadata value that is there, ignoring case or not."""
_CASELESS = ("exact", "prefix", "suffix", "contains")
_MODIFIERS = ("not", "ignore_case", "default")
_ONE_OF = f"write one of {', '.join(KINDS)}"
