"""A pinned Redis client on the data path: one connection, answers in order, local replies between, the end."""

from __future__ import annotations

from typing import Any

from harness import Stage, Wire
from twisted.internet.defer import Deferred

from metaproxy.cluster.routes import Route, Target
from metaproxy.codecs.redis import Redis
from metaproxy.message import ErrorKind, Reply
from metaproxy.routing.matcher import compile_condition

OK = b"+OK\r\n"


def said(*texts: str) -> bytes:
    frames = []
    for text in texts:
        words = text.encode().split()
        frames.append(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    return b"".join(frames)


def confirmed(channel: str, count: int) -> bytes:
    return b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:%d\r\n" % (len(channel), channel.encode(), count)


class Refuses:
    """A filter that refuses commands by name, at once or when its Deferred fires."""

    def __init__(self, *names: str, waits: str = "") -> None:
        self.names = names
        self.waits = waits
        self.waiting: list[Deferred[Any]] = []
        self.seen: list[tuple[str, str]] = []

    def on_request(self, exchange: Any) -> Any:
        command = exchange.get("command")
        if command == self.waits:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return Reply(ErrorKind.LIMITED, "slow down") if command in self.names else None

    def on_complete(self, exchange: Any) -> None:
        self.seen.append((exchange.get("command"), exchange.outcome))


def stage_of(refuses: Refuses | None = None, **options: Any) -> Stage:
    refuses = refuses or Refuses()
    hooks = {"on_request": (refuses.on_request,), "on_complete": (refuses.on_complete,)}
    return Stage(Redis(mode="pinned"), hooks=hooks, **options)


def speak(stage: Stage, wire: Wire, *texts: str) -> None:
    stage.say(wire, said(*texts))


def test_two_clients_have_two_connections_and_logins_pass() -> None:
    stage = stage_of()
    one, two = stage.client(), stage.client()
    speak(stage, one, "AUTH anna pw", "SELECT 3")
    speak(stage, two, "AUTH bert pw")
    first, second = stage.network.upstreams
    assert (first.take(), second.take()) == (said("AUTH anna pw", "SELECT 3"), said("AUTH bert pw"))
    stage.say(first, OK + OK)
    stage.say(second, b"-WRONGPASS no\r\n")
    assert (one.take(), two.take()) == (OK + OK, b"-WRONGPASS no\r\n")


def test_the_first_command_picks_the_cluster_and_later_ones_stay() -> None:
    first, other = (Stage(Redis(mode="pinned")).cluster for _ in range(2))
    routes = [
        Route("no", [compile_condition("key", "c")], reply=Reply(ErrorKind.DENIED, "no")),
        Route("other", [compile_condition("key", "b")], [Target(other)]),
        Route("first", targets=[Target(first)]),
    ]
    seen: list[tuple[str, str]] = []
    for route in routes:
        route.on_complete = (lambda exchange: seen.append((exchange.route, exchange.cluster)),)
    first.name, other.name = "first", "other"
    stage = Stage(Redis(mode="pinned"), routes=routes)
    client = stage.client()
    speak(stage, client, "GET a", "GET b", "GET c")
    assert stage.server.take() == said("GET a", "GET b")
    stage.say(stage.server, OK + OK)
    assert client.take() == OK + OK + b"-NOPERM no\r\n"
    assert sorted(seen) == [("first", "first"), ("no", "-"), ("other", "first")]


def test_where_a_route_has_several_clusters_each_command_counts_where_its_client_is() -> None:
    clusters = [Stage(Redis(mode="pinned")).cluster for _ in range(2)]
    for number, cluster in enumerate(clusters):
        cluster.name = f"number-{number}"
    targets = [Target(cluster) for cluster in clusters]
    stage = Stage(Redis(mode="pinned"), routes=[Route("split", targets=targets)])
    for _ in range(8):
        speak(stage, stage.client(), *["PING"] * 5)
        stage.say(stage.network.upstreams[-1], b"+PONG\r\n" * 5)
    counted = [target.counts.outcomes.get("ok", 0) for target in targets]
    assert sum(counted) == 40 and all(count % 5 == 0 for count in counted)


def test_a_refusal_is_answered_in_order_and_keeps_the_connection() -> None:
    refuses = Refuses("DEL")
    stage = stage_of(refuses)
    client = stage.client()
    speak(stage, client, "GET a", "DEL a", "SUBSCRIBE x y", "DEL b", "PING")
    assert stage.server.take() == said("GET a", "SUBSCRIBE x y", "PING")
    stage.say(stage.server, b"$1\r\n1\r\n" + confirmed("x", 1))
    refused = b"-ERR slow down\r\n"
    assert client.take() == b"$1\r\n1\r\n" + refused
    stage.say(stage.server, confirmed("y", 2) + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    assert client.take() == confirmed("x", 1) + confirmed("y", 2) + refused + pong
    assert not client.closed
    assert sorted(refuses.seen) == [
        ("DEL", "limited"), ("DEL", "limited"), ("GET", "ok"), ("PING", "ok"), ("SUBSCRIBE", "ok"),
    ]  # fmt: skip


def test_what_stands_behind_a_blocking_command_waits_and_neither_has_a_deadline() -> None:
    stage = stage_of(request_timeout=1.0)
    client = stage.client()
    speak(stage, client, "BLPOP l 0", "GET a")
    assert stage.server.take() == said("BLPOP l 0")
    stage.clock.advance(60)
    assert client.take() == b""
    stage.say(stage.server, b"*-1\r\n")
    assert (client.take(), stage.server.take()) == (b"*-1\r\n", said("GET a"))
    stage.clock.advance(2)
    assert client.take() == b"-ERR no answer within 1 s\r\n"
    stage.say(stage.server, b"$4\r\nlate\r\n")
    speak(stage, client, "GET b")
    stage.say(stage.server, b"$1\r\nb\r\n")
    assert client.take() == b"$1\r\nb\r\n"


def test_pushes_reach_the_client_while_it_blocks() -> None:
    stage = stage_of()
    client = stage.client()
    speak(stage, client, "HELLO 3")
    stage.say(stage.server, b"%1\r\n+proto\r\n:3\r\n")
    speak(stage, client, "BLPOP l 0")
    client.take()
    invalid = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    stage.say(stage.server, invalid)
    assert client.take() == invalid


def test_silent_commands_are_complete_when_they_are_sent() -> None:
    refuses = Refuses()
    stage = stage_of(refuses)
    client = stage.client()
    speak(stage, client, "CLIENT REPLY OFF", "SET a 1", "CLIENT REPLY ON", "GET a")
    stage.say(stage.server, OK + b"$1\r\n1\r\n")
    assert client.take() == OK + b"$1\r\n1\r\n"
    assert refuses.seen == [("CLIENT", "oneway"), ("SET", "oneway"), ("CLIENT", "ok"), ("GET", "ok")]
    stage.clock.advance(60)
    assert client.take() == b""


def test_a_refused_command_behind_client_reply_off_is_silent_too() -> None:
    stage = stage_of(Refuses("DEL"))
    client = stage.client()
    speak(stage, client, "CLIENT REPLY OFF", "DEL a", "CLIENT REPLY ON")
    stage.say(stage.server, OK)
    assert client.take() == OK


def test_when_the_server_closes_the_client_is_closed_without_words_of_the_proxy() -> None:
    stage = stage_of()
    client = stage.client()
    speak(stage, client, "GET a", "GET b")
    stage.say(stage.server, b"$1\r\n1\r\n")
    stage.finish(stage.server)
    assert (client.take(), client.closed) == (b"$1\r\n1\r\n", True)


def test_quit_is_answered_by_the_server_and_both_connections_end() -> None:
    stage = stage_of()
    client = stage.client()
    speak(stage, client, "GET a", "QUIT")
    assert not client.closed
    stage.say(stage.server, b"$1\r\n1\r\n" + OK)
    assert (client.take(), client.closed, stage.server.closed) == (b"$1\r\n1\r\n" + OK, True, True)


def test_what_a_client_sent_before_it_stopped_sending_is_answered() -> None:
    stage = stage_of()
    client = stage.client()
    speak(stage, client, "SET a 1", "GET a")
    stage.finish(client)
    stage.say(stage.server, OK + b"$1\r\n1\r\n")
    assert (client.take(), client.closed, stage.server.closed) == (OK + b"$1\r\n1\r\n", True, True)


def test_a_client_that_stops_sending_while_it_blocks_or_is_subscribed_is_closed() -> None:
    for text in ("BLPOP l 0", "SUBSCRIBE x"):
        stage = stage_of()
        client = stage.client()
        speak(stage, client, text)
        if text.startswith("SUBSCRIBE"):
            stage.say(stage.server, confirmed("x", 1))
        stage.finish(client)
        assert client.closed and stage.server.closed, text


def test_a_command_that_a_filter_refuses_inside_a_transaction_makes_exec_fail() -> None:
    stage = stage_of(Refuses("DEL"))
    client = stage.client()
    speak(stage, client, "MULTI", "DEL a", "EXEC")
    assert stage.server.take() == said("MULTI") + b"*1\r\n$9\r\nslow down\r\n" + said("EXEC")
    stage.say(stage.server, OK + b"-ERR unknown command 'slow down'\r\n-EXECABORT no\r\n")
    assert client.take() == OK + b"-ERR slow down\r\n-EXECABORT no\r\n"


def test_a_filter_that_takes_its_time_holds_up_what_is_behind() -> None:
    refuses = Refuses(waits="GET")
    stage = stage_of(refuses)
    client = stage.client()
    speak(stage, client, "PING", "GET a", "SUBSCRIBE x")
    assert stage.server.take() == said("PING")
    refuses.waiting[0].callback(None)
    stage.clock.advance(0)
    assert stage.server.take() == said("GET a", "SUBSCRIBE x")


def test_what_stands_behind_a_blocking_command_is_not_run_when_the_client_stops_sending() -> None:
    stage = stage_of()
    client = stage.client()
    speak(stage, client, "BLPOP l 0", "SET behind 1")
    stage.finish(client)
    assert client.closed and stage.server.closed
    assert (client.take(), stage.server.take()) == (b"", said("BLPOP l 0"))


def test_a_push_does_not_overtake_an_answer_that_a_filter_delays() -> None:
    delayed: list[Deferred[Any]] = []

    def delay(exchange: Any) -> Any:
        if exchange.get("command") == "SUBSCRIBE":
            delayed.append(Deferred())
            return delayed[0]
        return None

    stage = Stage(Redis(mode="pinned"), hooks={"on_response": (delay,)})
    client = stage.client()
    speak(stage, client, "SUBSCRIBE x", "PING")
    news = b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$2\r\nhi\r\n"
    pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    stage.say(stage.server, confirmed("x", 1) + news + news)
    assert client.take() == b""
    stage.say(stage.server, pong + news)
    assert client.take() == b""
    delayed[0].callback(None)
    stage.clock.advance(0)
    assert client.take() == confirmed("x", 1) + news + news + pong + news
    speak(stage, client, "PING")
    stage.say(stage.server, news)
    assert client.take() == news
