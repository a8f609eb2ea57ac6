"""What metaproxy.testing stands in for: exchanges, endpoints, reports, and a whole data path in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from zope.interface.verify import verifyObject

from metaproxy.interfaces import IEndpoint, IExchange
from metaproxy.message import ErrorKind, Kind, Message, Reply
from metaproxy.testing import Clock, FakeEndpoint, FakeExchange, FakeReport, Stage

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples"))
from crate import Crate
from quill import HEAD, Quill


def test_a_fake_exchange_has_all_that_filters_may_use() -> None:
    assert verifyObject(IExchange, FakeExchange())
    assert verifyObject(IEndpoint, FakeEndpoint("10.0.0.1:80"))


def test_metadata_are_found_as_spelled_and_in_lower_case_and_never_in_the_place_of_facts() -> None:
    exchange = FakeExchange({"Tenant": "blue", "source.address": "evil"}, facts={"source.port": "7"})
    assert [exchange.get(key) for key in ("Tenant", "tenant", "source.port")] == ["blue", "blue", "7"]
    assert exchange.get("source.address") is None
    exchange.learn("Tenant", "green")
    assert (exchange.get("tenant"), exchange.learnt) == ("green", {"Tenant": "green", "tenant": "green"})


def test_what_a_filter_did_can_be_looked_at() -> None:
    exchange = FakeExchange()
    exchange.set("a", "1")
    exchange.remove("b")
    exchange.limit(2.0)
    exchange.limit(3.0)
    exchange.alter(bytes.upper)
    assert (exchange.changes.set, exchange.changes.remove, exchange.time_limit) == ({"a": "1"}, ("b",), 2.0)
    assert exchange.alteration is bytes.upper
    exchange.answer(Message(Kind.RESPONSE, b"fine"))
    assert (exchange.response_bytes, exchange.changes.set) == (4, {})
    exchange.complete("ok", ended=1.5)
    assert (exchange.outcome, exchange.ended) == ("ok", 1.5)


def test_reports_of_a_discovery_are_kept() -> None:
    report = FakeReport()
    report.update([{"address": "10.0.0.1:80"}])
    report.failed("gone")
    assert (report.updates, report.failures) == ([[{"address": "10.0.0.1:80"}]], ["gone"])


# -- the stage


CALL = HEAD.pack(15, 7, 4) + b"echohi"
ANSWER = HEAD.pack(11, 1, 0) + b"hi"


def test_a_stage_takes_a_request_to_the_server_and_its_answer_back() -> None:
    stage = Stage(Quill())
    client = stage.client()
    stage.say(client, CALL)
    assert stage.server.take() == HEAD.pack(15, 1, 4) + b"echohi"
    stage.say(stage.server, ANSWER)
    assert client.take() == HEAD.pack(11, 7, 0) + b"hi"


def test_a_stage_asks_filters_and_its_clock_ends_what_is_never_answered() -> None:
    outcomes: list[str] = []

    def deny(exchange: Any) -> Reply | None:
        return Reply(ErrorKind.DENIED, "no") if exchange.get("service") == "say" else None

    stage = Stage(
        Quill(),
        hooks={"on_request": (deny,), "on_complete": (lambda exchange: outcomes.append(exchange.outcome),)},
        request_timeout=3.0,
    )
    client = stage.client()
    stage.say(client, HEAD.pack(13, 8, 3) + b"say!")
    assert client.take() == HEAD.pack(11, 8, 0x80) + b"no"
    stage.say(client, CALL)
    assert isinstance(stage.clock, Clock)
    for _ in range(8):
        stage.clock.advance(0.5)
    assert outcomes == ["denied", "timeout"]


def test_behind_a_fence_no_answer_goes_to_the_wrong_client() -> None:
    stage = Stage(Crate())
    quiet, loud = stage.client(), stage.client()
    stage.say(quiet, b"set k 1 noreply\r\nx\r\n")
    stage.say(loud, b"get a\r\n")
    sent = b"".join(wire.take() for wire in stage.network.upstreams)
    assert sent == b"set k 1 noreply\r\nx\r\nversion\r\nget a\r\n"
    # The server answers the one-way request all the same; the answer stops at the fence.
    stage.say(stage.server, b"ERROR too large\r\nVERSION 1\r\nEND\r\n")
    assert (quiet.take(), loud.take()) == (b"", b"END\r\n")
