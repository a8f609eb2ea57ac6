"""
Aeraki's MetaProtocolProxy: its codec, its routes, its filters, as keys of a listener.

Lives here: the translator of the network filter, routes and mutations. Does not: the filters (`extensions.aeraki`),
routes that come over RDS (`routes`), conditions (`matching`), logs and tracers (tables).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.matching import match_of
from metaproxy.envoy.sources import server_of
from metaproxy.envoy.tables import ACCESS_LOGGERS, ADS, L7_FILTERS, TRACERS, Chain, Context, Plain
from metaproxy.support.nearest_name import did_you_mean

TYPE = "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"
ROUTER = "aeraki.meta_protocol.filters.router"
_ROUTER_TYPE = "aeraki.meta_protocol_proxy.filters.router.v1alpha.Router"
CODECS = {
    "aeraki.meta_protocol.codec.dubbo": "dubbo",
    "aeraki.meta_protocol.codec.thrift": "thrift",
    "aeraki.meta_protocol.codec.brpc": "brpc",
    "aeraki.meta_protocol.codec.trpc": "trpc",
}
"""The names of Aeraki's codecs -> those of ours. A codec of ours may also be named itself."""
_CODEC_PACKAGE = "aeraki.meta_protocol.codec"
_OWN_PREFIX = "metaproxy.codec."
_COLLECTOR = ("exporter", "url")
"""Keys of `tracing:` that say where spans go."""
_PLACE = re.compile(r"%[\w.\-]+%")
MAX_HASH = 100
MAX_MUTATIONS = 1000


def meta_protocol_proxy(config: Fields, chain: Chain) -> None:
    """The network filter."""
    config.require("stat_prefix")
    config.ignore("stat_prefix")  # metrics go by the listener's name
    chain.terminal = chain.terminal or "MetaProtocolProxy"
    section = chain.section
    section["protocol"] = _codec(config)
    length = config.seconds("idle_timeout")
    section["idle_timeout"] = "0s" if length is None else shown_seconds(length)
    chain.filters += _filters(config, chain)
    _routes(config, chain)
    section.update(without_empty({"access_log": access_logs(config.each("access_log"), chain)}))
    _tracing(config, chain)


# -- codec


def _codec(config: Fields) -> object:
    """`protocol` goes before the deprecated pair, its name and its codec each for itself."""
    protocol = config.message_at("protocol")
    old = config.message_at("codec")
    config.ignore("application_protocol")  # a label of Envoy's metrics
    codec = None
    if protocol is not None:
        protocol.require("name")
        protocol.ignore("name")
        protocol.ignore("multiplexing")  # our codecs share a connection wherever the protocol has request ids
        codec = protocol.message_at("codec")
    if codec is None or not codec.given("name"):
        codec = old if old is not None and old.given("name") else codec
    for one in {id(one): one for one in (codec, old) if one is not None}.values():
        _codec_config(one)
    if codec is None or not codec.text("name"):
        config.report.invalid(config.path, f"no codec; write protocol: {{codec: {{name: {next(iter(CODECS))}}}}}")
        return "tcp"
    name = codec.text("name")
    found = CODECS.get(name) or (name.removeprefix(_OWN_PREFIX) if name.startswith(_OWN_PREFIX) else None)
    if found is None:
        hint = did_you_mean(name, CODECS, f"there are {', '.join(CODECS)}")
        codec.invalid("name", f"no codec {name!r}; {hint}")
        return "tcp"
    return found


def _codec_config(codec: Fields) -> None:
    """The messages of Aeraki's codecs have no fields."""
    extension = codec.extension("config")
    wanted = f"{_CODEC_PACKAGE}.{codec.text('name').rpartition('.')[2].capitalize()}Codec"
    if extension.type and extension.type != wanted:
        codec.invalid(
            "config", f"{extension.type} is no configuration of {codec.text('name')!r}; write {wanted}, or none"
        )
        if extension.config is not None:
            extension.config.give_up()
    else:
        codec.ignore("config")


# -- filters


def _filters(config: Fields, chain: Chain) -> list[object]:
    filters: list[object] = []
    routed = ""
    listed = config.each("meta_protocol_filters")
    for one in listed:
        one.require("name")
        extension = one.extension("config")
        if routed:
            text = f"is behind {routed}, which sends the request on: it would never see one; put it before"
            chain.report.unhonoured(one.path, text)
        found = L7_FILTERS.find(extension, chain.report)
        if found is None:
            chain.report.unusable(one.path, L7_FILTERS.unknown(extension))
        translate, message = found
        made = translate(message, chain)
        for item in made:
            if isinstance(item, dict):
                chain.context.place(item, message.path)
        filters += made
        if message.type == _ROUTER_TYPE:
            routed = extension.name or ROUTER
    if listed and not routed:
        config.report.warn(config.at("meta_protocol_filters"), "no router; requests are sent on all the same")
    return filters


# -- routes


def _routes(config: Fields, chain: Chain) -> None:
    which = config.which("route_specifier")
    if which == "route_config":
        inner = config.message_at("route_config")
        assert inner is not None
        inner.ignore("name")
        chain.section["routes"] = routes_of_metaprotocol(inner.each("routes"), chain)
    elif which == "rds":
        inner = config.message_at("rds")
        assert inner is not None
        chain.section["routes"] = rds_of(inner, chain)
    else:
        config.report.invalid(config.path, "no routes; write rds or route_config")


def rds_of(rds: Fields, chain: Chain) -> object:
    """`routes:` that a server sends."""
    name = rds.text("route_config_name")
    source = rds.message_at("config_source")
    if source is None:
        rds.require("config_source")
        return []
    server = server_of(source, "routes", chain.context)
    if not name:
        rds.report.invalid(rds.path, "route_config_name is missing")
    if server is None or not name:
        return []
    chain.context.need("routes", name, server)
    return {"rds": {"name": name} if server == ADS else {"name": name, "server": server}}


def routes_of_metaprotocol(routes: Iterable[Fields], chain: Chain) -> list[Plain]:
    """Aeraki's routes as ours."""
    named = Names()
    return [_route(route, named, chain) for route in routes]


class Names:
    """Makes names of routes differ, which they need not in Envoy."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, name: str) -> str:
        given, count = name.strip(), 1
        while given and given in self._seen:
            count += 1
            given = f"{name.strip()}#{count}"
        self._seen.add(given)
        return given


def _route(route: Fields, named: Names, chain: Chain) -> Plain:
    match = route.message_at("match")
    plain: Plain = {
        "name": named(route.text("name")),
        "match": match_of(match.each("metadata")) if match is not None else {},
    }
    action = route.message_at("route")
    if action is None:
        route.require("route")
        return {}
    plain.update(destination_of(action))
    hashed = action.texts("hash_policy")
    if len(hashed) > MAX_HASH:
        action.invalid("hash_policy", f"{len(hashed)} keys; allowed are {MAX_HASH}")
    plain["hash"] = hashed
    plain["mirror"] = [one for policy in action.each("request_mirror_policies") if (one := mirror_of(policy, chain))]
    plain["request"] = _mutation(route, "request_mutation")
    plain["response"] = _mutation(route, "response_mutation")
    return chain.context.place(without_empty(plain), route.path)


def destination_of(action: Fields) -> Plain:
    """`cluster:` or `clusters:` of a route action, Aeraki's or Envoy's."""
    which = action.which("cluster_specifier")
    if which == "cluster":
        name = action.text("cluster")
        if not name:
            action.report.invalid(action.at("cluster"), "an empty name")
        return {"cluster": name}
    if which == "weighted_clusters":
        weighted = action.message_at("weighted_clusters")
        assert weighted is not None
        return {"clusters": _weighted(weighted)}
    if which is None:
        action.report.invalid(action.path, "no destination; write cluster or weighted_clusters")
    return {}


def _weighted(weighted: Fields) -> Plain:
    clusters: dict[str, int] = {}
    for one in weighted.each("clusters"):
        name = one.text("name")
        if not name:
            one.report.invalid(one.path, "name is missing")
        elif not one.given("weight"):
            one.report.invalid(one.path, "weight is missing")
            return {}
        else:
            clusters[name] = clusters.get(name, 0) + one.whole("weight")
    total = weighted.whole("total_weight", sum(clusters.values()))
    if total != sum(clusters.values()):
        weighted.invalid("total_weight", f"{total} is not the sum of the weights, {sum(clusters.values())}")
    if not sum(clusters.values()):
        weighted.report.invalid(weighted.path, "the weights add up to 0; one at least must be above")
    return {**clusters}


def mirror_of(policy: Fields, chain: Chain) -> Plain:
    """An item of `mirror:`, of Aeraki's policy or Envoy's."""
    cluster = policy.text("cluster")
    if not policy.require("cluster"):
        return {}
    percent = runtime_percent(policy, "runtime_fraction", chain, 100)
    return {"cluster": cluster} if percent == 100 else {"cluster": cluster, "percent": percent}


def runtime_percent(fields: Fields, name: str, chain: Chain, default: float) -> object:
    """A RuntimeFractionalPercent as a percentage, or as what stands for one that can be changed live."""
    fraction = fields.message_at(name)
    if fraction is None:
        return default
    value = fraction.percent("default_value", 100.0)
    assert value is not None
    return chain.context.at_runtime(fraction.text("runtime_key"), number(value), fraction.path)


def _mutation(route: Fields, name: str) -> Plain:
    pairs = route.each(name)
    if len(pairs) > MAX_MUTATIONS:
        route.report.invalid(route.at(name), f"{len(pairs)} of them; allowed are {MAX_MUTATIONS}")
    set_: Plain = {}
    for pair in pairs:
        key, value = pair.text("key"), pair.text("value")
        if not key:
            pair.report.invalid(pair.path, "key is missing")
        else:
            set_[key] = literal(value, pair)
    return {"set": set_} if set_ else {}


def literal(value: str, fields: Fields) -> str:
    """A value that is meant as it stands. What metaproxy would fill in is reported."""
    if _PLACE.search(value):
        fields.report.unhonoured(fields.at("value"), "metaproxy fills in what stands between two %, and can't leave it")
    return value


# -- logs and traces


def access_logs(logs: Iterable[Fields], chain: Chain) -> list[object]:
    """The items of `access_log:`."""
    found: list[object] = []
    for log in logs:
        extension = log.extension()
        logger = ACCESS_LOGGERS.find(extension, chain.report)
        if logger is None:
            chain.report.unhonoured(extension.path, ACCESS_LOGGERS.unknown(extension))
            continue
        translate, message = logger
        item = translate(message, log, chain)
        found += [] if item is None else [chain.context.place(item, message.path)]
    return found


def _tracing(config: Fields, chain: Chain) -> None:
    tracing = config.message_at("tracing")
    if tracing is None:
        return
    tracing.ignore("verbose")  # spans have the events that we know in any case
    plain = sampling_of(tracing, chain)
    plain["max_tag_length"] = tracing.whole("max_tag_length", 256)
    trace(tracing, plain, chain)


def trace(tracing: Fields, plain: Plain, chain: Chain) -> None:
    """
    Have a listener traced: by what its message says, or else as the process's spans are. In a whole configuration that
    says it nowhere nothing is traced; a control plane asks for spans of proxies with and without a tracer.
    """
    _provide_tracer(tracing, chain.context)
    if chain.context.tracing is None and chain.context.live:
        tracing.report.warn(tracing.path, "no tracer anywhere; spans would go nowhere, and none are made")
    else:
        chain.section["tracing"] = without_empty(plain)


def sampling_of(tracing: Fields, chain: Chain) -> Plain:
    """The shares that a listener traces."""
    shares = (
        ("sampling", "random_sampling"),
        ("client_sampling", "client_sampling"),
        ("overall_sampling", "overall_sampling"),
    )
    plain: Plain = {"direction": chain.direction}
    for key, name in shares:
        plain[key] = number(tracing.percent(name, 100.0) or 0.0)
    return plain


def _provide_tracer(tracing: Fields, context: Context) -> None:
    plain = context.tracer
    provider = tracing.message_at("provider")
    if provider is not None:
        extension = provider.extension()
        tracer = TRACERS.find(extension, context.report)
        if tracer is None:
            context.report.unhonoured(extension.path, TRACERS.unknown(extension))
        else:
            translate, message = tracer
            plain = translate(message, context) or plain
    settled = context.tracing if context.live else context.tracer
    if settled is not None and plain is not None and any(plain.get(key) != settled.get(key) for key in _COLLECTOR):
        path = tracing.path if provider is None else provider.path
        context.report.unhonoured(path, "the process's spans, or another listener's, go elsewhere; there is one tracer")
    context.tracing = settled or plain
