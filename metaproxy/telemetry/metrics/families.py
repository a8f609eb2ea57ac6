"""
The metrics: their names, labels and meaning.

Lives here: tables. Does not: what other proxies call the same (`equivalents`); reading values (`collector`); the page
of the reference (`reference`).

Names follow Prometheus: base units, `_total` at the end of what only grows. A label's values are names of the
configuration, addresses of endpoints, or words of the code; what a peer sends never becomes one.

Longer than most modules: it is one table, which is looked up by reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

import xxhash

from metaproxy.counts import Histogram

Read = Callable[[Any], float | Histogram]
"""Reads a value of the object that a series stands for: the counts of a target, an endpoint, a listener ..."""


class Family(NamedTuple):
    """
    One metric. kind: 'counter', 'gauge' or 'histogram'; read: its value, or a counts.Histogram, of an object that the
    series stands for (see `metrics.Metrics`).
    """

    name: str
    kind: str
    about: str
    labels: tuple[str, ...]
    read: Read


def _families(labels: tuple[str, ...], *rows: tuple[str, str, str, Read]) -> tuple[Family, ...]:
    return tuple(Family(name, kind, about, labels, read) for name, kind, about, read in rows)


def _of(name: str) -> Read:
    return attrgetter(name)


def _hash(version: str) -> int:
    """xxHash64, in as many bits as a float keeps."""
    return xxhash.xxh64_intdigest(version.encode()) >> 11 if version else 0


def _with_open(name: str) -> Read:
    return methodcaller("with_open", name)


PROCESS = _families(
    (),
    ("metaproxy_uptime_seconds", "gauge", "Time since the start.", _of("uptime")),
    ("metaproxy_ready", "gauge", "1 when /ready says yes.", _of("ready")),
    ("metaproxy_draining", "gauge", "1 once the whole proxy drains.", _of("draining")),
    ("metaproxy_config_version", "gauge", "Counts the configurations that were put in force.", _of("version")),
    (
        "metaproxy_config_last_reload_success",
        "gauge",
        "0 when the last configuration that was offered was refused.",
        _of("last_reload_success"),
    ),
    (
        "metaproxy_config_applied_timestamp_seconds",
        "gauge",
        "Unix time at which the configuration in force was applied.",
        _of("applied"),
    ),
    (
        "metaproxy_config_refused_timestamp_seconds",
        "gauge",
        "Unix time of the refusal, when the last one was refused; else 0.",
        _of("refused"),
    ),
    ("metaproxy_plugin_errors", "gauge", "Plugin files that can't be loaded; see /plugins.", _of("plugin_errors")),
    (
        "metaproxy_memory_bytes",
        "gauge",
        "Resident memory of the process; with workers of the supervisor.",
        _of("memory"),
    ),
    ("metaproxy_memory_limit_bytes", "gauge", "`overload.max_memory`, or its default; 0: none.", _of("memory_limit")),
    (
        "metaproxy_event_loop_lag_seconds",
        "gauge",
        "How long a socket with something to read waited for its turn at the last look; with workers the supervisor's.",
        _of("lag"),
    ),
    (
        "metaproxy_overload_refused_connections_total",
        "counter",
        "Connections refused as the process was overloaded.",
        _of("refused_connections"),
    ),
    (
        "metaproxy_overload_shed_requests_total",
        "counter",
        "Requests refused as the process was overloaded.",
        _of("shed_requests"),
    ),
    (
        "metaproxy_overload_closed_connections_total",
        "counter",
        "Connections closed to get memory back.",
        _of("closed_connections"),
    ),
    (
        "metaproxy_descriptors_refused_connections_total",
        "counter",
        "Clients refused as the process may have no more file descriptors, but for those that are kept back.",
        _of("descriptors_refused"),
    ),
    (
        "metaproxy_descriptors_failed_connects_total",
        "counter",
        "Connections to servers that were not made for the same reason.",
        _of("descriptors_failed"),
    ),
    ("metaproxy_access_log_lines_total", "counter", "Lines written, of all files.", _of("log_lines")),
    (
        "metaproxy_access_log_dropped_lines_total",
        "counter",
        "Lines lost, as a file did not take them in time.",
        _of("log_dropped"),
    ),
    ("metaproxy_access_log_errors_total", "counter", "Writes that failed.", _of("log_errors")),
)
"""Of the process."""

BUILD = Family("metaproxy_build_info", "gauge", "Always 1.", ("python", "twisted", "version"), _of("build"))
RELOADS = Family(
    "metaproxy_config_reloads_total", "counter", "Configurations offered, by what became of them.", ("result",), int
)

OVERLOAD = Family(
    "metaproxy_overload_state",
    "gauge",
    "What is done as a limit is reached: 0 nothing, 1 new connections and requests of low priority are refused, "
    "2 those of normal priority, too, 3 those of high priority.",
    ("limit",),
    int,
)
SHED = _families(
    ("priority",),
    (
        "metaproxy_overload_shed_requests_by_priority_total",
        "counter",
        "Requests refused as the process was overloaded, by the `priority` of their routes.",
        _of("count"),
    ),
    (
        "metaproxy_overload_shed_share",
        "gauge",
        "The share of requests of a priority that is refused now.",
        _of("value"),
    ),
)

WORKER = _families(
    ("worker",),
    (
        "metaproxy_worker_up",
        "gauge",
        "1 while the worker has the configuration in force, answers, and takes connections.",
        _of("answers"),
    ),
    (
        "metaproxy_worker_restarts_total",
        "counter",
        "How often the worker was started again, as its process had ended.",
        lambda worker: max(worker.restarts, 0),
    ),
    ("metaproxy_worker_lost_connections_total", "counter", "Connections that ended with its process.", _of("lost")),
    ("metaproxy_worker_connections", "gauge", "Connections of clients that the worker has.", _of("total")),
    ("metaproxy_worker_handed_connections_total", "counter", "Connections that it was given.", _of("given")),
    (
        "metaproxy_worker_cpu_seconds_total",
        "counter",
        "CPU time of its process; begins at 0 with each start.",
        _of("cpu_seconds"),
    ),
    ("metaproxy_worker_memory_bytes", "gauge", "Resident memory of its process.", _of("memory_bytes")),
)
"""Of a telemetry.roles.WorkerProcess."""

FILTER_EVENTS = Family(
    "metaproxy_filter_events_total",
    "counter",
    "What a filter counts; see the reference of filters.",
    ("listener", "filter", "event"),
    int,
)
FILTER_VALUES = Family(
    "metaproxy_filter_value",
    "gauge",
    "What a filter measures; see the reference of filters.",
    ("listener", "filter", "name"),
    float,
)
WORKER_FILTER_VALUES = Family(
    "metaproxy_worker_filter_value",
    "gauge",
    "The same of each worker, where a sum over workers says nothing.",
    ("worker", "listener", "filter", "name"),
    float,
)

XDS_SERVER = _families(
    ("server",),
    ("metaproxy_xds_connected_state", "gauge", "1 while a control plane is reached.", _of("connected")),
    ("metaproxy_xds_streams_total", "counter", "Streams that were opened to it.", _of("streams")),
)
XDS = _families(
    ("server", "resource"),
    ("metaproxy_xds_update_attempt_total", "counter", "Responses, and streams and polls that failed.", _of("attempts")),
    ("metaproxy_xds_update_success_total", "counter", "Responses that were accepted.", _of("successes")),
    ("metaproxy_xds_update_rejected_total", "counter", "Responses that were refused (NACK).", _of("rejected")),
    ("metaproxy_xds_update_failure_total", "counter", "Streams and polls that failed.", _of("failures")),
    (
        "metaproxy_xds_init_fetch_timeout_total",
        "counter",
        "Resources that did not come within `initial_fetch_timeout`.",
        _of("timeouts"),
    ),
    ("metaproxy_xds_resources", "gauge", "Resources in use.", _of("resources")),
    (
        "metaproxy_xds_update_timestamp_seconds",
        "gauge",
        "When a response was accepted last, Unix time; 0: never.",
        _of("updated"),
    ),
    (
        "metaproxy_xds_version",
        "gauge",
        "A hash of the version that was accepted last, as Envoy's: equal where versions are.",
        lambda one: _hash(one.version),
    ),
)

LISTENER = _families(
    ("listener", "protocol"),
    ("metaproxy_listener_connections_total", "counter", "Connections accepted.", _of("connections")),
    (
        "metaproxy_listener_connections_active",
        "gauge",
        "Connections of clients that are open.",
        _of("connections_active"),
    ),
    (
        "metaproxy_listener_connections_refused_total",
        "counter",
        "Connections closed on arrival: a bound is reached, or their source is not trusted.",
        _of("connections_refused"),
    ),
    ("metaproxy_listener_received_bytes_total", "counter", "Bytes read from clients.", _of("bytes_received")),
    ("metaproxy_listener_sent_bytes_total", "counter", "Bytes written to clients.", _of("bytes_sent")),
    ("metaproxy_listener_requests_total", "counter", "Exchanges begun; heartbeats are none.", _of("requests")),
    ("metaproxy_listener_oneway_requests_total", "counter", "Those of them that get no answer.", _of("oneway")),
    ("metaproxy_listener_exchanges_active", "gauge", "Exchanges under way.", _of("active_exchanges")),
    (
        "metaproxy_listener_local_answers_total",
        "counter",
        "Requests that the codec answered itself, such as a login.",
        _of("local_answers"),
    ),
    ("metaproxy_listener_heartbeats_total", "counter", "Heartbeats of clients.", _of("heartbeats")),
    (
        "metaproxy_listener_decode_errors_total",
        "counter",
        "Connections closed, as their bytes were not the protocol.",
        _of("decode_errors"),
    ),
    (
        "metaproxy_listener_tls_handshake_errors_total",
        "counter",
        "Connections closed, as their TLS handshake failed.",
        _of("tls_errors"),
    ),
    (
        "metaproxy_listener_destroyed_local_exchanges_total",
        "counter",
        "Exchanges that were under way when the proxy closed their client's connection.",
        _of("destroyed_local_active"),
    ),
    (
        "metaproxy_listener_destroyed_remote_exchanges_total",
        "counter",
        "Exchanges that were under way when the client closed its connection.",
        _of("destroyed_remote_active"),
    ),
    (
        "metaproxy_listener_idle_timeouts_total",
        "counter",
        "Connections closed after idle_timeout.",
        _of("idle_timeouts"),
    ),
    (
        "metaproxy_listener_stalled_connections_total",
        "counter",
        "Connections closed, as the client took nothing for stall_timeout.",
        _of("stalled"),
    ),
    (
        "metaproxy_listener_overfull_connections_total",
        "counter",
        "Connections closed, as far more than max_buffered waited for a client that does not read.",
        _of("overfull"),
    ),
    (
        "metaproxy_listener_events_total",
        "counter",
        "Pushes of servers that were passed on to clients.",
        _of("events"),
    ),
    ("metaproxy_listener_filter_errors_total", "counter", "Hooks of filters that raised.", _of("filter_errors")),
    (
        "metaproxy_listener_unmatched_responses_total",
        "counter",
        "Answers that clients sent, though no request had asked for them.",
        _of("unmatched_responses"),
    ),
)
"""Of a metaproxy.counts.ListenerCounts. A listener that is taken out of the configuration takes its series along."""

PLUGIN_ERRORS = Family(
    "metaproxy_plugin_failures_total",
    "counter",
    "Methods of codecs, filters and balancers that raised or gave what they may not, by listener or cluster.",
    ("listener", "cluster", "method"),
    int,
)

UNPARSED = Family(
    "metaproxy_sql_unparsed_total",
    "counter",
    "Requests whose SQL was not understood, by the metadata that routes, filters or logs asked for.",
    ("dialect", "key"),
    int,
)

_EXCHANGE = ("listener", "protocol", "route", "cluster")

EXCHANGES = Family(
    "metaproxy_exchanges_total",
    "counter",
    "Exchanges completed, by how they ended.",
    (*_EXCHANGE, "outcome"),
    _of("outcomes"),
)
CERTIFICATE = Family(
    "metaproxy_listener_certificate_not_after_seconds",
    "gauge",
    "Unix time at which the first of a listener's certificates ends.",
    ("listener", "protocol"),
    float,
)
TARGET = _families(
    _EXCHANGE,
    (
        "metaproxy_exchange_duration_seconds",
        "histogram",
        "From the request that was read to its end, the proxy's own share included; without streams.",
        _of("latency"),
    ),
    (
        "metaproxy_exchange_request_bytes_total",
        "counter",
        "Bytes of requests, those of streams as they come.",
        _with_open("request_bytes"),
    ),
    (
        "metaproxy_exchange_response_bytes_total",
        "counter",
        "Bytes of answers, those of streams as they come.",
        _with_open("response_bytes"),
    ),
    ("metaproxy_exchange_retries_total", "counter", "Further tries, after one that failed.", _of("retries")),
    ("metaproxy_exchange_hedges_total", "counter", "Further tries, beside one that took long.", _of("hedges")),
    (
        "metaproxy_exchange_fallbacks_total",
        "counter",
        "Exchanges sent on to a cluster of `fallback`, as this one had no usable endpoint.",
        _of("fallbacks"),
    ),
    (
        "metaproxy_exchange_cached_total",
        "counter",
        "Exchanges answered by an answer that the route had kept (`cache`).",
        _of("cached"),
    ),
)
"""Of a metaproxy.counts.TargetCounts; as long as nothing was counted, there is no series."""

STREAM = _families(
    _EXCHANGE,
    ("metaproxy_streams_active", "gauge", "Streams that were sent on and have not ended.", lambda one: len(one.open)),
    (
        "metaproxy_stream_seconds",
        "histogram",
        "From the head of a request that was read to the end of its exchange.",
        _of("seconds"),
    ),
    (
        "metaproxy_stream_first_byte_seconds",
        "histogram",
        "From the head of a request that was read to the first byte of its answer.",
        _of("first_byte"),
    ),
    (
        "metaproxy_stream_request_chunks_total",
        "counter",
        "Chunks of requests, as they come.",
        _with_open("request_chunks"),
    ),
    (
        "metaproxy_stream_response_chunks_total",
        "counter",
        "Chunks of answers, as they come.",
        _with_open("response_chunks"),
    ),
)
"""Of a metaproxy.counts.StreamCounts: exchanges with a message that comes in pieces. Before the first, no series."""

MIRROR = _families(
    _EXCHANGE,
    ("metaproxy_mirror_requests_total", "counter", "Copies of requests that were sent.", _of("requests")),
    (
        "metaproxy_mirror_failures_total",
        "counter",
        "Copies that got no answer, or, where the codec makes them, an error.",
        _of("failures"),
    ),
    (
        "metaproxy_mirror_dropped_total",
        "counter",
        "Copies that were not sent, as too many are under way or the cluster has no usable endpoint; and copies of "
        "streams that did not keep up.",
        _of("dropped"),
    ),
    ("metaproxy_mirror_compared_total", "counter", "Answers that were compared with the original.", _of("compared")),
    ("metaproxy_mirror_differences_total", "counter", "Answers that differed from the original.", _of("differences")),
)
"""Of a metaproxy.counts.MirrorCounts; the cluster is the mirror."""

CLUSTER = _families(
    ("cluster",),
    ("metaproxy_cluster_endpoints", "gauge", "Endpoints.", lambda cluster: len(cluster.endpoints)),
    (
        "metaproxy_cluster_endpoints_usable",
        "gauge",
        "Those of them that are healthy, and neither ejected nor drained.",
        lambda cluster: sum(endpoint.usable for endpoint in cluster.endpoints),
    ),
    ("metaproxy_cluster_requests_active", "gauge", "Requests under way.", _of("breaker.requests")),
    ("metaproxy_cluster_requests_limit", "gauge", "breaker.max_requests.", _of("breaker.max_requests")),
    ("metaproxy_cluster_connections_active", "gauge", "Connections open or on their way.", _of("breaker.connections")),
    ("metaproxy_cluster_connections_limit", "gauge", "breaker.max_connections.", _of("breaker.max_connections")),
    ("metaproxy_cluster_requests_pending", "gauge", "Requests that wait for a connection.", _of("breaker.pending")),
    ("metaproxy_cluster_requests_pending_limit", "gauge", "breaker.max_pending.", _of("breaker.max_pending")),
    ("metaproxy_cluster_retries_active", "gauge", "Further tries under way.", _of("breaker.retries")),
    ("metaproxy_cluster_retries_limit", "gauge", "breaker.max_retries.", _of("breaker.max_retries")),
    (
        "metaproxy_cluster_no_endpoint_total",
        "counter",
        "Requests for which no endpoint was usable.",
        _of("counts.no_endpoint"),
    ),
    (
        "metaproxy_cluster_overflow_requests_total",
        "counter",
        "Requests refused, as max_requests were under way or no connection could be had.",
        _of("counts.overflow_requests"),
    ),
    (
        "metaproxy_cluster_overflow_connections_total",
        "counter",
        "Connections that max_connections did not allow.",
        _of("counts.overflow_connections"),
    ),
    (
        "metaproxy_cluster_overflow_pending_total",
        "counter",
        "Requests refused, as max_pending waited already.",
        _of("counts.overflow_pending"),
    ),
    (
        "metaproxy_cluster_discoveries_total",
        "counter",
        "Lists of endpoints that its discovery gave.",
        _of("counts.discoveries"),
    ),
    (
        "metaproxy_cluster_discovery_failures_total",
        "counter",
        "Failures of its discovery; the last list stays.",
        _of("counts.discovery_failures"),
    ),
    (
        "metaproxy_cluster_role_waiting",
        "gauge",
        "Requests that wait for a server of the role that they need; see `topology`.",
        lambda cluster: len(cluster.lacking) if cluster.lacking is not None else 0,
    ),
    (
        "metaproxy_cluster_promotions_total",
        "counter",
        "Times that another server became the primary.",
        _of("counts.promotions"),
    ),
    (
        "metaproxy_cluster_redirects_total",
        "counter",
        "Requests that went on at another server, which the first one named.",
        _of("counts.redirects"),
    ),
    ("metaproxy_cluster_health_checks_total", "counter", "Health checks begun.", _of("counts.checks")),
    (
        "metaproxy_cluster_health_check_failures_total",
        "counter",
        "Health checks that failed.",
        _of("counts.check_failures"),
    ),
    (
        "metaproxy_cluster_ejections_refused_total",
        "counter",
        "Endpoints that failed and stayed, as outlier.max_ejected were out already.",
        _of("counts.ejections_refused"),
    ),
)
"""Of a cluster.Cluster."""

EJECTIONS = Family(
    "metaproxy_cluster_ejections_total",
    "counter",
    "Endpoints ejected, by cause; see outlier.",
    ("cluster", "cause"),
    int,
)

_ENDPOINT = ("cluster", "endpoint")

ENDPOINT_STATE = _families(
    _ENDPOINT,
    ("metaproxy_endpoint_requests_active", "gauge", "Exchanges under way on it.", _of("active")),
    ("metaproxy_endpoint_weight", "gauge", "Its weight.", _of("configured_weight")),
    ("metaproxy_endpoint_healthy", "gauge", "0 while health checks say that it is not.", _of("healthy")),
    ("metaproxy_endpoint_ejected", "gauge", "1 while it is ejected.", _of("ejected")),
    ("metaproxy_endpoint_drained", "gauge", "1 while an operator has taken it out of service.", _of("drained")),
)
"""Of a cluster.Endpoint."""

ENDPOINT_ROLE = Family(
    "metaproxy_endpoint_role",
    "gauge",
    "1 for the role that its server has, of a cluster with `topology`: primary, replica, lagging (a replica beyond "
    "max_replica_lag), replaced (it takes itself for the primary, and another one is).",
    (*_ENDPOINT, "role"),
    int,
)
ENDPOINT_LAG = Family(
    "metaproxy_endpoint_replica_lag_seconds", "gauge", "Time that a replica is behind its primary.", _ENDPOINT, float
)

ENDPOINT = _families(
    _ENDPOINT,
    ("metaproxy_endpoint_requests_total", "counter", "Requests sent to it.", _of("requests")),
    ("metaproxy_endpoint_successes_total", "counter", "Answers that report success.", _of("successes")),
    ("metaproxy_endpoint_errors_total", "counter", "Answers that report failure.", _of("errors")),
    ("metaproxy_endpoint_timeouts_total", "counter", "Requests without an answer in time.", _of("timeouts")),
    ("metaproxy_endpoint_resets_total", "counter", "Requests lost, as their connection ended.", _of("resets")),
    (
        "metaproxy_endpoint_duration_seconds",
        "histogram",
        "From the request that was read to its end, for the exchanges that this endpoint got; without streams.",
        _of("latency"),
    ),
    ("metaproxy_endpoint_connections_total", "counter", "Connections opened.", _of("connections")),
    ("metaproxy_endpoint_connect_errors_total", "counter", "Connections refused or reset.", _of("connect_errors")),
    (
        "metaproxy_endpoint_connect_timeouts_total",
        "counter",
        "Connections that were not there within connect_timeout.",
        _of("connect_timeouts"),
    ),
    ("metaproxy_endpoint_received_bytes_total", "counter", "Bytes read from it.", _of("bytes_received")),
    ("metaproxy_endpoint_sent_bytes_total", "counter", "Bytes written to it.", _of("bytes_sent")),
    (
        "metaproxy_endpoint_decode_errors_total",
        "counter",
        "Connections closed, as its bytes were not the protocol.",
        _of("decode_errors"),
    ),
    ("metaproxy_endpoint_heartbeats_total", "counter", "Heartbeats of the server.", _of("heartbeats")),
    (
        "metaproxy_endpoint_late_answers_total",
        "counter",
        "Answers dropped, as their exchange had ended.",
        _of("late"),
    ),
    (
        "metaproxy_endpoint_unmatched_answers_total",
        "counter",
        "Messages dropped that answer nothing.",
        _of("unmatched"),
    ),
)
"""Of a metaproxy.counts.EndpointCounts."""

FAMILIES: tuple[Family, ...] = (
    BUILD, *PROCESS, OVERLOAD, *SHED, *WORKER, RELOADS, *XDS_SERVER, *XDS,
    *LISTENER, CERTIFICATE, UNPARSED, PLUGIN_ERRORS, EXCHANGES, *TARGET, *STREAM, *MIRROR,
    *CLUSTER,
    EJECTIONS,
    ENDPOINT_ROLE,
    ENDPOINT_LAG,
    *ENDPOINT_STATE, *ENDPOINT,
    FILTER_EVENTS, FILTER_VALUES, WORKER_FILTER_VALUES,
)  # fmt: skip
"""In the order in which they are shown."""
