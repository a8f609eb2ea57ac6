"""
Which of Envoy's filters of HTTP metaproxy knows, at a listener and at its routes.

Lives here: the tables, `listener_filters`, `route_filters`. Does not: the filters (`extensions.http_*`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.envoy.discovered import extension_of
from metaproxy.envoy.fields import Extension, Fields
from metaproxy.envoy.rate_limits import descriptors_of
from metaproxy.envoy.tables import Chain, L7Filter, Plain, Table

OFF = "off"
"""What a route says of a filter of its listener that does not act on it."""

RouteFilter = Callable[[Fields, Chain], "Plain | str | None"]
"""The options of a filter of ours on a route, OFF, or None when it reported that it can't."""

HTTP_FILTERS: Table[L7Filter] = Table("filter of HTTP")
ROUTE_FILTERS: Table[tuple[str, RouteFilter]] = Table("filter of HTTP with options at a route")
"""By the type of the message at the route: the name of our filter, and the translator."""
FILTER_CONFIG = "envoy.config.route.v3.FilterConfig"
RATE_LIMIT = "global_rate_limit"
PASSED_OVER = (
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "io.istio.http.peer_metadata.Config",
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    "stats.PluginConfig",
)
"""Filters without which a listener works, and lets no client in that they would keep out."""

KEEPING_OUT = tuple(
    f"envoy.extensions.filters.http.{name}.v3."
    for name in ("ext_authz", "jwt_authn", "local_ratelimit", "ratelimit", "rbac")
)
"""What types of messages begin with whose filters keep somebody out."""


def listener_filters(config: Fields, chain: Chain) -> list[object]:
    """The filters of an HttpConnectionManager, without its router."""
    filters: list[object] = []
    routed = False
    for one in config.each("http_filters"):
        if routed:
            one.report.invalid(one.path, "is behind the router, which must be the last")
        extension = extension_of(one, chain.context)
        optional = one.flag("is_optional")
        found = HTTP_FILTERS.find(extension, chain.report)
        if found is None:
            if not optional and extension.type in PASSED_OVER:
                chain.report.unhonoured(one.path, HTTP_FILTERS.unknown(extension))
            elif not optional:
                chain.report.essential(one.path, HTTP_FILTERS.unknown(extension))
            if extension.config is not None:
                extension.config.ignore(*(field.name for field in extension.config.message.DESCRIPTOR.fields))
            continue
        if one.flag("disabled"):
            one.unhonoured("disabled", "metaproxy's filters act unless a route turns them off")
        translate, message = found
        filters += translate(message, chain)
        routed = message.type.endswith(".Router")
    return filters


def named(chain: Chain, name: str) -> Plain | None:
    """The options of a filter of the listener; None when it has none of this name."""
    for one in chain.filters:
        if isinstance(one, dict) and name in one:
            options = one[name]
            return options if isinstance(options, dict) else {}
    return None


def route_filters(route: Fields, host: Fields, table: Fields, chain: Chain) -> Plain:
    """`filters:` of a route: what the most specific level says of each filter."""
    found: Plain = {}
    for level in (table, host, route):
        for extension in level.extensions("typed_per_filter_config").values():
            item = _override(extension, chain)
            if item is not None:
                found[item[0]] = item[1]
    limits = _rate_limits(route, host, chain)
    if limits is not None:
        found[RATE_LIMIT] = limits
    known = {name for one in chain.filters if isinstance(one, dict) for name in one}
    for name in [one for one in found if one not in known]:
        if found[name] != OFF:
            text = f"the listener has no filter that becomes {name!r}, of which this would change the options"
            chain.report.unhonoured(route.path, text)
        del found[name]
    return found


def _override(extension: Extension, chain: Chain) -> tuple[str, object] | None:
    config = extension.config
    if config is not None and extension.type == FILTER_CONFIG:
        if config.flag("disabled"):
            name = HTTP_FILTERS.names.get(extension.name, "")
            ours = next((one for one, (kind, _) in _by_type().items() if kind == name), "")
            if not ours:
                config.unhonoured("disabled", f"metaproxy does not turn off {extension.name!r} here; it acts")
                return None
            return ours, OFF
        optional = config.flag("is_optional")
        inner = config.extension("config", None)
        if optional and inner.type not in ROUTE_FILTERS.types:
            return None
        return _override(Extension(extension.name, inner.type, inner.config, inner.path), chain)
    found = ROUTE_FILTERS.find(extension, chain.report)
    if found is None:
        keeps_out = extension.type.startswith(KEEPING_OUT)
        report = chain.report.essential if keeps_out else chain.report.unhonoured
        report(extension.path, ROUTE_FILTERS.unknown(extension))
        return None
    (name, translate), message = found
    options = translate(message, chain)
    return None if options is None else (name, options)


def _by_type() -> dict[str, tuple[str, RouteFilter]]:
    """Filters of ours -> the type of their message at a listener, as far as that has the same one at routes."""
    return {ours: (kind, translate) for kind, (ours, translate) in ROUTE_FILTERS.types.items()}


def _rate_limits(route: Fields, host: Fields, chain: Chain) -> Plain | None:
    """What a rate limit service is asked about requests of the route."""
    action = route.message_at("route")
    own = action.each("rate_limits") if action is not None else []
    include = action is None or action.flag("include_vh_rate_limits") or not own
    limits = [*own, *(host.each("rate_limits") if include else [])]
    if not limits:
        return None
    options = named(chain, RATE_LIMIT)
    if options is None:
        chain.report.unhonoured(limits[0].path, "the listener has no rate limit filter that would ask about these")
        for one in limits:
            one.each("actions")
        return None
    cluster = action.text("cluster") if action is not None else ""
    return {**options, "descriptors": descriptors_of(limits, cluster)}
