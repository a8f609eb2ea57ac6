"""
Envoy's Cluster as a cluster of ours.

Lives here: `translate_cluster`: what kind it is, its connections, what stands beside. Does not: where endpoints come
from (`cluster_types`), balancers (`balancing`), limits and outliers (`limits`), health checks (`health_checks`).
"""

from __future__ import annotations

from google.protobuf.message import Message

from metaproxy.envoy.balancing import balancer_of, zone_aware
from metaproxy.envoy.cluster_types import endpoints_from
from metaproxy.envoy.fields import Extension, Fields, shown_seconds, without_empty
from metaproxy.envoy.health_checks import health_check_of
from metaproxy.envoy.http2_options import options_of_http2
from metaproxy.envoy.limits import breaker_of, outlier_of
from metaproxy.envoy.own_sections import carried_cluster
from metaproxy.envoy.report import Unusable
from metaproxy.envoy.tables import PROTOCOL_OPTIONS, UPSTREAM_SOCKETS, Context, Plain
from metaproxy.envoy.translated import Translated, own_keys, translated

METADATA_EXCHANGE = "istio.metadata_exchange"
CONNECT_TIMEOUT = 5.0
"""Seconds, where a cluster does not say it."""
_PROBES, _IDLE, _INTERVAL = 9, 7200, 75
"""What Linux has for TCP keep-alive where a message says only a part of it."""


def translate_cluster(cluster: Message, context: Context, path: str = "") -> Translated:
    """The cluster that an envoy.config.cluster.v3.Cluster becomes. path: where it stands, for the report."""
    fields = Fields(cluster, path or f"cluster {getattr(cluster, 'name', '')!r}", context.report)
    return translated(fields, context, _cluster)


def _cluster(fields: Fields, context: Context) -> list[Plain]:
    carried = carried_cluster(fields)
    if carried is not None:
        return [context.place(carried, fields.path)]
    fields.require("name")
    section: Plain = {"name": fields.text("name")}
    balanced = balancer_of(fields)
    section.update(endpoints_from(fields, context, balanced.by_locality))
    section.update(without_empty({**balanced.keys, **_common(fields)}))
    timeout = fields.seconds("connect_timeout", CONNECT_TIMEOUT)
    if not timeout:
        fields.invalid("connect_timeout", "0 is no time to connect in")
    section["connect_timeout"] = shown_seconds(timeout or CONNECT_TIMEOUT)
    _connections(fields, section)
    section.update(without_empty({"breaker": breaker_of(fields), "outlier": outlier_of(fields)}))
    section.update(without_empty({"tls": tls_of(fields, context)}))
    health = health_check_of(fields, "tls" in section)
    section.update(without_empty({"health_check": health}))
    _older_protocol_options(fields, section)
    for extension in fields.extensions("typed_extension_protocol_options").values():
        _protocol_options(extension, section, context)
    _beside(fields)
    own_keys(fields, section)
    return [context.place(section, fields.path)]


def tls_of(fields: Fields, context: Context) -> Plain | None:
    """
    `tls:` of a cluster. Of the sockets that endpoints are matched by, one may speak TLS: towards those whose
    metadata it matches. Without the secrets that it needs the others are spoken to all the same.
    """
    socket = fields.message_at("transport_socket")
    plain = socket_of(socket.extension(), context) if socket is not None else None
    matches = fields.each("transport_socket_matches")
    for place, one in enumerate(reversed(matches)):
        one.ignore("name")
        inner = one.message_at("transport_socket")
        when = {key: str(value) for key, value in one.struct("match").items()}
        try:
            found = socket_of(inner.extension(), context) if inner is not None else None
        except Unusable as error:
            if not when or inner is None:
                raise
            inner.give_up()
            found = {"unavailable": str(error)[:1000], "verify": False}
        if not when:
            plain = found
        elif found is not None and plain is None:
            plain = {**found, "when": when}
        elif found != plain:
            at = fields.at("transport_socket_matches", len(matches) - 1 - place)
            report = context.report.unhonoured if found is None else context.report.essential
            report(at, "metaproxy speaks TLS of one kind to some endpoints, and none to the others")
    return plain


def socket_of(extension: Extension, context: Context) -> Plain | None:
    """`tls:` of a transport socket of a cluster; None for none."""
    found = UPSTREAM_SOCKETS.find(extension, context.report)
    if found is None:
        context.report.unusable(extension.path, UPSTREAM_SOCKETS.unknown(extension))
    return found[0](found[1], context)


def _older_protocol_options(fields: Fields, section: Plain) -> None:
    """HTTP's version, as older configurations say it, bootstraps of sidecars among them."""
    if fields.message_at("http_protocol_options") is not None:
        section["protocol"] = {"name": "http", "version": 1}
    if (http2 := fields.message_at("http2_protocol_options")) is not None:
        section["protocol"] = {"name": "http", "version": 2}
        options_of_http2(http2, section)


def _protocol_options(extension: Extension, section: Plain, context: Context) -> None:
    found = PROTOCOL_OPTIONS.find(extension, context.report)
    if found is None:
        context.report.unhonoured(extension.path, PROTOCOL_OPTIONS.unknown(extension))
    else:
        found[0](found[1], section, context)


def _common(fields: Fields) -> Plain:
    """`common_lb_config`, but for localities' weights."""
    common = fields.message_at("common_lb_config")
    if common is None:
        return {}
    plain: Plain = {"panic_threshold": common.percent("healthy_panic_threshold")}
    common.ignore("update_merge_window")  # endpoints change one by one, at no cost
    common.message_at("locality_weighted_lb_config")
    zone = common.message_at("zone_aware_lb_config")
    if zone is not None:
        plain["locality"] = zone_aware(zone)
    common.refuse("ignore_new_hosts_until_first_hc", "new endpoints count from the first", False)
    common.refuse("close_connections_on_host_set_change", "only connections of endpoints that left are closed", False)
    return plain


def _connections(fields: Fields, section: Plain) -> None:
    connections: Plain = {}
    most = fields.whole("max_requests_per_connection")
    if most:
        connections["max_requests"] = most
    if fields.flag("connection_pool_per_downstream_connection"):
        connections["mode"] = "pinned"
    common = fields.message_at("common_http_protocol_options")
    if common is not None:
        connections.update(common_http(common))
    bind = fields.message_at("upstream_bind_config")
    source = bind.message_at("source_address") if bind is not None else None
    if bind is not None and source is not None:
        bind.refuse("freebind", "an address that this host does not have can't be connected from", False)
        source.refuse("port_value", "the port is the system's choice", 0)
        source.ignore("protocol")
        connections["source"] = source.text("address")
    section.update(without_empty({"connections": connections}))
    options = fields.message_at("upstream_connection_options")
    keepalive = options.message_at("tcp_keepalive") if options is not None else None
    if keepalive is not None:
        section["keepalive"] = {
            "count": min(keepalive.whole("keepalive_probes", _PROBES), 127) or 1,
            "idle": shown_seconds(min(keepalive.whole("keepalive_time", _IDLE), 32400) or 1),
            "interval": shown_seconds(min(keepalive.whole("keepalive_interval", _INTERVAL), 32400) or 1),
        }


def common_http(common: Fields) -> Plain:
    """HttpProtocolOptions of a cluster: keys of `connections:`."""
    plain: Plain = {}
    for key, name in (("idle_timeout", "idle_timeout"), ("max_age", "max_connection_duration")):
        length = common.seconds(name)
        if length is not None:
            plain[key] = shown_seconds(length)
    most = common.whole("max_requests_per_connection")
    if most:
        plain["max_requests"] = most
    return plain


def _beside(fields: Fields) -> None:
    """What changes nothing, or nothing unless it has another value than it mostly has."""
    fields.ignore("alt_stat_name")  # metrics go by the cluster's name
    for one in fields.each("filters"):
        if one.text("name") == METADATA_EXCHANGE:  # acts only where both sides agreed on it by ALPN
            one.give_up()
        else:
            fields.report.unhonoured(
                one.path, f"metaproxy has no network filters for clusters, and so no {one.text('name')!r}"
            )
    fields.ignore("dns_lookup_family", "respect_dns_ttl")  # of clusters that ask no name servers
    fields.refuse("wait_for_warm_on_init", "a cluster is there when its endpoints are", True)
    fields.refuse(
        "close_connections_on_host_health_failure", "connections of a failed endpoint end by themselves", False
    )
    fields.ignore("ignore_health_on_host_removal")  # endpoints that are gone take no more requests
