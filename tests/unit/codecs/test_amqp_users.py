"""
AMQP with the option `users`: logins end at the proxy, and a broker's connection is a client's while it has channels.

Lives here: the whole path in memory. Does not: the login's words (test_amqp_login.py).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from amqp_words import (
    HEADER,
    OPEN_OK,
    START,
    channel_open_ok,
    close,
    connection_close,
    declare_ok,
    delivered,
    method,
    open_vhost,
    published,
    queue_declare,
    start_ok,
    table,
    tune,
    tune_ok,
)  # fmt: skip

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.amqp import Amqp, login, methods, wire
from metaproxy.interfaces import IExchange
from metaproxy.message import ErrorKind, Reply, Side
from metaproxy.routing.matcher import compile_condition
from metaproxy.testing.stage import Stage, Wire
from metaproxy.units import Seconds

USERS = {"app": "secret"}
CREDENTIALS = {"user": "back", "password": "other"}
CHANNEL_OPEN = method("channel.open", 1, b"\0")
CHANNEL_CLOSE = close("channel.close", 1, 200, "")
CHANNEL_CLOSED = method("channel.close-ok", 1)
CLOSED = method("connection.close-ok", 0)
EXCLUSIVE = 4


class Room:
    """A stage with one client."""

    def __init__(self, response: bytes = b"\0app\0secret", **options: Any) -> None:
        self.stage = Stage(Amqp(users=USERS), **options)
        self.stage.cluster.credentials = CREDENTIALS
        self.client = self.stage.client()
        self.said = self.say(HEADER) + self.say(start_ok(response, blocked=True))

    @property
    def servers(self) -> list[Wire]:
        return self.stage.network.upstreams

    def say(self, data: bytes) -> bytes:
        """The client sends this; what it gets."""
        self.stage.say(self.client, data)
        return self.client.take()

    def hear(self, data: bytes, server: int = -1) -> bytes:
        """A server sends this; what the client gets."""
        self.stage.say(self.servers[server], data)
        return self.client.take()

    def logs_in(self, *, answer: bytes = OPEN_OK, server: int = -1) -> tuple[list[bytes], bytes]:
        """A broker's side of the proxy's login: what it got, step by step; what the client gets behind it."""
        wire = self.servers[server]
        steps = [wire.take()]
        for said in (START, tune(heartbeat=0)):
            self.stage.say(wire, said)
            steps.append(wire.take())
        return steps, self.hear(answer, server)

    def opens(self) -> bytes:
        self.say(tune_ok())
        self.say(open_vhost("shop"))
        return self.logs_in()[1]

    def opens_channel(self) -> None:
        """A channel on a connection that is there."""
        self.opens()
        self.say(CHANNEL_OPEN)
        assert self.servers[-1].take() == CHANNEL_OPEN
        assert self.hear(channel_open_ok()) == channel_open_ok()


def test_a_login_ends_here_and_the_brokers_open_ok_answers_it() -> None:
    room = Room()
    assert room.said == login.GREETING + tune(2047, 131072, login.HEARTBEAT)
    assert room.say(tune_ok(100, 65536, 0)) == b""
    assert room.say(open_vhost("shop")) == b""
    steps, got = room.logs_in()
    tuned = tune_ok(100, 65536, 0) + open_vhost("shop")
    assert steps == [HEADER, start_ok(b"\0back\0other"), tuned]
    assert got == OPEN_OK


def test_nothing_is_opened_at_a_broker_for_a_wrong_password() -> None:
    room = Room(b"\0app\0wrong")
    assert (room.servers, room.client.closed) == ([], True)


def test_a_client_that_understands_it_is_sent_the_refusal() -> None:
    stage = Stage(Amqp(users=USERS))
    client = stage.client()
    stage.say(client, HEADER)
    properties = table({"capabilities": {"authentication_failure_close": True}})
    words = wire.short_string(b"PLAIN") + b"\0\0\0\4\0a\0b" + wire.short_string(b"en_US")
    client.take()
    stage.say(client, method("connection.start-ok", 0, properties + words))
    refusal = client.take()
    assert wire.read_arguments(refusal, methods.METHODS[methods.CLOSE])["code"] == 403
    assert client.closed


def test_the_brokers_refusal_of_a_virtual_host_is_the_clients() -> None:
    room = Room()
    room.say(tune_ok())
    room.say(open_vhost("nowhere"))
    refusal = connection_close(530, "NOT_ALLOWED - vhost nowhere not found")
    _, got = room.logs_in(answer=refusal)
    assert got == refusal
    assert room.servers[0].take() == CLOSED
    room.say(CLOSED)
    assert room.client.closed
    assert room.servers[0].written == b""


def test_a_refused_login_at_the_broker_closes_the_client_with_320() -> None:
    room = Room()
    room.say(tune_ok())
    room.say(open_vhost())
    room.hear(START)
    got = room.hear(connection_close(403, "ACCESS_REFUSED"))
    assert wire.read_arguments(got, methods.METHODS[methods.CLOSE])["code"] == 320


def test_without_credentials_for_the_broker_a_client_is_told_and_the_proxy_does_not_fail() -> None:
    room = Room()
    room.stage.cluster.credentials = {}
    room.say(tune_ok())
    got = room.say(open_vhost())
    assert wire.read_arguments(got, methods.METHODS[methods.CLOSE])["code"] == 320
    assert room.client.closed


def test_what_a_client_sends_on_its_channels_passes_and_so_do_deliveries() -> None:
    room = Room()
    room.opens_channel()
    room.say(published())
    assert room.servers[0].take() == published()
    assert room.hear(delivered()) == delivered()


def test_a_broker_that_goes_while_a_client_has_no_channel_is_not_missed() -> None:
    room = Room()
    room.opens_channel()
    room.say(CHANNEL_CLOSE)
    assert room.hear(CHANNEL_CLOSED) == CHANNEL_CLOSED
    room.servers[0].end()
    assert (room.client.take(), room.client.closed) == (b"", False)
    room.say(CHANNEL_OPEN)
    room.logs_in()
    assert room.servers[1].take() == CHANNEL_OPEN
    assert room.hear(channel_open_ok()) == channel_open_ok()


def test_a_channel_waits_for_a_broker_that_comes_back_where_its_route_tries_again() -> None:
    room = Room()
    room.opens()
    room.servers[0].end()
    room.stage.route.retry = RetryPolicy(1)
    network = room.stage.network
    network.accept = False
    room.say(CHANNEL_OPEN)
    network.accept = True
    network.dialled[-1][1].connectionFailed("refused", False)
    room.stage.clock.advance(1)
    room.logs_in()
    assert room.servers[1].take() == CHANNEL_OPEN
    assert room.hear(channel_open_ok()) == channel_open_ok()
    assert room.hear(delivered()) == delivered()


def test_a_channel_is_opened_at_another_broker_where_the_first_goes_meanwhile_and_no_other_request_is() -> None:
    room = Room()
    room.opens()
    room.stage.route.retry = RetryPolicy(1, on=("connect", "reset"))
    room.say(CHANNEL_OPEN)
    room.servers[0].end()
    room.stage.clock.advance(1)
    room.logs_in()
    assert room.servers[1].take() == CHANNEL_OPEN
    assert room.hear(channel_open_ok()) == channel_open_ok()
    room.say(queue_declare())
    room.servers[1].end()
    assert room.client.closed
    assert len(room.servers) == 2


def test_deliveries_are_counted_where_their_channel_was_opened() -> None:
    room = Room()
    target = Target(room.stage.cluster)
    other = Route("other", [compile_condition("vhost", "other")], [Target(room.stage.cluster)])
    own = Route("own", [], [target])
    object.__setattr__(room.stage.snapshot, "routes", RouteTable([other, own], random.Random(1)))
    room.opens_channel()
    room.hear(delivered())
    assert (target.counts.outcomes["event"], other.targets[0].counts.outcomes) == (1, {})


def test_a_broker_that_says_goodbye_while_no_client_has_a_channel_there_is_used_no_more() -> None:
    room = Room()
    room.opens()
    assert room.hear(connection_close()) == b""
    assert (room.servers[0].closed, room.client.closed) == (True, False)


def test_a_broker_that_goes_while_a_client_has_a_channel_closes_the_client_with_320() -> None:
    room = Room()
    room.opens_channel()
    room.servers[0].end()
    got = room.client.take()
    assert wire.read_arguments(got, methods.METHODS[methods.CLOSE])["code"] == 320
    assert room.client.closed


def test_a_connection_without_channels_serves_the_next_client_of_the_same_state() -> None:
    room = Room()
    room.opens_channel()
    room.say(CHANNEL_CLOSE)
    room.hear(CHANNEL_CLOSED)
    second = room.stage.client()
    for data in (HEADER, start_ok(), tune_ok(), open_vhost("shop")):
        room.stage.say(second, data)
    assert second.take().endswith(OPEN_OK)
    assert len(room.servers) == 1


@pytest.mark.parametrize("way", ["closed by the client", "closed by the broker"])
def test_an_exclusive_queue_keeps_the_connection_behind_the_last_channel(way: str) -> None:
    room = Room()
    room.opens_channel()
    room.say(queue_declare("mine", EXCLUSIVE))
    room.hear(declare_ok("mine"))
    if way == "closed by the client":
        room.say(CHANNEL_CLOSE)
        room.hear(CHANNEL_CLOSED)
    else:
        room.hear(close("channel.close", 1, 404, "NOT_FOUND"))
        room.say(CHANNEL_CLOSED)
    room.servers[0].end()
    assert room.client.closed


def test_a_client_that_a_broker_has_told_to_wait_hears_of_the_end_of_that_without_a_channel() -> None:
    room = Room()
    room.opens_channel()
    blocked, unblocked = method("connection.blocked", 0, b"\3low"), method("connection.unblocked", 0)
    assert room.hear(blocked) == blocked
    room.say(CHANNEL_CLOSE)
    room.hear(CHANNEL_CLOSED)
    assert room.hear(unblocked) == unblocked
    room.servers[0].end()
    assert (room.client.take(), room.client.closed) == (b"", False)


def test_a_client_without_channels_says_goodbye_to_the_proxy_alone() -> None:
    room = Room()
    room.opens()
    assert room.say(connection_close(200, "bye")) == CLOSED
    assert room.client.closed
    assert (room.servers[0].take(), room.servers[0].closed) == (b"", False)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (tune_ok(0), 530), (tune_ok(2048), 530), (tune_ok(frame_max=0), 530), (tune_ok(frame_max=4095), 530),
        (tune_ok(frame_max=131073), 530), (method("connection.secure-ok", 0, b"\0\0\0\0"), 503),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_login_closes_the_connection(data: bytes, code: int) -> None:
    room = Room()
    got = room.say(data)
    assert wire.read_arguments(got, methods.METHODS[methods.CLOSE])["code"] == code


@pytest.mark.parametrize("data", [published(), published(b"x" * 200_000), queue_declare(), CHANNEL_CLOSE])
def test_what_is_for_a_channel_that_is_not_open_closes_its_client_and_reaches_no_broker(data: bytes) -> None:
    room = Room()
    room.opens()
    got = room.say(data)
    assert wire.read_arguments(got, methods.METHODS[methods.CLOSE])["code"] == 504
    assert (room.servers[0].take(), room.servers[0].closed) == (b"", False)


def test_what_a_client_says_of_itself_reaches_no_broker_while_it_has_no_channel() -> None:
    room = Room()
    room.opens()
    assert room.say(method("connection.blocked", 0, b"\0") + method("connection.unblocked", 0)) == b""
    assert (room.servers[0].take(), room.client.closed) == (b"", False)


def test_a_channel_that_both_sides_close_at_the_same_time_is_closed_once() -> None:
    room = Room()
    room.opens_channel()
    room.say(CHANNEL_CLOSE)
    room.servers[0].take()
    room.hear(close("channel.close", 1, 404, "NOT_FOUND") + CHANNEL_CLOSED)
    assert room.say(CHANNEL_CLOSED) == b""
    assert (room.servers[0].take(), room.client.closed) == (b"", False)


def test_an_updated_secret_changes_nothing_as_at_a_broker_that_knows_the_user_itself() -> None:
    room = Room()
    room.opens_channel()
    assert room.say(method("connection.update-secret", 0)) == method("connection.update-secret-ok", 0)
    assert room.servers[0].take() == b""


def test_a_broker_must_not_speak_before_its_turn() -> None:
    session = Amqp(users=USERS).session(Side.SERVER, 1 << 20)
    session.open(login.Profile("app", b"/", table({}), 131072, 2047), CREDENTIALS)
    session.receive(tune())
    assert session.error is not None


def test_heartbeats_are_spoken_with_a_broker_as_it_was_agreed_there() -> None:
    session = Amqp(users=USERS).session(Side.SERVER, 1 << 20)
    session.open(login.Profile("app", b"/", table({}), 131072, 2047), CREDENTIALS)
    for said in (START, tune(heartbeat=10), OPEN_OK):
        session.receive(said)
    session.owed()
    session.beat(100.0)
    session.beat(101.0)
    assert not session.owes
    session.beat(105.5)
    assert session.owed() == wire.BEAT
    session.beat(122.0)
    assert session.error is not None


def test_a_health_check_asks_what_a_broker_says_first() -> None:
    codec = Amqp(users=USERS)
    session = codec.session(Side.SERVER, 1 << 20)
    assert (session.open(None, CREDENTIALS), session.ready) == (b"", True)
    assert session.send(codec.probe(), 1) == HEADER
    (answer,) = session.receive(START)
    assert codec.alive(answer)


# -- answers that are refused

NOT_THERE = close("channel.close", 1, 404, "NOT_FOUND - no exchange", "exchange.declare")


def denied(answer: bytes, about: str) -> bool:
    number = next(number for number, one in methods.METHODS.items() if one.name == about)
    return answer == wire.close_channel(1, 403, "ACCESS_REFUSED - not here", number)


@pytest.mark.parametrize("refused", ["channel.open", "queue.declare"])
def test_a_client_whose_answer_is_refused_loses_its_channel_and_its_broker_may_go_then(refused: str) -> None:
    def refuse(exchange: IExchange) -> Reply | None:
        return Reply(ErrorKind.DENIED, "not here") if exchange.get("method") == refused else None

    room = Room(hooks={"on_response": (refuse,)})
    room.opens()
    room.say(CHANNEL_OPEN)
    got = room.hear(channel_open_ok())
    if refused == "queue.declare":
        assert got == channel_open_ok()
        room.say(queue_declare())
        got = room.hear(declare_ok())
    assert got == b""
    assert denied(room.hear(NOT_THERE), refused)
    room.servers[0].take()
    room.say(CHANNEL_CLOSED)
    assert room.servers[0].take() == CHANNEL_CLOSED
    room.stage.say(room.servers[0], connection_close(320, "CONNECTION_FORCED - bye"))
    assert room.servers[0].closed
    assert not room.client.closed  # it has nothing open


def test_a_channel_that_is_not_opened_in_time_costs_the_connection_where_its_broker_is_silent() -> None:
    room = Room(request_timeout=5.0)
    room.opens()
    room.say(CHANNEL_OPEN)
    room.stage.clock.advance(6)
    answer = room.client.take()
    assert wire.read_arguments(answer, methods.METHODS[methods.CLOSE])["code"] == 541
    assert room.client.closed


# -- clients that never log in


def waits(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        stage.clock.advance(1)
        stage.listener.sweep(stage.clock.seconds())


@pytest.mark.parametrize("users", [None, USERS])
def test_a_client_that_says_nothing_is_let_go(users: dict[str, str] | None) -> None:
    stage = Stage(Amqp(users=users, login_timeout=Seconds(5)))
    client = stage.client()
    waits(stage, 3)
    assert not client.closed
    waits(stage, 4)
    assert (client.closed, client.take()) == (True, b"")


@pytest.mark.parametrize("users", [None, USERS])
def test_a_login_that_is_not_over_in_time_ends_with_320_and_its_reason(users: dict[str, str] | None) -> None:
    stage = Stage(Amqp(users=users, login_timeout=Seconds(5)))
    client = stage.client()
    stage.say(client, HEADER)
    if users is None:
        stage.say(stage.server, START)
    client.take()
    said = start_ok()
    for at in range(7):
        stage.say(client, said[at : at + 1])
        waits(stage, 1)
    close = client.take()
    assert wire.read_arguments(close, methods.METHODS[methods.CLOSE])["code"] == 320
    assert (b"login_timeout" in close, client.closed) == (True, True)


@pytest.mark.parametrize("said", [(HEADER,), (HEADER, start_ok()), (HEADER, start_ok(), tune_ok())])
def test_a_login_that_its_server_does_not_answer_is_closed_with_one_word(said: tuple[bytes, ...]) -> None:
    stage = Stage(Amqp(login_timeout=Seconds(5)), request_timeout=15.0)
    client = stage.client()
    for word, answer in zip(said, (b"", START, tune()), strict=False):
        if answer:
            stage.say(stage.server, answer)
        stage.say(client, word)
    client.take()
    waits(stage, 20)
    close = client.take()
    assert wire.number_of(close) == methods.CLOSE
    assert (wire.frame_end(close), client.closed) == (len(close), True)


def test_a_client_that_has_opened_a_virtual_host_stays() -> None:
    room = Room()
    room.opens()
    waits(room.stage, 120)
    assert not room.client.closed


# -- logins: forward


class Forwarding(Room):
    def __init__(self, response: bytes = b"\0app\0secret") -> None:
        self.stage = Stage(Amqp(logins="forward"))
        self.client = self.stage.client()
        self.said = self.say(HEADER) + self.say(start_ok(response, blocked=True))


def test_a_forwarded_login_is_said_to_the_broker_that_user_and_virtual_host_choose() -> None:
    seen: list[tuple[str | None, str | None]] = []
    room = Forwarding(b"\0ann\0her word")
    room.stage.route.on_complete = (lambda exchange: seen.append((exchange.get("user"), exchange.get("vhost"))),)
    assert room.said == login.GREETING + tune(heartbeat=login.HEARTBEAT)
    room.say(tune_ok())
    room.say(open_vhost("shop"))
    steps, got = room.logs_in()
    assert b"\0ann\0her word" in steps[1]
    assert steps[2].endswith(open_vhost("shop"))
    assert (got, seen) == (OPEN_OK, [("ann", "shop")])


def test_a_forwarded_login_that_the_broker_refuses_is_refused_in_its_words() -> None:
    room = Forwarding()
    room.say(tune_ok())
    room.say(open_vhost("shop"))
    room.servers[0].take()
    room.hear(START)
    refusal = connection_close(403, "ACCESS_REFUSED - Login was refused")
    assert room.hear(refusal) == refusal


def test_a_forwarded_login_is_good_for_its_own_client_as_long_as_that_is_there() -> None:
    room = Forwarding()
    room.opens_channel()
    room.say(CHANNEL_CLOSE)
    assert room.hear(CHANNEL_CLOSED) == CHANNEL_CLOSED
    assert not room.servers[0].closed
    room.servers[0].take()
    room.say(CHANNEL_OPEN)
    assert (len(room.servers), room.servers[0].take()) == (1, CHANNEL_OPEN)
    other = room.stage.client()
    room.stage.say(other, HEADER + start_ok() + tune_ok() + open_vhost("shop"))
    assert len(room.servers) == 2
    room.client.end()
    assert room.servers[0].closed


def test_a_client_of_a_forwarded_login_says_goodbye_to_its_broker() -> None:
    room = Forwarding()
    room.opens()
    goodbye = close("connection.close", 0, 200, "")
    room.say(goodbye)
    assert room.servers[0].take() == goodbye
    assert room.hear(CLOSED) == CLOSED
    assert room.client.closed


def test_a_secret_is_updated_by_the_broker_that_it_was_forwarded_to() -> None:
    room = Forwarding()
    room.opens()
    update = method("connection.update-secret", 0, b"\0\0\0\1x\0")
    room.say(update)
    assert room.servers[0].take() == update
    assert room.hear(method("connection.update-secret-ok", 0)) == method("connection.update-secret-ok", 0)


def test_a_broker_that_goes_ends_the_client_of_a_forwarded_login() -> None:
    room = Forwarding()
    room.opens()
    room.servers[0].end()
    assert room.client.take()[11:13] == (320).to_bytes(2, "big")


def test_a_client_that_names_nobody_is_refused_before_any_broker_is_asked() -> None:
    for response in (b"", b"\0\0word", b"app"):
        room = Forwarding(response)
        assert (room.servers, room.client.closed) == ([], True)


def test_what_is_forwarded_is_never_shown() -> None:
    profile = login.Profile("ann", b"/", b"", 1, 1, login.Forwarded(b"\0ann\0her word"))
    assert "her word" not in repr(profile)
    assert profile == profile._replace(forwarded=login.Forwarded(b"\0ann\0her word"))
    assert profile != profile._replace(forwarded=login.Forwarded(b"\0ann\0another"))
    assert len({profile, profile._replace(forwarded=login.Forwarded(b"\0ann\0her word"))}) == 1


def test_logins_are_forwarded_or_end_here_and_not_both() -> None:
    with pytest.raises(ValueError, match="leave out logins"):
        Amqp(users=USERS, logins="forward")
    with pytest.raises(ValueError, match="write pass or forward"):
        Amqp(logins="keep")  # type: ignore[arg-type]
