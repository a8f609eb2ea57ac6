"""Patterns: the syntax of RE2, the whole value, linear work, and reasons for what is refused."""

from __future__ import annotations

import pytest

from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.pattern import MAX_PROGRAM, compile_bytes, compile_rewrite, compile_text

MIB = 1 << 20


@pytest.mark.parametrize(
    ("pattern", "passes", "fails"),
    [
        (r"\pL+", ["abc", "\u00e4\u0416"], ["a1", ""]),
        (r"\p{Greek}", ["\u03b1"], ["a"]),
        (r"\PL", ["1"], ["a"]),
        (r"\Qa.b*\E", ["a.b*"], ["axb", "a.bb"]),
        ("(?U)a+", ["a", "aaa"], ["b"]),
        (r"abc\z", ["abc"], ["abc\n"]),
        (r"\Aabc$", ["abc"], ["abc\n"]),
        ("[[:alpha:]]+", ["abc"], ["", "a1", "["]),
        ("[[:^digit:]]x", ["ax"], ["1x"]),
        ("(?P<name>a)b", ["ab"], ["b"]),
        (r"\x{263a}", ["\u263a"], ["?"]),
    ],
)
def test_the_syntax_of_re2_is_understood(pattern: str, passes: list[str], fails: list[str]) -> None:
    matches = compile_text(pattern)
    assert [value for value in passes + fails if matches(value)] == passes


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "look-ahead"),
        ("(?!a)b", "look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "look-behind"),
        (r"(a)\1", "back reference"),
        ("(?P<x>a)(?P=x)", "back reference"),
        (r"a\Z", r"write \z"),
        ("(?>a)", "no possessive"),
        ("a++", "no possessive"),
        (r"\u0041", r"\x{0041}"),
        ("a{1001}", "1000"),
        ("a{1,123456789012}", "1000"),
        ("a{123456789012,}", "1000"),
        ("a{,3}", "write {0,3}"),
        ("(a", "missing )"),
        ("[[:foo:]]", "[:foo:]"),
        ("(?x)a", "(?x"),
        (r"(\pL\pN\pL){30}", "too large"),
        ("((a{100}){100}){100}", "1000"),
    ],
)
def test_what_re2_does_not_have_is_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        compile_text(pattern)
    assert why in str(caught.value)
    with pytest.raises(ValueError, match=r"^regex: .*is not a regular expression"):
        compile_condition("method", {"regex": pattern})


def test_a_refused_pattern_is_not_written_to_the_standard_error_as_well(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError):
        compile_text("(?=a)")
    assert capfd.readouterr().err == ""


def test_braces_that_are_escaped_or_in_a_class_are_no_repeat() -> None:
    assert compile_text(r"a\{,3}")("a{,3}")
    assert compile_text("[{,3}]+")("{,3}")
    assert compile_text(r"\Qa{,3}\E")("a{,3}")


@pytest.mark.parametrize("value", ["a\udc80b", "a\ud800b", "a\udfffb"])
def test_a_lone_surrogate_counts_as_one_character_that_is_none(value: str) -> None:
    assert compile_text("a.b")(value)
    assert compile_text("[^x]+")(value)
    assert compile_text(r"a\x{fffd}b")(value)
    assert not compile_text("a\\?b")(value)
    assert not compile_text(r"\w+")(value)


def test_a_nul_is_a_character_like_others() -> None:
    assert compile_text("a.b")("a\0b")
    assert not compile_text("a")("a\0b")


@pytest.mark.parametrize(
    "pattern", [r"org\..*\..*Service", "(a+)+b", r"(\w*,?)*;", "(a|aa)+$", "(.*a){20}x", ".*a.*b.*c.*d", "(?i)(x|.)*y"]
)
def test_a_value_of_a_mebibyte_is_read_once(pattern: str) -> None:
    """Quadratic or exponential work would not end."""
    matches = compile_text(pattern)
    assert not matches("org." + "a" * MIB)
    assert not matches("org." + "a.,b" * (MIB // 4))


def test_bytes_are_searched_with_a_character_a_byte() -> None:
    assert compile_bytes(r"^\+PO.G\r\n").search(b"+PO\nG\r\n")
    assert compile_bytes(r"\xff\x00").search(b"ab\xff\x00")
    assert compile_bytes("\xff").search(b"ab\xff")
    assert not compile_bytes("b$").search(b"abc")
    with pytest.raises(ValueError, match="no byte"):
        compile_bytes("\u20ac")


def test_a_long_value_is_compared_and_not_remembered() -> None:
    matches = compile_text("a*")
    assert matches("a" * 5000)
    assert not matches("a" * 5000 + "b")
    assert MAX_PROGRAM >= 1000


@pytest.mark.parametrize(
    ("pattern", "to", "value", "rewritten"),
    [
        ("^/v2/(.*)", r"/\1", "/v2/a/b", "/a/b"),
        ("^/v2", "", "/v2/a", "/a"),
        ("/+", "/", "//a//b", "/a//b"),
        ("([a-z]+)/([0-9]+)", r"\2/\1", "/user/17/x", "/17/user/x"),
        ("b", r"<\0>", "abc", "a<b>c"),
        ("(x)?b", r"[\1]", "abc", "a[]c"),
        ("^/v2", "/v3", "/v1", None),
    ],
)
def test_a_text_is_rewritten_where_a_pattern_matches_it_first(
    pattern: str, to: str, value: str, rewritten: str | None
) -> None:
    assert compile_rewrite(pattern, to)(value) == rewritten


def test_what_a_rewritten_text_is_made_of_must_be_there() -> None:
    with pytest.raises(ValueError, match="2 is no group of the pattern, which has 1"):
        compile_rewrite("(a)", r"\2")
