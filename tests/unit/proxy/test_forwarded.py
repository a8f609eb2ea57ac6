"""A filter that sends another message in the place of the request, and one in the place of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from leftovers import no_collector
from reel import Reel, credits_of, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.interfaces import IExchange
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Mutation, Reply, Side
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.stream import Half, Stream
from metaproxy.routing.table import Route, Target
from metaproxy.testing import Stage

MOST = 200_000


def joined(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.frame for chunk in chunks)


class Whole:
    """Makes whole messages of the streams of both sides, in capitals; too much is refused."""

    def __init__(self) -> None:
        self.kind = Kind.RESPONSE

    def on_request(self, exchange: IExchange) -> Deferred[Reply | None]:
        def go_on(chunks: list[Chunk] | None) -> Reply | None:
            if chunks is None:
                return Reply(ErrorKind.BAD_REQUEST, "too much")
            exchange.forward_as(Message(Kind.REQUEST, frame("W", 0, joined(chunks).upper()), 0, {}))
            return None

        return exchange.gather(MOST).addCallback(go_on)

    def on_response(self, exchange: IExchange) -> Deferred[Reply | None]:
        def go_on(chunks: list[Chunk] | None) -> Reply | None:
            if chunks is None:
                return Reply(ErrorKind.BAD_RESPONSE, "too much")
            exchange.answer_as(Message(self.kind, frame("W", 0, joined(chunks) + b"!")))
            return None

        return exchange.gather(MOST).addCallback(go_on)


def stage_of(whole: Whole, **settings: object) -> Stage:
    hooks = {"on_request": (whole.on_request,), "on_response": (whole.on_response,)}
    return Stage(Reel(), hooks=hooks, **settings)  # type: ignore[arg-type]


def test_the_chunks_of_a_request_are_gathered_and_a_whole_one_goes_in_their_place() -> None:
    stage = stage_of(Whole())
    client = stage.client()
    stage.say(client, frame("O", 7, b"head") + frame("D", 7, b"one "))
    assert stage.network.upstreams == []
    stage.say(client, frame("C", 7, b"two"))
    assert frames(stage.server.take()) == [("W", 1, b"ONE TWO")]


def test_the_client_gets_credit_as_the_chunks_of_its_request_come() -> None:
    stage = stage_of(Whole())
    client = stage.client()
    stage.say(client, frame("O", 7, b"head"))
    for _ in range(3):
        stage.say(client, frame("D", 7, bytes(60_000)))
    assert credits_of(stage.downstream(client).session) == {7: 180_000}


def test_a_whole_message_has_no_chunks() -> None:
    stage = stage_of(Whole())
    stage.say(stage.client(), frame("W", 7, b"whole"))
    assert frames(stage.server.take()) == [("W", 1, b"")]


def test_a_request_with_more_than_the_filter_wants_is_answered_by_it_at_once() -> None:
    stage = stage_of(Whole())
    client = stage.client()
    stage.say(client, frame("O", 7, b"head"))
    for _ in range(4):
        stage.say(client, frame("D", 7, bytes(60_000)))
    assert frames(client.take()) == [("E", 7, b"bad_request: too much")]
    stage.say(client, frame("C", 7))
    assert stage.network.upstreams == []


def test_the_chunks_of_an_answer_are_gathered_and_a_whole_one_goes_in_their_place() -> None:
    stage = stage_of(Whole())
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1) + frame("D", 1, b"a"))
    stage.say(stage.server, frame("D", 1, b"b"))
    assert client.take() == b""
    stage.say(stage.server, frame("C", 1, b"c"))
    assert frames(client.take()) == [("W", 7, b"abc!")]
    assert stage.route.targets[0].counts.outcomes == {"ok": 1}
    assert (stage.endpoints[0].active, stage.endpoints[0].counts.successes) == (0, 1)


def test_the_server_gets_credit_as_the_chunks_of_its_answer_come() -> None:
    whole = Whole()
    stage = Stage(Reel(window=1000), hooks={"on_response": (whole.on_response,)})
    stage.say(stage.client(), frame("W", 7))
    stage.server.take()
    stage.say(stage.server, frame("O", 1) + frame("D", 1, bytes(600)))
    assert frames(stage.server.take()) == [("w", 1, (600).to_bytes(4, "big"))]


@pytest.mark.parametrize("kind, outcome", [(Kind.RESPONSE, "ok"), (Kind.ERROR, "error")])
def test_what_the_client_gets_decides_the_outcome_and_what_the_server_said_what_is_thought_of_it(
    kind: Kind, outcome: str
) -> None:
    whole = Whole()
    whole.kind = kind
    stage = stage_of(whole)
    stage.say(stage.client(), frame("W", 7))
    stage.say(stage.server, frame("O", 1) + frame("X", 1))
    assert stage.route.targets[0].counts.outcomes == {outcome: 1}
    assert stage.endpoints[0].counts.errors == 1


def test_an_answer_with_more_than_the_filter_wants_is_given_up() -> None:
    stage = stage_of(Whole())
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1))
    for _ in range(4):
        stage.say(stage.server, frame("D", 1, bytes(60_000)))
    assert frames(client.take()) == [("E", 7, b"bad_response: too much")]
    assert frames(stage.server.take())[-1][0] == "R"
    assert stage.endpoints[0].active == 0


def test_a_filter_may_answer_a_stream_by_a_whole_message_without_its_chunks() -> None:
    def answer(exchange: IExchange) -> None:
        exchange.answer_as(Message(Kind.RESPONSE, frame("W", 0, b"enough")))

    stage = Stage(Reel(), hooks={"on_response": (answer,)})
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.server.take()
    stage.say(stage.server, frame("O", 1) + frame("D", 1, b"a"))
    assert frames(client.take()) == [("W", 7, b"enough")]
    assert [one[0] for one in frames(stage.server.take())] == ["R"]
    assert stage.endpoints[0].active == 0


def test_a_filter_may_replace_the_head_of_an_answer_and_its_end() -> None:
    def answer(exchange: IExchange) -> None:
        exchange.answer_as(Message(Kind.STREAM_OPEN, frame("O", 0, b"other")))

    def on_chunk(exchange: IExchange, chunk: Chunk, side: Side) -> Chunk:
        return Chunk(chunk.kind, b"<" + chunk.frame + b">", chunk.id, failed=True)

    stage = Stage(Reel(), hooks={"on_response": (answer,), "on_chunk": (on_chunk,)})
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1, b"head") + frame("C", 1, b"end"))
    assert frames(client.take()) == [("O", 7, b"other"), ("X", 7, b"<end>")]


def test_the_time_for_an_answer_runs_from_the_end_of_the_request() -> None:
    stage = stage_of(Whole(), request_timeout=10.0)
    client = stage.client()
    stage.say(client, frame("O", 7, b"head"))
    stage.clock.advance(30)
    stage.say(client, frame("C", 7))
    assert frames(stage.server.take()) == [("W", 1, b"")]
    stage.clock.advance(9)
    assert client.take() == b""
    stage.clock.advance(2)
    assert frames(client.take())[0][2].startswith(b"timeout: ")


class Careful(Reel):
    """Only what is sent as BODY may be executed twice."""

    def safe(self, request: Message) -> bool:
        return request.frame[9:] == b"BODY"


def test_another_try_sends_the_same_message_if_that_is_safe() -> None:
    whole = Whole()
    policy = RetryPolicy(attempts=2, on=("reset",))
    target = Target(Stage(Careful(), endpoints=2).cluster)
    before, behind = (whole.on_request,), (whole.on_response,)
    route = Route("all", targets=[target], retry=policy, on_request=before, on_response=behind)
    stage = Stage(Reel(), routes=[route])
    client = stage.client()
    stage.say(client, frame("O", 7, b"head") + frame("C", 7, b"body"))
    first = stage.network.upstreams[0]
    assert frames(first.take()) == [("W", 1, b"BODY")]
    stage.say(first, frame("R", 1))
    stage.clock.advance(1)
    assert frames(stage.network.upstreams[1].take()) == [("W", 1, b"BODY")]
    stage.say(stage.network.upstreams[1], frame("W", 1, b"good"))
    assert frames(client.take()) == [("W", 7, b"!")]


class Written(Reel):
    """Writes mutations behind the payload, with its own name."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        return frame("W", 0, message.frame[9:] + f" {self.label}:{dict(mutation.set)}".encode())


def test_changes_to_what_is_sent_in_its_place_are_made_by_the_codec_of_its_cluster() -> None:
    def on_request(exchange: IExchange) -> None:
        exchange.set("before", "1")
        exchange.forward_as(Message(Kind.REQUEST, frame("W", 0, b"other"), 0, {}))
        exchange.set("after", "2")

    stage = Stage(Written("listener"), hooks={"on_request": (on_request,)})
    stage.cluster.codec = Written("cluster")
    stage.say(stage.client(), frame("W", 7, b"mine"))
    assert frames(stage.server.take()) == [("W", 1, b"other cluster:{'before': '1', 'after': '2'}")]


def test_a_reply_may_be_a_message_that_the_clients_session_sends() -> None:
    def on_request(exchange: IExchange) -> Reply:
        return Reply(ErrorKind.BAD_REQUEST, "details", Message(Kind.ERROR, frame("E", 0, b"made")))

    stage = Stage(Reel(), hooks={"on_request": (on_request,)})
    client = stage.client()
    stage.say(client, frame("W", 7))
    assert frames(client.take()) == [("E", 7, b"made")]


ENDS: dict[str, Callable[[Stage], object]] = {
    "the answer is whole": lambda stage: stage.say(stage.server, frame("C", 1)),
    "the server resets it": lambda stage: stage.say(stage.server, frame("R", 1)),
    "the server goes": lambda stage: stage.server.end(),
    "its time is up": lambda stage: stage.clock.advance(1000),
}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left_of_a_gathered_exchange_however_it_ends(end: str) -> None:
    stage = stage_of(Whole())
    with no_collector(Exchange, Attempt, Stream, Half) as left:
        client = stage.client()
        stage.say(client, frame("O", 7, b"ask") + frame("C", 7, b"one"))
        stage.say(stage.server, frame("O", 1, b"head") + frame("D", 1, b"two"))
        ENDS[end](stage)
        stage.clock.advance(0)
        assert len(frames(client.take())) == 1
        assert left.count() == {}


def test_nothing_is_left_of_a_client_that_goes_while_its_request_is_gathered() -> None:
    stage = stage_of(Whole())
    with no_collector(Exchange, Attempt, Stream, Half) as left:
        client = stage.client()
        stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"one"))
        client.end()
        assert left.count() == {}
