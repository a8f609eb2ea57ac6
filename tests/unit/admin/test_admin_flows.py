from __future__ import annotations

import pytest
from browser import Desk
from reel import Reel, frame

from metaproxy.admin.flows import LOOKED, MAX_KEYS


def hooks(desk: Desk) -> int:
    """How many look at the exchanges of the first route."""
    return len(desk.proxy.listeners["front"].snapshot.routes.routes[0].on_complete)


def test_it_tells_who_sends_what_where() -> None:
    desk = Desk()
    assert desk.get("/flows").json["flows"] == []
    client = desk.running.client()
    for service in ("echo", "echo", "gone"):
        desk.running.exchange(client, service)
    told = desk.get("/flows").json
    failed, well = told["flows"]
    assert (failed["caller"], failed["route"], failed["cluster"]) == ("127.0.0.9", "gone", "-")
    assert (failed["exchanges"], failed["errors"], failed["outcomes"]) == (1, 1, {"denied": 1})
    assert (well["caller"], well["route"], well["cluster"], well["listener"]) == ("127.0.0.9", "main", "demo", "front")
    assert (well["exchanges"], well["errors"], well["rate"]) == (2, 0, 2.0)
    assert 2.5 < well["latency_ms"]["p50"] <= 5.0
    assert (told["total"]["exchanges"], told["total"]["errors"], told["other"]) == (3, 1, None)
    assert told["caller"] == ["source.identity", "remote.application", "source.address"]


def test_nothing_is_counted_before_the_first_look_and_some_time_after_the_last() -> None:
    desk = Desk()
    assert hooks(desk) == 0
    desk.get("/flows")
    assert hooks(desk) == 1
    desk.clock.advance(LOOKED - 1)
    desk.get("/flows")
    assert hooks(desk) == 1
    desk.clock.advance(LOOKED - 1)
    assert hooks(desk) == 1
    desk.clock.advance(2)
    assert hooks(desk) == 0
    assert desk.clock.getDelayedCalls() == [one for one in desk.clock.getDelayedCalls() if one.getTime() < 100]


def test_it_goes_on_over_a_change_of_the_configuration() -> None:
    desk = Desk()
    desk.get("/flows")
    desk.running.apply(2)
    desk.running.exchange(desk.running.client())
    assert desk.get("/flows").json["total"]["exchanges"] == 1


def test_callers_are_told_apart_by_the_key_that_is_asked_for() -> None:
    desk = Desk()
    for key in ("service", "source.port"):
        desk.get(f"/flows?caller={key}")
    desk.running.exchange(desk.running.client())
    told = desk.get("/flows?caller=service").json
    assert [one["caller"] for one in told["flows"]] == ["echo"]
    assert told["caller"] == "service"
    assert hooks(desk) == 2


def test_keys_that_are_looked_at_are_bounded() -> None:
    desk = Desk()
    for number in range(MAX_KEYS):
        assert desk.get(f"/flows?caller=key{number}").status == 200
    refused = desk.get("/flows?caller=another")
    assert (refused.status, refused.json["where"]) == (400, "caller")
    assert hooks(desk) == MAX_KEYS
    assert desk.get("/flows?caller=key0").status == 200
    desk.clock.advance(LOOKED + 1)
    assert desk.get("/flows?caller=another").status == 200


def test_a_limit_leaves_the_rest_in_a_sum() -> None:
    desk = Desk()
    desk.get("/flows")
    client = desk.running.client()
    for service in ("echo", "echo", "tell"):
        desk.running.exchange(client, service)
    told = desk.get("/flows?caller=service&limit=1")
    told = desk.get("/flows?limit=1").json
    assert len(told["flows"]) == 1
    assert told["flows"][0]["exchanges"] + (told["other"]["exchanges"] if told["other"] else 0) == 3


@pytest.mark.parametrize(
    "query", ["seconds=x", "seconds=nan", "seconds=0", "seconds=1e9", "limit=0", "limit=1001", "limit="]
)
def test_a_parameter_that_makes_no_sense_is_refused(query: str) -> None:
    refused = Desk().get(f"/flows?{query}")
    assert refused.status == 400
    assert refused.json["where"] == query.partition("=")[0]


def test_a_stream_is_shown_for_as_long_as_it_lasts_with_its_bytes_both_ways() -> None:
    desk = Desk(codec=Reel())
    client = desk.running.client()
    desk.running.say(client, frame("O", 7, b"ask") + frame("D", 7, b"more"))
    (server,) = desk.running.network.upstreams
    desk.running.say(server, frame("O", 1))
    (row,) = desk.get("/flows").json["flows"]
    assert (row["cluster"], row["exchanges"]) == ("demo", 0)
    assert row["streams"] == {"open": 1, "request_bytes": 12 + 4, "response_bytes": 9}
    desk.clock.advance(120)
    desk.running.say(server, frame("D", 1, b"ten bytes."))
    told = desk.get("/flows").json
    assert told["flows"][0]["streams"] == {"open": 1, "request_bytes": 16, "response_bytes": 9 + 19}
    assert told["total"]["streams"]["open"] == 1
    desk.running.say(client, frame("C", 7))
    desk.running.say(server, frame("C", 1))
    (row,) = desk.get("/flows").json["flows"]
    assert (row["streams"]["open"], row["outcomes"]) == (0, {"ok": 1})
