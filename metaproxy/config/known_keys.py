"""
Whether the metadata keys that a listener asks for can be there, as far as its codec says so.

Lives here: `check_keys`, for all that a listener names (routes, filters, logs, spans), and `check_balancer_keys`. Does
not: what a condition means (`routing.matcher`); keys that codecs give; options of filters that don't come with
metaproxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple, Protocol

from metaproxy.config import model
from metaproxy.config.schema.nodes import Node, within
from metaproxy.config.schema.reading import Reading, Use, near
from metaproxy.config.slices import checkpoint
from metaproxy.message import KIND_NAMES
from metaproxy.routing.expression import WORDS
from metaproxy.routing.matcher import FACTS, compile_condition

_NEAR = 0.75
ALWAYS = ("kind",)
"""What every message has."""
_FACTS = (
    "source.address", "source.port", "source.identity", "source.subject", "source.distinguished_name",
    "source.uri_san", "source.dns_san", "destination.address", "destination.node", "destination.original",
    "destination.port",
    "tls.alpn", "tls.sni", "tls.version",
)  # fmt: skip
"""What there is to know of a connection."""
LEARNT = ("x-request-id", "trace.id")
"""What `tracing:` adds, for filters and logs."""


class Keys(Protocol):
    """What is asked of a codec. It may also say `open_keys` and `upper_keys`: see ICodec."""

    name: str
    keys: Mapping[str, str]
    mutable: str


class Asked(NamedTuple):
    """A key that is asked for, where that is written, and the condition on its value, if it has one."""

    key: str
    node: Node
    condition: object = None


def check_keys(listener: model.Listener, codec: Keys, reading: Reading) -> None:
    """
    Report keys that a closed codec does not have, and values that it can't give; warn of what is nearly a key of
    another one, where senders may choose names of their own.
    """
    known = _Known(codec)
    known.check(_by_routes(listener, reading), reading)
    if not codec.mutable:
        known.check(_by_mutations(listener, reading), reading)
    uses = [*listener.filters, *(use for route in listener.routes for use in route.filters.values() if use is not None)]
    known = _Known(codec, LEARNT, any(_may_learn(use, reading) for use in uses), lenient=True)
    for use in uses:
        known.check(_by_filter(use, reading), reading)
    known.check(_by_logs(listener, reading), reading)
    known.check(_by_spans(listener, reading), reading)


def check_balancer_keys(cluster: model.Cluster, codecs: Sequence[Keys], reading: Reading) -> None:
    """The same for the `key` of a cluster's balancer. codecs: what its requests come in."""
    asked = list(_by_filter(cluster.balancer, reading, _BALANCER))
    for codec in codecs:
        _Known(codec).check(asked, reading)


class _Known:
    """
    The keys of a codec. more: others that are there besides; opened: whether filters add keys of their own choice;
    lenient: whether a key that is like none of them is only warned of, as filters are used with several codecs.
    """

    def __init__(self, codec: Keys, more: Sequence[str] = (), opened: bool = False, lenient: bool = False) -> None:
        self._name = codec.name
        self._own = tuple(key for key in (*codec.keys, *ALWAYS) if "<" not in key)
        self._known = frozenset((*self._own, *more))
        self._families = tuple(key[:at] for key in codec.keys if (at := key.find("<")) > 0)
        says = getattr(codec, "open_keys", None)
        self._closed = says is False and not opened and all("<" not in key for key in codec.keys)
        self._lenient = lenient
        self._upper = frozenset(getattr(codec, "upper_keys", ()))

    def check(self, asked: Iterator[Asked] | Sequence[Asked], reading: Reading) -> None:
        for key, node, condition in asked:
            checkpoint()
            if key in self._known and condition is not None:
                self._check_values(key, node, condition, reading)
            if key.startswith(FACTS) and key not in _FACTS and _is_near(key, _FACTS):
                reading.problem(node, f"no connection has {key!r}; {near(key, _FACTS, 'fact')}")
            if key in self._known or key.startswith((*FACTS, *self._families)):
                continue
            is_near = _is_near(key, self._own)
            if self._closed:
                report = reading.problem if is_near or not self._lenient else reading.warn
                report(node, f"{self._name} has no key {key!r}; {near(key, self._own, 'key')}")
            elif is_near:
                reading.warn(node, f"{key!r} is none of {self._name}'s own keys; {near(key, self._own, 'key')}")

    def _check_values(self, key: str, node: Node, condition: object, reading: Reading) -> None:
        for value in sorted(compile_condition(key, condition).values or ()):
            if key in self._upper and value != value.upper():
                reading.problem(node, f"{key} is never {value!r}; write {value.upper()!r}")
            elif key == "kind" and value not in KIND_NAMES:
                reading.problem(node, f"{key} is never {value!r}; {near(value, KIND_NAMES, 'kind')}")


@lru_cache(1024)
def _is_near(key: str, known: tuple[str, ...]) -> bool:
    """Whether a key is nearly one of those that are known; a thousand routes ask for the same few."""
    return bool(get_close_matches(key, known, 1, _NEAR))


# -- what asks for keys


def _by_routes(listener: model.Listener, reading: Reading) -> Iterator[Asked]:
    for route in listener.routes:
        if reading.is_reused(route):
            continue
        for key, condition in route.match.items():
            yield Asked(_as_looked_up(key), within(reading.at(route, "match"), (key,)), condition)
        for option in ("hash", "sticky"):
            for key in getattr(route, option):
                yield Asked(key, reading.at(route, option))


def _by_mutations(listener: model.Listener, reading: Reading) -> Iterator[Asked]:
    for route in listener.routes:
        for mutations in (route.request, route.response):
            if mutations is not None:
                for name in ("set", "append", "add"):
                    for key in getattr(mutations, name):
                        yield Asked(key, within(reading.at(mutations, name), (key,)))
                for place, key in enumerate(mutations.remove):
                    yield Asked(key, within(reading.at(mutations, "remove"), (place,)))


_KEY, _MATCH = "key", "match"
Options = Sequence[tuple[str, str]]
_BALANCER: Options = (("key", _KEY),)
_FILTERS: Mapping[str, Options] = {
    "rbac": (
        ("policies.*.permissions.*", _MATCH),
        ("policies.*.principals.*", _MATCH),
        ("shadow.*.permissions.*", _MATCH),
        ("shadow.*.principals.*", _MATCH),
    ),
    "fault": (("faults.*.match", _MATCH), ("key", _KEY)),
    "local_rate_limit": (("key", _KEY), ("conditions.*.match", _MATCH), ("conditions.*.key", _KEY)),
    "quota": (("key", _KEY), ("match", _MATCH)),
    "global_rate_limit": (
        ("match", _MATCH),
        ("descriptors.*.*.from", _KEY),
        ("descriptors.*.entries.*.from", _KEY),
        ("descriptors.*.property", _KEY),
    ),
    "concurrency_limit": (("key", _KEY),),
    "deadline": (("key", _KEY),),
    "ext_authz": (("match", _MATCH), ("metadata", _KEY), ("cache.key", _KEY)),
}
"""Filter -> the options that hold a key or a list of them, or conditions; * stands for any key or place."""

_LEARNERS = ("jwt", "ext_authz")
"""Filters that add metadata under keys that a configuration or a service chooses."""


def _may_learn(use: Use, reading: Reading) -> bool:
    """Whether the filter may add keys. One that does not come with metaproxy may."""
    return use.name in _LEARNERS or not _is_ours(use, reading)


def _is_ours(use: Use, reading: Reading) -> bool:
    return type(reading.built(use)).__module__.startswith("metaproxy.")


def _by_filter(use: Use, reading: Reading, options: Options = ()) -> Iterator[Asked]:
    """What a filter of ours asks for; nothing of one that could not be built."""
    if not _is_ours(use, reading):
        return
    for pattern, kind in options or _FILTERS.get(use.name, ()):
        option, *steps = pattern.split(".")
        if option not in use.options or not reading.gives(use, option):
            continue
        for path, value in _found(use.options[option], steps, ()):
            node = reading.at(use, option)
            if kind == _MATCH:
                yield from _by_conditions(value, within(node, path))
            elif isinstance(value, str):
                yield from [Asked(value, within(node, path))] if value else []
            elif isinstance(value, (list, tuple)):
                for place, key in enumerate(value):
                    yield Asked(str(key), within(node, (*path, place)))


def _found(
    value: object, steps: Sequence[str], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """What stands at a pattern, and where."""
    if not steps:
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if steps[0] in ("*", key):
                yield from _found(inner, steps[1:], (*path, key))
    elif isinstance(value, (list, tuple)) and steps[0] == "*":
        for place, inner in enumerate(value):
            yield from _found(inner, steps[1:], (*path, place))


def _by_conditions(written: object, node: Node) -> Iterator[Asked]:
    """The conditions of an expression. It was compiled before, so that its shape is right."""
    if isinstance(written, (list, tuple)):
        for place, inner in enumerate(written):
            yield from _by_conditions(inner, within(node, (place,)))
    elif isinstance(written, Mapping):
        for key, inner in written.items():
            if key in WORDS:
                yield from _by_conditions(inner, within(node, (key,)))
            else:
                yield Asked(_as_looked_up(str(key)), within(node, (key,)), inner)


_REQUEST = re.compile(r"%(?:REQ|RESP)\(([^)]*)\)(?::\d+)?%")
_RESERVED = "x-meta-protocol-"
"""How keys begin that log formats know besides."""


def _by_logs(listener: model.Listener, reading: Reading) -> Iterator[Asked]:
    for log in listener.access_log:
        texts = [("format", "", log.format), *(("fields", name, text) for name, text in (log.fields or {}).items())]
        for option, field, text in texts:
            for operator in _REQUEST.finditer(text):
                for key in operator[1].split("?"):
                    if not key.lower().startswith(_RESERVED):
                        yield Asked(_as_looked_up(key), within(reading.at(log, option), (field,)))


def _by_spans(listener: model.Listener, reading: Reading) -> Iterator[Asked]:
    tracing = listener.tracing
    if tracing is None:
        return
    for place, key in enumerate(tracing.metadata):
        if key != "*" and reading.gives(tracing, "metadata"):
            yield Asked(_as_looked_up(key), within(reading.at(tracing, "metadata"), (place,)))
    for tag in tracing.tags.values():
        if tag.metadata is not None:
            yield Asked(_as_looked_up(tag.metadata), reading.at(tag, "metadata"))


def _as_looked_up(key: str) -> str:
    return key if key.startswith(FACTS) else key.lower()
