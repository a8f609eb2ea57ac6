from __future__ import annotations

import pytest
from browser import Desk
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from metaproxy.admin.metrics import MAX_FILTER, name_filter


def busy() -> Desk:
    desk = Desk()
    client = desk.running.client()
    for service in ("echo", "echo", "gone"):
        desk.running.exchange(client, service)
    return desk


def test_metrics_are_prometheus_text() -> None:
    response = busy().get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {one.name: one.value for family in read_text(response.text) for one in family.samples}
    assert samples["metaproxy_listener_requests_total"] == 3
    assert samples["process_open_fds"] > 0
    assert samples["process_resident_memory_bytes"] > 1 << 20
    assert "python_info" in samples


def test_metrics_are_openmetrics_for_whoever_wants_it() -> None:
    response = busy().get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "metaproxy_exchanges" in {family.name for family in read_openmetrics(response.text)}
    assert response.text.endswith("# EOF\n")


def test_stats_are_lines_of_a_name_and_a_number() -> None:
    lines = busy().get("/stats").text.splitlines()
    assert 'metaproxy_listener_requests_total{listener="front",protocol="quill"}: 3' in lines
    assert lines == sorted(lines)


def test_stats_may_be_json_and_filtered() -> None:
    found = busy().get("/stats?format=json&filter=listener_requests").json
    assert found == {'metaproxy_listener_requests_total{listener="front",protocol="quill"}': 3}


def test_a_format_that_is_not_there_is_refused() -> None:
    response = Desk().get("/stats?format=xml")
    assert (response.status, response.json["where"]) == (400, "format")
    assert response.json["error"] == "no format 'xml'; write text or json"


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("", "anything", True),
        ("quest", "a_requests_total", True),
        ("REQ", "a_requests", False),
        ("^a_", "a_requests", True),
        ("^req", "a_requests", False),
        ("total$", "a_total", True),
        ("req$", "a_requests", False),
        ("a*total", "xa_requests_total", True),
        ("a.*total", "xa_requests_total", True),
        ("cluster|endpoint", "my_endpoint_x", True),
        ("cluster|endpoint", "listener", False),
        ('{a="[x]?"}', 'name{a="[x]?"}', True),
        ('{a="[x]?"}', 'name{a="x"}', False),
    ],
)
def test_a_filter_finds(text: str, name: str, found: bool) -> None:
    assert name_filter(text)(name) is found


def test_a_filter_is_bounded() -> None:
    assert Desk().get("/stats?filter=" + "x" * MAX_FILTER).status == 200
    response = Desk().get("/stats?filter=" + "x" * (MAX_FILTER + 1))
    assert (response.status, response.json["where"]) == (400, "filter")


def test_no_filter_takes_long() -> None:
    """What makes a regular expression try every way: here it is an ordinary one."""
    assert not name_filter("*a" * 60 + "b")("a" * 300)
    assert not name_filter("(a+)+$")("a" * 300 + "b")
