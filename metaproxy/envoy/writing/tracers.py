"""
`tracing:` of the process as the provider of each listener's tracing, and the cluster of its collector.

Lives here: `Tracer`, `tracer_of`. Does not: what is traced (`logs`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from metaproxy.config import model
from metaproxy.envoy.writing.keys import Keys, Plain, extension, seconds, typed, without_empty

_TRACE = "envoy.config.trace.v3"
NAME = "metaproxy-collector"
"""The cluster of a collector that no cluster of the configuration leads to."""
_URLS = {"otlp": "http://127.0.0.1:4318/v1/traces", "zipkin": "http://127.0.0.1:9411/api/v2/spans"}


class Tracer(NamedTuple):
    """provider: as listeners have it; cluster: that of the collector, None where there is one already."""

    provider: Plain
    cluster: model.Cluster | None


def tracer_of(tracing: Keys, clusters: Iterable[model.Cluster]) -> Tracer | None:
    exporter = tracing.text("exporter")
    url = urlsplit(tracing.text("url") or _URLS[exporter])
    if url.scheme != "http":
        tracing.cannot("url", "only collectors without TLS are written")
        return None
    where = f"{url.hostname}:{url.port or 80}"
    known = next((one.name for one in clusters if one.endpoints and one.endpoints[0].address == where), "")
    name = known or NAME
    path = url.path or "/"
    if exporter == "zipkin":
        provider = extension(
            "envoy.tracers.zipkin",
            typed(
                f"{_TRACE}.ZipkinConfig",
                collector_cluster=name,
                collector_endpoint=path,
                collector_endpoint_version="HTTP_JSON",
            ),
        )
        tracing.refuse("service", "Envoy shows spans to Zipkin under the name of its node's cluster")
        tracing.refuse("headers", "Envoy sends Zipkin no headers of one's own")
        tracing.ignore("timeout")
    else:
        provider = extension("envoy.tracers.opentelemetry", _otlp(tracing, name, where, path))
    tracing.ignore("interval", "max_queue")  # how spans wait is each proxy's own
    tracing.close()
    if known:
        return Tracer(provider, None)
    return Tracer(provider, model.Cluster(name=name, endpoints=(model.Endpoint(address=where),)))


def _otlp(tracing: Keys, cluster: str, where: str, path: str) -> Plain:
    uri = {"uri": f"http://{where}{path}", "cluster": cluster, "timeout": seconds(tracing.number("timeout"))}
    added = [{"header": {"key": key, "value": str(value)}} for key, value in tracing.mapping("headers").items()]
    service: Plain = without_empty({"http_uri": uri, "request_headers_to_add": added})
    named = without_empty({"http_service": service, "service_name": tracing.text("service")})
    return typed(f"{_TRACE}.OpenTelemetryConfig", **named)
