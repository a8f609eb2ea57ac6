"""The tables that a text names."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from metaproxy.codecs.sql import MYSQL, POSTGRES, Dialect, can_find_tables, outline, tables_of
from metaproxy.codecs.sql.tables import MOST_PARSED


def tables(text: str, dialect: Dialect = POSTGRES) -> tuple[str, ...] | None:
    return tables_of(text, outline(text, dialect), dialect)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select 1", ()),
        ("select * from T join s.U on t.a = u.a where b > (select max(c) from v)", ("t", "s.u", "v")),
        ("insert into t select * from u", ("t", "u")),
        ("update t set a = 1 from u where t.b = u.b", ("t", "u")),
        ("with c as (select * from t) select * from c, s.c", ("t", "s.c")),
        ('select * from "Odd Name"', ("Odd Name",)),
        ("select 'from x' from t -- from y", ("t",)),
        ("select 1 from t; delete from u", ("t", "u")),
    ],
)
def test_tables_are_named_in_the_order_of_their_first_use(text: str, names: tuple[str, ...]) -> None:
    found = tables(text)
    assert found is not None
    assert sorted(found) == sorted(names)


def test_mysql_quotes_in_its_own_way() -> None:
    assert tables("select * from `Odd`.`Name` limit 1, 2", MYSQL) == ("Odd.Name",)


@pytest.mark.parametrize(
    "text",
    [
        "select * from from",
        "explain select * from t",
        "select " + "(" * 2000,
        "select a ? from t",
        "select 1 from t" + " " * MOST_PARSED,
    ],
    ids=["wrong", "passed over", "deep", "half an operator", "long"],
)
def test_of_what_can_t_be_parsed_nothing_is_known(text: str) -> None:
    assert tables(text) is None


def test_a_shape_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlglot

    parsed: list[str] = []
    parse = sqlglot.parse

    def counting(text: str, **more: Any) -> Any:
        parsed.append(text)
        return parse(text, **more)

    monkeypatch.setattr(sqlglot, "parse", counting)
    for value in range(5):
        assert tables(f"select * from once where a = {value}") == ("once",)
    assert len(parsed) == 1


def test_it_is_told_whether_the_parser_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_find_tables()
    gone: Any = None
    monkeypatch.setitem(sys.modules, "sqlglot", gone)
    monkeypatch.setattr("metaproxy.codecs.sql.tables.find_spec", lambda name: None)
    assert not can_find_tables()
