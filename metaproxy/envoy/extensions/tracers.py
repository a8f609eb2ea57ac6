"""
Where spans go: Zipkin and OpenTelemetry.

Lives here: their translators. Does not: what is traced (`metaprotocol.sampling_of`).
"""

from __future__ import annotations

from metaproxy.envoy.addresses import address_of
from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import TRACERS, Context, Plain

_TRACE = "envoy.config.trace.v3"


@TRACERS.add(f"{_TRACE}.ZipkinConfig", "envoy.tracers.zipkin")
def zipkin(config: Fields, context: Context) -> Plain | None:
    config.ignore("shared_span_context", "trace_id_128bit", "collector_hostname", "split_spans_for_request")
    if config.choice("collector_endpoint_version") not in ("HTTP_JSON", "DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE"):
        config.unhonoured("collector_endpoint_version", "metaproxy sends Zipkin's JSON; write HTTP_JSON")
    config.refuse("trace_context_option", "say which contexts are read in propagation of our tracing", 0)
    if config.given("collector_service"):
        service = config.message_at("collector_service")
        uri = service.message_at("http_uri") if service is not None else None
        url = _url_of(uri, context)
        return None if url is None else {"exporter": "zipkin", "url": url}
    config.require("collector_cluster")
    address = first_address(config.text("collector_cluster"), config, context)
    path = config.text("collector_endpoint", "/api/v2/spans")
    return None if address is None else {"exporter": "zipkin", "url": f"http://{address}{path}"}


@TRACERS.add(f"{_TRACE}.OpenTelemetryConfig", "envoy.tracers.opentelemetry")
def opentelemetry(config: Fields, context: Context) -> Plain | None:
    config.ignore("max_cache_size")  # spans wait in a queue of our own
    service = config.message_at("http_service")
    if service is None:
        if config.given("grpc_service"):
            text = "metaproxy sends OTLP over HTTP; write http_service, with the collector's port for it (4318)"
            config.unhonoured("grpc_service", text)
        else:
            config.report.invalid(config.path, "http_service is missing")
        return None
    uri = service.message_at("http_uri")
    url = _url_of(uri, context)
    if url is None:
        return None
    headers: Plain = {}
    for option in service.each("request_headers_to_add"):
        option.ignore("append", "append_action", "keep_empty_value")  # there are none before
        header = option.message_at("header")
        if header is not None:
            headers[header.text("key")] = header.text("value")
    timeout = uri.seconds("timeout") if uri is not None else None
    plain: Plain = {"exporter": "otlp", "url": url, "service": config.text("service_name"), "headers": headers}
    if timeout:
        plain["timeout"] = shown_seconds(timeout)
    return without_empty(plain)


def _url_of(uri: Fields | None, context: Context) -> str | None:
    """The URL of an HttpUri, at an address of its cluster."""
    if uri is None:
        return None
    text = uri.text("uri")
    scheme, separator, rest = text.partition("://")
    if not separator:
        uri.invalid("uri", f"{text!r} is no URL; write http://HOST/PATH")
        return None
    path = "/" + rest.partition("/")[2]
    address = first_address(uri.text("cluster"), uri, context)
    return None if address is None else f"{scheme}://{address}{path}"


def first_address(cluster: str, fields: Fields, context: Context) -> str | None:
    """Where a cluster's first endpoint is: what sends spans knows no clusters. None when that is not known."""
    context.used.add(cluster)
    message = context.resources.clusters.get(cluster)
    if message is None:
        fields.report.unhonoured(fields.path, f"the cluster {cluster!r}, which spans would go to, is not there")
        return None
    aside = Report()  # the cluster's own translator reports what is wrong with it
    assignment = Fields(message, "", aside).message_at("load_assignment")
    for locality in assignment.each("endpoints") if assignment is not None else []:
        for one in locality.each("lb_endpoints"):
            endpoint = one.message_at("endpoint")
            address = address_of(endpoint.message_at("address")) if endpoint is not None else None
            if address is not None:
                return address
    fields.report.unhonoured(fields.path, f"the cluster {cluster!r} names no endpoint that spans could be sent to")
    return None
