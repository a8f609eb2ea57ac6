"""Where Envoy's spans go, as `tracing:` of the process."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import TRACERS, Context, load_extensions

COLLECTOR = """
name: collector
load_assignment:
  endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.9, port_value: 9411}}}}]}]
"""


def tracer(kind: str, text: str, clusters: bool = True) -> tuple[Any, list[str]]:
    load_extensions()
    known = {"collector": message("envoy.config.cluster.v3.Cluster", COLLECTOR)} if clusters else {}
    context = Context(Report(), Resources(clusters=known))
    fields = Fields(message(f"envoy.config.trace.v3.{kind}", text), "tracer", context.report)
    plain = TRACERS.types[f"envoy.config.trace.v3.{kind}"](fields, context)
    fields.close()
    return plain, errors(context.report)


ZIPKIN = "{collector_cluster: collector, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON}"
HTTP = "http_uri: {uri: 'http://otel/v1/traces', cluster: collector, timeout: 2s}"
OTLP = f"{{http_service: {{{HTTP}, request_headers_to_add: [{{header: {{key: k, value: v}}}}]}}, service_name: me}}"


def test_zipkin_is_at_its_clusters_endpoint() -> None:
    assert tracer("ZipkinConfig", ZIPKIN) == ({"exporter": "zipkin", "url": "http://127.0.0.9:9411/api/v2/spans"}, [])


def test_opentelemetry_over_http() -> None:
    plain, found = tracer("OpenTelemetryConfig", OTLP)
    assert found == []
    assert plain == {
        "exporter": "otlp", "url": "http://127.0.0.9:9411/v1/traces", "service": "me", "headers": {"k": "v"},
        "timeout": "2s",
    }  # fmt: skip


def test_a_cluster_that_is_not_there_is_reported() -> None:
    plain, (error,) = tracer("ZipkinConfig", ZIPKIN, clusters=False)
    assert plain is None
    assert "'collector'" in error


@pytest.mark.parametrize(
    ("kind", "text", "path"),
    [
        ("ZipkinConfig", ZIPKIN.replace("HTTP_JSON", "HTTP_PROTO"), "collector_endpoint_version"),
        ("OpenTelemetryConfig", "{grpc_service: {envoy_grpc: {cluster_name: collector}}}", "grpc_service"),
        ("OpenTelemetryConfig", OTLP.replace("service_name: me", "sampler: {name: x}"), "sampler"),
    ],
)
def test_what_is_not_there_is_named(kind: str, text: str, path: str) -> None:
    (error,) = tracer(kind, text)[1]
    assert path in error
