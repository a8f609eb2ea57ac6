"""Options of HTTP/2 towards servers; what has them is in test_envoy_clusters.py."""

from __future__ import annotations

from envoy_messages import errors, message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.http2_options import options_of_http2
from metaproxy.envoy.report import Report


def test_what_limits_streams_is_named_and_what_does_not_is_read() -> None:
    for text, wrong in (("max_concurrent_streams: 100", 1), ("max_concurrent_streams: 1073741824", 0), ("{}", 0)):
        report = Report()
        fields = Fields(message("envoy.config.core.v3.Http2ProtocolOptions", text), "h", report)
        options_of_http2(fields, {})
        fields.close()
        assert len(errors(report)) == wrong


def test_a_server_that_is_gone_is_noticed_by_tcp_with_a_warning() -> None:
    report = Report()
    text = "connection_keepalive: {interval: 30s, timeout: 5s}"
    fields = Fields(message("envoy.config.core.v3.Http2ProtocolOptions", text), "h", report)
    section: dict[str, object] = {}
    options_of_http2(fields, section)
    fields.close()
    assert errors(report) == []
    assert section == {"keepalive": {"idle": "30s", "interval": "5s", "count": 1}}
    assert [one.path for one in report.warnings] == ["h.connection_keepalive"]
