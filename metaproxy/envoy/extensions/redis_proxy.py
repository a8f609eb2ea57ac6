"""
Envoy's redis_proxy as a listener of the codec `redis`, and the login at a cluster's servers.

Lives here: their translators: settings, prefix routes, passwords, faults. Does not: Redis Cluster, which the codec does
not speak.
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.envoy.data_sources import inline_of
from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.metaprotocol import mirror_of
from metaproxy.envoy.tables import NETWORK_FILTERS, PROTOCOL_OPTIONS, Chain, Context, Plain

_REDIS = "envoy.extensions.filters.network.redis_proxy"
_HASHED = ("RING_HASH", "MAGLEV")
_ALL = "+@all ~* &*"


@NETWORK_FILTERS.add(f"{_REDIS}.v3.RedisProxy", "envoy.filters.network.redis_proxy")
def redis_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix", "latency_in_micros")  # metrics go by the listener's name, in seconds
    chain.terminal = chain.terminal or "RedisProxy"
    chain.section["protocol"] = _protocol(config)
    settings = config.message_at("settings")
    base = _settings(settings) if settings is not None else {}
    chain.filters += _faults(config)
    chain.section["routes"] = list(_routes(config, base, chain))


def _settings(settings: Fields) -> Plain:
    # Commands leave with the turn that read them; a redirection would be to Redis Cluster, which is not there.
    settings.ignore("max_buffer_size_before_flush", "buffer_flush_timeout", "max_upstream_unknown_connections")
    settings.ignore("enable_hashtagging")  # a key is always hashed by what stands in braces, where something does
    settings.refuse("enable_redirection", "metaproxy does not follow MOVED and ASK", False)
    settings.refuse("enable_command_stats", "metaproxy has no metrics a command; an access log has them", False)
    settings.refuse("read_policy", "metaproxy asks any server that the balancer picks", 0)
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


def _routes(config: Fields, base: Plain, chain: Chain) -> Iterable[Plain]:
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
        one.refuse("remove_prefix", "metaproxy sends keys on as they came", False)
        one.refuse("key_formatter", "metaproxy sends keys on as they came", "")
        if not one.require("cluster"):
            continue
        cluster = one.text("cluster")
        plain: Plain = {"match": match, "cluster": cluster, **base}
        plain["hash"] = ["key"] if _is_hashed(cluster, chain) else []
        plain["mirror"] = [mirror for policy in one.each("request_mirror_policy") if (mirror := _mirror(policy, chain))]
        yield without_empty(plain)


def _mirror(policy: Fields, chain: Chain) -> Plain:
    policy.refuse("exclude_read_commands", "metaproxy copies every command of the route", False)
    return mirror_of(policy, chain)


def _is_hashed(cluster: str, chain: Chain) -> bool:
    """Whether a cluster's servers are told apart by the key, as far as the cluster is known."""
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


# -- the login at servers


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
