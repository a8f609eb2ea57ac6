"""Conditions of Envoy as entries of our `match:`; test_envoy_metaprotocol.py has each kind."""

from __future__ import annotations

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.matching import match_of, string_condition
from metaproxy.envoy.report import Report


def strings(text: str) -> tuple[object, list[str]]:
    report = Report()
    fields = Fields(message("envoy.type.matcher.v3.StringMatcher", text), "m", report)
    condition = string_condition(fields)
    fields.close()
    return condition, errors(report)


def test_a_text_is_compared_with_or_without_regard_to_case() -> None:
    assert strings("{prefix: a, ignore_case: true}") == ({"prefix": "a", "ignore_case": True}, [])
    assert strings("safe_regex: {regex: 'a|b'}") == ({"regex": "a|b"}, [])


@pytest.mark.parametrize(
    "text", ["{}", "{safe_regex: {regex: a}, ignore_case: true}", "{safe_regex: {}}", "{custom: {name: x}}"]
)
def test_what_compares_nothing_or_otherwise_is_reported(text: str) -> None:
    assert len(strings(text)[1]) == 1


def test_more_conditions_on_a_key_than_it_has_spellings_are_reported() -> None:
    report = Report()
    kind = "envoy.config.route.v3.HeaderMatcher"
    matchers = [Fields(message(kind, f"{{name: ab, exact_match: x{n}}}"), f"m[{n}]", report) for n in range(4)]
    assert match_of(matchers) == {"ab": "x0", "Ab": "x1", "aB": "x2"}
    assert [one.path for one in report.errors] == ["m[3]"]
