"""
How endpoints are asked whether they can serve: `health_checks` of a cluster, as `health_check:`.

Lives here: `health_check_of`. Does not: outlier detection (`limits`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, number, shown_seconds
from metaproxy.envoy.tables import Plain

MAX_STATUSES = 500
_CODEC = ("envoy.extensions.health_checkers.redis.v3.Redis",)
"""Checkers that ask what a codec's own probe asks."""
_CODEC_NAMES = ("envoy.health_checkers.redis",)


def health_check_of(fields: Fields, tls: bool) -> Plain:
    """All checks of a cluster as one, whose kinds must all pass. tls: whether the cluster has TLS."""
    checks = fields.each("health_checks")
    plain: Plain = {}
    kinds: list[object] = []
    for check in checks:
        times = _times(check)
        if plain and times != plain:
            check.report.unhonoured(check.path, "all checks of a cluster have the same times and thresholds")
        plain = plain or times
        kind = _kind(check, tls)
        if kind is not None:
            kinds.append(kind)
    if not kinds:
        return {}
    return {**plain, "kind": kinds[0] if len(kinds) == 1 else kinds}


def _times(check: Fields) -> Plain:
    for name in ("timeout", "interval", "unhealthy_threshold", "healthy_threshold"):
        check.require(name)
    interval = check.seconds("interval") or 5.0
    plain: Plain = {
        "interval": shown_seconds(max(interval, 0.01)),
        "timeout": shown_seconds(check.seconds("timeout") or 1.0),
        "unhealthy": max(check.whole("unhealthy_threshold", 3), 1),
        "healthy": max(check.whole("healthy_threshold", 2), 1),
    }
    jitter = check.seconds("interval_jitter") or 0.0
    plain["jitter"] = number(min(100.0, 100.0 * jitter / interval + check.whole("interval_jitter_percent")))
    check.ignore("initial_jitter", "reuse_connection")  # a connection a check, the first ones spread
    for name in (
        "no_traffic_interval",
        "no_traffic_healthy_interval",
        "unhealthy_interval",
        "unhealthy_edge_interval",
        "healthy_edge_interval",
    ):
        if check.seconds(name, interval) != interval:
            check.unhonoured(name, "endpoints are asked at one interval, whatever their state")
    return plain


def _kind(check: Fields, tls: bool) -> object | None:
    which = check.which("health_checker")
    if which == "tcp_health_check":
        inner = check.message_at(which)
        assert inner is not None
        return _tcp(inner)
    if which == "http_health_check":
        inner = check.message_at(which)
        assert inner is not None
        if tls:
            check.report.unhonoured(
                inner.path, "is asked over plain HTTP, and the cluster has TLS; write tcp_health_check"
            )
        return _http(inner, check)
    if which == "grpc_health_check":
        inner = check.message_at(which)
        assert inner is not None
        inner.ignore("authority")
        inner.refuse("service_name", "the server as a whole is asked for", "")
        return "codec"
    if which == "custom_health_check":
        inner = check.message_at(which)
        assert inner is not None
        return _custom(inner)
    check.report.invalid(check.path, "no health checker; write tcp_health_check or http_health_check")
    return None


def _custom(custom: Fields) -> object | None:
    extension = custom.extension()
    if extension.type not in _CODEC and (extension.type or extension.name not in _CODEC_NAMES):
        name = extension.type or extension.name
        custom.report.unhonoured(custom.path, f"metaproxy has no health checker {name!r}; there is {_CODEC_NAMES[0]}")
        return None
    if extension.config is not None:
        extension.config.refuse("key", "PING is sent, and no key is looked at", "")
    return "codec"


def _tcp(tcp: Fields) -> object | None:
    send = tcp.message_at("send")
    receive = [payload_of(one) for one in tcp.each("receive")]
    sent = payload_of(send) if send is not None else b""
    if not receive:
        if sent:
            tcp.report.unhonoured(tcp.at("send"), "what is sent must be answered; write receive, or leave send out")
        return "tcp"
    expect = "(?s)" + ".*".join("".join(f"\\x{byte:02x}" for byte in part) for part in receive)
    return {"script": {"send": sent.hex(), "expect": expect}}


def payload_of(payload: Fields) -> bytes:
    """The bytes of a HealthCheck.Payload, whose text is hexadecimal."""
    if payload.which("payload") == "binary":
        return payload.data("binary")
    text = payload.text("text")
    try:
        return bytes.fromhex(text)
    except ValueError:
        payload.invalid("text", f"{text!r:.100} is not hexadecimal; write two digits a byte, such as 0d0a")
        return b""


def _http(http: Fields, check: Fields) -> object:
    path = http.text("path")
    http.require("path")
    plain: Plain = {"path": path or "/"}
    host = http.text("host")
    if host:
        plain["host"] = host
    if check.given("alt_port"):
        plain["port"] = check.whole("alt_port")
    plain["status"] = _statuses(http)
    http.ignore("response_buffer_size")
    http.refuse("method", "is a GET always", 0, 1)
    http.refuse("codec_client_type", "is asked over HTTP/1.1", 0)
    return {"http": plain}


def _statuses(http: Fields) -> list[int]:
    found: list[int] = []
    for span in http.each("expected_statuses"):
        start, end = span.whole("start"), span.whole("end")
        if not 100 <= start < end <= 600:
            span.report.invalid(span.path, f"[{start}, {end}) holds no status, or what is none; write 200 to 300")
        else:
            found += range(start, end)
    return found[:MAX_STATUSES] or [200]
