from __future__ import annotations

import json
from typing import Any

import pytest
from browser import Desk
from harness import LineCodec, call
from present import present
from running_proxy import watch_first
from tap_reader import Reader

from metaproxy.admin.live import MAX_WAITING, SIGN_OF_LIFE
from metaproxy.admin.tap import MAX_TAPS
from metaproxy.message import Kind, Message
from metaproxy.proxy.exchange import Exchange


def traffic(desk: Desk, *services: str) -> None:
    client = desk.running.client()
    for service in services:
        desk.running.exchange(client, service)


def test_exchanges_come_as_they_end() -> None:
    desk = Desk()
    reader = Reader(desk)
    assert b"200 OK" in reader.head
    assert b"application/x-ndjson" in reader.head
    traffic(desk, "echo")
    (line,) = reader.lines()
    assert (line["route"], line["outcome"], line["request"]["metadata"]) == ("main", "ok", {"service": "echo"})
    traffic(desk, "gone")
    (line,) = reader.lines()
    assert (line["outcome"], line["details"]) == ("denied", "not here")


def test_nothing_is_hooked_before_the_first_reader_and_after_the_last() -> None:
    desk = Desk()
    route = desk.proxy.listeners["front"].snapshot.routes.routes[0]
    assert route.on_complete == ()
    reader = Reader(desk)
    assert len(route.on_complete) == 1
    reader.connection.gone()
    assert route.on_complete == ()
    calls = desk.clock.getDelayedCalls()
    assert [one for one in calls if one.getTime() - desk.clock.seconds() > 10] == []


def test_a_limit_ends_it() -> None:
    desk = Desk()
    reader = Reader(desk, "limit=2")
    traffic(desk, "echo", "echo", "echo")
    assert len(reader.lines()) == 2
    assert reader.ended
    assert desk.proxy.watchers == ()


def test_a_match_chooses() -> None:
    desk = Desk()
    one, other = Reader(desk, "match=outcome%3Ddenied"), Reader(desk, "match=service:+echo&listener=front")
    traffic(desk, "echo", "gone")
    assert [line["outcome"] for line in one.lines()] == ["denied"]
    assert [line["outcome"] for line in other.lines()] == ["ok"]


@pytest.mark.parametrize(
    ("query", "status", "where"),
    [
        ("match=nonsense", 400, "match"),
        ("match=%7B", 400, "match"),
        ("limit=0", 400, "limit"),
        ("rate=x", 400, "rate"),
        ("listener=frnt", 404, "listener"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_and_nothing_is_hooked(query: str, status: int, where: str) -> None:
    desk = Desk()
    refused = desk.get(f"/tap?{query}")
    assert (refused.status, refused.json["where"]) == (status, where)
    assert desk.proxy.watchers == ()


def test_more_than_a_rate_is_lost_and_told() -> None:
    desk = Desk()
    reader = Reader(desk, "rate=2")
    client = desk.running.client()
    for _ in range(5):
        desk.running.exchange(client, "echo", 0)
    assert len(reader.lines()) == 2
    desk.clock.advance(1)
    desk.running.exchange(client, "echo", 0)
    (line,) = reader.lines()
    assert line["lost"] == 3


def test_a_reader_who_does_not_read_loses_lines_and_is_told_how_many() -> None:
    desk = Desk()
    reader = Reader(desk, "rate=10000")
    producer = reader.connection.transport.producer
    present(producer).pauseProducing()
    client = desk.running.client()
    sent = 0
    watcher: Any = desk.proxy.watchers[0]
    live = watcher.__self__.body
    while not live.lost:
        desk.running.exchange(client, "echo", 0)
        sent += 1
    for _ in range(10):
        desk.running.exchange(client, "echo", 0)
    assert reader.raw() == b""
    present(producer).resumeProducing()
    desk.clock.advance(1)
    desk.running.exchange(client, "echo", 0)
    raw = reader.raw()
    assert MAX_WAITING <= len(raw) < MAX_WAITING + 2 * 4096
    lines = [json.loads(line) for line in raw.splitlines() if line]
    assert len(lines) == sent
    assert lines[-1]["lost"] == 11
    assert "lost" not in lines[-2]


def test_a_reader_who_takes_nothing_for_long_is_cut_off() -> None:
    desk = Desk()
    reader = Reader(desk)
    reader.connection.pause()
    desk.clock.advance(SIGN_OF_LIFE + 1)
    assert reader.connection.transport.disconnected


def test_a_silent_tap_shows_that_it_lives() -> None:
    desk = Desk()
    reader = Reader(desk)
    for _ in range(3):
        desk.clock.advance(SIGN_OF_LIFE)
        assert reader.raw() == b"\n"


def test_the_number_of_taps_is_bounded() -> None:
    desk = Desk()
    readers = [Reader(desk) for _ in range(MAX_TAPS)]
    assert desk.get("/tap").status == 429
    readers[0].connection.gone()
    assert b"200 OK" in Reader(desk).head


def test_head_opens_no_tap() -> None:
    desk = Desk()
    assert desk.ask("HEAD", "/tap").status == 200
    assert desk.proxy.watchers == ()


def test_it_goes_on_over_a_change_of_the_configuration() -> None:
    desk = Desk()
    reader = Reader(desk)
    desk.running.apply(2)
    traffic(desk, "echo")
    assert len(reader.lines()) == 1


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    reader = Reader(desk)

    def spy(exchange: Exchange) -> None:
        present(exchange.message.metadata)["token"] = "hunter2"

    watch_first(desk.proxy, spy)
    desk.running.apply(2)
    traffic(desk, "echo")
    raw = reader.raw()
    assert b'"token": "****"' in raw
    assert b"hunter2" not in raw


def test_a_client_that_leaves_is_an_exchange_too() -> None:
    desk = Desk()
    reader = Reader(desk)
    client = desk.running.client()
    desk.running.say(client, call(1))
    client.end()
    assert [line["outcome"] for line in reader.lines()] == ["downstream_gone"]


def test_a_mirror_that_answers_something_else_is_told_with_the_exchange() -> None:
    desk = Desk()
    reader = Reader(desk, "match=service=echo")
    seen: list[Any] = []
    desk.proxy.watch(seen.append)
    traffic(desk, "echo", "gone")
    reader.lines()
    watcher: Any = desk.proxy.watchers[0]
    tap = watcher.__self__
    answer = Message(Kind.RESPONSE, b"", metadata={"token": "hunter2"})
    for exchange in seen:
        tap.on_difference(exchange, "v2", answer, "byte 3 differs")
    (line,) = reader.lines()
    assert line["mirror"] == {"cluster": "v2", "differs": "byte 3 differs", "metadata": {"token": "****"}}
    assert line["route"] == "main"


@pytest.mark.parametrize(
    ("match", "meant"),
    [("outcome=conect", "connect"), ("cluster=dmeo", "demo"), ("route=mian", "main"), ("listener=frnt", "front")],
)
def test_a_value_that_can_not_be_is_refused_by_tap_and_record(match: str, meant: str) -> None:
    desk = Desk()
    for response in (desk.get(f"/tap?match={match}"), desk.post("/record", json.dumps({"match": match}))):
        assert (response.status, response.json["where"]) == (400, "match")
        assert f"did you mean {meant!r}?" in response.json["error"]
    assert desk.proxy.watchers == ()


def test_a_servers_push_is_a_line_of_its_own() -> None:
    desk = Desk(codec=LineCodec())
    reader = Reader(desk, "match=outcome=event")
    client = desk.running.client()
    desk.running.say(client, b"subscribe news\n")
    desk.running.say(desk.running.network.upstreams[0], b"event one\n")
    (line,) = reader.lines()
    assert (line["outcome"], line["request"]["kind"], line["request"]["bytes"]) == ("event", "event", 0)
    assert (line["route"], line["response"], line["response_bytes"]) == ("main", None, 10)
    assert line["why"]["route"] == "a push on the client's own connection"
