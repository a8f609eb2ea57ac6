"""
Routes that come over RDS: envoy.config.route.v3.RouteConfiguration, as a list of our routes.

Lives here: `routes_of`, and what such routes mean for MetaProtocolProxy, which gets its own in their form: conditions
on headers are conditions on metadata, headers to add are mutations. Does not: what they mean for HTTP (a translator
that adds itself to `tables.ROUTES`); asking for them (`xds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType

from google.protobuf.message import Message

from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.matching import match_of
from metaproxy.envoy.metaprotocol import MAX_HASH, MAX_MUTATIONS, Names, destination_of, literal, mirror_of
from metaproxy.envoy.report import Unusable
from metaproxy.envoy.tables import ROUTES, Chain, Context, Plain, load_extensions


def routes_of(
    configuration: Message,
    context: Context,
    protocol: str = "",
    path: str = "",
    listener: Mapping[str, object] = MappingProxyType({}),
) -> list[Plain]:
    """
    The routes of a RouteConfiguration, for a listener of this protocol. What is wrong with them is in the context's
    report. path: where the message stands; listener: its section, whose filters routes may give other options.
    """
    load_extensions()
    fields = Fields(configuration, path or f"routes {getattr(configuration, 'name', '')!r}", context.report)
    translate = ROUTES.get(protocol, _metaprotocol)
    chain = _chain_of(listener, context)
    before = deepcopy(chain.section)
    try:
        routes = translate(fields, chain)
        fields.close()
    except Unusable as error:
        if context.report.lenient:  # no routes would be put in force in place of those before
            context.report.invalid(fields.path, f"can't be used as a whole: {error}")
        return []
    if chain.section != before:
        context.report.unhonoured(fields.path, "upgrades that the listener does not allow: write upgrade_configs there")
    return routes


def _chain_of(listener: Mapping[str, object], context: Context) -> Chain:
    """The chain of a listener that is there already."""
    protocol, filters = listener.get("protocol"), listener.get("filters", [])
    section: Plain = {"protocol": deepcopy(protocol)} if isinstance(protocol, dict) else {}
    return Chain(context, section=section, filters=list(filters) if isinstance(filters, list) else [])


def _metaprotocol(configuration: Fields, chain: Chain) -> list[Plain]:
    """All virtual hosts one after the other: their domains mean nothing here."""
    configuration.ignore("name", "validate_clusters", "ignore_port_in_host_matching")
    hosts = configuration.each("virtual_hosts")
    if not hosts:
        configuration.report.invalid(configuration.path, "no virtual_hosts; write one that has the routes")
    named = Names()
    routes: list[Plain] = []
    for host in hosts:
        host.ignore("name", "domains")
        routes += [_route(route, named, chain) for route in host.each("routes")]
    return routes


def _route(route: Fields, named: Names, chain: Chain) -> Plain:
    plain: Plain = {"name": named(route.text("name")), **_match(route, chain)}
    action = route.message_at("route")
    if action is None:
        which = route.which("action")
        text = "no action; write route" if which is None else "metaprotocol has requests forwarded; write route"
        if which is not None:
            route.ignore(which)
        route.report.invalid(route.path if which is None else route.at(which), text)
        return {}
    plain.update(destination_of(action))
    timeout = action.seconds("timeout")
    plain["timeout"] = None if timeout is None else shown_seconds(timeout)
    plain["hash"] = _hash(action)
    plain["mirror"] = [one for policy in action.each("request_mirror_policies") if (one := mirror_of(policy, chain))]
    plain["request"] = _mutation(route, "request_headers_to_add", "request_headers_to_remove")
    plain["response"] = _mutation(route, "response_headers_to_add", "response_headers_to_remove")
    return chain.context.place(without_empty(plain), route.path)


def _match(route: Fields, chain: Chain) -> Plain:
    match = route.message_at("match")
    if match is None:
        return {}
    match.ignore("case_sensitive")  # of the path, of which there is none
    if match.text("prefix") not in ("", "/"):
        match.unhonoured("prefix", "metaprotocol has no paths; write / and conditions on headers")
    plain: Plain = {"match": match_of(match.each("headers"))}
    share = match.message_at("runtime_fraction")
    if share is not None:
        value = share.percent("default_value", 100.0) or 0.0
        percent = chain.context.at_runtime(share.text("runtime_key"), number(value), share.path)
        plain["percent"] = None if percent == 100 else percent
    return plain


def _hash(action: Fields) -> list[str]:
    keys: list[str] = []
    for policy in action.each("hash_policy"):
        header = policy.message_at("header")
        if header is not None:
            keys.append(header.text("header_name"))
            policy.refuse("terminal", "keys are hashed together; a policy that ends the list is not there", False)
    if len(keys) > MAX_HASH:
        action.report.invalid(action.at("hash_policy"), f"{len(keys)} keys; allowed are {MAX_HASH}")
    return [key for key in keys if key]


def _mutation(route: Fields, add: str, remove: str) -> Plain:
    options = route.each(add)
    if len(options) > MAX_MUTATIONS:
        route.report.invalid(route.at(add), f"{len(options)} of them; allowed are {MAX_MUTATIONS}")
    set_: Plain = {}
    for option in options:
        option.ignore("append", "append_action", "keep_empty_value")  # metadata have one value a key
        header = option.message_at("header")
        if header is None or not header.text("key"):
            option.report.invalid(option.path, "header is missing")
        else:
            set_[header.text("key")] = literal(header.text("value"), header)
    return without_empty({"set": set_, "remove": route.texts(remove)})
