"""SQL is cut into words as its dialect says, in work that is linear in the text; what is not closed is not lost."""

from __future__ import annotations

import re

import pytest
from call_count import count_calls
from hypothesis import given
from hypothesis import strategies as st
from regex_steps import Steps

from metaproxy.codecs.sql import MYSQL, POSTGRES, Dialect, outline
from metaproxy.codecs.sql.outline import LISTS, MOST_TOKENS, PAIR, ROWS, tokens
from metaproxy.codecs.sql.reading import reads_only

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
        ("insert into t values (1, NULL, -5), ( 2,'it''s' , default ) ;", "insert into t values(?)"),
        ("insert into t values (1, now()), (2, nulls)", "insert into t values(?,now()),(?,nulls)"),
        ("select f(1, 2), g (true), a in (null)", "select f(?),g(?),a in(?)"),
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


def test_what_is_called_with_values_alone_is_called() -> None:
    assert outline("select f(1), s.g ('a', null), h(a) from t where b in (1)", POSTGRES).called == {
        "f", "s.g", "h", "in",
    }  # fmt: skip


@both
def test_rows_of_values_of_any_number_are_read_whole(dialect: Dialect) -> None:
    found = outline("insert into t values " + ",".join(["(1, 'a;b', null, -2.5)"] * 40_000), dialect)
    assert (found.whole, found.statements, found.normalized) == (True, ("insert",), "insert into t values(?)")


@both
def test_of_other_long_texts_the_beginning_is_read_and_nothing_is_certain(dialect: Dialect) -> None:
    found = outline("select a" + ",a" * MOST_TOKENS + "; drop table t", dialect)
    assert (found.whole, found.statements) == (False, ("select",))
    assert not reads_only(found)


@both
@pytest.mark.parametrize("piece", ["a ", "--\n", "# \n", ";", "*/", "/**/", "/*", "/*!*/", "/*! */", "'a'", "$a$ $a$"])
def test_comments_and_their_marks_count_as_tokens_that_are_looked_at(piece: str, dialect: Dialect) -> None:
    found = list(tokens(piece * 5_000, dialect, 100))
    assert found[-1][0] == "cut" or len(found) == 1  # a comment, or a text, that goes on to the end
    assert len(found) <= 101
    assert count_calls(lambda: list(tokens(piece * 2_500, dialect, 100))) == count_calls(
        lambda: list(tokens(piece * 5_000, dialect, 100))
    )


def test_of_many_comments_the_first_are_read() -> None:
    found = outline("select 1 " + "/* a='b' */" * 1_000 + "/* c='d' */", POSTGRES)
    assert (found.comments, found.whole) == ({"a": "b"}, True)


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


UNITS = [
    *PIECES, "/*/*", "a$", "$a", "''", "(1),", "_a", "_a ", "e'\\", "a='", "a ", "9", "(1, null", "('x',", ")",
    "(1,1),", "-1,",
]  # fmt: skip


@given(st.sampled_from([POSTGRES, MYSQL]), st.lists(st.sampled_from(UNITS), max_size=12).map("".join))
def test_what_counts_steps_finds_what_a_dialect_finds(dialect: Dialect, text: str) -> None:
    counting = Steps(dialect.token)
    for at in range(len(text)):
        found, expected = counting.match(text, at), dialect.token.match(text, at)
        assert found is not None and expected is not None
        assert (found.end, found.group) == (expected.end(), expected.lastgroup)
    for pattern in (PAIR, LISTS, ROWS):
        assert [(one.start, one.end) for one in Steps(pattern).find_all(text)] == [
            one.span() for one in pattern.finditer(text)
        ]


def looked_at(dialect: Dialect, text: str) -> int:
    """Characters that are looked at while a text is cut into tokens."""
    counting, at = Steps(dialect.token), 0
    while at < len(text):
        found = counting.match(text, at)
        assert found is not None
        at = found.end
    return counting.count


@both
@pytest.mark.parametrize("piece", UNITS)
def test_twice_the_text_has_twice_the_characters_to_look_at(piece: str, dialect: Dialect) -> None:
    few, many = (looked_at(dialect, piece * (size // len(piece))) for size in (200, 400))
    assert many <= 2.2 * few + 50


@pytest.mark.parametrize("pattern", [PAIR, LISTS, ROWS], ids=["pairs", "lists", "rows"])
@pytest.mark.parametrize("piece", [*UNITS, "a=", "?,?", "(?),(", "a='\\'", "="])
def test_so_have_pairs_and_lists_of_values(piece: str, pattern: re.Pattern[str]) -> None:
    few, many = Steps(pattern), Steps(pattern)
    list(few.find_all(piece * (200 // len(piece))))
    list(many.find_all(piece * (400 // len(piece))))
    assert many.count <= 2.2 * few.count + 50


@both
@pytest.mark.parametrize("piece", [*UNITS, "/*a='b'*/"])
def test_twice_the_text_is_twice_the_work(piece: str, dialect: Dialect) -> None:
    few, many = (piece * (size // len(piece)) for size in (1_000, 2_000))
    once = count_calls(lambda: outline(few, dialect))
    assert count_calls(lambda: outline(many, dialect)) <= 2.2 * once + 50
