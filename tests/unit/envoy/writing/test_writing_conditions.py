"""Conditions of ours as matchers of Envoy's: what comes back is the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from envoy_messages import message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.matching import header_condition
from metaproxy.envoy.report import Report
from metaproxy.envoy.writing.conditions import header_matcher, pattern_of


def there_and_back(condition: object) -> object:
    wrong: list[str] = []
    matcher = header_matcher("x", condition, "match['x']", wrong)
    assert wrong == []
    fields = Fields(message("envoy.config.route.v3.HeaderMatcher", yaml.safe_dump(matcher)), "m", Report())
    return header_condition(fields)


@pytest.mark.parametrize(
    "condition",
    [
        "a", {"prefix": "a", "ignore_case": True}, {"suffix": "a", "not": True}, {"contains": "a", "default": ""},
        {"regex": "a+"}, {"range": [1, 5]}, {"present": True}, {"present": False},
    ],
)  # fmt: skip
def test_a_condition_comes_back(condition: object) -> None:
    assert there_and_back(condition) == condition


def test_a_list_is_a_pattern() -> None:
    assert there_and_back({"in": ["a.b", "c"]}) == {"regex": r"a\.b|c"}


@pytest.mark.parametrize("condition", [{"cidr": "10.0.0.0/8"}, {"exact": "a", "default": "b"}])
def test_what_can_not_be_said_is_named(condition: Any) -> None:
    wrong: list[str] = []
    header_matcher("x", condition, "match['x']", wrong)
    assert len(wrong) == 1 and wrong[0].startswith("match['x']")


@pytest.mark.parametrize(
    ("condition", "pattern"),
    [({"prefix": "a."}, r"a\..*"), ({"suffix": "b", "ignore_case": True}, "(?i).*b"), ({"range": [1, 2]}, None)],
)
def test_patterns_for_the_whole_value(condition: Any, pattern: str | None) -> None:
    assert pattern_of(condition) == pattern
