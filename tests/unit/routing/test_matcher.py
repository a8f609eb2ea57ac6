"""Each kind of matcher, and what the texts for a wrong one say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaproxy.message import Several
from metaproxy.routing.matcher import KINDS, MAX_ADDRESS, MAX_PATTERN, Condition, compile_condition


def holds(spec: object, value: str | None) -> bool:
    return compile_condition("key", spec).test(value)


def refusal(spec: object, name: str = "key") -> str:
    with pytest.raises(ValueError) as caught:
        compile_condition(name, spec)
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "passes", "fails"),
    [
        ("say", ["say"], ["", "Say", "say ", "sayBye"]),
        ("", [""], ["x"]),
        (7, ["7"], ["07", "7.0"]),
        ({"exact": "say"}, ["say"], ["sayBye"]),
        ({"exact": "say", "ignore_case": True}, ["say", "SAY"], ["sayBye"]),
        ({"prefix": "say"}, ["say", "sayBye"], ["", "sa", "Say", "xsay"]),
        ({"prefix": "Say", "ignore_case": True}, ["sayBye", "SAY"], ["xsay"]),
        ({"prefix": ""}, ["", "x"], []),
        ({"suffix": "Bye"}, ["Bye", "sayBye"], ["bye", "Byes"]),
        ({"suffix": "BYE", "ignore_case": True}, ["sayBye"], ["Byes"]),
        ({"contains": "yB"}, ["yB", "sayBye"], ["sayb", ""]),
        ({"contains": "YB", "ignore_case": True}, ["sayBye"], ["say"]),
        ({"in": ["a", "b", 3]}, ["a", "b", "3"], ["", "c", "A", "ab"]),
        ({"present": True}, ["", "x"], []),
        ({"present": False}, [], ["", "x"]),
    ],
)
def test_a_text_is_compared_as_its_kind_says(
    spec: dict[str, bool | list[int | str] | str] | int | str, passes: list[str], fails: list[str]
) -> None:
    assert [value for value in passes + fails if holds(spec, value)] == passes


@pytest.mark.parametrize(
    ("pattern", "passes", "fails"),
    [
        ("say.*", ["say", "sayBye"], ["xsay"]),
        ("a|ab", ["a", "ab"], ["abc"]),  # the whole value, whichever branch it takes
        (r"\d+", ["12"], ["", "12a", "\u0663"]),  # other scripts' digits are none in RE2 either
        ("(?i)say", ["SAY"], ["says"]),
        ("say$", ["say"], ["say\n"]),
    ],
)
def test_a_regular_expression_matches_the_whole_value(pattern: str, passes: list[str], fails: list[str]) -> None:
    assert [value for value in passes + fails if holds({"regex": pattern}, value)] == passes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9", False), ("10", True), ("19", True), ("20", False), ("+15", True), ("015", True), ("-15", False),
        ("", False), ("15.0", False), ("1_5", False), (" 15", False), ("0xf", False), ("\u0661\u0665", False),
        ("15" + "0" * 5000, False),
    ],
)  # fmt: skip
def test_a_range_is_half_open_and_takes_base_10_integers_only(value: str, expected: bool) -> None:
    assert holds({"range": [10, 20]}, value) is expected


def test_a_range_may_be_negative_and_spans_64_bits() -> None:
    condition = compile_condition("key", {"range": [-(2**63), 2**63]})
    assert condition.test("-9223372036854775808")
    assert condition.test("9223372036854775807")
    assert not condition.test("9223372036854775808")


@pytest.mark.parametrize(
    ("networks", "passes", "fails"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0", "::10.0.0.1", "", "no address"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
        ("fd00::/8", ["fd00::1", "FDFF::", "fd00::1%eth0"], ["fe00::1", "10.0.0.1"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        ("::/0", ["::1"], ["10.0.0.1"]),
        (["10.0.0.0/8", "::1"], ["10.0.0.1", "::1"], ["::2"]),
        ("0.0.0.0/0", ["1.2.3.4"], ["1.2.3.4:80", "1.2.3", "1.2.3.04", "unix:/run/x"]),
    ],
)
def test_an_address_is_in_a_network_also_when_it_is_mapped_to_v6(
    networks: list[str] | str, passes: list[str], fails: list[str]
) -> None:
    assert [value for value in passes + fails if holds({"cidr": networks}, value)] == passes


def test_what_is_too_long_for_an_address_is_not_kept_for_the_next_time() -> None:
    condition = compile_condition("key", {"cidr": "fe80::/10"})
    assert condition.test("fe80::1%" + "x" * (MAX_ADDRESS - 8))
    assert not condition.test("fe80::1%" + "x" * (MAX_ADDRESS - 7))


COMPARISONS = [
    {"exact": "a"},
    {"prefix": "a"},
    {"suffix": "a"},
    {"contains": "a"},
    {"regex": "a"},
    {"range": [1, 2]},
    {"in": ["a"]},
    {"cidr": "10.0.0.0/8"},
]


@pytest.mark.parametrize("spec", COMPARISONS)
def test_a_missing_value_fails_every_comparison_inverted_or_not(spec: dict[str, list[int | str] | str]) -> None:
    assert not holds(spec, None)
    assert not holds({**spec, "not": True}, None)


@pytest.mark.parametrize("spec", COMPARISONS)
def test_not_inverts_every_comparison_of_a_value_that_is_there(spec: dict[str, list[int | str] | str]) -> None:
    for value in ("a", "b", "1", "10.0.0.1"):
        assert holds({**spec, "not": True}, value) is not holds({**spec, "not": False}, value)


@pytest.mark.parametrize(
    ("spec", "there", "missing"),
    [
        ({"present": True}, True, False),
        ({"present": False}, False, True),
        ({"present": True, "not": True}, False, True),
        ({"present": False, "not": True}, True, False),
    ],
)
def test_only_the_presence_of_a_value_can_be_inverted_into_its_absence(
    spec: dict[str, bool], there: bool, missing: bool
) -> None:
    assert (holds(spec, ""), holds(spec, None)) == (there, missing)


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ({"exact": "", "default": ""}, True),
        ({"exact": "a", "default": ""}, False),
        ({"exact": "a", "default": "", "not": True}, True),
        ({"range": [1, 10], "default": "", "not": True}, True),
        ({"range": [1, 10], "default": 5}, True),
        ({"prefix": "A", "default": "ab", "ignore_case": True}, True),
    ],
)
def test_a_default_stands_for_a_missing_value_and_for_no_other(
    spec: dict[str, int | list[int] | str], missing: bool
) -> None:
    without = {key: spec[key] for key in spec if key != "default"}
    assert holds(spec, None) is missing
    for value in ("", "a", "5", "b"):
        assert holds(spec, value) is holds(without, value)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("a", {"a"}),
        ({"in": ["a", "b"]}, {"a", "b"}),
        ({"exact": "a", "not": False}, {"a"}),
        ({"exact": "a", "not": True}, None),
        ({"exact": "a", "ignore_case": True}, None),
        ({"exact": "a", "default": "a"}, None),
        ({"prefix": "a"}, None),
        ({"present": True}, None),
    ],
)
def test_values_are_listed_only_where_they_say_all(
    spec: dict[str, bool | list[str] | str] | str, values: set[str] | None
) -> None:
    assert compile_condition("key", spec).values == values


@pytest.mark.parametrize(
    ("name", "looked_up", "fact"),
    [
        ("Method", "method", False),
        ("source.address", "source.address", True),
        ("destination.port", "destination.port", True),
        ("tls.sni", "tls.sni", True),
        ("sourceless", "sourceless", False),
    ],
)
def test_names_are_looked_up_in_lower_case_but_facts_as_they_are(name: str, looked_up: str, fact: bool) -> None:
    condition = compile_condition(name, "x")
    assert (condition.name, condition.fact) == (looked_up, fact)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("say", 'method: exact "say"'),
        ({"prefix": "say", "not": True, "ignore_case": True}, 'method: not prefix "say", ignoring case'),
        ({"range": (1, 5), "default": ""}, 'method: range [1, 5], "" by default'),
        ({"present": False}, "method: present false"),
        ({"cidr": "10.0.0.0/8"}, 'method: cidr "10.0.0.0/8"'),
    ],
)
def test_a_condition_reads_as_it_was_written(spec: dict[str, bool | str | tuple[int, int]] | str, text: str) -> None:
    condition = compile_condition("method", spec)
    assert str(condition) == text
    assert repr(condition) == f"Condition({text})"


def test_a_condition_tells_its_long_form_for_the_configuration_dump() -> None:
    assert compile_condition("method", "say").spec == {"exact": "say"}
    assert compile_condition("method", {"not": True, "in": (1, "b")}).spec == {"in": ["1", "b"], "not": True}


def test_a_condition_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        compile_condition("method", "say").name = "other"  # type: ignore[misc]
    assert not hasattr(compile_condition("method", "say"), "__dict__")


ONE_OF = "write one of exact, prefix, suffix, contains, regex, range, present, in, cidr"
QUOTE = "is not a text; write it in quotes, or a mapping such as {prefix: say}"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (1.5, f"exact: 1.5 {QUOTE}"),
        (True, f"exact: true {QUOTE}"),
        (["a"], f'exact: ["a"] {QUOTE}'),
        (None, f"exact: null {QUOTE}"),
        ({"prefx": "a"}, "no matcher 'prefx'; did you mean 'prefix'?"),
        ({"ignorecase": True}, "no matcher 'ignorecase'; did you mean 'ignore_case'?"),
        ({"zzz": "a"}, f"no matcher 'zzz'; {ONE_OF}"),
        ({"not": True}, f"nothing to compare with; {ONE_OF}"),
        ({"exact": "a", "prefix": "b"}, f"exact and prefix to compare with; {ONE_OF}"),
        ({"exact": "a", "not": "yes"}, 'not: "yes" is neither true nor false'),
        ({"exact": "a", "default": 1.5}, f"default: 1.5 {QUOTE}"),
        ({"in": []}, "in: [] is not a list of texts; write in: [a, b]"),
        ({"in": "ab"}, 'in: "ab" is not a list of texts; write in: [a, b]'),
        ({"range": [20, 10]}, "range: [20, 10] holds no number; the second is the first number that fails"),
        ({"range": "[10, 20)"}, 'range: "[10, 20)" is not a range; write [10, 20] for 10 to 19'),
        ({"range": [1, True]}, "range: [1, true] is not a range; write [10, 20] for 10 to 19"),
        ({"present": "yes"}, 'present: "yes" is neither true nor false; to compare with it write {exact: ...}'),
        (
            {"present": True, "default": ""},
            "default gives the key to every message, so present asks nothing; leave one of them out",
        ),
        ({"cidr": "10.0.0.1/8"}, "cidr: 10.0.0.1/8 is a host and not its network; write 10.0.0.0/8, or 10.0.0.1"),
        ({"cidr": "10.0.0.0/33"}, 'cidr: "10.0.0.0/33" is not a network; write 10.0.0.0/8 or fd00::/8'),
        ({"cidr": 10}, "cidr: 10 is not a network; write 10.0.0.0/8 or fd00::/8"),
        ({"cidr": []}, "cidr: [] holds no address; write 10.0.0.0/8 or a list of such networks"),
        (
            {"regex": "a" * (MAX_PATTERN + 1)},
            "regex of 1025 characters; allowed are 1024; for a list write in: [a, b]",
        ),
        (
            {"regex": "a", "ignore_case": True},
            "ignore_case goes with exact, prefix, suffix, contains; write (?i) before the pattern",
        ),
        ({"in": ["a"], "ignore_case": True}, "ignore_case goes with exact, prefix, suffix, contains; leave it out"),
    ],
)
def test_a_wrong_condition_is_refused_with_what_to_write(spec: Any, text: str) -> None:
    assert refusal(spec) == text


@pytest.mark.parametrize("pattern", ["(a", "(?u)a", "a{99999999999}", "(" * 500 + ")" * 499])
def test_a_pattern_that_can_not_be_compiled_is_refused_with_the_reason(pattern: str) -> None:
    assert refusal({"regex": pattern}).startswith(f'regex: "{pattern}" is not a regular expression: ')


def test_a_condition_needs_the_name_of_a_key() -> None:
    assert refusal("x", name="") == "'' is not the name of a metadata key; write one such as method or source.address"


def test_a_pattern_of_the_greatest_length_is_taken() -> None:
    assert isinstance(compile_condition("key", {"regex": "a" * MAX_PATTERN}), Condition)


REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "routing.md"


def matches(node: object) -> Iterator[dict[str, object]]:
    """Every `match:` in a document."""
    if isinstance(node, dict):
        if "match" in node:
            yield node["match"]
        for value in node.values():
            yield from matches(value)
    elif isinstance(node, list):
        for item in node:
            yield from matches(item)


def test_every_condition_of_the_reference_page_compiles() -> None:
    page = REFERENCE.read_text()
    found = [
        match for block in re.findall(r"```yaml\n(.*?)```", page, re.S) for match in matches(yaml.safe_load(block))
    ]
    # The examples of the table of matchers; \| is how Markdown writes | in a table.
    cells = re.findall(r"^\| `\w+` \|.*\| `([^`]+)`(?:, or `([^`]+)`)? \|$", page, re.M)
    found += [yaml.safe_load(text.replace("\\|", "|")) for cell in cells for text in cell if text]
    assert {compile_condition(name, spec).kind for match in found for name, spec in match.items()} == set(KINDS)


def test_a_value_of_several_parts_is_tested_part_by_part() -> None:
    several = Several("t,s.u")
    for spec in ("t", {"in": ["s.u"]}, {"suffix": "u"}, {"exact": "x", "not": True}):
        assert compile_condition("tables", spec).test(several), spec
    for spec in ("t,s.u", {"exact": "t", "not": True}):
        assert not compile_condition("tables", spec).test(several), spec
    assert compile_condition("tables", "t,s.u").test("t,s.u"), "another protocol's key of that name"
