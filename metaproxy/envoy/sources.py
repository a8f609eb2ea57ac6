"""
Where Envoy's messages say that a resource comes from: ConfigSource.

Lives here: `server_of`, `server_of_api`, `cluster_of_grpc`. Does not: asking a server (`xds`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.resources import Kind
from metaproxy.envoy.tables import ADS, Context, Plain

TRANSPORTS = {
    "GRPC": "grpc",
    "DELTA_GRPC": "delta",
    "AGGREGATED_GRPC": "grpc",
    "AGGREGATED_DELTA_GRPC": "delta",
    "REST": "rest",
}
"""ApiConfigSource.ApiType -> `transport` of an item of `xds:`."""


def server_of(source: Fields, kind: Kind, context: Context) -> str | None:
    """
    The server of a ConfigSource, as `Need.server` has it; it is kept in the context, with what is said of it. None
    when there is none, which is reported.
    """
    source.ignore("resource_api_version")  # v3 is all there is
    timeout = source.seconds("initial_fetch_timeout")
    which = source.which("config_source_specifier")
    if which in ("ads", "self"):
        source.message_at(which)
        return ADS
    plain: Plain = {}
    name: str | None = None
    if which == "path":
        name = source.text("path")
        plain = {"server": name, "transport": "file"}
    elif which == "path_config_source":
        inner = source.message_at("path_config_source")
        assert inner is not None
        watched = inner.message_at("watched_directory")
        folder = watched.text("path") if watched is not None else ""
        name = inner.text("path") or folder
        plain = {"server": name, "transport": "file"}
    elif which == "api_config_source":
        inner = source.message_at("api_config_source")
        assert inner is not None
        name, plain = server_of_api(inner, context)
    else:
        source.report.invalid(source.path, "no source; write ads, api_config_source or path_config_source")
    if not name:
        return None
    if timeout is not None:
        plain["initial_fetch_timeout"] = shown_seconds(timeout)
    _keep(name, plain, kind, source, context)
    return name


def _keep(name: str, plain: Plain, kind: Kind, source: Fields, context: Context) -> None:
    known = context.servers.get(name)
    if known is None:
        context.servers[name] = {"name": name, **plain, "ads": False, "resources": [kind]}
        return
    resources = known["resources"]
    assert isinstance(resources, list)
    if kind not in resources:
        resources.append(kind)
    different = [key for key, value in plain.items() if known.setdefault(key, value) != value]
    if different:
        source.report.warn(source.path, f"{', '.join(different)}: said otherwise of {name!r} elsewhere, which counts")


def server_of_api(api: Fields, context: Context) -> tuple[str | None, Plain]:
    """The name of the cluster of an ApiConfigSource's server, and what is said of the server."""
    kind = api.choice("api_type")
    api.ignore("transport_api_version", "set_node_on_first_message_only")  # v3 is all there is
    transport = TRANSPORTS.get(kind)
    if transport is None:
        api.invalid("api_type", f"{kind} is gone; write GRPC, DELTA_GRPC or REST")
        return None, {}
    if transport == "rest":
        names = api.texts("cluster_names")
        refresh = api.seconds("refresh_delay")
        more: Plain = {} if refresh is None else {"refresh": shown_seconds(refresh)}
    else:
        names = [name for one in api.each("grpc_services") if (name := cluster_of_grpc(one)) is not None]
        more = {}
    if not names:
        api.report.invalid(api.path, "no server; write grpc_services, or cluster_names with REST")
        return None, {}
    if len(names) > 1:
        api.report.unhonoured(api.path, f"more than one server; metaproxy asks {names[0]!r}")
    context.used.add(names[0])
    return names[0], {"cluster": names[0], "transport": transport, **more}


def cluster_of_grpc(service: Fields) -> str | None:
    """The cluster of a GrpcService; None for one without, which is reported."""
    inner = service.message_at("envoy_grpc")
    if inner is None:
        if service.given("google_grpc"):
            service.unhonoured("google_grpc", "write envoy_grpc: {cluster_name: NAME}, and a cluster of this name")
        else:
            service.report.invalid(service.path, "envoy_grpc is missing")
        return None
    inner.require("cluster_name")
    return inner.text("cluster_name") or None
