from __future__ import annotations

import pytest
from browser import Desk
from harness import answer, call


def states(desk: Desk) -> list[tuple[str, bool, bool]]:
    (cluster,) = desk.get("/clusters").json["clusters"]
    return [(one["health"], one["ejected"], one["drained"]) for one in cluster["endpoints"]]


FIRST = "/clusters/demo/endpoints/127.0.0.1:1000"


def test_an_endpoint_is_drained_and_restored() -> None:
    desk = Desk()
    assert desk.post(f"{FIRST}/drain").json == {
        "cluster": "demo", "address": "127.0.0.1:1000", "health": "healthy", "ejected": False, "drained": True,
        "active": 0, "connections": 0, "left": 1,
    }  # fmt: skip
    client = desk.running.client()
    for id in range(4):
        desk.running.say(client, call(id))
    assert {wire.peer for wire in desk.running.network.upstreams} == {"127.0.0.1:1001"}
    assert states(desk) == [("healthy", False, True), ("healthy", False, False)]
    (cluster,) = desk.get("/clusters").json["clusters"]
    assert cluster["levels"] == [{"share": 1.0, "endpoints": ["127.0.0.1:1001"]}]
    assert desk.post(f"{FIRST}/restore").json["left"] == 2
    assert states(desk) == [("healthy", False, False)] * 2


def test_what_is_under_way_on_a_drained_endpoint_is_answered_and_then_its_connection_closes() -> None:
    desk = Desk()
    client = desk.running.client()
    for id in (1, 2, 3):
        desk.running.say(client, call(id))
    out = next(wire for wire in desk.running.network.upstreams if wire.peer == "127.0.0.1:1000")
    told = desk.post(f"{FIRST}/drain").json
    assert told["active"] >= 1 and told["connections"] == 1
    assert not out.closed
    asked = out.take().count(b"echo")
    for id in range(1, asked + 1):
        desk.running.say(out, answer(id))
    assert out.closed and client.take().count(b"hi") == asked


def test_a_restored_endpoint_keeps_its_connections_again() -> None:
    desk = Desk()
    desk.post(f"{FIRST}/drain")
    desk.post(f"{FIRST}/restore")
    client = desk.running.client()
    for id in range(1, 9):
        desk.running.say(client, call(id))
        for wire in desk.running.network.upstreams:
            if wire.take():
                desk.running.say(wire, answer(1))
    assert sorted(wire.peer for wire in desk.running.network.upstreams) == ["127.0.0.1:1000", "127.0.0.1:1001"]


def test_an_endpoint_is_ejected_until_it_is_restored() -> None:
    desk = Desk()
    assert desk.post(f"{FIRST}/eject").json["ejected"] is True
    assert states(desk)[0] == ("healthy", True, False)
    assert desk.post(f"{FIRST}/restore").json["ejected"] is False


@pytest.mark.parametrize("action", ["drain", "eject", "restore"])
@pytest.mark.parametrize(
    ("path", "where", "text"),
    [
        ("/clusters/dmeo/endpoints/127.0.0.1:1000", "cluster", "no cluster 'dmeo'; did you mean 'demo'?"),
        (
            "/clusters/demo/endpoints/127.0.0.1:1003",
            "address",
            "cluster demo has no endpoint '127.0.0.1:1003'; did you mean '127.0.0.1:100",
        ),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(action: str, path: str, where: str, text: str) -> None:
    response = Desk().post(f"{path}/{action}")
    assert response.status == 404
    assert response.json["where"] == where and response.json["error"].startswith(text)


def test_without_a_configuration_there_is_no_cluster() -> None:
    desk = Desk()
    desk.proxy.snapshot = None
    assert desk.post(f"{FIRST}/drain").status == 404
