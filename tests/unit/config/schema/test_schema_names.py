"""Names, references and secrets in a configuration: what is taken, and what is said of the rest."""

from __future__ import annotations

import pytest
from single_values import is_read, is_refused, outcome

from metaproxy.config.schema.names import Hidden, Name, Reference
from metaproxy.config.schema.reading import BROKEN, Kind
from metaproxy.units import Secret


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Name(), "outbound|20880||demo", "outbound|20880||demo"),
        (Hidden(), "abc", Secret("abc")),
        (Hidden(), "{secret: known}", Secret("hunter2")),
    ],
)
def test_a_name_that_is_right_is_read(kind: Kind[object], text: str, value: object) -> None:
    is_read(kind, text, value)


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Name(), "7", "7 is not a text; write '7' in quotes"),
        (Name(), "' a'", "' a' is not a name; write 1 to 256 printable characters"),
        (Name(), '"a\\nb"', "'a\\nb' is not a name; write 1 to 256 printable characters"),
        (Name(), "x" * 257, f"'{'x' * 257}' is not a name; write 1 to 256 printable characters"),
        (Hidden(), "7", "7 is not a text; write '7' in quotes"),
        (Hidden(), "{secret: knwon}", "no secret 'knwon'; did you mean 'known'?"),
        (Hidden(), "{secrte: known}", "a mapping is not a text"),
        (Hidden(by_name=False), "{secret: known}", "a mapping is not a text"),
    ],
)
def test_a_name_that_is_wrong_says_what_to_write(kind: Kind[object], text: str, problem: str) -> None:
    is_refused(kind, text, problem)


def test_a_name_that_refers_to_nothing_is_read_and_reported() -> None:
    assert outcome(Reference("cluster"), "demo") == ("demo", ["no cluster 'demo'; no cluster is defined"])


def test_a_secret_that_could_not_be_read_is_not_told_of_again() -> None:
    assert outcome(Hidden(), "{secret: broken}") == (BROKEN, [])
