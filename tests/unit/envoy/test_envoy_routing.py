"""What routes of several protocols have in common."""

from __future__ import annotations

from envoy_messages import message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report
from metaproxy.envoy.routing import subset_of


def test_a_subset_is_made_of_the_texts_numbers_and_flags_for_load_balancing() -> None:
    report = Report()
    text = "filter_metadata: {envoy.lb: {a: x, b: 2, c: true, d: {e: f}}}"
    fields = Fields(message("envoy.config.core.v3.Metadata", text), "meta", report)
    assert subset_of(fields) == {"a": "x", "b": "2", "c": "true"}
    fields.close()
    (error,) = report.errors
    assert error.path.endswith("d")


def test_nothing_is_no_subset() -> None:
    assert subset_of(None) == {}
