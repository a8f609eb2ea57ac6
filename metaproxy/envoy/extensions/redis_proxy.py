"""
Envoy's redis_proxy as a listener of the codec `redis`, its Redis Clusters, and the login at a cluster's servers.

Lives here: their translators: settings, prefix routes, passwords, faults, cluster types. Does not: keys of our own for
them (`own_sections`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.codecs.redis.commands import READS
from metaproxy.envoy.cluster_types import assigned
from metaproxy.envoy.data_sources import inline_of
from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.metaprotocol import mirror_of
from metaproxy.envoy.tables import CLUSTER_TYPES, NETWORK_FILTERS, PROTOCOL_OPTIONS, Chain, Context, Plain
from metaproxy.routing.pattern import literally

_REDIS = "envoy.extensions.filters.network.redis_proxy"
_HASHED = ("RING_HASH", "MAGLEV")
_ALL = "+@all ~* &*"
_NODES = ("envoy.extensions.clusters.redis.v3.RedisClusterConfig", "envoy.config.cluster.redis.RedisClusterConfig")
_REFRESH = 5.0
"""Seconds from one answer of a Redis Cluster's nodes to the next question, where a cluster does not say it."""
_SUBSETS: dict[str, Plain | None] = {
    "MASTER": None,
    "PREFER_MASTER": None,
    "REPLICA": {"role": "replica"},
    "PREFER_REPLICA": {"role": "replica"},
    "ANY": {"role": "any"},
}
"""Where a Redis Cluster is read from, by `read_policy`."""


@NETWORK_FILTERS.add(f"{_REDIS}.v3.RedisProxy", "envoy.filters.network.redis_proxy")
def redis_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix", "latency_in_micros")  # metrics go by the listener's name, in seconds
    chain.terminal = chain.terminal or "RedisProxy"
    chain.section["protocol"] = _protocol(config)
    settings = config.message_at("settings")
    base = _settings(settings) if settings is not None else {}
    chain.filters += _faults(config)
    reads = _SUBSETS[settings.choice("read_policy")] if settings is not None else None
    routes = list(_routes(config, base, reads, chain))
    chain.section["routes"] = routes
    kinds = {_is_nodes(str(one["cluster"]), chain) for one in routes}
    if settings is not None and False in kinds:
        text = "MOVED and ASK are followed in clusters of the type envoy.clusters.redis alone"
        settings.refuse("enable_redirection", text, False)
    elif settings is not None:
        settings.ignore("enable_redirection")  # in these they always are
    if kinds == {True}:  # of which nodes have one
        protocol = chain.section["protocol"]
        chain.section["protocol"] = {**(protocol if isinstance(protocol, dict) else {"name": protocol}), "databases": 1}


def _is_nodes(cluster: str, chain: Chain) -> bool | None:
    """Whether a cluster is a Redis Cluster; None for one that is not known."""
    message = chain.context.resources.clusters.get(cluster)
    if message is None:
        return None
    custom = Fields(message, "", chain.report).message_at("cluster_type")
    return custom is not None and custom.extension().type in _NODES


def _settings(settings: Fields) -> Plain:
    # Commands leave with the turn that read them.
    settings.ignore("max_buffer_size_before_flush", "buffer_flush_timeout", "max_upstream_unknown_connections")
    settings.ignore("enable_hashtagging")  # a key is always hashed by what stands in braces, where something does
    settings.refuse("enable_command_stats", "metaproxy has no metrics a command; an access log has them", False)
    if settings.choice("read_policy") == "PREFER_MASTER":
        settings.report.warn(settings.at("read_policy"), "where a master is lost reads wait for another")
    length = settings.seconds("op_timeout")
    if length is None:
        settings.report.invalid(settings.path, "op_timeout is missing")
        return {}
    return {"timeout": shown_seconds(length)}


# -- clients that log in


def _protocol(config: Fields) -> object:
    sources = config.each("downstream_auth_passwords")
    if not sources and config.given("downstream_auth_password"):
        one = config.message_at("downstream_auth_password")
        sources = [one] if one is not None else []
    if config.given("external_auth_provider"):
        config.essential("external_auth_provider", "metaproxy asks no server about clients; write passwords")
    passwords = [text for source in sources if (text := _login(source, "a password"))]
    name = config.message_at("downstream_auth_username")
    user = _login(name, "a name") if name is not None else None
    if not passwords:
        return "redis"
    if len(passwords) == 1:
        auth: Plain = {"users": {user: passwords[0]}} if user else {"password": passwords[0]}
        return {"name": "redis", "auth": auth}
    return {"name": "redis", "users": [{"name": user or "default", "passwords": passwords, "rules": _ALL}]}


def _login(source: Fields, what: str) -> str:
    """The text of a DataSource that clients must show."""
    text = inline_of(source, what)
    if not text:
        source.report.essential(source.path, f"without {what} that is known here clients would not have to log in")
    return text or ""


# -- routes


def _routes(config: Fields, base: Plain, reads: Plain | None, chain: Chain) -> Iterable[Plain]:
    """reads: of a Redis Cluster, the nodes that are read from; None for the masters."""
    routes = config.message_at("prefix_routes")
    if routes is None:
        config.require("prefix_routes")
        return
    ignore_case = routes.flag("case_insensitive")
    listed = sorted(routes.each("routes"), key=lambda one: -len(one.text("prefix")))  # the longest prefix wins
    last = routes.message_at("catch_all_route")
    for one in [*listed, *([] if last is None else [last])]:
        prefix = one.text("prefix") if one is not last else ""
        condition: Plain = {"prefix": prefix}
        if ignore_case:
            condition["ignore_case"] = True
        match: Plain = {"key": condition} if prefix else {}
        one.refuse("key_formatter", "metaproxy sends keys on as they came", "")
        keys: Plain = {}
        if one.flag("remove_prefix") and prefix:
            keys["rewrite"] = {"key": {"regex": f"{'(?i)' * ignore_case}^{literally(prefix)}", "to": ""}}
        if one.require("cluster"):
            yield from _route(one, match, {**base, **keys}, reads, chain)


def _route(route: Fields, match: Plain, base: Plain, reads: Plain | None, chain: Chain) -> Iterable[Plain]:
    """One for all commands, behind one for those that read where these have it otherwise."""
    cluster = route.text("cluster")
    plain: Plain = {"match": match, "cluster": cluster, **base}
    plain["hash"] = ["key"] if _is_hashed(cluster, chain) else []
    policies = route.each("request_mirror_policy")
    mirrors = [mirror for policy in policies if (mirror := mirror_of(policy, chain))]
    of_all = [mirror_of(policy, chain) for policy in policies if not policy.flag("exclude_read_commands")]
    subset = reads if _is_nodes(cluster, chain) is not False else None
    if subset or len(of_all) < len(policies):
        only = {**match, "command": {"in": sorted(READS)}}
        yield without_empty({**plain, "match": only, "subset": subset or {}, "mirror": of_all})
    yield without_empty({**plain, "mirror": mirrors})


def _is_hashed(cluster: str, chain: Chain) -> bool:
    """Whether a cluster's servers are chosen by the key, as far as the cluster is known."""
    message = chain.context.resources.clusters.get(cluster)
    if message is None:
        return True
    return Fields(message, "", chain.report).choice("lb_policy") in _HASHED


# -- faults


def _faults(config: Fields) -> list[object]:
    faults: list[Plain] = []
    for fault in config.each("faults"):
        enabled = fault.message_at("fault_enabled")
        if enabled is not None:
            enabled.ignore("runtime_key")
        share = (enabled.percent("default_value", 100.0) if enabled is not None else 0.0) or 0.0
        plain: Plain = {"percentage": number(share)}
        commands = sorted(command.upper() for command in fault.texts("commands"))
        if commands:
            plain["match"] = {"command": {"in": commands}}
        length = fault.seconds("delay")
        if length:
            plain["delay"] = shown_seconds(length)
        if fault.choice("fault_type") == "ERROR":
            plain["error"] = {"kind": "internal", "message": "Fault Injected: Error"}
        if share:
            faults.append(plain)
    return [{"fault": {"faults": faults}}] if faults else []


# -- servers


def _nodes(config: Fields, cluster: Fields, context: Context) -> Plain:
    """A Redis Cluster. Its nodes are asked at once when one of them sends a command elsewhere, or does not answer."""
    config.ignore("cluster_refresh_timeout", "redirect_refresh_interval", "redirect_refresh_threshold")
    config.ignore("failure_refresh_threshold", "host_degraded_refresh_threshold")
    rate = config.seconds("cluster_refresh_rate", _REFRESH) or _REFRESH
    endpoints = assigned(cluster, False)
    return {"endpoints": endpoints, "topology": "cluster", "topology_interval": shown_seconds(max(rate, 0.01))}


for _type in _NODES:
    CLUSTER_TYPES.add(_type, "envoy.clusters.redis")(_nodes)


@PROTOCOL_OPTIONS.add(f"{_REDIS}.v3.RedisProtocolOptions", "envoy.filters.network.redis_proxy")
def protocol_options(config: Fields, section: Plain, context: Context) -> None:
    plain: Plain = {}
    for name, key in (("auth_username", "user"), ("auth_password", "password")):
        source = config.message_at(name)
        text = inline_of(source, "a login") if source is not None else None
        if text:
            plain[key] = text
    if plain:
        section["credentials"] = plain
