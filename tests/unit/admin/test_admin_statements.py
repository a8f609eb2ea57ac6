from __future__ import annotations

import pytest
from browser import Desk
from shelf import Shelf

from metaproxy.admin.flows import LOOKED
from metaproxy.telemetry.inspect.statements import MOST


def ran(*services: str) -> Desk:
    """A desk that has looked, and these statements since."""
    desk = Desk(codec=Shelf())
    desk.get("/statements")
    client = desk.running.client()
    for service in services:
        desk.running.exchange(client, service)
    return desk


def hooks(desk: Desk) -> int:
    """How many look at the exchanges of the first route."""
    return len(desk.proxy.listeners["front"].snapshot.routes.routes[0].on_complete)


def test_it_says_how_often_statements_were_carried_out_how_long_they_took_and_which_was_the_slowest() -> None:
    desk = ran("echo", "echo", "gone")
    told = desk.get("/statements").json
    well, failed = told["statements"]
    names = ("listener", "protocol", "cluster", "user", "database", "command", "fingerprint", "text")
    assert [well[name] for name in names] == [
        "front", "shelf", "demo", "app", "shop", "query", "fp-echo", "select ? from echo"
    ]  # fmt: skip
    assert (well["calls"], well["errors"], well["rows"], well["request_bytes"]) == (2, 0, 4, 2 * 19)
    assert (well["total_ms"], well["mean_ms"]) == (6.0, 3.0)
    assert 2.5 < well["latency_ms"]["p50"] <= 5.0
    slowest = well["slowest"]
    assert (slowest["duration_ms"], slowest["outcome"], slowest["traceparent"]) == (3.0, "ok", None)
    assert slowest["endpoint"] in ("127.0.0.1:1000", "127.0.0.1:1001")
    assert well["since"].endswith("Z") and slowest["time"].endswith("Z")
    assert (failed["calls"], failed["errors"], failed["outcomes"], failed["rows"]) == (1, 1, {"denied": 1}, None)
    assert (told["total"]["calls"], told["other"], told["made_room"]) == (3, None, 0)


def test_nothing_is_counted_before_the_first_look_and_some_time_after_the_last() -> None:
    desk = Desk(codec=Shelf())
    desk.running.exchange(desk.running.client())
    assert hooks(desk) == 0
    assert desk.get("/statements").json["statements"] == []
    assert hooks(desk) == 1
    desk.clock.advance(LOOKED - 1)
    desk.get("/statements")
    desk.clock.advance(LOOKED - 1)
    assert hooks(desk) == 1
    desk.running.exchange(desk.running.client())
    desk.clock.advance(2)
    assert hooks(desk) == 0
    assert desk.get("/statements").json["statements"] == []


def test_a_look_that_shall_not_count_begins_nothing_and_goes_on_with_nothing() -> None:
    desk = Desk(codec=Shelf())
    assert desk.get("/statements?count=false").json["listeners"][0]["since"] is None
    assert hooks(desk) == 0
    desk.get("/statements?count=true")
    desk.clock.advance(LOOKED - 1)
    desk.running.exchange(desk.running.client())
    told = desk.get("/statements?count=false").json
    assert (told["total"]["calls"], told["listeners"][0]["since"] is None) == (1, False)
    desk.clock.advance(2)
    assert hooks(desk) == 0


def test_listeners_are_listed_with_since_when_and_those_without_statements_are_not() -> None:
    (front,) = Desk(codec=Shelf()).get("/statements").json["listeners"]
    assert (front["name"], front["protocol"], front["always"]) == ("front", "shelf", False)
    assert front["since"].endswith("Z")
    assert Desk().get("/statements").json["listeners"] == []


def test_exchanges_of_a_protocol_without_statements_are_not_counted() -> None:
    desk = Desk()
    desk.get("/statements")
    desk.running.exchange(desk.running.client())
    assert desk.get("/statements").json["total"]["calls"] == 0


def test_rows_are_sorted_and_limited_as_asked_for() -> None:
    desk = ran("echo", "echo", "echo", "gone")
    told = desk.get("/statements?sort=errors&limit=1").json
    assert [row["fingerprint"] for row in told["statements"]] == ["fp-gone"]
    assert (told["sort"], told["other"]["calls"], told["total"]["calls"]) == ("errors", 3, 4)
    assert desk.get("/statements?listener=front").json["total"]["calls"] == 4


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("sort=size", 400),
        ("limit=0", 400),
        (f"limit={2 * MOST + 1}", 400),
        ("limit=x", 400),
        ("count=1", 400),
        ("listener=frnt", 404),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(query: str, status: int) -> None:
    refused = Desk(codec=Shelf()).get(f"/statements?{query}")
    assert (refused.status, refused.json["where"]) == (status, query.partition("=")[0])


def test_a_reset_forgets_what_was_counted_and_counting_goes_on() -> None:
    desk = ran("echo", "gone")
    assert desk.post("/statements/reset").json == {"reset": 2}
    assert desk.get("/statements").json["total"]["calls"] == 0
    desk.running.exchange(desk.running.client())
    assert desk.get("/statements").json["total"]["calls"] == 1


def test_it_goes_on_over_a_change_of_the_configuration() -> None:
    desk = ran("echo")
    desk.running.apply(2)
    desk.running.exchange(desk.running.client())
    assert desk.get("/statements").json["total"]["calls"] == 2
