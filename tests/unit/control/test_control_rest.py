"""xDS over REST."""

from __future__ import annotations

import json
from typing import Any

import pytest
from browser import Response
from control_client import cluster, endpoints, publish
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.control.fleet import POLLING, Fleet
from metaproxy.control.polling import Polls
from metaproxy.control.resource_types import CLUSTERS, ENDPOINTS
from metaproxy.control.rest import Rest
from metaproxy.control.server import Control


class Stand:
    def __init__(self) -> None:
        self.clock = Clock()
        self.fleet = Fleet(self.clock)
        self.control = Control(self.clock, self.fleet)
        self.publish(1)
        reactor: Any = self.clock
        root = Rest(Polls(self.control, self.fleet))
        self._site = AdminSite(root, requestFactory=BoundedRequest, reactor=reactor)

    def publish(self, value: int) -> None:
        messages = {"a": cluster("a", value)}, {"a": endpoints("a"), "b": endpoints("b")}
        publish(self.control, {CLUSTERS.url: messages[0], ENDPOINTS.url: messages[1]})

    def post(self, path: str, body: bytes, method: str = "POST") -> Response:
        channel = self._site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
        transport = StringTransport()
        channel.makeConnection(transport)
        lines = f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", "", ""
        channel.dataReceived("\r\n".join(lines).encode() + body)
        return Response(transport.value(), method)

    def ask(self, rest: str = "clusters", **fields: object) -> Response:
        return self.post(f"/v3/discovery:{rest}", json.dumps({"node": {"id": "n"}, **fields}).encode())


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_a_client_that_names_none_gets_all_with_their_version(stand: Stand) -> None:
    found = stand.ask().json
    assert [one["name"] for one in found["resources"]] == ["a"]
    assert found["resources"][0]["@type"] == CLUSTERS.url
    assert found["version_info"] == found["nonce"]


def test_a_client_that_has_it_all_gets_304_until_something_changes(stand: Stand) -> None:
    version = stand.ask().json["version_info"]
    assert stand.ask(version_info=version, response_nonce=version).status == 304
    stand.publish(2)
    assert stand.ask(version_info=version, response_nonce=version).json["version_info"] != version


def test_of_endpoints_those_that_are_named_are_sent(stand: Stand) -> None:
    found = stand.ask("endpoints", resource_names=["b", "none"]).json
    assert [one["cluster_name"] for one in found["resources"]] == ["b"]


def test_what_a_client_refuses_is_noted_and_not_sent_again_before_it_changes(stand: Stand) -> None:
    version = stand.ask().json["version_info"]
    refusal = {"version_info": "", "response_nonce": version, "error_detail": {"message": "no good"}}
    assert stand.ask(**refusal).status == 304
    (record,) = stand.fleet.nodes.values()
    assert (record.state, [one.error for _, _, one in record.refused]) == ("refused", ["no good"])
    stand.publish(2)
    assert stand.ask(**refusal).status == 200


def test_a_node_is_in_force_when_it_has_accepted_and_away_when_it_asks_no_more(stand: Stand) -> None:
    version = stand.ask().json["version_info"]
    (record,) = stand.fleet.nodes.values()
    assert record.state == "behind"
    stand.ask(version_info=version, response_nonce=version)
    assert record.state == "in force"
    stand.clock.advance(POLLING)
    stand.post("/v3/discovery:clusters", b'{"node": {"id": "other"}}')
    assert record.state == "away"


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "where"),
    [
        ("/v3/discovery:cluster", b"{}", "POST", 404, "path"),
        ("/v3/discovery:clusters", b"{}", "GET", 405, "method"),
        ("/v3/discovery:clusters", b"[", "POST", 400, "body"),
        ("/v3/discovery:clusters", b"[]", "POST", 400, "body"),
        ("/v3/discovery:clusters", b'{"resource_names": 1}', "POST", 400, "body"),
        ("/v3/discovery:clusters", b"{}", "POST", 400, "node"),
        ("/v3/discovery:clusters", b'{"type_url": "x"}', "POST", 400, "type_url"),
    ],
)
def test_a_request_that_is_wrong_is_refused(
    stand: Stand, path: str, body: bytes, method: str, status: int, where: str
) -> None:
    answer = stand.post(path, body, method)
    assert (answer.status, answer.json["where"]) == (status, where)
