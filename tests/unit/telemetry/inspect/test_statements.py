from __future__ import annotations

from typing import Any, cast

import pytest
from present import present

from metaproxy.message import FrameError, Kind, Message
from metaproxy.telemetry.inspect.flows import MAX_NAME
from metaproxy.telemetry.inspect.statements import MAX_TEXT, ORDERS, Counted, Reading, Statements, read
from metaproxy.telemetry.roles import CompletedExchange


class Ended:
    """An exchange that ended. values: its metadata and facts; an exception in the place of a value is raised."""

    listener, protocol, upstream_address = "db", "sql", "10.0.0.1:5432"

    def __init__(
        self,
        fingerprint: str | None = "f1",
        outcome: str = "ok",
        lasted: float = 0.003,
        at: float = 100.0,
        rows: str | None = None,
        **values: Any,
    ) -> None:
        self.started, self.ended = at - lasted, at
        self.outcome = outcome
        self.cluster = values.pop("cluster", "demo")
        self.listener = values.pop("listener", "db")
        self.request_bytes, self.response_bytes = 10, 100
        self.response = None if outcome == "timeout" else Message(Kind.RESPONSE, b"", 0, {"rows": rows} if rows else {})
        said = {"user": "app", "database": "shop", "command": "query", "normalized": f"select ? from {fingerprint}"}
        self.values: dict[str, Any] = {"fingerprint": fingerprint, **said, **values}

    def get(self, key: str) -> str | None:
        value = self.values.get(key)
        if isinstance(value, Exception):
            raise value
        return value


def seen(*exchanges: Ended, **options: Any) -> Statements:
    table = Statements(**options)
    for exchange in exchanges:
        table.on_complete(cast(CompletedExchange, exchange))
    return table


def shown(table: Statements, order: str = "time", limit: int = 100, listener: str = "") -> Reading:
    return read([table], order, limit, listener)


def only(table: Statements) -> Counted:
    ((_, counted),) = shown(table).rows
    return counted


def fingerprints(table: Statements, order: str = "time") -> list[str]:
    return [statement.fingerprint for statement, _ in shown(table, order).rows]


def test_a_row_says_how_often_a_statement_was_carried_out_how_it_ended_and_what_passed() -> None:
    table = seen(
        Ended(at=99.0, rows="3"), Ended(rows="4"), Ended(outcome="error", lasted=0.2), Ended(outcome="timeout")
    )
    ((statement, counted),) = shown(table).rows
    assert tuple(statement) == ("db", "sql", "demo", "app", "shop", "query", "f1")
    assert (counted.count, counted.errors, counted.rows) == (4, 2, 7)
    assert counted.outcomes == {"ok": 2, "error": 1, "timeout": 1}
    assert (counted.request_bytes, counted.response_bytes, counted.bytes) == (40, 400, 440)
    assert counted.since == 99.0
    assert counted.seconds == pytest.approx(0.209)
    assert 0.002 < present(counted.percentile(0.5)) <= 0.004
    assert 0.1 < present(counted.percentile(0.99)) <= 0.25


def test_the_text_is_without_values_as_the_codec_gives_it() -> None:
    assert only(seen(Ended(normalized="select a from t where b=?"))).text == "select a from t where b=?"
    assert only(seen(Ended(normalized=None))).text == ""


def test_listeners_clusters_users_databases_and_what_is_done_with_a_statement_are_told_apart() -> None:
    names = ("user", "database", "cluster", "listener", "command")
    others: list[dict[str, Any]] = [{name: "b"} for name in names]
    table = seen(Ended(), *(Ended(**one) for one in others), Ended("f2"))
    assert len(shown(table).rows) == len(table) == 7


def test_the_slowest_is_kept_with_its_time_its_end_and_its_trace() -> None:
    slow = Ended(outcome="error", lasted=0.5, at=90.0, traceparent="00-aa-bb-01")
    assert only(seen(Ended(), slow, Ended())).slowest == (0.5, 90.0, "error", "10.0.0.1:5432", "00-aa-bb-01")


def test_no_percentile_is_above_the_slowest() -> None:
    counted = only(seen(*(Ended(lasted=0.301) for _ in range(8))))
    assert counted.percentile(0.99) == pytest.approx(0.301)


def test_what_is_no_statement_or_cannot_be_read_is_not_counted() -> None:
    table = seen(Ended(None), Ended(cast(str, FrameError("cut"))))
    assert (len(table), shown(table).total.count) == (0, 0)


def test_a_name_that_is_not_there_is_a_dash_and_one_that_a_client_chose_is_cut() -> None:
    ((statement, counted),) = shown(seen(Ended(user=None, database="x" * 5000, normalized="y" * 5000))).rows
    assert (statement.user, statement.database) == ("-", "x" * MAX_NAME)
    assert counted.text == "y" * MAX_TEXT


@pytest.mark.parametrize("rows", ["-1", "many", "1" * 30, "٣x"])
def test_rows_that_are_no_number_are_left_out(rows: str) -> None:
    assert only(seen(Ended(rows=rows))).rows is None


def test_rows_can_be_sorted_by_what_is_asked_for() -> None:
    table = seen(
        *(Ended("often", lasted=0.001) for _ in range(9)),
        Ended("slow", lasted=0.9),
        Ended("slow", lasted=0.3),
        *(Ended("heavy", lasted=0.5, rows="99") for _ in range(3)),
        Ended("wrong", "error", lasted=0.002),
    )
    first = {order: fingerprints(table, order)[0] for order in ORDERS}
    assert first == {
        "time": "heavy", "calls": "often", "errors": "wrong", "mean": "slow", "rows": "heavy", "bytes": "often",
        "slowest": "slow",
    }  # fmt: skip


def test_what_is_over_the_limit_is_summed_up_and_the_total_has_all() -> None:
    table = seen(Ended("a", lasted=0.9, rows="1"), Ended("b", rows="2"), Ended("c", "error"))
    found = shown(table, limit=1)
    other = present(found.other)
    assert [statement.fingerprint for statement, _ in found.rows] == ["a"]
    assert (other.count, other.errors, other.rows) == (2, 1, 2)
    assert (found.total.count, found.total.rows, found.total.bytes) == (3, 3, 330)
    assert shown(table).other is None


def test_only_the_rows_of_a_listener_are_read_if_it_is_named() -> None:
    table = seen(Ended(listener="a"), Ended(listener="b"), Ended(listener="b"))
    assert shown(table, listener="b").total.count == 2


def test_several_tables_are_read_as_one() -> None:
    found = read([seen(Ended("a"), began=50.0), seen(Ended("b"), began=40.0)], "time", 10)
    assert (len(found.rows), found.total.count, found.total.since) == (2, 2, 40.0)


def test_statements_that_were_used_least_make_room_and_are_counted_together() -> None:
    table = Statements(most=40)
    for number in range(200):
        for name in ("known", f"made up {number}"):
            table.on_complete(cast(CompletedExchange, Ended(name)))
        assert len(table) <= 40
    found = shown(table, "calls")
    assert (found.rows[0][0].fingerprint, found.rows[0][1].count) == ("known", 200)
    assert found.total.count == 400
    assert present(found.other).count == table.made_room == 400 - 200 - (len(table) - 1)


def test_a_statement_that_was_used_long_ago_makes_room_for_one_that_is_used_now() -> None:
    table = Statements(most=40)
    for _ in range(50):
        table.on_complete(cast(CompletedExchange, Ended("old")))
    for number in range(4000):
        for name in ("new", f"made up {number}"):
            table.on_complete(cast(CompletedExchange, Ended(name)))
    assert "new" in fingerprints(table)
    assert "old" not in fingerprints(table)


def test_the_bytes_of_texts_are_bounded_and_what_made_room_gives_its_bytes_back() -> None:
    table = Statements(most_text=10_000)
    for number in range(500):
        table.on_complete(cast(CompletedExchange, Ended(f"f{number}", normalized="é" * 500)))
        assert sum(len(counted.text.encode()) for _, counted in table.rows()) <= 10_000
    assert len(table) >= 9
    assert shown(table).total.count == 500


def test_making_room_is_seldom() -> None:
    table, changes = Statements(most=1000), 0
    for number in range(3000):
        before = table.made_room
        table.on_complete(cast(CompletedExchange, Ended(f"f{number}")))
        changes += table.made_room != before
    assert changes <= 2000 / 40


def test_a_reset_forgets_all_and_begins_again() -> None:
    table = seen(*(Ended(f"f{number}") for number in range(9)), most=5)
    assert table.made_room
    table.reset(120.0)
    found = shown(table)
    assert (len(table), table.made_room, found.other, found.total.count, found.total.since) == (0, 0, None, 0, 120.0)
    table.on_complete(cast(CompletedExchange, Ended()))
    assert len(table) == 1
