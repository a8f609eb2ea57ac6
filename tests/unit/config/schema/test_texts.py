"""Texts in a configuration: what is taken, and what is said of the rest."""

from __future__ import annotations

import pytest
from single_values import is_read, is_refused, outcome

from metaproxy.config.schema.reading import Kind
from metaproxy.config.schema.texts import Choice, Condition, Hex, Regex, Text, Value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "say", "say"),
        (Text(), "'7'", "7"),
        (Text(), "007", "007"),
        (Text(), "${N}", "7"),
        (Text(empty=True), "''", ""),
        (Text(3), "äb", "äb"),
        (Value(), "1.10", "1.10"),
        (Value(), "true", "true"),
        (Value(), "''", ""),
        (Value(), "${E}", ""),
        (Choice("a", "b"), "b", "b"),
        (Condition(), "say", "say"),
        (Condition(), "1.10", "1.10"),
        (Condition(), "7", 7),
        (Condition(), "{in: [1.10, b]}", {"in": ["1.10", "b"]}),
        (Condition(), "{present: true, not: false}", {"present": True, "not": False}),
    ],
)
def test_a_text_that_is_right_is_read(kind: Kind[object], text: str, value: object) -> None:
    is_read(kind, text, value)


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Text(), "7", "7 is not a text; write '7' in quotes"),
        (Text(), "true", "true is not a text; write 'true' in quotes"),
        (Text(), "", "nothing is not a text"),
        (Text(), "[a]", "a list is not a text"),
        (Text(), "{a: b}", "a mapping is not a text"),
        (Text(), "''", "an empty text"),
        (Text(), "${E}", "an empty text"),
        (Text(3), "äbc", "a text of 4 bytes; allowed are 3"),
        (Value(), "", "nothing is not a text"),
        (Value(), "[a]", "a list is not a text"),
        (Choice("pool", "pinned"), "pol", "'pol' is not known here; did you mean 'pool'?"),
        (Choice("pool", "pinned"), "x", "'x' is not known here; there is pinned, pool"),
        (Condition(), "{prefx: a}", "no matcher 'prefx'; did you mean 'prefix'?"),
    ],
)
def test_a_text_that_is_wrong_says_what_to_write(kind: Kind[object], text: str, problem: str) -> None:
    is_refused(kind, text, problem)


@pytest.mark.parametrize(("text", "value"), [("50 49", b"PI"), ("0D0a", b"\r\n"), ("''", b"")])
def test_bytes_are_written_in_hexadecimal(text: str, value: bytes) -> None:
    is_read(Hex(), text, value)


def test_what_is_no_hexadecimal_or_regex_says_why() -> None:
    assert "is not hexadecimal; write two digits a byte" in outcome(Hex(), "0x5")[1][0]
    assert "is not a regular expression: " in outcome(Regex(), '"(PONG"')[1][0]
    assert "no byte" in outcome(Regex(), "\u20ac")[1][0]
