"""
Envoy's generic_proxy with its codec of Dubbo as a listener of the codec `dubbo`.

Lives here: its translator; a Matcher as a list of routes. Does not: destinations (`metaprotocol`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.http_matching import add
from metaproxy.envoy.matching import string_condition
from metaproxy.envoy.metaprotocol import Names, access_logs, destination_of, sampling_of, trace
from metaproxy.envoy.routing import subset_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain, Plain

_GENERIC = "envoy.extensions.filters.network.generic_proxy"
_DUBBO = f"{_GENERIC}.codecs.dubbo.v3.DubboCodecConfig"
_ACTION = f"{_GENERIC}.action.v3.RouteAction"
_INPUTS = {
    f"{_GENERIC}.matcher.v3.HostMatchInput": "interface",
    f"{_GENERIC}.matcher.v3.PathMatchInput": "interface",
    f"{_GENERIC}.matcher.v3.ServiceMatchInput": "interface",
    f"{_GENERIC}.matcher.v3.MethodMatchInput": "method",
}
"""What a matcher looks at -> the metadata key of Dubbo."""
_PROPERTY = f"{_GENERIC}.matcher.v3.PropertyMatchInput"
_REQUEST = f"{_GENERIC}.matcher.v3.RequestMatcher"
MOST = 1000
"""Routes that a matcher may become."""


@NETWORK_FILTERS.add(f"{_GENERIC}.v3.GenericProxy", "envoy.filters.network.generic_proxy")
def generic_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix")  # metrics go by the listener's name
    chain.terminal = chain.terminal or "GenericProxy"
    codec = config.message_at("codec_config")
    extension = codec.extension() if codec is not None else None
    if extension is None or extension.type != _DUBBO:
        chain.report.unusable(config.at("codec_config"), "metaproxy reads Dubbo this way, and no other protocol")
    chain.section["protocol"] = "dubbo"
    for one in config.each("filters"):
        inner = one.extension()
        if not inner.type.endswith(".Router"):
            chain.report.essential(one.path, f"metaproxy has no filter of generic_proxy {inner.type or inner.name!r}")
        elif inner.config is not None:
            inner.config.ignore("bind_upstream_connection")
    if config.given("generic_rds"):
        chain.report.unusable(config.at("generic_rds"), "metaproxy takes these routes with the listener")
    table = config.message_at("route_config")
    chain.section["routes"] = _routes(table, chain) if table is not None else []
    tracing = config.message_at("tracing")
    if tracing is not None:
        trace(tracing, sampling_of(tracing, chain), chain)
    chain.section.update(without_empty({"access_log": access_logs(config.each("access_log"), chain)}))


def _routes(table: Fields, chain: Chain) -> list[Plain]:
    table.ignore("name")
    named = Names()
    found: list[Plain] = []
    for host in table.each("virtual_hosts"):
        host.ignore("name")
        for name in host.texts("hosts"):
            matcher = host.message_at("routes")
            if matcher is not None:
                found += _named(routes_of_matcher(matcher, [_host(name)]), named)
    matcher = table.message_at("routes")
    if matcher is not None:
        found += _named(routes_of_matcher(matcher, [{}]), named)
    return found


def _host(name: str) -> Plain:
    if name == "*":
        return {}
    if name.endswith("*"):
        return {"interface": {"prefix": name[:-1]}}
    return {"interface": {"suffix": name[1:]} if name.startswith("*") else name}


def _named(routes: Iterable[Plain], named: Names) -> Iterator[Plain]:
    for route in routes:
        yield without_empty({**route, "name": named(str(route.get("name", "")))})


# -- matchers


@dataclass(frozen=True, slots=True)
class _Asked:
    """What has matched so far: any of these holds. from_: where it stands."""

    any_of: list[Plain]
    from_: Fields

    def also(self, conditions: list[tuple[str, object]]) -> _Asked:
        found = []
        for match in self.any_of:
            more = dict(match)
            for key, condition in conditions:
                add(more, key, condition, self.from_)
            found.append(more)
        return _Asked(found, self.from_)

    def either(self, other: _Asked) -> _Asked:
        return _Asked([*self.any_of, *other.any_of], self.from_)


def routes_of_matcher(matcher: Fields, any_of: list[Plain]) -> list[Plain]:
    """The routes of a Matcher, in the order in which it looks. any_of: what has matched before it."""
    found: list[Plain] = []
    asked = _Asked(any_of, matcher)
    listed = matcher.message_at("matcher_list")
    for one in listed.each("matchers") if listed is not None else []:
        predicate = one.message_at("predicate")
        met = _predicate(predicate, asked) if predicate is not None else None
        if met is not None:
            found += _on_match(one.message_at("on_match"), met)
    tree = matcher.message_at("matcher_tree")
    if tree is not None:
        found += _tree(tree, asked)
    found += _on_match(matcher.message_at("on_no_match"), asked)
    if len(found) > MOST:
        matcher.report.invalid(matcher.path, f"{len(found)} routes; allowed are {MOST}")
    return found[:MOST]


def _on_match(on_match: Fields | None, asked: _Asked) -> list[Plain]:
    if on_match is None:
        return []
    on_match.refuse("keep_matching", "the first route that matches takes a request", False)
    inner = on_match.message_at("matcher")
    if inner is not None:
        return routes_of_matcher(inner, asked.any_of)
    action = on_match.message_at("action")
    extension = action.extension() if action is not None else None
    if extension is None or extension.type != _ACTION or extension.config is None:
        on_match.report.unhonoured(on_match.path, "metaproxy knows the action RouteAction, and no other")
        return []
    keys = _action(extension.config)
    return [{**keys, "match": match} for match in asked.any_of]


def _action(action: Fields) -> Plain:
    plain: Plain = {"name": action.text("name"), **destination_of(action)}
    plain["subset"] = subset_of(action.message_at("metadata"))
    timeout = action.seconds("timeout")
    if timeout is not None:
        plain["timeout"] = shown_seconds(timeout)
    policy = action.message_at("retry_policy")
    if policy is not None:
        attempts = policy.whole("num_retries", 1)
        if attempts:
            plain["retry"] = {"attempts": min(attempts, 100), "on": ["connect", "reset"], "unsafe": True}
    return plain


def _tree(tree: Fields, asked: _Asked) -> list[Plain]:
    key = _input(tree.message_at("input"))
    which = tree.which("tree_type")
    values = tree.message_at(which) if which in ("exact_match_map", "prefix_match_map") else None
    if key is None or values is None:
        return []  # `custom_match` is not read, so that it is reported
    entries = values.entries("map")
    found: list[Plain] = []
    for value in sorted(entries, key=lambda one: (-len(one), one)):
        condition: object = value if which == "exact_match_map" else {"prefix": value}
        found += _on_match(entries[value], asked.also([(key, condition)]))
    return found


def _input(input_: Fields | None) -> str | None:
    """The key that a matcher looks at; None when that is reported."""
    if input_ is None:
        return None
    extension = input_.extension()
    if extension.type == _PROPERTY and extension.config is not None:
        return extension.config.text("property_name") or None
    key = _INPUTS.get(extension.type)
    if key is None and not extension.type.endswith(".RequestMatchInput"):
        input_.report.unhonoured(input_.path, f"metaproxy looks at nothing that is called {extension.type}")
    return key


def _predicate(predicate: Fields, asked: _Asked) -> _Asked | None:
    """What holds if a predicate does; None when it can't be said, which is reported."""
    which = predicate.which("match_type")
    inner = predicate.message_at(which) if which is not None else None
    if which == "single_predicate" and inner is not None:
        conditions = _single(inner)
        return None if conditions is None else asked.also(conditions)
    if which in ("or_matcher", "and_matcher") and inner is not None:
        met: _Asked | None = None
        for one in inner.each("predicate"):
            before = met if which == "and_matcher" and met is not None else asked
            holds = _predicate(one, before)
            if holds is None:
                return None
            met = met.either(holds) if which == "or_matcher" and met is not None else holds
        return met
    if which == "not_matcher" and inner is not None and inner.which("match_type") == "single_predicate":
        single = inner.message_at("single_predicate")
        conditions = _single(single) if single is not None else None
        if conditions is not None and len(conditions) == 1:
            key, condition = conditions[0]
            long = condition if isinstance(condition, dict) else {"exact": condition}
            return asked.also([(key, {**long, "not": True})])
    predicate.report.unhonoured(
        predicate.path, "metaproxy knows single predicates, all or any of several, and one inverted"
    )
    return None


def _single(single: Fields) -> list[tuple[str, object]] | None:
    key = _input(single.message_at("input"))
    value = single.message_at("value_match")
    if value is not None and key is not None:
        condition = string_condition(value)
        return None if condition is None else [(key, _short(condition))]
    custom = single.message_at("custom_match")
    extension = custom.extension() if custom is not None else None
    if extension is None or extension.type != _REQUEST or extension.config is None:
        return None
    return list(_request(extension.config))


def _request(matcher: Fields) -> Iterator[tuple[str, object]]:
    for name, key in (("host", "interface"), ("path", "interface"), ("method", "method")):
        inner = matcher.message_at(name)
        condition = string_condition(inner) if inner is not None else None
        if condition is not None:
            yield key, _short(condition)
    for one in matcher.each("properties"):
        inner = one.message_at("string_match")
        condition = string_condition(inner) if inner is not None else None
        if condition is not None:
            yield one.text("name"), _short(condition)


def _short(condition: Plain) -> object:
    return condition["exact"] if condition.keys() == {"exact"} else condition
