"""Copies of requests: they never slow or fail the original, and are compared if asked."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from bank import Bank
from harness import LineCodec, Quill, Stage, Wire, answer, call
from reachable import reachable
from reel import Reel, frame, frames

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, Message, Reply, Side
from metaproxy.proxy import mirror_target as module
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.support.compiled import running


class Mirrored(Stage):
    """A stage whose route copies to a cluster `shadow` at 127.0.0.1:2000."""

    def __init__(self, share: float = 1.0, compare: bool = False, most: int = 100, **settings: Any) -> None:
        super().__init__(**settings)
        self.shadow = Cluster(
            "shadow", self.codec, [Endpoint("127.0.0.1:2000")], RoundRobin, breaker=Breaker(max_requests=most),
            request_timeout=5.0,
        )  # fmt: skip
        self.target = MirrorTarget(self.shadow, share, compare)
        self.mirror = Mirror([self.target], random.Random(3).random)
        route = self.snapshot.routes.routes[0]
        route.mirror = self.mirror
        route.on_complete = (*route.on_complete, *self.mirror.hooks)
        route.on_chunk = (*route.on_chunk, *self.mirror.chunk_hooks)

    @property
    def counts(self) -> dict[str, int]:
        found = {name: getattr(self.target.counts, name) for name in type(self.target.counts).__slots__}
        return {name: number for name, number in found.items() if number}

    def wire(self, port: int) -> Wire:
        return next(wire for wire in self.network.upstreams if wire.peer.endswith(f":{port}"))

    @property
    def main(self) -> Wire:
        return self.wire(1000)

    @property
    def other(self) -> Wire:
        return self.wire(2000)


def test_a_copy_is_sent_and_its_answer_dropped() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.say(client, call(7))
    assert stage.main.take() == stage.other.take() == call(1)
    stage.say(stage.other, answer(1, b"of the mirror"))
    assert client.take() == b""
    stage.say(stage.main, answer(1))
    assert client.take() == answer(7)
    assert stage.counts == {"requests": 1}
    assert stage.target.copies == stage.target.bytes == stage.shadow.breaker.requests == 0


def test_a_copy_carries_the_changes_of_the_request() -> None:
    class Marking(Quill):
        mutable = ""

        def mutate(self, message: Message, mutation: Any) -> bytes:
            mark: str = mutation.set["mark"]
            return message.frame[:-2] + mark.encode()

    stage = Mirrored(codec=Marking(), hooks={"on_request": (lambda exchange: exchange.set("mark", "OK"),)})
    stage.say(stage.client(), call(7))
    assert stage.main.take() == stage.other.take() == call(1, body=b"OK")


def test_a_mirror_that_is_silent_costs_the_original_nothing_and_is_given_up() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.main, answer(1))
    assert client.take() == answer(7)
    stage.clock.advance(5.0)
    assert stage.counts == {"requests": 1, "failures": 1}
    assert stage.target.copies == stage.shadow.breaker.requests == 0


def test_a_mirror_whose_bytes_are_not_the_protocol_loses_its_connection_and_no_more_b2() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.other, b"\xff" * 64)
    assert stage.counts == {"requests": 1, "failures": 1}
    stage.say(stage.main, answer(1))
    assert client.take() == answer(7)


def test_a_mirror_that_refuses_connections_is_counted() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.network.accept = False
    stage.say(client, call(7))
    for _, protocol in stage.network.dialled:
        if protocol.endpoint.address.endswith(":2000"):
            protocol.connectionFailed("refused", False)
    assert stage.counts == {"requests": 1, "failures": 1}
    assert client.take() == b""


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 1.0])
def test_the_share_is_kept(share: float) -> None:
    count = 4000
    stage = Mirrored(share=share, most=count + 1)
    client = stage.client()
    for number in range(count):
        stage.say(client, call(1))
        stage.say(stage.main, answer(number + 1))
        if stage.target.copies:
            stage.say(stage.other, answer(stage.target.counts.requests))
    sent = stage.target.counts.requests
    assert abs(sent - share * count) <= 5 * math.sqrt(count * share * (1 - share))
    assert stage.target.copies == 0


def test_what_was_not_forwarded_is_not_copied() -> None:
    stage = Mirrored(hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED),)})
    stage.say(stage.client(), call(7))
    assert stage.network.dialled == []
    stage = Mirrored(endpoints=0)
    stage.say(stage.client(), call(7))
    assert stage.network.dialled == []


def test_more_copies_than_the_bounds_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1, 100):
        stage = Mirrored(most=most)
        if most > 1:
            monkeypatch.setattr(module, "MAX_COPIES", 1)
        client = stage.client()
        stage.say(client, call(7))
        stage.say(client, call(8))
        assert stage.counts == {"requests": 1, "dropped": 1}


def test_a_mirror_that_reads_slowly_gets_nothing_until_it_caught_up_and_the_client_is_not_paused() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.say(client, call(7))
    stage.other.protocol.pauseProducing()
    assert not client.paused
    stage.say(client, call(8))
    assert stage.counts == {"requests": 1, "dropped": 1}
    stage.other.protocol.resumeProducing()
    stage.say(client, call(9))
    assert stage.counts == {"requests": 2, "dropped": 1}


def test_a_client_that_is_gone_leaves_its_copies() -> None:
    stage = Mirrored(compare=True)
    client = stage.client()
    stage.say(client, call(7))
    client.end()
    stage.say(stage.other, answer(1))
    assert stage.counts == {"requests": 1}
    assert stage.target.copies == 0


def test_requests_that_bind_a_connection_are_not_copied() -> None:
    stage = Mirrored(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"begin\n")
    stage.say(stage.main, b"ok\n")
    stage.say(client, b"get a\n")
    assert stage.counts == {}


def test_a_oneway_request_is_copied() -> None:
    stage = Mirrored(codec=LineCodec())
    stage.say(stage.client(), b"tell a\n")
    assert stage.other.take() == b"tell a\n"
    assert stage.counts == {"requests": 1} and stage.target.copies == 0


@pytest.mark.parametrize("mirror_first", [True, False])
def test_answers_are_compared_whichever_comes_first(mirror_first: bool) -> None:
    stage = Mirrored(compare=True)
    client = stage.client()
    told: list[tuple[str, str]] = []

    class Watcher:
        def on_complete(self, exchange: Any) -> None:
            """Only differences are of interest."""

        def on_difference(self, exchange: Any, cluster: str, answer: Message, text: str) -> None:
            told.append((cluster, text))

    stage.mirror.watchers = [Watcher().on_complete]
    for id, body in ((1, b"hi"), (2, b"ho")):
        stage.say(client, call(7))
        pieces = [(stage.main, answer(id)), (stage.other, answer(id, body))]
        for wire, data in reversed(pieces) if mirror_first else pieces:
            stage.say(wire, data)
    assert stage.counts == {"requests": 2, "compared": 2, "differences": 1}
    assert told == [("shadow", "byte 14 differs: b'i' became b'o'")]
    assert list(stage.target.last) == [("-", told[0][1])]
    assert stage.mirror.copied == 0


def test_an_answer_that_became_an_error_differs() -> None:
    stage = Mirrored(codec=LineCodec(), compare=True)
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.say(stage.main, b"1\n")
    stage.say(stage.other, b"fail x\n")
    assert stage.target.last[0] == ("get", "response became error")
    stage.say(client, b"get a\n")
    stage.say(stage.main, b"1\n")
    stage.say(stage.other, b"12\n")
    assert stage.target.last[1][1].startswith("byte 1 differs")


def test_where_a_filter_translates_the_answers_are_not_compared() -> None:
    class Other(Quill):
        name = "other"

    stage = Mirrored(compare=True)
    stage.shadow.codec = Other()
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.main, answer(1))
    stage.say(stage.other, answer(1, b"different"))
    assert client.take() == answer(7)
    assert stage.counts == {"requests": 1}


def test_an_original_that_is_not_compared_is_not_kept_for_the_mirror() -> None:
    stage = Mirrored()
    client = stage.client()
    kept: list[Any] = []
    send = stage.target.send
    stage.target.send = lambda exchange, message: kept.append(send(exchange, message)) or kept[-1]  # type: ignore[func-returns-value, method-assign]
    stage.say(client, call(7))
    assert kept[0].exchange is None


def test_answers_that_wait_to_be_compared_count_as_bytes_under_way() -> None:
    stage = Mirrored(compare=True)
    client = stage.client()
    stage.say(client, call(7))
    assert stage.target.bytes == len(call(7))
    stage.say(stage.main, answer(1, b"x" * 500))
    assert stage.target.bytes == len(call(7)) + len(answer(1, b"x" * 500))
    stage.clock.advance(5.0)
    assert stage.target.bytes == 0 and stage.counts == {"requests": 1, "failures": 1}


@pytest.mark.parametrize("method", ["session", "send"])
def test_a_codec_that_fails_for_the_mirror_leaves_nothing_under_way(method: str) -> None:
    class Broken(Quill):
        def session(self, side: Side, max_frame: int) -> Any:
            if method == "session":
                raise SystemExit(1)
            session: Any = super().session(side, max_frame)
            session.send = lambda message, id: [][1]
            return session

    stage = Mirrored()
    stage.shadow.codec = Broken()
    client = stage.client()
    for id in range(3):
        stage.say(client, call(id))
    stage.say(stage.main, answer(1) + answer(2) + answer(3))
    assert client.take() == answer(0) + answer(1) + answer(2)
    assert stage.shadow.breaker.requests == stage.target.copies == stage.target.bytes == 0
    assert stage.counts["failures"] == 3


# -- streams


def compared(main: bytes, other: bytes, mirror_first: bool = False) -> Mirrored:
    """A whole request, and the frames of both answers as Reel has them."""
    stage = Mirrored(codec=Reel(), compare=True)
    stage.say(stage.client(), frame("W", 7, b"ask"))
    says = [(stage.main, main), (stage.other, other)]
    for wire, data in reversed(says) if mirror_first else says:
        stage.say(wire, data)
    assert stage.target.copies == stage.target.bytes == stage.mirror.copied == stage.shadow.breaker.requests == 0
    return stage


ONE = frame("O", 1, b"head") + frame("D", 1, b"onetwo") + frame("C", 1, b"three")


@pytest.mark.parametrize("mirror_first", [True, False])
@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (frame("O", 1, b"other head") + frame("D", 1, b"one") + frame("C", 1, b"twothree"), None),
        (frame("O", 1, b"head") + frame("C", 1, b"onetwothree!"), "11 bytes became 12"),
        (frame("O", 1, b"head") + frame("C", 1, b"onetwoTHREE"), "other bytes among 11"),
        (frame("O", 1, b"head") + frame("X", 1, b"onetwothree"), "response became error"),
        (frame("W", 1, b"head onetwothree"), None),
        (frame("W", 1, b"three"), "the 11 bytes of a stream are not the end of the whole answer"),
    ],
)
def test_answers_that_are_streams_are_compared_by_failure_size_and_hash_wherever_they_are_cut(
    other: bytes, differs: str | None, mirror_first: bool
) -> None:
    stage = compared(ONE, other, mirror_first)
    assert stage.counts["compared"] == 1
    assert [how for _, how in stage.target.last] == ([differs] if differs else [])


@pytest.mark.skipif(running() == "compiled", reason="from what is compiled all of its module can be reached")
def test_a_long_answer_of_a_mirror_is_not_kept() -> None:
    stage = Mirrored(codec=Reel(), compare=True)
    client = stage.client()
    stage.say(client, frame("W", 7, b"ask"))
    for wire in (stage.main, stage.other):
        stage.say(wire, frame("O", 1))
        for _ in range(300):
            stage.say(wire, frame("D", 1, bytes(60000)))
            client.take()
    copies = [one for one in reachable(stage.mirror) if isinstance(one, bytes) and len(one) > 10000]
    assert copies == []
    for wire in (stage.main, stage.other):
        stage.say(wire, frame("C", 1))
    assert stage.counts == {"requests": 1, "compared": 1}


def test_an_original_that_was_cut_off_is_not_compared() -> None:
    stage = Mirrored(codec=Reel(), compare=True)
    client = stage.client()
    stage.say(client, frame("W", 7, b"ask"))
    stage.say(stage.main, frame("O", 1) + frame("D", 1, b"one"))
    stage.say(client, frame("R", 7))
    stage.say(stage.other, ONE)
    assert stage.counts == {"requests": 1}
    assert stage.mirror.copied == 0


@pytest.mark.parametrize("compare", [True, False])
def test_a_mirror_that_never_stops_sending_is_given_up_some_time_after_the_original(compare: bool) -> None:
    stage = Mirrored(codec=Reel(), compare=compare)
    stage.say(stage.client(), frame("W", 7, b"ask"))
    stage.say(stage.main, ONE)
    stage.say(stage.other, frame("O", 1))
    for _ in range(4):
        stage.clock.advance(2.0)
        stage.say(stage.other, frame("D", 1, b"more"))
    assert stage.target.copies == stage.shadow.breaker.requests == 0
    assert frames(stage.other.take())[-1][0] == "R"


def test_a_mirrors_answer_has_its_time_for_each_piece() -> None:
    stage = Mirrored(codec=Reel(), compare=True)
    stage.say(stage.client(), frame("W", 7, b"ask"))
    stage.say(stage.main, frame("O", 1))
    stage.say(stage.other, frame("O", 1))
    for _ in range(5):
        stage.clock.advance(4.0)
        stage.say(stage.other, frame("D", 1, b"x"))
    assert stage.target.copies == 1
    stage.clock.advance(6.0)
    assert stage.counts == {"requests": 1, "failures": 1}


def test_chunks_of_an_original_cost_nothing_where_nobody_compares() -> None:
    assert Mirrored(codec=Reel()).route.on_chunk == ()


def borrowed(compare: bool = True) -> tuple[Mirrored, Wire]:
    """Clients that borrow connections for their requests, here and at the mirror; the first has logged in."""
    stage = Mirrored(compare=compare, codec=Bank())
    stage.shadow.connections = ConnectionSettings(mode="transaction", per_endpoint=2)
    client = stage.client()
    stage.say(client, b"login ann d\n")
    stage.main.take()
    stage.say(stage.main, b"welcome\n")
    client.take()
    return stage, client


def test_of_requests_that_borrow_a_connection_those_that_read_are_copied_and_compared() -> None:
    stage, client = borrowed()
    stage.say(client, b"read a\n")
    stage.say(stage.main, b"i one\n")
    assert stage.other.take() == b"hello d \n"
    stage.say(stage.other, b"welcome\n")
    assert stage.other.take() == b"read a\n"
    stage.say(stage.other, b"i two\n")
    assert (client.take(), stage.counts) == (b"i one\n", {"requests": 1, "compared": 1, "differences": 1})
    stage.say(client, b"write a\n")
    stage.say(stage.main, b"t begun\n")
    stage.say(client, b"read a\n")
    stage.say(stage.main, b"t mine\n")
    assert stage.counts["requests"] == 1, "neither what writes nor what is in a transaction"


def test_a_copy_that_leaves_a_transaction_open_costs_the_mirror_its_connection() -> None:
    stage, client = borrowed(compare=False)
    stage.say(client, b"read a\n")
    stage.other.take()
    stage.say(stage.other, b"welcome\n")
    stage.say(stage.other, b"t open\n")
    assert (stage.other.closed, stage.shadow.breaker.connections, stage.shadow.breaker.requests) == (True, 0, 0)


def test_which_node_of_its_own_cluster_a_client_came_for_means_nothing_to_a_mirror() -> None:
    stage = Mirrored()
    client = stage.client()
    stage.cluster.endpoints[0].metadata["node"] = "1"
    stage.cluster.refresh()
    stage.downstream(client).facts["destination.node"] = "1"
    stage.say(client, call(7))
    assert stage.main.take() == stage.other.take() == call(1)
