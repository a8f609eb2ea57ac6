"""
Envoy's Listener as listeners of ours, one for each filter chain.

Lives here: `translate_listener`: addresses, listener filters, what a chain does. Does not: which connections a chain is
for (`chains`), network filters (`tables`).
"""

from __future__ import annotations

from google.protobuf.message import Message

from metaproxy.envoy.addresses import address_of
from metaproxy.envoy.chains import Front, fronted, is_plain, where
from metaproxy.envoy.discovered import extension_of
from metaproxy.envoy.fields import Extension, Fields, shown_seconds, without_empty
from metaproxy.envoy.tables import (
    DOWNSTREAM_SOCKETS,
    LISTENER_FILTERS,
    NETWORK_FILTERS,
    Chain,
    Context,
    Plain,
)
from metaproxy.envoy.translated import Translated, translated

_LEAST_BUFFERED, _MOST_BUFFERED = 64 << 10, 64 << 30
"""Bytes that our `max_buffered` takes."""
_DIRECTIONS = {"UNSPECIFIED": "unspecified", "INBOUND": "inbound", "OUTBOUND": "outbound"}


def translate_listener(listener: Message, context: Context, path: str = "") -> Translated:
    """The listeners that an envoy.config.listener.v3.Listener becomes. path: where it stands, for the report."""
    fields = Fields(listener, path or f"listener {getattr(listener, 'name', '')!r}", context.report)
    return translated(fields, context, _listeners)


def _listeners(fields: Fields, context: Context) -> list[Plain]:
    direction = _DIRECTIONS.get(fields.choice("traffic_direction"), "unspecified")
    outer = Chain(context, direction)
    for one in fields.each("listener_filters"):
        _listener_filter(one, outer)
    front = _front(fields, outer)
    for name in ("filter_chain_matcher", "fcds_config"):
        if fields.has(name) and fields.given(name):
            fields.essential(name, "metaproxy chooses by each chain's own filter_chain_match")
    chains, default = fields.each("filter_chains"), fields.message_at("default_filter_chain")
    if not chains and default is None and not front.hands_over:
        context.report.unusable(fields.path, "no filter_chains; nothing would answer")
    fields.ignore("stat_prefix", "enable_reuse_port")  # one process has the socket
    buffered = fields.whole("per_connection_buffer_limit_bytes")
    if buffered:
        outer.section["max_buffered"] = min(max(buffered, _LEAST_BUFFERED), _MOST_BUFFERED)
    fields.ignore("max_connections_to_accept_per_socket_event")

    def make(chain: Fields, name: str, listen: list[str]) -> Plain:
        section: Plain = {**outer.section, "name": name, "listen": listen}
        if front.redirected or front.hands_over or not front.bound:
            section["original_destination"] = True  # it is known of connections that are handed over as well
        inner = Chain(context, direction, section, list(outer.filters))
        return _chain(chain, inner, fields.path)

    if is_plain(chains, default, front):
        fields.ignore("listener_filters_timeout", "continue_on_listener_filters_timeout")
        section = make(chains[0], front.name, front.listen)
        if not front.bound:
            section = {**{key: value for key, value in section.items() if key != "listen"}, **where(front)}
        return [context.place(section, fields.path)]
    return fronted(fields, chains, default, front, context, make)


def _front(fields: Fields, outer: Chain) -> Front:
    address = address_of(fields.message_at("address"))
    more = [address_of(one.message_at("address")) for one in fields.each("additional_addresses")]
    listen = [one for one in (address, *more) if one is not None]
    if not fields.given("address"):
        fields.report.invalid(fields.path, "address is missing")
    bound = fields.flag("bind_to_port", True)
    old = fields.message_at("deprecated_v1")
    if old is not None:
        bound = bound and old.flag("bind_to_port", True)
    redirected = outer.section.pop("original_destination", False) is True
    name = fields.text("name") or address or ""
    return Front(name, listen, bound, fields.flag("use_original_dst"), redirected)


def _listener_filter(one: Fields, chain: Chain) -> None:
    extension = extension_of(one, chain.context)
    found = LISTENER_FILTERS.find(extension, chain.report)
    if found is None:
        chain.report.unusable(one.path, LISTENER_FILTERS.unknown(extension))
    found[0](found[1], chain)


def _chain(fields: Fields, outer: Chain, outer_path: str) -> Plain:
    chain = Chain(outer.context, outer.direction, dict(outer.section), list(outer.filters))
    fields.ignore("name")
    socket = fields.message_at("transport_socket")
    if socket is not None:
        chain.section.update(without_empty({"tls": socket_of(socket.extension(), chain.context)}))
    timeout = fields.seconds("transport_socket_connect_timeout")
    tls = chain.section.get("tls")
    if timeout is not None and isinstance(tls, dict):
        tls["handshake_timeout"] = shown_seconds(timeout)
    filters = fields.each("filters")
    for one in filters:
        _network_filter(one, chain)
    if not chain.terminal:
        chain.report.unusable(fields.at("filters"), "no filter that answers or forwards, such as MetaProtocolProxy")
    section = without_empty({**chain.section, "filters": chain.filters})
    return chain.context.place({"routes": [], **section} if "routes" not in section else section, outer_path)


def _network_filter(one: Fields, chain: Chain) -> None:
    before = chain.terminal
    extension = extension_of(one, chain.context)
    found = NETWORK_FILTERS.find(extension, chain.report)
    if found is None:
        chain.report.unusable(one.path, NETWORK_FILTERS.unknown(extension))
    if before:
        chain.report.unhonoured(one.path, f"is behind {before}, which takes every byte; put it before")
    found[0](found[1], chain)


def socket_of(extension: Extension, context: Context) -> Plain | None:
    """`tls:` of a transport socket of a chain; None for none."""
    found = DOWNSTREAM_SOCKETS.find(extension, context.report)
    if found is None:
        context.report.unusable(extension.path, DOWNSTREAM_SOCKETS.unknown(extension))
    return found[0](found[1], context)
