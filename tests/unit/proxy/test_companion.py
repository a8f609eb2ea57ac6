"""Requests about what another client has under way: where they go, and that nothing else is ended by them."""

from __future__ import annotations

from bank import BankStage
from harness import Wire

from metaproxy.message import ErrorKind, Reply
from metaproxy.proxy.companion import speakers


def asked(stage: BankStage, *lines: bytes) -> list[Wire]:
    """Clients that have logged in and have a request under way, each on a connection of its own."""
    clients = [stage.enter() for _ in lines]
    for client, line in zip(clients, lines, strict=True):
        stage.say(client, line)
        if stage.upstreams[-1].take() == b"hello d \n":
            stage.say(stage.upstreams[-1], b"welcome\n")
            stage.upstreams[-1].take()
    return clients


def stop(stage: BankStage, number: int) -> Wire:
    client = stage.client()
    stage.say(client, b"stop %d\n" % number)
    return client


def test_the_server_of_the_client_that_is_meant_is_told_on_a_connection_of_its_own() -> None:
    stage = BankStage(endpoints=2)
    asked(stage, b"one\n", b"two\n")
    where = [peer for peer, _ in stage.network.dialled]
    assert len(where) == 2
    for number in (0, 1):
        stopper = stop(stage, number)
        assert stage.network.dialled[-1][0] == where[number]
        told = stage.upstreams[-1]
        assert (told.take(), stopper.closed) == (b"stop it\n", False)
        told.end()
        stage.clock.advance(0)
        assert (stopper.take(), stopper.closed) == (b"", True)
    assert stage.route.targets[0].counts.outcomes["oneway"] == 2


def test_a_connection_is_lent_to_nobody_while_its_server_has_not_heard_of_it() -> None:
    stage = BankStage(most=1)
    asked(stage, b"one\n")
    bob = stage.client()
    stage.say(bob, b"login bob d\nask\n")
    stop(stage, 0)
    busy, told = stage.upstreams
    stage.say(busy, b"i had come to its end before\n")
    assert (told.take(), busy.take()) == (b"stop it\n", b""), "bob's request would be ended in the place of another"
    told.end()
    stage.clock.advance(0)
    stage.network.turn.begin()
    stage.network.turn.end()
    assert busy.take() == b"ask\n"


def test_it_may_be_a_request_whose_answer_is_the_answer() -> None:
    stage = BankStage()
    ann, bob = asked(stage, b"one\n", b"two\n")
    stage.say(bob, b"")
    stage.say(stage.upstreams[1], b"i two\n")
    stage.say(bob, b"kill 0\n")
    assert stage.upstreams[1].take() == b"kill it\n"
    stage.say(stage.upstreams[1], b"i killed\n")
    assert bob.take() == b"i two\ni killed\n"
    assert ann.take() == b""


def test_what_is_not_under_way_is_answered_by_the_proxy() -> None:
    stage = BankStage()
    ann, bob = stage.enter(), stage.enter()
    stage.say(bob, b"kill 0\n")
    assert bob.take() == b"error no_endpoint\n"
    ann.end()
    stage.say(bob, b"kill 0\n")
    assert bob.take() == b"error no_endpoint\n"
    stopper = stop(stage, 0)
    stage.clock.advance(0)
    assert stopper.closed
    assert len(stage.upstreams) == 1


def test_what_waits_for_a_connection_ends_without_one() -> None:
    stage = BankStage(most=1)
    bob = stage.enter()
    asked(stage, b"one\n")
    stage.say(bob, b"two\nthree\n")
    stopper = stop(stage, 0)
    stage.clock.advance(0)
    assert (bob.take(), stopper.closed) == (b"error stopped\n", True)
    stage.say(stage.server, b"i one\n")
    assert stage.server.take() == b"three\n"
    assert len(stage.upstreams) == 1


def test_so_does_what_waits_for_a_connection_to_be_there() -> None:
    stage = BankStage(most=1)
    bob = stage.enter()
    stage.server.end()
    stage.say(bob, b"two\n")
    assert stage.upstreams[-1].take() == b"hello d \n"
    stop(stage, 0)
    assert bob.take() == b"error stopped\n"
    stage.clock.advance(0)
    stage.say(bob, b"three\n")
    stage.say(stage.upstreams[-1], b"welcome\n")
    assert stage.upstreams[-1].take().endswith(b"three\n")
    assert (stage.cluster.breaker.requests, stage.cluster.breaker.pending) == (1, 0)


def test_a_filter_may_refuse_it() -> None:
    def refuse(exchange: object) -> Reply | None:
        return Reply(ErrorKind.DENIED, "no") if exchange.get("word") == "kill" else None  # type: ignore[attr-defined]

    stage = BankStage(hooks={"on_request": (refuse,)})
    _, bob = asked(stage, b"one\n", b"two\n")
    stage.say(stage.upstreams[1], b"i two\n")
    stage.say(bob, b"kill 0\n")
    assert bob.take() == b"i two\nerror denied\n"


def test_a_transaction_s_connection_is_the_one_that_is_meant() -> None:
    stage = BankStage()
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stop(stage, 0)
    assert stage.upstreams[-1].take() == b"stop it\n"


def test_a_server_that_does_not_hear_of_it_in_time_is_given_up_and_its_connection_lent_again() -> None:
    stage = BankStage(most=1)
    ann = asked(stage, b"one\n")[0]
    stopper = stop(stage, 0)
    busy, told = stage.upstreams
    stage.say(busy, b"i one\n")
    stage.clock.advance(5.1)
    assert (told.closed, stopper.closed) == (True, True)
    stage.say(ann, b"two\n")
    assert busy.take() == b"two\n"


def test_who_asks_may_leave_and_nothing_is_left() -> None:
    stage = BankStage(most=1)
    before = len(speakers)
    ann = asked(stage, b"one\n")[0]
    stopper = stop(stage, 0)
    busy, told = stage.upstreams
    stopper.end()
    stage.say(busy, b"i one\n")
    stage.say(ann, b"two\n")
    assert busy.take() == b"", "its server may hear of it yet"
    told.end()
    stage.clock.advance(0)
    stage.network.turn.begin()
    stage.network.turn.end()
    assert busy.take() == b"two\n"
    ann.end()
    stage.clock.advance(6)
    assert len(speakers) == before
    assert (stage.listener.counts.active_exchanges, stage.cluster.breaker.requests) == (0, 0)


def test_a_request_about_another_does_not_wait_for_what_it_is_to_end() -> None:
    stage = BankStage(most=2)
    cid = stage.enter()
    ann, _ = asked(stage, b"one\n", b"two\n")
    stage.say(cid, b"kill 1\n")
    beside = stage.upstreams[2]
    stage.say(beside, b"welcome\n")
    assert beside.take() == b"hello d \nkill it\n"
    stage.say(beside, b"i killed\n")
    assert cid.take() == b"i killed\n"
    stage.clock.advance(0)
    assert beside.closed, "there are as many as may be without it"
    stage.say(stage.upstreams[0], b"i one\n")
    stage.say(ann, b"three\n")
    assert stage.upstreams[0].take().endswith(b"three\n")


def test_there_are_as_many_beside_the_others_at_most() -> None:
    stage = BankStage(most=2)
    askers = [stage.enter() for _ in range(3)]
    asked(stage, b"one\n", b"two\n")
    for asker in askers:
        stage.say(asker, b"kill 3\n")
    assert len(stage.upstreams) == 4
    assert askers[2].take() == b"error overload\n"


def test_a_client_logs_in_while_others_use_all_connections() -> None:
    stage = BankStage(most=1)
    asked(stage, b"one\n")
    bob, cid = stage.client(), stage.client()
    stage.say(bob, b"login bob d\n")
    assert bob.take() == b"welcome here\n"
    stage.say(cid, b"login cid other\n")
    assert cid.take() == b"", "no connection has been in that state"


def test_a_connection_whose_client_left_before_its_server_had_heard_of_it_is_not_kept_for_nobody() -> None:
    stage = BankStage("session", most=1)
    (ann,) = asked(stage, b"one\n")
    stop(stage, 0)
    busy, told = stage.upstreams
    stage.say(busy, b"i had come to its end before\n")
    ann.end()
    stage.clock.advance(0)
    told.end()
    stage.clock.advance(0)
    stage.network.turn.begin()
    stage.network.turn.end()
    bob = stage.client()
    stage.say(bob, b"login bob d\n")
    assert stage.upstreams[-1].take() == b"hello d \n"
