"""
Faults of Aeraki's proxy that have no test in their own place, each by its number: what ours does instead.

The others are tested where the code is: B2 with mirrors, B1, B4, B8, B9, B11, B23 and B27 with exchanges, B10, B12,
B13, B14 and B22 with clients' connections, B28 with listeners and pools, the codecs' C1 to C22 with the codecs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from harness import Quill, Stage, answer, call

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.cluster.routes import Route, Target
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.thrift import Thrift
from metaproxy.config.check import check
from metaproxy.message import ErrorKind, Kind, Message, Side
from metaproxy.plugins import Registry
from metaproxy.routing.matcher import compile_condition

DUBBO_CALL = bytes.fromhex(
    "dabbc20000000000000000070000003c05322e302e320964656d6f2e4563686f05302e302e30046563686f124c6a6176612f6c616e672f53747269"
    "6e673b026869480567726f75700267315a"
)
THRIFT_CALL = bytes.fromhex("0000001a80010001000000046563686f000000070b000100000002686900")


def test_b5_equal_keys_go_to_equal_endpoints_and_missing_keys_spread() -> None:
    class Keyed(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            if message.get("service") == "none":
                message.metadata = {}
            return message

    stage = Stage(codec=Keyed(), endpoints=3, balancer=lambda endpoints: RingHash(endpoints, key=["service"]))
    client = stage.client()
    stage.say(client, b"".join(call(id, "same") for id in range(30)))
    assert sum(b"same" in wire.take() for wire in stage.network.upstreams) == 1
    for other in [stage.client() for _ in range(3)]:
        stage.say(other, b"".join(call(id, "none") for id in range(30)))
    assert sum(b"none" in wire.take() for wire in stage.network.upstreams) == 3


def test_b15_half_a_request_and_half_an_answer_do_not_mix() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1) + call(2, body=b"second")[:9])
    stage.say(stage.server, answer(1)[:7])
    stage.say(client, call(2, body=b"second")[9:])
    stage.say(stage.server, answer(1)[7:] + answer(2, b"second"))
    assert client.take() == answer(1) + answer(2, b"second")


@pytest.mark.parametrize(("codec", "frame"), [(Dubbo(), DUBBO_CALL), (Thrift(), THRIFT_CALL)], ids=["dubbo", "thrift"])
def test_b20_every_metadata_value_is_a_text(codec: Any, frame: bytes) -> None:
    (message,) = codec.session(Side.CLIENT, 1000).receive(frame)
    known = message.known()
    assert known["operation"]
    assert all(isinstance(value, str) for value in known.values())
    assert message.get("no such key") is None


def test_b21_nothing_is_compiled_when_messages_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = compile_condition("service", {"regex": "e.*o"})
    stage = Stage()
    stage = Stage(routes=[Route("regex", conditions=[pattern], targets=[Target(stage.cluster)])])
    client = stage.client()

    def compiled(*arguments: Any) -> Any:
        raise AssertionError(f"compiled for a message: {arguments}")

    monkeypatch.setattr(re, "compile", compiled)
    stage.say(client, call(1) + call(2))
    assert stage.listener.counts.requests == 2


def test_b24_clients_can_tell_overload_from_a_missing_route_from_a_time_out() -> None:
    kinds = (ErrorKind.NOT_FOUND, ErrorKind.LIMITED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL, ErrorKind.BAD_REQUEST)
    dubbo = [Dubbo().reply(Message(Kind.REQUEST, DUBBO_CALL, 7), kind, "x")[3] for kind in kinds]
    assert len(set(dubbo)) == len(kinds)
    (request,) = Thrift().session(Side.CLIENT, 1000).receive(THRIFT_CALL)
    thrift = [Thrift().reply(request, kind, "x")[-5:-1] for kind in kinds]
    assert len(set(thrift)) == len(kinds)


def test_b25_an_unknown_codec_is_noticed_when_the_configuration_is_checked(tmp_path: Path) -> None:
    text = "listeners: [{name: a, listen: '127.0.0.1:1', protocol: dubo, routes: []}]"
    config, problems = check(text, "a.yaml", Registry())
    assert config is None
    assert "no codec 'dubo'; did you mean 'dubbo'?" in str(problems[0])


def test_b17_a_mirror_without_a_percentage_copies_everything() -> None:
    text = """
listeners:
  - {name: front, listen: "127.0.0.1:0", protocol: dubbo, routes: [{cluster: a, mirror: [{cluster: b}]}]}
clusters: [{name: a, endpoints: ["127.0.0.1:1"]}, {name: b, endpoints: ["127.0.0.1:2"]}]
"""
    config, problems = check(text, "b17.yaml", Registry())
    assert problems == [] and config is not None
    assert config.listeners[0].routes[0].mirror[0].percent == 100.0
