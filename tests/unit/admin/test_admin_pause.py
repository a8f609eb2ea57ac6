from __future__ import annotations

import pytest
from browser import Desk
from harness import answer, call


def test_a_cluster_is_held_and_goes_on_with_what_waited() -> None:
    desk = Desk()
    client = desk.running.client()
    assert desk.post("/clusters/demo/pause?most=5&seconds=10").json == {
        "paused": "demo", "most": 5, "seconds": 10.0, "active": 0,
    }  # fmt: skip
    desk.running.say(client, call(1))
    assert client.take() == b""
    desk.clock.advance(0.5)
    told = desk.post("/clusters/demo/resume").json
    assert told == {"resumed": "demo", "released": 1, "refused": 0, "longest_wait_ms": 500.0}
    desk.clock.advance(0)
    (server,) = desk.running.network.upstreams
    desk.running.say(server, answer(1))
    assert client.take() == answer(1)


def test_a_pause_in_the_place_of_another_holds_what_that_one_held() -> None:
    desk = Desk()
    client = desk.running.client()
    desk.post("/clusters/demo/pause?seconds=1")
    desk.running.say(client, call(1))
    desk.clock.advance(0.6)
    desk.post("/clusters/demo/pause?seconds=1")
    desk.clock.advance(0.6)
    assert desk.running.network.upstreams == []
    assert desk.post("/clusters/demo/resume").json["released"] == 1


def test_resuming_what_was_not_held_is_no_error() -> None:
    assert Desk().post("/clusters/demo/resume").json["released"] == 0


@pytest.mark.parametrize("path", ["/clusters/dmeo/pause", "/clusters/dmeo/resume"])
def test_a_cluster_that_is_not_there_is_told_with_the_nearest(path: str) -> None:
    response = Desk().post(path)
    assert response.status == 404
    assert response.json["error"] == "no cluster 'dmeo'; did you mean 'demo'?"


@pytest.mark.parametrize("query", ["most=0", "most=x", "seconds=-1", "seconds=1e9", "seconds=nan"])
def test_bounds_that_make_no_sense_are_refused(query: str) -> None:
    assert Desk().post(f"/clusters/demo/pause?{query}").status == 400
