"""SQL is cut into words as its dialect says, in work that is linear in the text; what is not closed is not lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.sql import MYSQL, POSTGRES, Dialect, outline
from metaproxy.testing.work import shortest

both = pytest.mark.parametrize("dialect", [POSTGRES, MYSQL], ids=lambda one: one.name)


@both
@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1", ("select",)),
        (" -- a comment\n/* and another */ SELECT 1;", ("select",)),
        ("begin; insert into t values (';'); commit", ("begin", "insert", "commit")),
        ("(select 1) union (select 2)", ("select",)),
        ("with x as (select 1) select * from x", ("select",)),
        ("with x as (select 1), y as (delete from t) update t set a = 1", ("update",)),
        ("", ()),
        (";;", ()),
    ],
)
def test_the_kind_of_each_statement_is_its_first_word(text: str, statements: tuple[str, ...], dialect: Dialect) -> None:
    assert outline(text, dialect).statements == statements


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("SELECT a , b FROM t WHERE c = 'it''s' AND d IN (1, 2.5, 3)", "select a,b from t where c=? and d in(?)"),
        ("insert into t values (1, 'a'), (2, 'b')", "insert into t values(?)"),
        ("select $1::int, E'\\'', $x$ ; $x$, \"A\"", 'select ?::int,?,"A"'),
        ("select 1 /* a /* nested */ comment */ ; -- the end", "select ?"),
    ],
)
def test_a_shape_has_no_values_and_no_comments(text: str, normalized: str) -> None:
    assert outline(text, POSTGRES).normalized == normalized


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("select `a`, \"text\", 'it\\'s' # a comment", "select `a`,?"),
        ("/*!40101 SET NAMES utf8 */", "set names utf8"),
        ("select 1 -- the end\n, @a --1", "select ?,@a--?"),
    ],
)
def test_mysql_has_its_own_quotes_and_comments(text: str, normalized: str) -> None:
    assert outline(text, MYSQL).normalized == normalized


def test_texts_of_one_shape_have_one_fingerprint() -> None:
    one, same, other = (outline(text, POSTGRES).fingerprint for text in ("select 1", "SELECT  'x'", "select a"))
    assert one == same != other


def test_comments_of_sqlcommenter_are_read() -> None:
    text = "select 1 /*db_driver='odbc%20x',traceparent='00-5bd6-c532-01'*/ /* no pair */"
    assert outline(text, POSTGRES).comments == {"db_driver": "odbc x", "traceparent": "00-5bd6-c532-01"}


@both
@pytest.mark.parametrize("text", ["select 'a; drop", 'select "a; drop', "select /* ; drop", "select $a$ ; drop"])
def test_what_is_not_closed_goes_on_to_the_end(text: str, dialect: Dialect) -> None:
    if dialect is POSTGRES or "$" not in text:
        assert outline(text, dialect).statements == ("select",)


PIECES = [
    "'",
    '"',
    "e'",
    "\\",
    "$a$",
    "$",
    "/*",
    "*/",
    "--",
    "#",
    "\n",
    "(",
    "?,",
    "1.",
    "1e",
    "a",
    "`",
    "@",
    ";",
    "'x",
    "u&",
]


@given(st.sampled_from([POSTGRES, MYSQL]), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_has_an_outline(dialect: Dialect, text: str) -> None:
    found = outline(text, dialect)
    assert len(found.fingerprint) == 16


@both
@pytest.mark.parametrize("piece", [*PIECES, "/*/*", "a$", "''", "(1),"])
def test_twice_the_text_is_at_most_about_twice_the_work(piece: str, dialect: Dialect) -> None:
    few, many = (piece * (size // len(piece)) for size in (20_000, 40_000))
    once = shortest(lambda: outline(few, dialect), 5)
    assert shortest(lambda: outline(many, dialect), 5) < 3 * once + 0.001
