"""Headers that Envoy's routes add and remove."""

from __future__ import annotations

import pytest
from envoy_http import hosts, only, route, routes_of
from envoy_messages import errors

from metaproxy.envoy.translated import Translated

SET = "append_action: OVERWRITE_IF_EXISTS_OR_ADD"


def adding(option: str) -> Translated:
    return route(f"match: {{prefix: /}}\nroute: {{cluster: a}}\nrequest_headers_to_add: [{option}]\n")


def changed(option: str) -> dict[str, str]:
    found: dict[str, str] = only(adding(option))["request"]["set"]
    return found


def test_a_header_is_set() -> None:
    assert changed(f"{{header: {{key: X-A, value: b}}, {SET}}}") == {"x-a": "b"}
    assert changed("{header: {key: X-A, value: b}, append: false}") == {"x-a": "b"}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("%REQ(X-User)%", "%x-user%"),
        ("%REQ(:PATH)% seen", "%target% seen"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%source.address%"),
        ("%UPSTREAM_CLUSTER%", "%cluster%"),
        ("100%%", "100%"),
    ],
)
def test_operators_are_filled_in(value: str, filled: str) -> None:
    assert changed(f"{{header: {{key: x, value: '{value}'}}, {SET}}}") == {"x": filled}


def test_an_operator_that_is_not_there_is_reported() -> None:
    (error,) = errors(adding(f"{{header: {{key: x, value: '%CEL(a)%'}}, {SET}}}"))
    assert "%CEL(a)%" in error


def request(*options: str) -> dict[str, object]:
    found: dict[str, object] = only(adding(", ".join(options)))["request"]
    return found


@pytest.mark.parametrize(
    ("action", "key"), [("", "append"), (", append: true", "append"), (", append_action: ADD_IF_ABSENT", "add")]
)
def test_what_depends_on_the_header_that_is_there(action: str, key: str) -> None:
    assert request(f"{{header: {{key: x, value: y}}{action}}}") == {key: {"x": "y"}}


def test_one_option_acts_on_what_the_one_before_it_made() -> None:
    first, second = (f"{{header: {{key: x, value: '{value}'}}%s}}" for value in (1, 2))
    assert request(first % "", second % "") == {"append": {"x": "1, 2"}}
    assert request(first % f", {SET}", second % "") == {"set": {"x": "1, 2"}}
    assert request(first % "", second % f", {SET}") == {"set": {"x": "2"}}
    assert request(first % "", second % ", append_action: ADD_IF_ABSENT") == {"append": {"x": "1"}}


@pytest.mark.parametrize(
    "option",
    [
        "{header: {key: x, value: y}, append_action: OVERWRITE_IF_EXISTS}",
        "{header: {key: set-cookie, value: a=b}}",
        "{header: {key: x, value: y}, append_action: ADD_IF_ABSENT}, {header: {key: x, value: z}}",
    ],
)
def test_what_can_not_be_said_is_reported(option: str) -> None:
    (error,) = errors(adding(option))
    assert "append_action" in error


def both(more: str = "") -> dict[str, object]:
    text = f"""
    - name: all
      domains: ["*"]
      request_headers_to_add: [{{header: {{key: level, value: host}}, {SET}}}]
      request_headers_to_remove: [of-route]
      routes:
      - match: {{prefix: /}}
        route: {{cluster: a}}
        request_headers_to_add:
        - {{header: {{key: level, value: route}}, {SET}}}
        - {{header: {{key: of-route, value: x}}, {SET}}}
    """
    (one,) = routes_of(hosts(text, more=more))
    found: dict[str, object] = one["request"]
    return found


def test_the_outer_levels_act_on_what_the_inner_ones_made() -> None:
    assert both() == {"set": {"level": "host"}, "remove": ["of-route"]}


def test_or_the_other_way_round() -> None:
    found = both("most_specific_header_mutations_wins: true")
    assert found == {"set": {"level": "route", "of-route": "x"}, "remove": ["of-route"]}
