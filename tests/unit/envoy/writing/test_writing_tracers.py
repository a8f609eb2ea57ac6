"""Where spans go, as Envoy has it, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip, written


def text(tracing: str) -> str:
    return (
        f"tracing: {{{tracing}}}\nlisteners: [{{name: l, listen: '127.0.0.1:80', protocol: http, tracing: {{}}, "
        "routes: [{cluster: a}]}]\nclusters: [{name: a, endpoints: ['127.0.0.1:1']}]\n"
    )


@pytest.mark.parametrize(
    "tracing",
    [
        "exporter: zipkin, url: 'http://127.0.0.9:9411/api/v2/spans'",
        "exporter: otlp, url: 'http://127.0.0.9:4318/v1/traces', service: me, headers: {k: v}, timeout: 2s",
    ],
)
def test_it_comes_back_as_it_was(tracing: str) -> None:
    assert round_trip(text(tracing)).tracing == accepted(text(tracing)).tracing


def test_a_collector_has_a_cluster_of_its_own_unless_there_is_one() -> None:
    names = [one["name"] for one in written(text("exporter: zipkin"))["static_resources"]["clusters"]]
    assert names == ["a", "metaproxy-collector"]
    known = text("exporter: zipkin, url: 'http://127.0.0.1:1/api/v2/spans'")
    assert [one["name"] for one in written(known)["static_resources"]["clusters"]] == ["a"]


@pytest.mark.parametrize(
    ("tracing", "path"),
    [
        ("exporter: zipkin, url: 'https://a/b'", "tracing.url"),
        ("exporter: zipkin, service: me", "tracing.service"),
        ("exporter: zipkin, headers: {k: v}", "tracing.headers"),
    ],
)
def test_what_has_no_counterpart_is_named(tracing: str, path: str) -> None:
    (line,) = refused_by(text(tracing))
    assert path in line
