"""The annotations google.api.http, read from bytes."""

from __future__ import annotations

import pytest
from transcoding import options, rule

from metaproxy.filters.transcode.http_rules import Rule, rules_in


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "REPORT"])
def test_a_rule_has_a_method_a_path_a_body_and_an_answer(method: str) -> None:
    assert rules_in(options(rule(method, "/v1/a", "*", "b"))) == [Rule(method, "/v1/a", "*", "b")]


def test_additional_bindings_are_rules_of_their_own_and_have_none() -> None:
    inner = rule("PUT", "/b", "", "", rule("GET", "/never"))
    assert rules_in(options(rule("GET", "/a", "", "", inner, rule("POST", "/c", "x")))) == [
        Rule("GET", "/a"), Rule("PUT", "/b"), Rule("POST", "/c", "x"),
    ]  # fmt: skip


def test_options_without_a_rule_have_none() -> None:
    assert rules_in(b"") == []
    assert rules_in(b"\x88\x02\x01") == []


def test_bytes_that_are_no_options_are_refused() -> None:
    with pytest.raises(ValueError, match="protobuf"):
        rules_in(options(b"\x12\x7f"))
