"""Clients that log in at the proxy borrow connections: for a request, a transaction, their stay."""

from __future__ import annotations

import pytest
from bank import BankStage

from metaproxy.message import ErrorKind, Reply


def refuse(*words: str) -> dict[str, tuple[object, ...]]:
    def on_request(exchange: object) -> Reply | None:
        word = exchange.get("word")  # type: ignore[attr-defined]
        return Reply(ErrorKind.DENIED, "no") if word in words else None

    return {"on_request": (on_request,)}


# -- the login


def test_a_client_that_has_logged_in_is_answered_by_what_its_server_said() -> None:
    stage = BankStage()
    stage.enter("ann")
    stage.enter("bob")
    assert len(stage.upstreams) == 1, "the connection that the first login opened is free again"


def test_a_login_is_an_exchange_that_filters_may_refuse() -> None:
    stage = BankStage(hooks=refuse("login"))
    client = stage.client()
    stage.say(client, b"login ann d\n")
    assert (client.take(), stage.upstreams) == (b"error denied\n", [])


def test_a_login_upstream_that_is_refused_is_an_error_of_the_client_s_login() -> None:
    stage = BankStage()
    client = stage.client()
    stage.say(client, b"login ann d\n")
    stage.say(stage.server, b"refused\n")
    assert client.take() == b"error connect\n"


def test_what_a_client_sends_behind_its_login_waits_for_it() -> None:
    stage = BankStage()
    client = stage.client()
    stage.say(client, b"login ann d\nask\n")
    assert stage.server.take() == b"hello d \n"
    stage.say(stage.server, b"welcome here\n")
    assert (client.take(), stage.server.take()) == (b"welcome here\n", b"ask\n")


# -- transactions


def test_a_connection_stays_with_a_client_while_answers_say_so() -> None:
    stage = BankStage()
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.say(bob, b"ask\n")
    _, second = stage.upstreams
    assert second.take() == b"hello d \n"
    stage.say(second, b"welcome\n")
    stage.say(second, b"i no\n")
    stage.say(ann, b"more\ncommit\n")
    assert stage.upstreams[0].take() == b"begin\nmore\n", "one after the other, on the connection that it has"
    stage.say(stage.upstreams[0], b"t more\n")
    stage.say(stage.upstreams[0], b"i done\n")
    assert ann.take() == b"t begun\nt more\ni done\n"
    assert stage.cluster.breaker.requests == 0
    stage.say(ann, b"a\n")
    stage.say(bob, b"b\n")
    assert len(stage.upstreams) == 2
    assert {stage.upstreams[0].take(), second.take()} == {b"commit\na\n", b"ask\nb\n"}


def test_an_answer_in_pieces_binds_and_frees_by_its_end() -> None:
    stage = BankStage(most=1)
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"[\nrow\n")
    stage.say(stage.server, b"]t\n")
    stage.say(bob, b"ask\n")
    assert stage.server.take() == b"begin\n"
    stage.say(ann, b"end\n")
    stage.say(stage.server, b"[\nrow\n]i\n")
    assert stage.server.take() == b"end\nask\n"
    stage.say(stage.server, b"i yes\n")
    assert ann.take() == b"[\nrow\n]t\n[\nrow\n]i\n"
    assert bob.take() == b"i yes\n"


def test_a_client_that_leaves_its_transaction_open_takes_the_connection_with_it() -> None:
    stage = BankStage()
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    ann.end()
    stage.clock.advance(0)
    assert stage.server.closed


def test_a_late_answer_frees_the_connection_of_a_transaction() -> None:
    stage = BankStage(most=1, request_timeout=1.0)
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.say(ann, b"commit\n")
    stage.clock.advance(1.1)
    assert ann.take() == b"t begun\nerror timeout\n"
    stage.say(stage.server, b"i at last\n")
    stage.say(bob, b"ask\n")
    assert stage.server.take() == b"begin\ncommit\nask\n"


def test_a_request_that_timed_out_outside_a_transaction_closes_its_connection() -> None:
    stage = BankStage(request_timeout=1.0)
    ann = stage.enter()
    stage.say(ann, b"ask\n")
    stage.clock.advance(1.1)
    assert (ann.take(), stage.server.closed) == (b"error timeout\n", True)
    stage.say(ann, b"again\n")
    assert stage.upstreams[1].take() == b"hello d \n", "the client goes on, on another connection"


def test_a_request_of_a_transaction_that_a_filter_refuses_leaves_it_as_it_is() -> None:
    stage = BankStage(hooks=refuse("bad"))
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.say(ann, b"bad\ncommit\n")
    assert stage.server.take() == b"begin\ncommit\n"
    assert ann.take() == b"t begun\nerror denied\n"


def test_the_end_of_a_server_in_a_transaction_is_the_client_s_with_a_word() -> None:
    stage = BankStage()
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.server.end()
    assert (ann.take(), ann.closed) == (b"t begun\nbye reset\n", True)


def test_a_transaction_that_is_idle_for_too_long_ends_with_a_word() -> None:
    stage = BankStage(idle_transaction_timeout=5.0)
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.sweep_after(4.0)
    assert not ann.closed
    stage.sweep_after(1.0)
    assert (ann.take(), ann.closed, stage.server.closed) == (b"t begun\nbye timeout\n", True, True)


def test_what_is_kept_for_something_else_than_a_transaction_may_be_idle() -> None:
    stage = BankStage(idle_transaction_timeout=5.0)
    ann = stage.enter()
    stage.say(ann, b"listen\n")
    stage.say(stage.server, b"k listening\n")
    stage.sweep_after(60.0)
    assert (ann.take(), ann.closed) == (b"k listening\n", False)


def test_mode_statement_refuses_a_transaction_and_the_client_goes_on() -> None:
    stage = BankStage("statement")
    ann = stage.enter()
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    assert (ann.take(), stage.server.closed, ann.closed) == (b"error unsupported\n", True, False)
    stage.say(ann, b"ask\n")
    stage.say(stage.upstreams[1], b"welcome\n")
    stage.say(stage.upstreams[1], b"i yes\n")
    assert ann.take() == b"i yes\n"
    assert stage.cluster.breaker.requests == 0


# -- states


def test_a_connection_in_another_state_is_changed_rather_than_opened() -> None:
    stage = BankStage()
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"set blue\n")
    assert stage.server.take() == b"become d blue\n"
    stage.say(stage.server, b"clean\n")
    assert stage.server.take() == b"set blue\n"
    stage.say(stage.server, b"i set\n")
    stage.say(bob, b"ask\n")
    assert stage.server.take() == b"become d \n"
    stage.say(stage.server, b"clean\n")
    stage.say(stage.server, b"i yes\n")
    assert (ann.take(), bob.take(), len(stage.upstreams)) == (b"i set\n", b"i yes\n", 1)


def test_a_connection_is_changed_however_many_states_there_were_before() -> None:
    stage = BankStage()
    ann = stage.enter()
    for number in range(40):
        stage.say(ann, b"set %d\n" % number)
        for said in (b"clean\n", b"i set\n"):
            stage.server.take()
            stage.say(stage.server, said)
    assert (ann.take(), len(stage.upstreams)) == (b"i set\n" * 40, 1)


def test_states_that_no_connection_is_in_any_more_stand_in_nobody_s_way() -> None:
    stage = BankStage()
    ann = stage.enter()
    for number in range(40):
        stage.say(ann, b"set %d\n" % number)
        stage.say(stage.server, b"clean\n")
        stage.say(stage.server, b"i set\n")
        stage.say(ann, b"ask\n")
        stage.say(stage.server, b"i yes\n")
    assert (ann.take(), len(stage.upstreams)) == (b"i set\ni yes\n" * 40, 1)


def test_one_that_can_t_be_changed_makes_room_where_there_may_be_no_more() -> None:
    stage = BankStage(most=1)
    stage.enter(database="one")
    client = stage.client()
    stage.say(client, b"login bob two\n")
    assert stage.upstreams[0].closed
    assert stage.upstreams[1].take() == b"hello two \n"


def test_what_a_client_has_left_is_reset_before_another_gets_the_connection() -> None:
    stage = BankStage()
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"spoil\n")
    stage.say(stage.server, b"i !\n")
    assert stage.server.take() == b"spoil\nbecome d \n"
    stage.say(bob, b"ask\n")
    assert stage.server.take() == b""
    stage.say(stage.server, b"clean\n")
    assert stage.server.take() == b"ask\n"


def test_one_that_is_changed_again_before_it_has_followed_is_kept_once_it_has() -> None:
    stage = BankStage(most=1)
    ann, bob = stage.enter(), stage.enter()
    stage.say(bob, b"set blue\n")
    stage.say(stage.server, b"clean\n")
    stage.say(stage.server, b"i set\n")
    stage.say(ann, b"spoil\n")
    stage.say(stage.server, b"clean\n")
    stage.say(bob, b"ask\n")
    stage.server.take()
    stage.say(stage.server, b"i !\n")
    assert stage.server.take() == b"become d \nbecome d blue\n"
    stage.say(stage.server, b"clean\nclean\n")
    assert stage.server.take() == b"ask\n"
    stage.clock.advance(5)
    assert not stage.server.closed


def test_a_server_that_does_not_follow_a_change_is_given_up() -> None:
    stage = BankStage()
    ann = stage.enter()
    stage.say(ann, b"set blue\n")
    stage.clock.advance(1.1)
    assert (ann.take(), stage.server.closed) == (b"error connect\n", True)


# -- waiting


def test_beyond_per_endpoint_requests_wait_their_turn() -> None:
    stage = BankStage(most=2)
    clients = [stage.enter() for _ in range(50)]
    for client in clients:
        stage.say(client, b"ask\n")
    for _ in range(100):
        for wire in stage.upstreams:
            data = wire.take()
            if data.startswith(b"hello"):
                stage.say(wire, b"welcome\n")
            elif data:
                stage.say(wire, b"i yes\n" * data.count(b"\n"))
    assert [client.take() for client in clients] == [b"i yes\n"] * 50
    assert len(stage.upstreams) == 2


def test_who_waits_gets_the_place_of_a_connection_that_is_lost() -> None:
    stage = BankStage(most=1)
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"ask\n")
    stage.say(bob, b"ask\n")
    stage.server.end()
    stage.clock.advance(0)
    stage.clock.advance(0)
    stage.say(stage.upstreams[1], b"welcome\n")
    assert stage.upstreams[1].take() == b"hello d \nask\n"


def test_who_waits_for_longer_than_queue_timeout_is_refused() -> None:
    stage = BankStage(most=1, queue_timeout=2.0)
    ann, bob = stage.enter(), stage.enter()
    stage.say(ann, b"ask\n")
    stage.say(bob, b"ask\n")
    stage.sweep_after(2.0)
    assert (bob.take(), stage.cluster.breaker.pending, ann.closed) == (b"error overload\n", 0, False)
    stage.say(stage.server, b"i yes\n")
    assert ann.take() == b"i yes\n"


# -- a client's stay


def test_mode_session_lends_a_connection_for_the_client_s_stay_and_resets_it() -> None:
    stage = BankStage("session", most=1)
    ann = stage.enter()
    bob = stage.client()
    stage.say(bob, b"login bob d\n")
    stage.say(ann, b"begin\n")
    stage.say(stage.server, b"t begun\n")
    stage.say(ann, b"commit\n")
    stage.say(stage.server, b"i done !\n")
    assert stage.server.take() == b"begin\ncommit\n"
    ann.end()
    stage.clock.advance(0)
    stage.network.turn.begin()
    stage.network.turn.end()
    assert stage.server.take() == b"become d \n"
    stage.say(stage.server, b"clean\n")
    assert bob.take() == b"welcome here\n"
    assert len(stage.upstreams) == 1


def test_mode_session_closes_the_connection_of_a_client_that_leaves_in_the_middle_of_something() -> None:
    stage = BankStage("session")
    ann = stage.enter()
    stage.say(ann, b"ask\n")
    ann.end()
    stage.clock.advance(0)
    assert stage.server.closed


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_nothing_is_left_of_clients_that_are_gone(mode: str) -> None:
    stage = BankStage(mode)
    for _ in range(3):
        client = stage.enter()
        stage.say(client, b"ask\n")
        wire = next(wire for wire in stage.upstreams if wire.take())
        stage.say(wire, b"i yes\n")
        client.end()
        stage.clock.advance(0)
    assert len(stage.upstreams) == 1
    breaker = stage.cluster.breaker
    assert (breaker.requests, breaker.pending, breaker.connections) == (0, 0, 1)
    assert stage.listener.counts.active_exchanges == 0
