from __future__ import annotations

import random
from typing import Any

import pytest
from harness import Stage
from twisted.internet.task import Clock

from metaproxy.cluster.routes import Route, Target
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.http import Http
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.message import ErrorKind, FrameError, Message, Mutation, Reply, Side
from metaproxy.plugins import Registry
from metaproxy.proxy.reserved_keys import ReservedKeyStripper, is_reserved, strip
from metaproxy.routing import table
from metaproxy.routing.matcher import compile_condition
from metaproxy.telemetry.access_log.files import LogFiles

PLAIN = bytes.fromhex(
    "dabbc20000000000000000070000003c05322e302e320964656d6f2e4563686f05302e302e30046563686f124c6a6176612f6c616e672f53747269"
    "6e673b026869480567726f75700267315a"
)
RESERVED = {
    "X-Envoy-Peer-Metadata": "forged",
    "x-envoy-peer-metadata-id": "forged",
    "x-envoy-force-trace": "true",
    "X-REQUEST-ID": "1",
    "x-client-trace-id": "1",
    "x-forwarded-client-cert": "forged",
    "x-meta-protocol-real-server-address": "forged",
}


def parsed(frame: bytes) -> Message:
    (message,) = Dubbo().session(Side.CLIENT, 10000).receive(frame)
    return message


def sent(**more: str) -> bytes:
    """A call with reserved attachments, and others."""
    return Dubbo().mutate(parsed(PLAIN), Mutation({**RESERVED, **more}))


def edge(stage: Stage, *routes: Route) -> None:
    """Puts a table that strips into a stage."""
    table = ReservedKeyStripper(routes, random.Random(1), stage.codec)
    object.__setattr__(stage.snapshot, "routes", table)


@pytest.mark.parametrize("key", [*RESERVED, "x-envoy-anything", "X-Meta-Protocol-X"])
def test_keys_of_proxies_are_reserved_in_any_case(key: str) -> None:
    assert is_reserved(key)


@pytest.mark.parametrize("key", ["traceparent", "b3", "x-b3-traceid", "user", "request-id", "x-request-id-2", ""])
def test_others_are_not(key: str) -> None:
    assert not is_reserved(key)


def test_b26_reserved_keys_of_a_client_are_gone_from_frame_and_metadata_and_others_stay() -> None:
    message = parsed(sent(tenant="t1"))
    assert message.get("x-request-id") == "1"
    message = parsed(sent(tenant="t1"))
    strip(message, Dubbo())
    for seen in (message, parsed(message.frame)):
        assert not [key for key in seen.known() if is_reserved(key)]
        assert (seen.get("tenant"), seen.get("group"), seen.get("method")) == ("t1", "g1", "echo")


def test_b26_no_matcher_sees_a_reserved_key_and_no_server_gets_one() -> None:
    stage = Stage(Dubbo())
    forced = compile_condition("x-envoy-force-trace", {"present": True})
    trap = Route("trap", conditions=[forced], targets=[Target(stage.cluster)])
    edge(stage, trap, stage.route)
    seen: list[str | None] = []

    class Looks:
        def on_request(self, exchange: Any) -> None:
            seen.extend((exchange.route, exchange.get("x-request-id"), exchange.get("group")))

    stage.route.on_request = trap.on_request = (Looks().on_request,)
    client = stage.client()
    stage.say(client, sent())
    assert seen == ["all", None, "g1"]
    (written,) = Dubbo().session(Side.CLIENT, 10000).receive(stage.server.take())
    assert not [key for key in written.known() if is_reserved(key)]
    assert written.get("group") == "g1"


def test_a_request_without_such_keys_keeps_its_bytes() -> None:
    message = parsed(PLAIN)
    strip(message, Dubbo())
    assert message.frame is not None and message.frame == PLAIN


def test_what_cannot_be_decoded_is_refused() -> None:
    cut = PLAIN[:-6] + b"\x48\x05group"[:6]
    message = parsed(cut)
    with pytest.raises(FrameError):
        strip(message, Dubbo())
    stage = Stage(Dubbo())
    edge(stage, stage.route)
    client = stage.client()
    stage.say(client, cut)
    assert stage.network.upstreams == []
    assert client.take()[3] == 40


def test_a_thrift_call_without_headers_has_nothing_to_take_out() -> None:
    call = bytes.fromhex("80010001000000046563686f0000000700")
    frame = len(call).to_bytes(4, "big") + call
    (message,) = Thrift().session(Side.CLIENT, 1000).receive(frame)
    strip(message, Thrift())
    assert message.frame == frame


XFCC = "x-forwarded-client-cert"
SEVERAL = (
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: By=1\r\nx-request-id: 1\r\n"
    b"x-forwarded-client-cert: By=2\r\nB: c\r\n\r\n"
)


@pytest.mark.parametrize("facts", [{}, {"source.subject": "CN=a"}, {"source.identity": "spiffe://a"}])
@pytest.mark.parametrize("all", [False, True])
@pytest.mark.parametrize("way", ["always", "with_certificate", "never"])
def test_what_clients_say_of_certificates_stays_as_the_listener_says(
    way: str, all: bool, facts: dict[str, str]
) -> None:
    codec = Http()
    (message,) = codec.session(Side.CLIENT, 10000).receive(SEVERAL)
    route = Route("all", reply=Reply(ErrorKind.DENIED, "no"))
    assert ReservedKeyStripper([route], random.Random(1), codec, all, way).match(message, facts) is route
    (written,) = Http().session(Side.CLIENT, 10000).receive(message.frame)
    stays = way == "always" or (way == "with_certificate" and bool(facts))
    for seen in (message, written):
        assert (seen.get(XFCC) is not None) == stays
        assert (seen.get("x-request-id") is None) == all
        assert seen.get("b") == "c"


def test_a_request_that_says_nothing_of_certificates_keeps_its_frame() -> None:
    message = parsed(PLAIN)
    frame = message.frame
    ReservedKeyStripper(
        [Route("all", reply=Reply(ErrorKind.DENIED, "no"))], random.Random(1), Dubbo(), False, "never"
    ).match(message, {})
    assert message.frame is frame


def built(protocol: str, option: str) -> type:
    text = f"""
listeners: [{{name: a, listen: "127.0.0.1:0", protocol: {protocol}, {option} routes: [{{cluster: b}}]}}]
clusters: [{{name: b, endpoints: ["127.0.0.1:1"]}}]
"""
    registry = Registry()
    config, problems = check(text, "a.yaml", registry)
    assert config is not None, problems
    clock = Clock()
    builder = Builder(registry, clock, LogFiles(clock))
    return type(builder.build(config).listeners["a"].routes)


def test_b26_it_is_configured_and_costs_nothing_where_it_is_not() -> None:
    assert built("dubbo", "reserved_keys: strip,") is ReservedKeyStripper
    assert built("dubbo", "reserved_keys: keep,") is table.RouteTable
    assert built("dubbo", "") is table.RouteTable
    assert built("http", "forward_client_cert: never,") is ReservedKeyStripper
    assert built("http", "forward_client_cert: with_certificate,") is ReservedKeyStripper
    assert built("http", "forward_client_cert: always,") is table.RouteTable
    assert built("http", "reserved_keys: strip, forward_client_cert: always,") is ReservedKeyStripper
    assert Redis.mutable and built("redis", "reserved_keys: strip,") is table.RouteTable
