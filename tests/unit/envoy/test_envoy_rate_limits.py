"""Envoy's rate limit actions and token buckets as ours."""

from __future__ import annotations

import pytest
from envoy_messages import message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.rate_limits import bucket_of, descriptors_of
from metaproxy.envoy.report import Report


def descriptors(actions: str, cluster: str = "") -> tuple[list[object], list[str]]:
    report = Report()
    limit = Fields(message("envoy.config.route.v3.RateLimit", f"actions: [{actions}]"), "limit", report)
    found = descriptors_of([limit], cluster)
    limit.close()
    return found, [str(one) for one in report.errors]


@pytest.mark.parametrize(
    ("action", "entry"),
    [
        ("{generic_key: {descriptor_value: v, descriptor_key: k}}", {"key": "k", "value": "v"}),
        (
            "{request_headers: {header_name: X-User, descriptor_key: user}}",
            {"key": "user", "from": "x-user", "skip_if_absent": True},
        ),
        ("{destination_cluster: {}}", {"key": "destination_cluster", "value": "shop"}),
    ],
)
def test_an_entry(action: str, entry: dict[str, object]) -> None:
    assert descriptors(action, "shop") == ([[entry]], [])


def test_actions_that_are_not_there_are_named_and_leave_their_descriptor_out() -> None:
    found, errors = descriptors("{generic_key: {descriptor_value: v}}, {source_cluster: {}}")
    assert found == []
    assert len(errors) == 1 and "source_cluster" in errors[0]


def bucket(text: str) -> tuple[dict[str, object], list[str]]:
    report = Report()
    return (
        bucket_of(Fields(message("envoy.type.v3.TokenBucket", text), "bucket", report)),
        [str(one) for one in report.errors],
    )


def test_a_bucket_fills_at_once_at_the_end_of_each_interval() -> None:
    found, errors = bucket("{max_tokens: 10, tokens_per_fill: 2, fill_interval: 0.5s}")
    assert (found, errors) == ({"limit": 2, "per": "500ms", "refill": "interval", "burst": 10}, [])


def test_a_bucket_that_never_fills_is_malformed() -> None:
    assert [line.split(":")[0] for line in bucket("{max_tokens: 1}")[1]] == ["bucket.fill_interval"]
