"""Statements within others are found, so that a rule about a kind of statement is not passed by."""

from __future__ import annotations

import pytest

from metaproxy.codecs.sql import MYSQL, POSTGRES, all_of, outline

ANYTHING: tuple[str, ...] = ()


def kinds(text: str, *dialects: object) -> set[tuple[str | None, ...]]:
    """What `Message.values` gives for the statement, in both dialects unless one is named."""
    found = set()
    for dialect in (POSTGRES, MYSQL):
        if dialect in dialects or not dialects:
            seen = outline(text, dialect)
            unclear = all_of([seen])
            values = unclear("statement") if unclear is not None else None
            found.add(values if values is not None else seen.statements[:1] or (None,))
    return found


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1; drop table t", ("select", "drop")),
        ("with a as (delete from t returning *) select * from a", ("delete", "select")),
        ("with delete as (select 1) select * from delete", ("select",)),
        ("with a as (insert into t select 1), b as (update t set a = 1) table a", ("insert", "table", "update")),
        ("with a as (select * from t for update) select * from a", ("select",)),
        ("with a as (select * from t for no key update) select * from a", ("select",)),
        ("with a as (select 1) delete from t", ("delete",)),
        ("explain analyze delete from t", ("explain", "delete")),
        ("explain (analyze, costs off) with a as (select 1) update t set a = 2", ("explain", "update")),
        ("copy (delete from t returning *) to stdout", ("copy", "delete")),
        ("prepare p (int) as delete from t where a = $1", ("prepare", "delete")),
        ("create table u as with a as (delete from t returning *) select * from a", ("create", "delete")),
        ("insert into t values (1) on conflict (a) do update set a = 2", ("insert", "update")),
        (
            "merge into t using u on t.a = u.a when matched then delete when not matched then insert values (1)",
            ("merge", "delete", "insert"),
        ),
        ("create table t (a int references u on delete cascade on update set null)", ("create",)),
        ("create or replace view v as select 1", ("create",)),
        ("create trigger t before insert or update of a or delete on t execute function f()", ("create",)),
        ("grant delete, insert, update (a) on t to ann", ("grant",)),
        ("select replace(a, 'b', 'c'), t.delete from t", ("select",)),
        ("", (None,)),
        ("do $$begin delete from t; end$$", ("do", "delete")),
        ("do language plpgsql 'begin perform replace(a, b); end'", ("do",)),
        ("do $$begin execute 'delete from t'; end$$", ANYTHING),
        ("do e'\\x64elete'", ANYTHING),
        ("do 'begin del'\n'ete from t; end'", ANYTHING),
        ("do $$import os$$ language plpython3u", ANYTHING),
    ],
)
def test_of_postgresql_these_are_found(text: str, statements: tuple[str | None, ...]) -> None:
    assert kinds(text, POSTGRES) == {statements}


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("analyze format=json delete from t", ("analyze", "delete")),
        ("insert into t values (1) on duplicate key update a = 2", ("insert", "update")),
        ("/*!99999 select */ delete from t", ("select", "delete")),
        ("select insert('abc', 1, 2, 'x'), insert(a, 1, 2, 'x')", ("select",)),
        ("select * from t where a = 'x' for update", ("select",)),
        ("load data infile 'x' replace into table t", ("load", "replace")),
        ("create table t (a timestamp on update current_timestamp)", ("create",)),
        ("prepare s from 'delete from t where a = ?'", ("prepare", "delete")),
        ('prepare `s` from "select 1"', ("prepare",)),
        ("execute s using @a, @b", ("execute",)),
        ("execute immediate 'delete from t where a = ?' using 'b', f(1)", ("execute", "delete")),
        ("do sleep(1)", ("do",)),
        ("begin", ("begin",)),
        ("prepare s from @a", ANYTHING),
        ("prepare s from concat('del', 'ete from t')", ANYTHING),
        ("prepare s from concat(@a, 'ete from t')", ANYTHING),
        ("prepare s from 'd\\elete from t'", ANYTHING),
        ("prepare s from 'del' 'ete from t'", ANYTHING),
        ("prepare s from x'64656c657465'", ANYTHING),
        ("prepare s from 'del' || 'ete'", ANYTHING),
        ("execute immediate @a", ANYTHING),
        ("if 1 then delete from t", ANYTHING),
        ("begin not atomic drop table t", ANYTHING),
        ("a: begin drop table t", ANYTHING),
    ],
)
def test_of_mysql_and_mariadb_these_are_found(text: str, statements: tuple[str | None, ...]) -> None:
    assert kinds(text, MYSQL) == {statements}


def test_a_with_that_changes_something_is_no_select() -> None:
    found = outline("with a as (select 1), b as (delete from t returning *) select * from b", POSTGRES)
    assert found.statements == ("delete",)


def test_of_several_texts_each_shape_counts() -> None:
    unclear = all_of([outline(text, POSTGRES) for text in ("select 1", "select a", "select 2")])
    assert unclear is not None
    assert (unclear("statement"), unclear("normalized")) == (None, ("select ?", "select a"))
    assert len(unclear("fingerprint") or ()) == 2
