from browser import Desk
from harness import call


def test_one_listener_drains() -> None:
    desk = Desk()
    client = desk.running.client()
    desk.running.say(client, call(1))
    response = desk.post("/drain?listener=front")
    assert response.json == {"draining": ["front"], "connections": {"front": 1}}
    assert desk.running.network.accepting == {}
    assert not client.closed
    assert desk.get("/server_info").json["state"] == "LIVE"


def test_all_listeners_drain() -> None:
    desk = Desk()
    idle = desk.running.client()
    assert desk.post("/drain").json["draining"] == ["front"]
    assert idle.closed
    assert desk.get("/server_info").json["state"] == "DRAINING"


def test_a_listener_that_is_not_there_is_told_with_the_nearest_one() -> None:
    desk = Desk()
    response = desk.post("/drain?listener=fornt")
    assert response.status == 404
    assert response.json == {"error": "no listener 'fornt'; did you mean 'front'?", "where": "listener"}
    assert desk.running.network.accepting != {}


def test_an_empty_name_is_no_way_to_drain_everything() -> None:
    desk = Desk()
    assert desk.post("/drain?listener=").status == 404
    assert desk.running.network.accepting != {}


def test_quit_answers_and_then_stops_the_reactor_once() -> None:
    desk = Desk()
    assert desk.post("/quit").json == {"quitting": True}
    assert desk.post("/quit").json == {"quitting": True}
    assert desk.stopped == []
    desk.clock.advance(1)
    assert len(desk.stopped) == 1
