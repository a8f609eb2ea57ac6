"""
Circuit breakers and outlier detection of a cluster, as `breaker:` and `outlier:`.

Lives here: `breaker_of`, `outlier_of`. Does not: health checks (`health_checks`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, number, shown_seconds
from metaproxy.envoy.tables import Plain

MOST = 2**31 - 1
"""The greatest number that our keys take: without a limit, as Istio's greatest 32-bit number is."""


def breaker_of(fields: Fields) -> Plain:
    """The limits of the default priority. Those of others limit nothing, as there are no requests of theirs."""
    breakers = fields.message_at("circuit_breakers")
    plain: Plain = {}
    if breakers is None:
        return plain
    for threshold in breakers.each("thresholds"):
        limits = _limits(threshold)
        if threshold.choice("priority") == "DEFAULT":
            plain = limits
    return plain


def _limits(threshold: Fields) -> Plain:
    plain: Plain = {}
    for key, name, least in (
        ("max_connections", "max_connections", 1),
        ("max_pending", "max_pending_requests", 0),
        ("max_requests", "max_requests", 1),
        ("max_retries", "max_retries", 0),
    ):
        if threshold.given(name):
            limit = threshold.whole(name)
            if limit < least:
                threshold.unhonoured(name, f"{limit} would refuse every request; {least} is the least that is taken")
            plain[key] = min(max(limit, least), MOST)
    budget = threshold.message_at("retry_budget")
    if budget is not None:
        plain["retry_budget"] = number(budget.percent("budget_percent", 20.0) or 0.0)
        budget.refuse("min_retry_concurrency", "three retries may be under way in any case: write 3", 3)
    threshold.ignore("track_remaining")  # metrics show what is in use, and the limits
    return plain


def outlier_of(fields: Fields) -> Plain:
    """When an endpoint is ejected, with Envoy's defaults."""
    detection = fields.message_at("outlier_detection")
    if detection is None:
        return {}
    split = detection.flag("split_external_local_origin_errors")
    plain: Plain = {
        "consecutive_errors": _enforced(detection, "consecutive_5xx", 5, "enforcing_consecutive_5xx", 100),
        "max_ejected": min(detection.whole("max_ejection_percent", 10), 100),
    }
    local = _enforced(
        detection, "consecutive_local_origin_failure", 5, "enforcing_consecutive_local_origin_failure", 100
    )
    gateway = _enforced(detection, "consecutive_gateway_failure", 5, "enforcing_consecutive_gateway_failure", 0)
    if gateway:
        text = "a gateway's failure is a request without an answer here: one that gets none counts, whatever the reason"
        detection.report.warn(detection.at("consecutive_gateway_failure"), text)
        split, local = True, min(local or gateway, gateway) if split else gateway
    if split:
        plain.update(split=True, consecutive_local=local)
    plain.update(_rates(detection))
    _times(detection, plain)
    detection.ignore("always_eject_one_host")  # one endpoint may be ejected in any case
    detection.refuse(
        "successful_active_health_check_uneject_host", "an endpoint comes back when its time is over", True
    )
    return plain


def _enforced(detection: Fields, name: str, default: int, enforcing: str, enforced: int) -> int:
    """What a rule has as its limit; 0 where it is not enforced."""
    limit, share = detection.whole(name, default), detection.whole(enforcing, enforced)
    if share not in (0, 100):
        detection.unhonoured(enforcing, "an endpoint is ejected always or never: write 100 or 0")
    return limit if share else 0


def _rates(detection: Fields) -> Plain:
    """The two rules that look at the rates of an interval."""
    factor = _enforced(detection, "success_rate_stdev_factor", 1900, "enforcing_success_rate", 100)
    percent = _enforced(detection, "failure_percentage_threshold", 85, "enforcing_failure_percentage", 0)
    detection.refuse("enforcing_local_origin_success_rate", "one rate counts for all failures", 100 if factor else 0)
    detection.refuse("enforcing_failure_percentage_local_origin", "one rate counts for all", 100 if percent else 0, 0)
    hosts = detection.whole("success_rate_minimum_hosts", 5)
    volume = detection.whole("success_rate_request_volume", 100)
    for name, value in (("failure_percentage_minimum_hosts", hosts), ("failure_percentage_request_volume", volume)):
        if percent and factor:
            detection.refuse(name, "is the same for both rates", value)
    if percent and not factor:
        hosts = detection.whole("failure_percentage_minimum_hosts", 5)
        volume = detection.whole("failure_percentage_request_volume", 50)
    detection.ignore("failure_percentage_minimum_hosts", "failure_percentage_request_volume")
    return {
        "success_rate": number(factor / 1000),
        "failure_percent": min(percent, 100),
        "min_hosts": max(hosts, 1),
        "min_requests": max(volume, 1),
    }


def _times(detection: Fields, plain: Plain) -> None:
    base = detection.seconds("base_ejection_time", 30.0) or 30.0
    most = detection.seconds("max_ejection_time")
    plain["interval"] = shown_seconds(max(detection.seconds("interval", 10.0) or 10.0, 0.1))
    plain["ejection_time"] = shown_seconds(base)
    plain["max_ejection_time"] = shown_seconds(max(base, 300.0 if most is None else most))
    jitter = detection.seconds("max_ejection_time_jitter")
    if jitter:
        detection.unhonoured("max_ejection_time_jitter", "the time of an ejection has no random part: write 0s")
