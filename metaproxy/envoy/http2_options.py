"""
Envoy's Http2ProtocolOptions of a cluster.

Lives here: what they mean for a cluster, in each place that has them. Does not: those of listeners
(`extensions.http_connection_manager`).
"""

from __future__ import annotations

from math import ceil

from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.tables import Plain

_MANY_STREAMS = 1 << 16
"""As many streams at a time as no connection has: what says more sets no limit."""


def _whole(length: float) -> float:
    """Seconds as TCP keep-alive takes them."""
    return float(min(max(ceil(length), 1), 32400))


def options_of_http2(http2: Fields, section: Plain) -> None:
    """What changes nothing of HTTP/2 is read; the rest is reported. TCP notices a server that is gone as PING would."""
    http2.ignore("override_stream_error_on_invalid_http_message", "use_oghttp2_codec")
    if http2.whole("max_concurrent_streams", _MANY_STREAMS) < _MANY_STREAMS:
        http2.unhonoured("max_concurrent_streams", "a server says itself how many streams it takes at a time")
    alive = http2.message_at("connection_keepalive")
    if alive is None:
        return
    alive.ignore("interval_jitter")
    idle = alive.seconds("connection_idle_interval") or alive.seconds("interval")
    wait = alive.seconds("timeout")
    if idle and wait:
        http2.report.warn(alive.path, "whether a server is there is asked by TCP keep-alive, not by PING")
        probe = {key: shown_seconds(_whole(length)) for key, length in (("idle", idle), ("interval", wait))}
        section.setdefault("keepalive", {**probe, "count": 1})
    elif not wait:
        http2.report.invalid(alive.path, "timeout is missing")
