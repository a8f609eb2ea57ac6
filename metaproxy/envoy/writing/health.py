"""
`breaker:`, `outlier:` and `health_check:` of our clusters as Envoy has them.

Lives here: `breakers`, `outlier`, `health_checks`. Does not: endpoints (`clusters`).
"""

from __future__ import annotations

from metaproxy.envoy.writing.keys import Keys, Plain, seconds, typed, without_empty


def breakers(cluster: Keys) -> Plain:
    """All limits, as Envoy's defaults are others."""
    breaker = cluster.inner("breaker")
    if breaker is None:
        return {}
    threshold: Plain = {
        "max_connections": breaker.whole("max_connections"),
        "max_pending_requests": breaker.whole("max_pending"),
        "max_requests": breaker.whole("max_requests"),
        "max_retries": breaker.whole("max_retries"),
    }
    budget = breaker.number("retry_budget")
    if budget:
        threshold["retry_budget"] = {"budget_percent": {"value": budget}, "min_retry_concurrency": 3}
    breaker.close()
    return {"thresholds": [threshold]}


def outlier(cluster: Keys) -> Plain:
    detection = cluster.inner("outlier")
    if detection is None:
        return {}
    errors, rate = detection.whole("consecutive_errors"), detection.number("success_rate")
    percent = detection.whole("failure_percent")
    plain: Plain = {
        "consecutive_5xx": errors or 5,
        "enforcing_consecutive_5xx": 100 if errors else 0,
        "success_rate_stdev_factor": round(rate * 1000) or 1900,
        "enforcing_success_rate": 100 if rate else 0,
        "failure_percentage_threshold": percent or 85,
        "enforcing_failure_percentage": 100 if percent else 0,
        "interval": seconds(detection.number("interval")),
        "base_ejection_time": seconds(detection.number("ejection_time")),
        "max_ejection_time": seconds(detection.number("max_ejection_time")),
        "max_ejection_percent": detection.whole("max_ejected"),
        "success_rate_minimum_hosts": detection.whole("min_hosts"),
        "success_rate_request_volume": detection.whole("min_requests"),
        "failure_percentage_minimum_hosts": detection.whole("min_hosts"),
        "failure_percentage_request_volume": detection.whole("min_requests"),
        "enforcing_consecutive_gateway_failure": 0,
    }
    if detection.flag("split"):
        local = detection.whole("consecutive_local")
        plain["split_external_local_origin_errors"] = True
        plain["consecutive_local_origin_failure"] = local or 5
        plain["enforcing_consecutive_local_origin_failure"] = 100 if local else 0
    detection.ignore("consecutive_local")  # of no effect without split
    detection.refuse("latency", "Envoy ejects by failures, and never by how long answers take")
    detection.close()
    return plain


def health_checks(cluster: Keys, codecs: set[str]) -> list[Plain]:
    check = cluster.inner("health_check")
    if check is None:
        return []
    base: Plain = {
        "interval": seconds(check.number("interval")),
        "timeout": seconds(check.number("timeout")),
        "healthy_threshold": check.whole("healthy"),
        "unhealthy_threshold": check.whole("unhealthy"),
        "interval_jitter_percent": check.whole("jitter"),
    }
    kinds = getattr(check.section, "kind")  # noqa: B009 - Section has no such field
    check.ignore("kind")
    found = []
    for place, kind in enumerate(kinds):
        inner = Keys(kind, check.at("kind", place), check.wrong) if not isinstance(kind, str) else None
        asked = _http(inner) if inner is not None else _simple(kind, check, codecs)
        found.append({**base, **asked})
    check.close()
    return found


def _simple(kind: str, check: Keys, codecs: set[str]) -> Plain:
    if kind == "tcp":
        return {"tcp_health_check": {}}
    if codecs == {"redis"}:
        redis = typed("envoy.extensions.health_checkers.redis.v3.Redis")
        return {"custom_health_check": {"name": "envoy.health_checkers.redis", "typed_config": redis}}
    if codecs == {"grpc"}:
        return {"grpc_health_check": {}}
    check.cannot("kind", "Envoy asks servers of Redis and gRPC in their own words, and no others; write tcp or http")
    return {}


def _http(check: Keys) -> Plain:
    http = check.inner("http")
    check.refuse("script", "Envoy compares bytes, and has no patterns for them")
    if http is None:
        return {}
    statuses = sorted(int(one) for one in http.texts("status"))
    plain: Plain = {
        "path": http.text("path"),
        "host": http.text("host"),
        "expected_statuses": [{"start": one, "end": one + 1} for one in statuses] or [{"start": 200, "end": 300}],
    }
    found: Plain = {"http_health_check": without_empty(plain)}
    if http.given("port"):
        found["alt_port"] = http.whole("port")
    http.ignore("port")
    http.close()
    return found
