"""
Envoy's tcp_proxy: bytes to a cluster.

Lives here: its translator. Does not: the codec (`codecs.tcp`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.metaprotocol import access_logs
from metaproxy.envoy.routing import subset_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain, Plain

_IDLE = 3600.0
"""Seconds, where idle_timeout is not given."""
_BACKOFF = (0.25, 10.0)


@NETWORK_FILTERS.add(
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "envoy.filters.network.tcp_proxy", "envoy.tcp_proxy"
)
def tcp_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix")  # metrics go by the listener's name
    chain.terminal = chain.terminal or "tcp_proxy"
    section = chain.section
    section["protocol"] = "tcp"
    section["stream_idle"] = shown_seconds(config.seconds("idle_timeout", _IDLE) or 0.0)
    route: Plain = {**_destination(config), "subset": subset_of(config.message_at("metadata_match"))}
    route["hash"] = _hash(config)
    route["retry"] = _retry(config)
    section["routes"] = [without_empty(route)]
    section.update(without_empty({"access_log": access_logs(config.each("access_log"), chain)}))


def _destination(config: Fields) -> Plain:
    which = config.which("cluster_specifier")
    if which == "cluster":
        return {"cluster": config.text("cluster")}
    weighted = config.message_at("weighted_clusters") if which == "weighted_clusters" else None
    if weighted is None:
        config.report.invalid(config.path, "no destination; write cluster or weighted_clusters")
        return {}
    clusters: dict[str, int] = {}
    for one in weighted.each("clusters"):
        clusters[one.text("name")] = clusters.get(one.text("name"), 0) + one.whole("weight")
    return {"clusters": {**clusters}}


def _hash(config: Fields) -> list[str]:
    keys = []
    for policy in config.each("hash_policy"):
        if policy.message_at("source_ip") is not None:
            keys.append("source.address")
    return keys


def _retry(config: Fields) -> Plain:
    attempts = config.whole("max_connect_attempts", 1)
    backoff = config.message_at("backoff_options")
    if attempts <= 1:
        if backoff is not None:
            backoff.ignore("base_interval", "max_interval")  # of no effect without a second attempt
        return {}
    plain: Plain = {"attempts": attempts - 1, "on": ["connect"]}
    if backoff is not None:
        base = backoff.seconds("base_interval", _BACKOFF[0]) or _BACKOFF[0]
        most = backoff.seconds("max_interval", base * 10) or base * 10
        plain["backoff"] = f"{shown_seconds(base)}..{shown_seconds(most)}"
    return plain
