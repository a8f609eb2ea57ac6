from __future__ import annotations

from typing import Any

import pytest
from harness import HEAD, Quill, Stage, answer, call
from leftovers import no_collector
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.routes import Route, Target
from metaproxy.codecs.framing import LengthFramed
from metaproxy.interfaces import ICompletedExchange, IExchange, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Reply, Side
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.snapshot import Template
from metaproxy.routing.matcher import compile_condition


@implementer(IOnRequest, IOnResponse, IOnComplete)
class Recorder:
    """Notes each hook that is called, and answers as the test sets."""

    def __init__(self, name: str, log: list[str], request: Any = None, response: Any = None) -> None:
        self.name, self.log, self.request, self.response = name, log, request, response

    def on_request(self, exchange: IExchange) -> Any:
        self.log.append(f"{self.name} request")
        return self.request(exchange) if self.request else None

    def on_response(self, exchange: IExchange) -> Any:
        self.log.append(f"{self.name} response")
        return self.response(exchange) if self.response else None

    def on_complete(self, exchange: IExchange) -> None:
        self.log.append(f"{self.name} {exchange.outcome}")


def hooks(*filters: Any) -> dict[str, tuple[Any, ...]]:
    names = ("on_request", "on_response", "on_complete")
    return {name: tuple(getattr(one, name) for one in filters) for name in names}


def error_text(frame: bytes) -> str:
    assert HEAD.unpack_from(frame)[2] == 0x80
    return frame[13:].decode()


class OneWayQuill(Quill):
    """Quill whose services that begin with ! get no answer."""

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        if message.kind is Kind.REQUEST and (message.get("service") or "").startswith("!"):
            message.kind = Kind.ONEWAY
        return message


class MutableQuill(Quill):
    """Quill whose body takes mutations as ` key=value` behind it."""

    mutable = ""

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        more = "".join(f" {key}={value}" for key, value in mutation.set.items()).encode()
        more += "".join(f" -{key}" for key in mutation.remove).encode()
        size, id, n = HEAD.unpack_from(message.frame)
        return HEAD.pack(size + len(more), id, n) + message.frame[13:] + more


def test_an_answer_comes_back_under_the_clients_own_id() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(77))
    assert stage.server.take() == call(1)
    stage.say(stage.server, answer(1))
    assert client.take() == answer(77)
    assert stage.route.targets[0].counts.outcomes == {"ok": 1}


def test_requests_of_one_read_leave_in_one_write() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    before = stage.server.writes
    stage.say(client, call(2) + call(3) + call(4))
    assert stage.server.writes == before + 1


def test_answers_of_one_read_reach_each_client_in_one_write() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    stage.say(first, call(1) + call(2))
    stage.say(second, call(1))
    stage.say(stage.server, answer(1) + answer(3) + answer(2))
    assert (first.writes, second.writes) == (1, 1)
    assert (first.take(), second.take()) == (answer(1) + answer(2), answer(1))


def test_filters_see_requests_first_to_last_and_answers_last_to_first_b27() -> None:
    log: list[str] = []
    stage = Stage(hooks=hooks(Recorder("a", log), Recorder("b", log)))
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    assert log == ["a request", "b request", "b response", "a response", "a ok", "b ok"]


def test_a_filters_reply_ends_the_exchange_and_later_filters_see_only_its_end() -> None:
    log: list[str] = []
    refuse = Recorder("a", log, request=lambda _: Reply(ErrorKind.DENIED, "no"))
    stage = Stage(hooks=hooks(refuse, Recorder("b", log)))
    client = stage.client()
    stage.say(client, call(5))
    assert error_text(client.take()) == "no"
    assert log == ["a request", "a denied", "b denied"]
    assert stage.network.dialled == []


def test_a_filter_that_waits_on_the_way_up_resumes_at_the_next_filter_b11() -> None:
    log: list[str] = []
    gate: Deferred[None] = Deferred()
    stage = Stage(hooks=hooks(Recorder("a", log, request=lambda _: gate), Recorder("b", log)))
    client = stage.client()
    stage.say(client, call(1))
    assert log == ["a request"]
    gate.callback(None)
    stage.clock.advance(0)
    assert log == ["a request", "b request"]
    assert stage.server.take() == call(1)


def test_a_filter_that_waits_on_the_way_down_loses_no_answer_b11() -> None:
    log: list[str] = []
    gate: Deferred[None] = Deferred()
    stage = Stage(hooks=hooks(Recorder("a", log), Recorder("b", log, response=lambda _: gate)))
    client = stage.client()
    stage.say(client, call(3))
    stage.say(stage.server, answer(1))
    assert client.take() == b""
    gate.callback(None)
    stage.clock.advance(0)
    assert client.take() == answer(3)
    assert log[2:] == ["b response", "a response", "a ok", "b ok"]


def test_an_exchange_that_ended_while_a_filter_waited_is_not_resumed() -> None:
    log: list[str] = []
    gate: Deferred[None] = Deferred()
    stage = Stage(hooks=hooks(Recorder("a", log, request=lambda _: gate)))
    client = stage.client()
    stage.say(client, call(1))
    client.end()
    gate.callback(None)
    stage.clock.advance(0)
    assert log == ["a request", "a downstream_gone"]
    assert stage.network.dialled == []


def test_a_filter_that_raises_costs_its_exchange_and_no_other() -> None:
    log: list[str] = []

    def fail(exchange: IExchange) -> None:
        if exchange.get("service") == "bad":
            raise ValueError("broken filter")

    stage = Stage(hooks=hooks(Recorder("a", log, request=fail)))
    client = stage.client()
    stage.say(client, call(1, "bad") + call(2))
    assert error_text(client.take()) == "a filter failed"
    stage.say(stage.server, answer(1))
    assert client.take() == answer(2)
    assert stage.listener.counts.filter_errors == 1


def test_a_request_that_matches_no_route_gets_the_protocols_error() -> None:
    route = Route("only", conditions=[compile_condition("service", "known")], reply=Reply(ErrorKind.DENIED))
    stage = Stage(routes=[route])
    client = stage.client()
    stage.say(client, call(1, "unknown"))
    assert "no route matched" in error_text(client.take())
    assert stage.no_route.reply_target.counts.outcomes == {"not_found": 1}


def test_a_request_whose_metadata_cannot_be_decoded_is_refused_and_the_connection_stays() -> None:
    class Opaque(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            message.metadata, message.more = None, self._fail
            return message

        def _fail(self, message: Message) -> None:
            raise FrameError("no service in it")

    route = Route("only", conditions=[compile_condition("service", "x")], reply=Reply(ErrorKind.DENIED))
    stage = Stage(codec=Opaque(), routes=[route])
    client = stage.client()
    stage.say(client, call(1))
    assert error_text(client.take()) == "no service in it"
    assert not client.closed


def test_a_one_way_request_is_forwarded_filtered_and_counted_b1() -> None:
    log: list[str] = []
    stage = Stage(codec=OneWayQuill(), hooks=hooks(Recorder("a", log)))
    client = stage.client()
    stage.say(client, call(9, "!tell"))
    assert stage.server.take() == call(1, "!tell")
    assert log == ["a request", "a oneway"]
    assert stage.listener.counts.oneway == 1
    assert stage.listener.counts.active_exchanges == 0
    assert stage.cluster.breaker.requests == 0


def test_an_unanswered_request_times_out_with_the_protocols_error_b4() -> None:
    stage = Stage(request_timeout=2.0)
    client = stage.client()
    stage.say(client, call(1))
    stage.clock.advance(1.9)
    assert client.take() == b""
    stage.clock.advance(0.2)
    assert error_text(client.take()) == "no answer within 2 s"
    assert stage.route.targets[0].counts.outcomes == {"timeout": 1}
    stage.say(stage.server, answer(1))  # too late
    assert client.take() == b""
    assert stage.endpoints[0].counts.late == 1


def test_a_routes_timeout_wins_over_its_clusters() -> None:
    stage = Stage(request_timeout=60.0)
    stage.route.timeout = 1.0
    client = stage.client()
    stage.say(client, call(1))
    stage.clock.advance(1.1)
    assert error_text(client.take()) == "no answer within 1 s"


def test_a_refused_connection_is_told_to_the_client() -> None:
    stage = Stage()
    stage.network.accept = False
    client = stage.client()
    stage.say(client, call(1))
    _, protocol = stage.network.dialled[0]
    protocol.connectionFailed("ECONNREFUSED", False)
    stage.clock.advance(0)
    assert "connect to 127.0.0.1:1000 failed: ECONNREFUSED" in error_text(client.take())
    assert stage.cluster.breaker.connections == stage.cluster.breaker.pending == stage.cluster.breaker.requests == 0


def test_a_server_that_closes_fails_what_it_owes_at_once() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1) + call(2))
    stage.say(stage.server, answer(2))
    stage.server.end()
    stage.clock.advance(0)
    taken = client.take()
    assert taken.startswith(answer(2))
    assert "connection lost" in error_text(taken[len(answer(2)) :])
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "reset": 1}


def test_a_bad_answer_ends_the_exchanges_of_that_connection_alone_b2_b8() -> None:
    stage = Stage(max_frame=64)
    client = stage.client()
    stage.say(client, call(1) + call(2))
    stage.say(stage.server, answer(1) + b"\x00\x00\x00\x01" + bytes(9))
    taken = client.take()
    assert taken.startswith(answer(1))
    assert "frame of 5 bytes" in error_text(taken[len(answer(1)) :])
    assert stage.server.closed
    stage.say(client, call(3))
    assert len(stage.network.upstreams) == 2
    stage.say(stage.network.upstreams[1], answer(1))
    assert client.take() == answer(3)


def test_equal_ids_of_one_client_are_answered_each_b8() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(5, body=b"one") + call(5, body=b"two"))
    stage.say(stage.server, answer(2, b"two") + answer(1, b"one"))
    assert client.take() == answer(5, b"two") + answer(5, b"one")
    assert stage.listener.counts.active_exchanges == 0


def test_an_answer_to_nothing_is_dropped_before_anybody_gets_it_b9() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(5))
    stage.say(stage.server, answer(4711, b"stray") + answer(1))
    assert client.take() == answer(5)
    assert stage.endpoints[0].counts.unmatched == 1


def test_the_breaker_refuses_what_exceeds_max_requests() -> None:
    stage = Stage(breaker=Breaker(max_requests=1))
    client = stage.client()
    stage.say(client, call(1) + call(2))
    assert "breaker.max_requests" in error_text(client.take())
    assert stage.cluster.counts.overflow_requests == 1
    stage.say(stage.server, answer(1))
    stage.say(client, call(3))
    stage.say(stage.server, answer(2))
    assert client.take() == answer(1) + answer(3)


def test_a_cluster_without_endpoints_is_told_as_such() -> None:
    stage = Stage()
    stage.route.targets[0].cluster = Cluster("empty", stage.codec, [], RoundRobin)
    client = stage.client()
    stage.say(client, call(1))
    assert error_text(client.take()) == "no usable endpoint in cluster empty"


@pytest.mark.parametrize("where", ["request", "response"])
def test_a_routes_mutation_is_applied_in_both_directions_b3(where: str) -> None:
    stage = Stage(codec=MutableQuill())
    setattr(stage.route, where, Template({"by": "%upstream_address%", "who": "%service%"}, ("debug",)))
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    seen = stage.server.take() if where == "request" else client.take()
    by = "-" if where == "request" else "127.0.0.1:1000"
    assert seen.endswith(f"hi by={by} who=echo -debug".encode())


def test_a_filters_changes_win_over_the_routes() -> None:
    log: list[str] = []
    stage = Stage(codec=MutableQuill(), hooks=hooks(Recorder("a", log, request=lambda e: e.set("k", "filter"))))
    stage.route.request = Template({"k": "route"})
    client = stage.client()
    stage.say(client, call(1))
    assert stage.server.take().endswith(b" k=filter")


def test_weights_are_counted_apart_for_each_target() -> None:
    stage = Stage()
    other = Cluster("other", stage.codec, stage.endpoints, RoundRobin)
    targets = [Target(stage.cluster, 0), Target(other, 1)]
    stage = Stage(routes=[Route("split", targets=targets)])
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    assert (targets[0].counts.outcomes, targets[1].counts.outcomes) == ({}, {"ok": 1})


def test_an_error_answer_is_forwarded_and_counted_as_error_b23() -> None:
    stage = Stage()
    client = stage.client()
    failure = HEAD.pack(12, 1, 0x80) + b"bad"
    stage.say(client, call(1))
    stage.say(stage.server, failure)
    assert client.take() == failure
    assert stage.route.targets[0].counts.outcomes == {"error": 1}
    assert stage.endpoints[0].counts.errors == 1


def test_facts_of_the_peer_can_be_routed_on() -> None:
    near = compile_condition("source.address", {"cidr": "127.0.0.8/29"})
    stage = Stage(routes=[Route("near", conditions=[near], reply=Reply(ErrorKind.DENIED, "near"))])
    client = stage.client()
    stage.say(client, call(1))
    assert error_text(client.take()) == "near"


def test_a_client_can_not_name_a_source_of_its_own() -> None:
    class Lying(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            if message.metadata is not None:
                message.metadata["source.address"] = "10.0.0.1"
            return message

    seen: list[str | None] = []
    log: list[str] = []
    recorder = Recorder("a", log, request=lambda exchange: seen.append(exchange.get("source.address")))
    stage = Stage(codec=Lying(), hooks=hooks(recorder))
    stage.say(stage.client(), call(1))
    assert seen == ["127.0.0.9"]


def test_a_codec_that_cannot_make_an_error_leaves_the_connection_alone() -> None:
    class Mute(Quill):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            raise KeyError("mute")

    stage = Stage(codec=Mute(), routes=[])
    client = stage.client()
    stage.say(client, call(1))
    assert client.take() == b""
    assert stage.listener.counts.active_exchanges == 0


def test_the_codecs_error_decodes_to_the_requests_id() -> None:
    stage = Stage(routes=[])
    client = stage.client()
    stage.say(client, call(31))
    session = LengthFramed(13, lambda d, o: 4 + HEAD.unpack_from(d, o)[0], Quill().parse, 1000)
    (message,) = session.receive(client.take())
    assert (message.kind, message.id) == (Kind.ERROR, 31)
    assert stage.codec.session(Side.SERVER, 10).error is None


def test_an_exchange_that_has_ended_is_freed_without_the_collector() -> None:
    stage = Stage()
    client = stage.client()
    with no_collector(Exchange) as left:
        stage.say(client, b"".join(call(id) for id in range(50)))
        assert left.count()
        stage.say(stage.server, b"".join(answer(id) for id in range(1, 51)))
        assert left.count() == {}
    assert stage.route.targets[0].counts.outcomes == {"ok": 50}


def test_an_exchange_has_all_that_its_readers_are_promised() -> None:
    seen: list[Any] = []
    stage = Stage(hooks={"on_complete": (seen.append,)})
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert verifyObject(ICompletedExchange, seen[0])
    assert (seen[0].attempts, seen[0].reply_kind, seen[0].matched_route) == (1, None, stage.route)
