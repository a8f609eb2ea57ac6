"""
Envoy's HttpConnectionManager as a listener of the codec `http`, or `grpc` where all routes are for calls of it.

Lives here: its translator. Does not: routes (`http_routes`), filters (`http_filters`).
"""

from __future__ import annotations

from functools import partial

from google.protobuf.message import Message

from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.http_filters import listener_filters
from metaproxy.envoy.http_routes import routes_of_http
from metaproxy.envoy.metaprotocol import access_logs, rds_of, sampling_of, trace
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import NETWORK_FILTERS, ROUTES, Chain, Context, Plain

_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_IDLE, _STREAM_IDLE = 3600.0, 300.0
"""Seconds, where idle_timeout and stream_idle_timeout are not given."""
_KIB, _MIB = 1024, 1 << 20


ROUTES["http"] = routes_of_http
ROUTES["grpc"] = partial(routes_of_http, grpc=True)


@NETWORK_FILTERS.add(_TYPE, "envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")
def http_connection_manager(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix")  # metrics go by the listener's name
    chain.terminal = chain.terminal or "HttpConnectionManager"
    table = config.message_at("route_config")
    grpc = table is not None and _for_grpc(table, chain.context)
    protocol: Plain = {"name": "grpc" if grpc else "http", "via": config.text("via")}
    chain.section["protocol"] = protocol
    _protocol(config, protocol, chain, grpc)
    _times(config, chain)
    _upgrades(config, protocol, grpc)
    _tracing(config, chain)
    chain.filters += listener_filters(config, chain)
    if table is not None:
        chain.section["routes"] = routes_of_http(table, chain, grpc)
    elif config.given("rds"):
        rds = config.message_at("rds")
        assert rds is not None
        chain.section["routes"] = rds_of(rds, chain)
    elif not config.given("scoped_routes"):
        config.report.invalid(config.path, "no routes; write rds or route_config")
    chain.section.update(without_empty({"access_log": access_logs(config.each("access_log"), chain)}))
    _others(config, chain)


def _for_grpc(table: Fields, context: Context) -> bool:
    """Whether every route that forwards is for calls of gRPC alone, and no cluster of theirs is said to speak HTTP."""
    routes = [route for host in table.each("virtual_hosts") for route in host.each("routes") if route.given("route")]
    matches = [route.message_at("match") for route in routes]
    if not matches or not all(match is not None and match.given("grpc") for match in matches):
        return False
    actions = [action for route in routes if (action := route.message_at("route")) is not None]
    return not any(_speaks_http(context.resources.clusters.get(action.text("cluster"))) for action in actions)


def _speaks_http(cluster: Message | None) -> bool:
    if cluster is None:
        return False
    fields = Fields(cluster, "", Report())  # the cluster's own translator reports what is wrong with it
    return any(one.type == _HTTP_OPTIONS for one in fields.extensions("typed_extension_protocol_options").values())


# -- the codec


def _protocol(config: Fields, protocol: Plain, chain: Chain, grpc: bool) -> None:
    kind = config.choice("codec_type")
    if kind == "HTTP3":
        config.unhonoured("codec_type", "metaproxy speaks HTTP/1.1 and HTTP/2")
    elif kind == "HTTP2" and not grpc:
        protocol["http1"] = False
    size = config.whole("max_request_headers_kb")
    if size:
        protocol["max_head"] = min(size, 1024) * _KIB
    common = config.message_at("common_http_protocol_options")
    if common is not None and common.given("max_headers_count"):
        protocol["max_fields"] = min(max(common.whole("max_headers_count"), 8), 4096)
    one = config.message_at("http_protocol_options")
    if one is not None:
        one.ignore("allow_absolute_url", "accept_http_10", "enable_trailers", "use_balsa_parser")  # always so here
    two = config.message_at("http2_protocol_options")
    if two is not None:
        protocol.update(http2_options(two))
    _forwarded(config, protocol, chain)
    _certificates(config, chain)


def http2_options(two: Fields) -> Plain:
    """Options of the codecs `http` and `grpc` of Http2ProtocolOptions."""
    plain: Plain = {}
    two.ignore(
        "initial_connection_window_size", "allow_connect", "hpack_table_size", "max_outbound_frames",
        "max_outbound_control_frames", "max_consecutive_inbound_frames_with_empty_payload",
        "max_inbound_priority_frames_per_stream", "max_inbound_window_update_frames_per_data_frame_sent",
        "stream_error_on_invalid_http_messaging", "override_stream_error_on_invalid_http_message", "use_oghttp2_codec",
    )  # fmt: skip  # bounds of ours hold
    if two.given("max_concurrent_streams"):
        plain["max_streams"] = min(max(two.whole("max_concurrent_streams"), 1), 10000)
    if two.given("initial_stream_window_size"):
        plain["window"] = min(max(two.whole("initial_stream_window_size"), 16 * _KIB), 1024 * _MIB)
    alive = two.message_at("connection_keepalive")
    if alive is not None:
        alive.ignore("interval_jitter")
        interval, timeout = alive.seconds("interval"), alive.seconds("timeout")
        if interval:
            plain["ping_interval"] = shown_seconds(interval)
        if timeout:
            plain["ping_timeout"] = shown_seconds(timeout)
    return plain


def _forwarded(config: Fields, protocol: Plain, chain: Chain) -> None:
    """What is believed of, and sent to, the proxies around this one."""
    hops = config.whole("xff_num_trusted_hops")
    if hops:
        protocol["trusted_hops"] = min(hops, 64)
    if config.flag("use_remote_address"):
        chain.section["reserved_keys"] = "strip"
    elif hops:
        text = "metaproxy always adds the address of the peer; set use_remote_address: true to have it so in Envoy"
        config.report.warn(config.at("xff_num_trusted_hops"), text)


_STAYS = {"FORWARD_ONLY": "with_certificate", "ALWAYS_FORWARD_ONLY": "always"}
"""forward_client_cert_details -> forward_client_cert; `never` for all others."""


def _certificates(config: Fields, chain: Chain) -> None:
    """What clients say of certificates is not believed, unless the manager says so: the header goes."""
    way = config.choice("forward_client_cert_details")
    if way in ("APPEND_FORWARD", "SANITIZE_SET"):
        text = "metaproxy writes no x-forwarded-client-cert; without it that of clients is taken away"
        config.unhonoured("forward_client_cert_details", text)
    stays = _STAYS.get(way, "never")
    strips = chain.section.get("reserved_keys") == "strip"
    if stays != ("never" if strips else "always"):
        chain.section["forward_client_cert"] = stays


def _upgrades(config: Fields, protocol: Plain, grpc: bool) -> None:
    names = []
    for upgrade in config.each("upgrade_configs"):
        name = upgrade.text("upgrade_type").lower()
        if upgrade.flag("enabled", True):
            names.append(name)
    if grpc:
        return
    protocol["upgrade"] = [name for name in names if name != "connect"]
    if "connect" in names:
        protocol["connect"] = True


# -- the listener


def _times(config: Fields, chain: Chain) -> None:
    common = config.message_at("common_http_protocol_options")
    idle = common.seconds("idle_timeout", _IDLE) if common is not None else _IDLE
    stream = config.seconds("stream_idle_timeout", _STREAM_IDLE)
    if idle != _IDLE:
        chain.section["idle_timeout"] = shown_seconds(idle or 0.0)
    if stream != _STREAM_IDLE:
        chain.section["stream_idle"] = shown_seconds(stream or 0.0)
    head = config.seconds("request_headers_timeout")
    protocol = chain.section["protocol"]
    if head and isinstance(protocol, dict) and protocol["name"] == "http":
        protocol["head_timeout"] = shown_seconds(head)
    if config.seconds("request_timeout"):
        text = "metaproxy bounds the time of a head (request_headers_timeout), and the silence of a body"
        config.unhonoured("request_timeout", text)
    config.ignore("drain_timeout", "delayed_close_timeout", "stream_flush_timeout")  # how a listener ends is our own


def _tracing(config: Fields, chain: Chain) -> None:
    tracing = config.message_at("tracing")
    if tracing is None:
        if config.flag("generate_request_id"):
            chain.section["tracing"] = {"sampling": 0, "client_sampling": 0, "overall_sampling": 0}
        return
    config.ignore("generate_request_id")
    tracing.ignore("verbose")  # spans have the events that we know in any case
    plain = sampling_of(tracing, chain)
    plain["max_tag_length"] = tracing.whole("max_path_tag_length", 256)
    tags: Plain = {}
    for tag in tracing.each("custom_tags"):
        made = _tag(tag)
        if made:
            tags[tag.text("tag")] = made
    plain["tags"] = tags
    trace(tracing, plain, chain)


def _tag(tag: Fields) -> Plain:
    which = tag.which("type")
    inner = tag.message_at(which) if which is not None else None
    if which == "literal" and inner is not None:
        return {"literal": inner.text("value")}
    if which == "environment" and inner is not None:
        return without_empty({"env": inner.text("name"), "default": inner.text("default_value")})
    if which == "request_header" and inner is not None:
        return without_empty({"metadata": inner.text("name").lower(), "default": inner.text("default_value")})
    if which is not None:
        tag.unhonoured(which, "metaproxy's tags are literals, environment variables and headers")
    return {}


def _others(config: Fields, chain: Chain) -> None:
    """What is as the field says in any case, and what would be otherwise."""
    config.ignore("proxy_100_continue", "stream_error_on_invalid_http_message", "generate_request_id")
    config.refuse("add_user_agent", "metaproxy adds no User-Agent", False)
    config.refuse("server_header_transformation", "metaproxy leaves the Server of answers as it is", 0, 2)
    config.refuse("skip_xff_append", "metaproxy always adds the peer's address to X-Forwarded-For", False)
    config.refuse("normalize_path", "routes look at paths as they were sent; policies of rbac at both forms", False)
    config.refuse("merge_slashes", "routes look at paths as they were sent; policies of rbac at both forms", False)
    for name in ("preserve_external_request_id", "always_set_request_id_in_response"):
        config.refuse(name, "metaproxy keeps request ids by reserved_keys, and does not answer with them", False)
