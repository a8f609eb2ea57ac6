from __future__ import annotations

import pytest

from metaproxy.config.schema.nodes import ConfigErrors, Node, Problem, resolve, within


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("0", 0), ("1.5", 1.5), ("-0.25", -0.25), ("1e3", 1000.0), ("2.5e-1", 0.25),
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
        ("007", "007"), ("+5", "+5"), ("-0", -0.0), ("0x1f", "0x1f"), ("0o17", "0o17"), ("1_000", "1_000"),
        ("1:30", "1:30"), (".5", ".5"), ("5.", "5."), (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"),
        ("off", "off"), ("no", "no"), ("Yes", "Yes"), ("True", "True"), ("2001-01-01", "2001-01-01"),
        ("9" * 31, "9" * 31), ("=", "="), ("<<", "<<"), ("say", "say"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_a_number_only_if_it_can_be_nothing_else(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_a_problem_reads_file_line_column_path_text() -> None:
    assert str(Problem("demo.yaml", 7, 18, "routes[1].cluster", "no cluster")) == (
        "demo.yaml:7:18: routes[1].cluster: no cluster"
    )
    assert str(Problem("demo.yaml", 1, 1, "", "empty")) == "demo.yaml:1:1: empty"


def test_config_errors_list_all_problems_and_their_number() -> None:
    one, two = Problem("f", 1, 2, "a", "x"), Problem("f", 3, 4, "b", "y")
    assert str(ConfigErrors([one])) == "f:1:2: a: x\n1 error"
    assert str(ConfigErrors([one, two])) == "f:1:2: a: x\nf:3:4: b: y\n2 errors"
    assert ConfigErrors([one, two]).problems == [one, two]


def test_a_path_leads_as_far_as_it_is_in_the_file() -> None:
    last = Node("x", 3, 1)
    items = Node([Node("a", 1, 1), last], 2, 1)
    root = Node({"items": items}, 1, 1)
    assert within(root, ("items", 1)) is last
    assert within(root, ("items", 5)) is items
    assert within(root, ("items", "name")) is items
    assert within(root, ("items", 1, "deeper")) is last
    assert within(root, ("other",)) is root and within(root, ()) is root
