"""Which statements only read: what is not sure to counts as one that writes."""

from __future__ import annotations

import pytest

from metaproxy.codecs.sql import MYSQL, POSTGRES, Dialect, is_known, outline, reads_only, varies

both = pytest.mark.parametrize("dialect", [POSTGRES, MYSQL], ids=lambda one: one.name)


@both
@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "SELECT count(*), max(a) FROM t WHERE b IN (1, 2) AND c LIKE 'x%' GROUP BY d HAVING (sum(e) > 3)",
        "select * from t where a = 'update u set b = 1; delete from t'",
        "select replace(a, 'b', 'c') from t",
        "(select 1) union all (select 2) order by 1",
        "with x as (select 1 as n) select n from x",
        "with recursive x as (select 1 as n union all select n + 1 from x where n < 9) select * from x",
        "select a from t -- for update\n where b = 1 /* delete */",
        "values (1), (2)",
        "select rank() over (partition by a order by b) from t",
        "select cast(a as decimal(3, 2)) from t; select 2",
    ],
)
def test_these_only_read(text: str, dialect: Dialect) -> None:
    assert reads_only(outline(text, dialect))


@both
@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "select * from t for update",
        "select * from t for share of t",
        "select * into u from t",
        "select 1; drop table t",
        "with x as (delete from t returning a) select * from x",
        "with x as (select 1) insert into t select * from x",
        "select my_function(1)",
        'select "my_function"(1)',
        "select s.my_function(1)",
        "select app.replace(1)",
        "select app . /* x */ length ('a')",
        'select "s".count(1)',
        "with x(n) as (select 1) select n from x",
        "select nextval('s')",
        "select a, setval('s', 1) from t",
        "select pg_advisory_lock(1)",
        "select get_lock('a', 1)",
        "select last_insert_id()",
        "select set_config('a', 'b', false)",
        "begin",
        "commit",
        "set a = 1",
        "call p(1)",
        "explain analyze delete from t",
        "copy t from stdin",
        "show tables",
        "select * into temp u from t",
        "select * from pg_temp.t",
    ],
)
def test_these_may_write_or_depend_on_their_session(text: str, dialect: Dialect) -> None:
    assert not reads_only(outline(text, dialect))


@pytest.mark.parametrize(
    "text",
    [
        "select * from t lock in share mode",
        "select * from t for share",
        "select a into outfile 'x' from t",
        "select @a := 1",
        "select @@session.sql_mode",
        "select next value for s",
        "/*! insert into t values (1) */",
        "select 1 /*!50000 into outfile 'x' */",
    ],
)
def test_what_is_mysqls_own_is_known(text: str) -> None:
    assert not reads_only(outline(text, MYSQL))


@both
@pytest.mark.parametrize(
    "text", ["select 1", "with x as (select 1) select * from x", "CREATE TABLE t (a int)", ";", ""]
)
def test_statements_begin_with_words_that_are_known(text: str, dialect: Dialect) -> None:
    assert is_known(outline(text, dialect))


@both
@pytest.mark.parametrize("text", ["frobnicate", "select 1; frobnicate", "'a text'", "= 1", "with x as (y) frobnicate"])
def test_what_begins_with_another_word_is_not_understood(text: str, dialect: Dialect) -> None:
    assert not is_known(outline(text, dialect))


@both
def test_a_text_that_is_answered_otherwise_each_time_is_told_apart(dialect: Dialect) -> None:
    assert varies(outline("select a from t order by rand()", dialect))
    assert not varies(outline("select rand from t where a = 'uuid()'", dialect))


@both
def test_a_long_text_is_judged_by_all_of_its_words(dialect: Dialect) -> None:
    long = "select " + ", ".join(f"column_{number}" for number in range(1000)) + " from t"
    assert reads_only(outline(long, dialect))
    assert not reads_only(outline(long + " for update", dialect))
