"""
Dubbo's entries in a registry: URLs of providers, and of rules that an operator wrote for them.

Lives here: `read_provider`, `read_rule`, `Rule`. Does not: where the entries are (`folder`); Dubbo's newer rules in
YAML, which are in its configuration center.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from metaproxy.discovery.instances import MAX_ENTRY, Instance, address_of, metadata_of, weight_of

_URL = re.compile(r"[A-Za-z][\w+.-]{0,31}%3A%2F%2F", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*)://(?:[^@/?]*@)?(?P<place>[^/?]*)(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?"
)
WEIGHT = 100
"""Of a provider that does not say its weight."""

KEYS = ("version", "group", "application", "environment", "release", "side", "methods", "timestamp")
NAMES = {"dubbo.tag": "tag", "tag": "tag", "zone": "zone"}
"""Parameters that become metadata; those under another name."""


class Provider(NamedTuple):
    """An entry: the server, and what rules look at."""

    instance: Instance
    host: str
    port: str


def is_url(name: str) -> bool:
    """Whether a node's name is an encoded URL, as Dubbo's are."""
    return _URL.match(name) is not None


class _Url(NamedTuple):
    scheme: str
    host: str
    port: str
    path: str
    query: Mapping[str, str]


def _parse(name: str) -> _Url:
    if len(name) > MAX_ENTRY:
        raise ValueError(f"{len(name)} characters; allowed are {MAX_ENTRY}")
    parts = _PARTS.fullmatch(unquote_plus(name))
    if parts is None:
        raise ValueError(f"{name[:100]!r} is no URL")
    host, colon, port = parts["place"].rpartition(":")
    if not colon or "]" in port:
        host, port = parts["place"], ""
    query = dict(one.partition("=")[::2] for one in (parts["query"] or "").split("&") if one)
    return _Url(parts["scheme"].lower(), host, port, parts["path"] or "", query)


def read_provider(name: str) -> Provider | None:
    """A provider from a node's name; None for one that stands for no provider (`empty:`). Raises ValueError."""
    url = _parse(name)
    if url.scheme == "empty":
        return None
    query = url.query
    metadata = {key: query[key] for key in KEYS if key in query}
    metadata |= {ours: query[key] for key, ours in NAMES.items() if key in query}
    metadata |= {"protocol": url.scheme, "interface": query.get("interface", url.path)}
    healthy = query.get("enabled", "true") != "false" and query.get("disabled", "false") != "true"
    weight = weight_of(query.get("weight"), WEIGHT)
    instance = Instance(address_of(url.host, url.port), weight, metadata_of(metadata), healthy)
    return Provider(instance, url.host, url.port)


# -- rules


class Rule(NamedTuple):
    """`override://HOST[:PORT]/...`: what it changes of the providers that it is for. weight: None for no change."""

    host: str
    port: str
    wanted: Mapping[str, str]
    disabled: bool | None
    weight: int | None
    rank: int

    def applies(self, provider: Provider) -> bool:
        if self.host != _ANY_HOST and self.host != provider.host:
            return False
        if self.port not in ("", "0", provider.port):
            return False
        return all(provider.instance.metadata.get(key, "") == value for key, value in self.wanted.items())


_ANY_HOST = "0.0.0.0"
_CONDITIONS = ("application", "group", "version")


def read_rule(name: str) -> Rule | None:
    """A rule from a node's name; None for one that changes nothing here. Raises ValueError."""
    url = _parse(name)
    query = url.query
    if url.scheme != "override" or query.get("enabled") == "false":
        return None
    disabled = {"true": True, "false": False}.get(query.get("disabled", ""))
    weight = weight_of(query["weight"], WEIGHT) if "weight" in query else None
    if disabled is None and weight is None:
        return None
    wanted = {key: query[key] for key in _CONDITIONS if query.get(key, "*") != "*"}
    rank = int(query["priority"]) if query.get("priority", "").isdecimal() and len(query["priority"]) < 10 else 0
    return Rule(url.host, url.port, wanted, disabled, weight, rank)


def with_rules(providers: Iterable[Provider], rules: Iterable[Rule]) -> list[Instance]:
    """The instances after all rules: those for one host come after those for all, of these the higher `priority`."""
    ordered = sorted(rules, key=lambda rule: (rule.host != _ANY_HOST, rule.rank))
    return [_changed(one, ordered) for one in providers]


def _changed(provider: Provider, rules: Iterable[Rule]) -> Instance:
    instance = provider.instance
    for rule in rules:
        if not rule.applies(provider):
            continue
        if rule.disabled is not None:
            instance = instance._replace(healthy=not rule.disabled)
        if rule.weight is not None:
            instance = instance._replace(weight=rule.weight)
    return instance
