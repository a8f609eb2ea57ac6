"""
Where the endpoints of a cluster come from: its type, as `endpoints:` or `discovery:`.

Lives here: `endpoints_from`: STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST, and types by name (`tables`). Does
not: endpoints themselves (`endpoints`).
"""

from __future__ import annotations

from ipaddress import ip_address

from metaproxy.envoy.addresses import address_of, host_and_port
from metaproxy.envoy.endpoints import endpoints_of
from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.sources import server_of
from metaproxy.envoy.tables import ADS, CLUSTER_TYPES, Context, Plain

CLUSTER = "envoy.config.cluster.v3.Cluster"
_REFRESH = 5.0
"""Seconds from one answer of a name server to the next question, where a cluster does not say it."""
_FAMILIES = {"AUTO": "all", "V4_ONLY": "v4", "V6_ONLY": "v6", "V4_PREFERRED": "all", "ALL": "all"}


def endpoints_from(fields: Fields, context: Context, by_locality: bool) -> Plain:
    """`endpoints:` or `discovery:`. by_locality: whether the weights of localities count."""
    custom = fields.message_at("cluster_type")
    if custom is not None:
        extension = custom.extension()
        found = CLUSTER_TYPES.find(extension, context.report)
        if found is None:
            context.report.unusable(custom.path, CLUSTER_TYPES.unknown(extension))
        return found[0](found[1], fields, context)
    kind = fields.choice("type")
    if kind == "EDS":
        if by_locality:
            text = "of endpoints that a server sends, each has its own weight; those of localities don't count"
            fields.report.unhonoured(fields.at("eds_cluster_config"), text)
        return _eds(fields, context)
    if kind == "ORIGINAL_DST":
        return original_destination(fields)
    endpoints = assigned(fields, by_locality)
    if kind == "STATIC":
        for endpoint in endpoints:
            address = str(endpoint["address"])
            if not address.startswith("unix:") and not is_literal(host_and_port(address)[0]):
                text = f"{address} is no IP address, which STATIC asks for; write STRICT_DNS or LOGICAL_DNS"
                context.report.invalid(fields.at("load_assignment"), text)
        return {"endpoints": endpoints}
    if kind == "STRICT_DNS":
        return by_dns(fields, endpoints, dns_options(fields))
    return by_name(fields, endpoints, dns_options(fields))


def assigned(fields: Fields, by_locality: bool) -> list[Plain]:
    """The endpoints of a cluster's `load_assignment`. One of the type STATIC may have none: so istiod refuses calls."""
    assignment = fields.message_at("load_assignment")
    if assignment is None and fields.choice("type") == "STATIC":
        return []
    if assignment is None:
        fields.report.invalid(fields.path, "load_assignment is missing")
        return []
    return endpoints_of(assignment, by_locality)


def is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _eds(fields: Fields, context: Context) -> Plain:
    config = fields.message_at("eds_cluster_config")
    name = fields.text("name")
    server: str | None = ADS
    if config is None:
        fields.report.invalid(fields.path, "eds_cluster_config is missing")
    else:
        name = config.text("service_name") or name
        source = config.message_at("eds_config")
        if source is None:
            config.require("eds_config")
        else:
            server = server_of(source, "endpoints", context)
    if fields.given("load_assignment"):
        fields.unhonoured("load_assignment", "a cluster of the type EDS gets its endpoints from a server")
    if server is None:
        return {"endpoints": []}
    context.need("endpoints", name, server)
    return {"discovery": {"eds": name} if server == ADS else {"eds": name, "server": server}}


def original_destination(fields: Fields) -> Plain:
    """Where clients' connections were meant to go."""
    config = fields.message_at("original_dst_lb_config")
    if config is not None:
        config.refuse("use_http_header", "the connection says where it was meant to go, never a header", False)
        config.ignore("http_header_name")
    fields.ignore("cleanup_interval")
    return {"discovery": "original_destination"}


# -- names


def dns_options(fields: Fields) -> Plain:
    """Options of discovery `dns`."""
    rate = fields.seconds("dns_refresh_rate", _REFRESH) or _REFRESH
    plain: Plain = {"refresh": shown_seconds(rate), "max_refresh": shown_seconds(rate)}
    if fields.flag("respect_dns_ttl"):
        plain = {"refresh": "1s", "max_refresh": "1h"}
    plain["family"] = _FAMILIES.get(fields.choice("dns_lookup_family"), "all")
    servers = _servers(fields)
    if servers:
        plain["servers"] = servers
    return plain


def _servers(fields: Fields) -> list[str]:
    addresses: list[Fields] = []
    if fields.type == CLUSTER:  # which has older ways of saying it
        addresses += fields.each("dns_resolvers")
        config = fields.message_at("dns_resolution_config")
        addresses += config.each("resolvers") if config is not None else []
    typed = fields.message_at("typed_dns_resolver_config")
    if typed is not None:
        extension = typed.extension()
        inner = extension.config
        if inner is not None and extension.type.endswith("cares.v3.CaresDnsResolverConfig"):
            addresses += inner.each("resolvers")
        elif not extension.type.endswith("GetAddrInfoDnsResolverConfig"):
            fields.report.unhonoured(typed.path, f"metaproxy has no resolver {extension.type or extension.name!r}")
    return [address for one in addresses if (address := address_of(one)) is not None]


def by_dns(fields: Fields, endpoints: list[Plain], options: Plain) -> Plain:
    """
    Endpoints by the addresses of a name, asked again and again. Of several names each is one endpoint, whose address
    is asked for by each connection.
    """
    names = [one for one in endpoints if not _is_settled(str(one["address"]))]
    if not names:
        return {"endpoints": endpoints}
    if len(endpoints) == 1 and endpoints[0].keys() == {"address"}:
        return {"discovery": {"dns": endpoints[0]["address"], **options}}
    text = "of several names, or one with a weight, priority or zone, each is one endpoint, whatever addresses it has"
    fields.report.warn(fields.at("load_assignment"), text)
    return by_name(fields, endpoints, options)


def by_name(fields: Fields, endpoints: list[Plain], options: Plain) -> Plain:
    """Endpoints whose names each connection asks the system's resolver for."""
    if "servers" in options:
        text = "names of this cluster are asked of the system's resolver; name servers go with one name alone"
        fields.report.unhonoured(fields.path, text)
    return {"endpoints": endpoints}


def _is_settled(address: str) -> bool:
    return address.startswith("unix:") or is_literal(host_and_port(address)[0])
