"""Polls over HTTP, whose answers the test gives."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from envoy.config.core.v3 import base_pb2
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from xds_stage import CLUSTERS, ROUTES, RecordingSink

from metaproxy.clients.http import Answer, HttpFailed
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.handler import ServerState
from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.rest import RestPoller, response_of
from metaproxy.xds.subscription import MAX_DETAIL

TYPE = "type.googleapis.com/"


class Poll:
    """A poller, and the calls that it made."""

    def __init__(self, kind: ResourceType = CLUSTERS, token: str = "") -> None:
        self.clock = Clock()
        self.sink = RecordingSink()
        self.counts = ServerCounts()
        self.kind = kind
        self.state = ServerState("demo", [kind], self.sink, self.counts)
        self.calls: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.waiting: list[Deferred[Answer]] = []
        self.poller = RestPoller(
            "demo", kind, "http://cp:80", self, base_pb2.Node(id="n1"), self.state, self.counts, self.clock, 5.0,
            lambda: token,
        )  # fmt: skip

    def call(
        self, method: str, url: str, timeout: float, headers: Iterable[tuple[str, str]] = (), body: bytes = b"",
        most: int = 0,
    ) -> Deferred[Answer]:  # fmt: skip
        assert method == "POST"
        self.calls.append((url, json.loads(body), dict(headers)))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, version: str, *resources: dict[str, Any], status: int = 200) -> None:
        body = json.dumps({"version_info": version, "type_url": self.kind.url, "resources": resources}).encode()
        self.waiting.pop().callback(Answer(status, [], body))

    def fail(self, text: str = "no connection") -> None:
        self.waiting.pop().errback(Failure(HttpFailed(text)))

    @property
    def last(self) -> dict[str, Any]:
        return self.calls[-1][1]


def cluster(name: str) -> dict[str, Any]:
    return {"@type": f"{TYPE}envoy.config.cluster.v3.Cluster", "name": name}


def test_it_asks_with_node_and_kind_and_again_after_a_while_with_the_version() -> None:
    poll = Poll()
    poll.poller.start()
    url, body, _ = poll.calls[0]
    assert url == "http://cp:80/v3/discovery:clusters"
    assert (body["node"]["id"], body["type_url"], body.get("version_info")) == ("n1", CLUSTERS.url, None)
    poll.answer("v1", cluster("a"))
    assert [one.name for one in poll.state.stores["clusters"]] == ["a"]
    poll.clock.advance(4.9)
    assert len(poll.calls) == 1
    poll.clock.advance(0.1)
    assert poll.last["version_info"] == "v1"
    assert poll.counts.connected


def test_nothing_new_changes_nothing() -> None:
    poll = Poll()
    poll.poller.start()
    poll.answer("v1", cluster("a"))
    poll.clock.advance(5)
    poll.answer("", status=304)
    assert [one.name for one in poll.state.stores["clusters"]] == ["a"]
    poll.clock.advance(5)
    assert poll.last["version_info"] == "v1"


def test_a_refusal_goes_with_the_next_poll_and_the_version_before() -> None:
    poll = Poll()
    poll.poller.start()
    poll.answer("v1", cluster("a"))
    poll.clock.advance(5)
    poll.sink.refused = {"bad": "no"}
    poll.answer("v2", cluster("a"), cluster("bad"))
    assert len(poll.calls) == 2
    poll.clock.advance(5)
    assert poll.last["version_info"] == "v1"
    assert poll.last["error_detail"]["message"] == "bad: no"
    poll.answer("v3", cluster("a"))
    poll.clock.advance(5)
    assert "error_detail" not in poll.last


def test_the_text_of_a_refusal_is_bounded() -> None:
    poll = Poll()
    poll.poller.start()
    poll.sink.refused = {"bad": "no" * MAX_DETAIL}
    poll.answer("v1", cluster("bad"))
    poll.clock.advance(5)
    assert len(poll.last["error_detail"]["message"]) == MAX_DETAIL


def test_names_are_asked_for_as_soon_as_they_are_wanted_and_nothing_before() -> None:
    poll = Poll(ROUTES)
    poll.poller.start()
    assert poll.calls == []
    poll.state.want(ROUTES, ["r"])
    poll.poller.want(ROUTES, ["r"])
    assert poll.last["resource_names"] == ["r"]
    poll.poller.want(ROUTES, ["r", "s"])
    assert len(poll.calls) == 1
    poll.answer("v1")
    assert poll.last["resource_names"] == ["r", "s"]


@pytest.mark.parametrize("status", [404, 500, 302])
def test_another_status_is_a_failure_and_what_was_received_stays(status: int) -> None:
    poll = Poll()
    poll.poller.start()
    poll.answer("v1", cluster("a"))
    poll.clock.advance(5)
    poll.answer("v2", status=status)
    assert [one.name for one in poll.state.stores["clusters"]] == ["a"]
    assert poll.counts.of(CLUSTERS).failures == 1
    assert not poll.counts.connected


def test_polls_that_fail_are_further_apart_up_to_a_bound() -> None:
    poll = Poll()
    poll.poller.start()
    for _ in range(30):
        poll.fail()
        poll.clock.advance(30)
        assert poll.waiting, "it asks again in 30 s at most"
    assert poll.counts.of(CLUSTERS).failures == 30


def test_a_token_is_shown() -> None:
    poll = Poll(token="abc")
    poll.poller.start()
    assert poll.calls[0][2]["authorization"] == "Bearer abc"


def test_one_that_is_stopped_asks_no_more() -> None:
    poll = Poll()
    poll.poller.start()
    poll.poller.stop()
    poll.clock.advance(60)
    assert len(poll.calls) == 1
    assert poll.clock.getDelayedCalls() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"versoin_info": "1"}'])
def test_an_answer_that_is_none_is_a_failure_that_says_why(body: bytes) -> None:
    with pytest.raises(HttpFailed):
        response_of(body)
