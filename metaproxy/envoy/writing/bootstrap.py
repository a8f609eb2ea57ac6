"""
A whole configuration of ours as an Envoy bootstrap.

Lives here: `bootstrap_of`, listeners around their network filter. Does not: what they speak (a module a protocol),
clusters (`clusters`), text (`envoy.conversion`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from metaproxy.codecs.http.codec import Http
from metaproxy.config import model, references
from metaproxy.config.schema.reading import Use
from metaproxy.envoy.writing.clusters import cluster_of
from metaproxy.envoy.writing.http import manager
from metaproxy.envoy.writing.keys import Keys, Plain, Unsayable, address, extension, seconds, typed, without_empty
from metaproxy.envoy.writing.logs import direction_of
from metaproxy.envoy.writing.metaprotocol import NAMES, meta_protocol_proxy
from metaproxy.envoy.writing.others import redis_proxy, tcp_proxy
from metaproxy.envoy.writing.routes import Around
from metaproxy.envoy.writing.tls import downstream
from metaproxy.envoy.writing.tracers import tracer_of

_FILTERS = "envoy.extensions.filters.listener"
_LIMIT = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
Writer = Callable[[Keys, Use, Around], Plain]
_WRITERS: Mapping[str, Writer] = {
    "http": manager,
    "grpc": manager,
    "redis": redis_proxy,
    "tcp": tcp_proxy,
    **dict.fromkeys(NAMES, meta_protocol_proxy),
}


class Written(NamedTuple):
    """plain: the bootstrap as its YAML has it; wrong: a line for each key that has no counterpart."""

    plain: Plain
    wrong: list[str]


def bootstrap_of(config: model.Config) -> Plain:
    """The bootstrap as its YAML has it. Raises Unsayable, with a line for each key that has no counterpart."""
    plain, wrong = write_bootstrap(config)
    if wrong:
        raise Unsayable(wrong)
    return plain


def write_bootstrap(config: model.Config) -> Written:
    """As much of a configuration as can be said."""
    wrong: list[str] = []
    whole = Keys(config, "", wrong)
    around = Around({cluster.name: cluster for cluster in config.clusters})
    tracing = whole.inner("tracing")
    tracer = tracer_of(tracing, config.clusters) if tracing is not None else None
    around.tracer = tracer.provider if tracer is not None else None
    listeners = [_listener(listener, around) for listener in whole.each("listeners")]
    used = references.senders(config)
    clusters = []
    for cluster in whole.each("clusters"):
        codecs = {listener.protocol.name for listener in used.get(getattr(cluster.section, "name", ""), ())}
        clusters.append(cluster_of(cluster, around, codecs))
    if tracer is not None and tracer.cluster is not None:
        clusters.append(cluster_of(Keys(tracer.cluster, "", wrong), around, set()))
    plain: Plain = {"node": _node(whole), "admin": _admin(whole)}
    plain["static_resources"] = without_empty({"listeners": listeners, "clusters": clusters})
    whole.ignore("secrets")  # what refers to them has their texts
    whole.close()
    return Written(without_empty(plain), wrong)


def _node(whole: Keys) -> Plain:
    node = whole.inner("node")
    if node is None:
        return {}
    plain: Plain = {"id": node.text("id"), "cluster": node.text("cluster"), "metadata": node.mapping("metadata")}
    zone = node.text("zone")
    if zone:
        plain["locality"] = {"zone": zone}
    node.close()
    return without_empty(plain)


def _admin(whole: Keys) -> Plain:
    admin = whole.inner("admin")
    if admin is None:
        return {}
    plain: Plain = {"address": address(admin.text("listen"))}
    admin.ignore("insecure")  # Envoy's admin API lets everybody in who reaches it
    admin.close()
    return plain


def _listener(listener: Keys, around: Around) -> Plain:
    name = listener.text("name")
    listens = listener.texts("listen")
    if not listens:
        listener.cannot("listen", "a listener of Envoy's has an address")
        return {}
    plain: Plain = {"name": name, "address": address(listens[0])}
    plain["additional_addresses"] = [{"address": address(one)} for one in listens[1:]]
    direction = direction_of(listener)
    if direction != "UNSPECIFIED":
        plain["traffic_direction"] = direction
    plain["listener_filters"] = list(_listener_filters(listener))
    plain["filter_chains"] = [_chain(listener, around)]
    listener.close()
    return without_empty(plain)


def _listener_filters(listener: Keys) -> Iterator[Plain]:
    if listener.flag("original_destination"):
        yield extension("envoy.filters.listener.original_dst", typed(f"{_FILTERS}.original_dst.v3.OriginalDst"))
    proxied = listener.inner("proxy_protocol")
    if proxied is not None:
        listener.cannot("proxy_protocol", "Envoy believes whoever connects; write true")
    elif listener.flag("proxy_protocol"):
        yield extension("envoy.filters.listener.proxy_protocol", typed(f"{_FILTERS}.proxy_protocol.v3.ProxyProtocol"))


def _chain(listener: Keys, around: Around) -> Plain:
    use = listener.use("protocol")
    assert use is not None
    chain: Plain = {}
    tls = listener.inner("tls")
    if tls is not None:
        offered = tuple(Http.alpn) if use.name == "http" else ("h2",) if use.name == "grpc" else ()
        time = getattr(tls.section, "handshake_timeout", 0.0)
        if tls.given("handshake_timeout"):
            chain["transport_socket_connect_timeout"] = seconds(time)
        chain["transport_socket"] = downstream(tls, offered)
    filters: list[Plain] = []
    if listener.given("max_connections"):
        limit = typed(_LIMIT, stat_prefix=listener.text("name"), max_connections=listener.whole("max_connections"))
        filters.append({"name": "envoy.filters.network.connection_limit", "typed_config": limit})
    listener.ignore("max_connections")
    write = _WRITERS.get(use.name)
    if write is None:
        listener.cannot("protocol", f"Envoy speaks no {use.name}; this writes {', '.join(sorted(_WRITERS))}")
        for key in ("routes", "filters", "access_log", "tracing"):
            listener.ignore(key)
        return {}
    filters.append(write(listener, use, around))
    return {**chain, "filters": filters}
