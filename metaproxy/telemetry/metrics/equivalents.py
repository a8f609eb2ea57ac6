"""
What Aeraki's proxy and Envoy call a metric of ours, for those who come from them.

Lives here: tables. Does not: our own metrics (`families`), the page of the reference (`reference`).
"""

from __future__ import annotations

AERAKI: tuple[tuple[str, str, str], ...] = (
    ("request", "metaproxy_listener_requests_total", "also those that a limit or a missing route ended"),
    (
        "request_twoway",
        "metaproxy_listener_requests_total - metaproxy_listener_oneway_requests_total",
        "",
    ),
    ("request_oneway", "metaproxy_listener_oneway_requests_total", "they are routed, limited and logged like others"),
    ("request_event", "metaproxy_listener_heartbeats_total", ""),
    ("request_stream", "metaproxy_stream_seconds", "its count: those that have ended"),
    ("request_decoding_success", "metaproxy_listener_requests_total", ""),
    ("request_decoding_error", "metaproxy_listener_decode_errors_total", ""),
    ("request_active", "metaproxy_listener_exchanges_active", ""),
    ("request_time_ms", "metaproxy_exchange_duration_seconds", "seconds"),
    ("response", 'metaproxy_exchanges_total{outcome=~"ok|error"}', ""),
    ("response_decoding_success", "metaproxy_endpoint_successes_total + metaproxy_endpoint_errors_total", ""),
    ("response_success", 'metaproxy_exchanges_total{outcome="ok"}', ""),
    ("response_error", 'metaproxy_exchanges_total{outcome="error"}', ""),
    (
        "response_business_exception",
        'metaproxy_exchanges_total{outcome="error"}',
        "an answer either tells of success or of failure",
    ),
    ("response_decoding_error", "metaproxy_endpoint_decode_errors_total", ""),
    (
        "response_error_caused_connection_close",
        'metaproxy_exchanges_total{outcome="downstream_gone"}',
        "counted whether or not an answer came",
    ),
    (
        "local_response_business_exception",
        'metaproxy_exchanges_total{outcome!~"ok|error|oneway|event|downstream_gone"}',
        "by reason",
    ),
    ("local_response_error", "", "is logged; the exchange counts under its outcome"),
    ("local_response_success", "", "is always 0"),
    ("cx_destroy_local_with_active_rq", "metaproxy_listener_destroyed_local_exchanges_total", ""),
    ("cx_destroy_remote_with_active_rq", "metaproxy_listener_destroyed_remote_exchanges_total", ""),
    ("idle_timeout", "metaproxy_listener_idle_timeouts_total", "not while an exchange is under way"),
    ("local_rate_limit.rate_limited", 'metaproxy_exchanges_total{outcome="limited"}', ""),
    (
        "local_rate_limit.ok",
        'metaproxy_listener_requests_total - metaproxy_exchanges_total{outcome="limited"}',
        "",
    ),
)
"""(a statistic of meta_protocol.<protocol>.<stat_prefix>, what says the same here, a note)."""

ENVOY: tuple[tuple[str, str, str], ...] = (
    ("cluster.<name>.upstream_rq_total", "metaproxy_endpoint_requests_total", ""),
    ("cluster.<name>.upstream_rq_active", "metaproxy_cluster_requests_active", ""),
    ("cluster.<name>.upstream_rq_time", "metaproxy_endpoint_duration_seconds", "seconds"),
    ("cluster.<name>.upstream_rq_timeout", "metaproxy_endpoint_timeouts_total", ""),
    ("cluster.<name>.upstream_rq_retry", "metaproxy_exchange_retries_total", ""),
    ("cluster.<name>.upstream_rq_rx_reset", "metaproxy_endpoint_resets_total", ""),
    ("cluster.<name>.upstream_rq_pending_active", "metaproxy_cluster_requests_pending", ""),
    ("cluster.<name>.upstream_rq_pending_overflow", "metaproxy_cluster_overflow_pending_total", ""),
    ("cluster.<name>.upstream_cx_total", "metaproxy_endpoint_connections_total", ""),
    ("cluster.<name>.upstream_cx_active", "metaproxy_cluster_connections_active", ""),
    ("cluster.<name>.upstream_cx_connect_fail", "metaproxy_endpoint_connect_errors_total", ""),
    ("cluster.<name>.upstream_cx_connect_timeout", "metaproxy_endpoint_connect_timeouts_total", ""),
    ("cluster.<name>.upstream_cx_overflow", "metaproxy_cluster_overflow_connections_total", ""),
    ("cluster.<name>.upstream_cx_protocol_error", "metaproxy_endpoint_decode_errors_total", ""),
    ("cluster.<name>.upstream_cx_rx_bytes_total", "metaproxy_endpoint_received_bytes_total", ""),
    ("cluster.<name>.upstream_cx_tx_bytes_total", "metaproxy_endpoint_sent_bytes_total", ""),
    ("cluster.<name>.upstream_cx_none_healthy", "metaproxy_cluster_no_endpoint_total", ""),
    ("cluster.<name>.membership_healthy", "metaproxy_cluster_endpoints_usable", "without those that are drained"),
    ("cluster.<name>.outlier_detection.ejections_enforced_<type>", "metaproxy_cluster_ejections_total", "by cause"),
    ("cluster.<name>.outlier_detection.ejections_overflow", "metaproxy_cluster_ejections_refused_total", ""),
    ("cluster.<name>.update_success", "metaproxy_cluster_discoveries_total", "lists that differ"),
    ("cluster.<name>.update_failure", "metaproxy_cluster_discovery_failures_total", ""),
    ("cluster.<name>.health_check.attempt", "metaproxy_cluster_health_checks_total", ""),
    ("cluster.<name>.health_check.failure", "metaproxy_cluster_health_check_failures_total", ""),
    ("cluster.<name>.membership_total", "metaproxy_cluster_endpoints", ""),
    ("listener.<address>.downstream_cx_total", "metaproxy_listener_connections_total", ""),
    ("listener.<address>.downstream_cx_active", "metaproxy_listener_connections_active", ""),
    ("listener.<address>.downstream_cx_overflow", "metaproxy_listener_connections_refused_total", ""),
    ("server.uptime", "metaproxy_uptime_seconds", ""),
)
"""The same for Envoy's own statistics that its dashboards use most."""
