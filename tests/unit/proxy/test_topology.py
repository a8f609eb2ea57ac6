"""Servers are asked what they are, and requests go to those of the role that they need."""

from __future__ import annotations

import pytest
from replicated import PRIMARY, SECOND, THIRD, Servers
from twisted.logger import capturedLogs

from metaproxy.cluster.retry import RetryPolicy


def test_writes_go_to_the_primary_and_reads_to_replicas() -> None:
    servers = Servers()
    assert not servers.watch.warm
    servers.run()
    assert servers.watch.warm
    assert servers.roles == ["primary", "replica", "replica"]
    client = servers.stage.client()
    assert servers.ask(client, b"login ann d\nwrite\n").endswith(b"i 127.0.0.1:1000\n")
    assert {servers.ask(client, b"read\n") for _ in range(4)} == {b"i 127.0.0.1:1001\n", b"i 127.0.0.1:1002\n"}


def test_a_session_knows_the_role_that_its_server_had_when_the_connection_began() -> None:
    servers = Servers()
    servers.run()
    asked = len(servers.stage.opened)
    client = servers.stage.client()
    servers.ask(client, b"login ann d\nwrite\n")
    servers.ask(client, b"read\n")
    assert servers.stage.opened[asked:] == ["primary", "replica"]


def test_requests_that_come_before_roles_are_known_wait_for_them() -> None:
    servers = Servers()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    assert servers.stage.cluster.breaker.requests == 0
    servers.run()
    assert client.take() == b"welcome\n"


def test_clients_are_held_while_there_is_no_primary_and_go_on_at_the_next_one() -> None:
    servers = Servers()
    client = servers.enter()
    servers.says[PRIMARY] = "away"
    servers.run(1.0)
    assert servers.roles == ["", "replica", "replica"]
    assert servers.ask(client, b"write\n") == b""
    servers.says[SECOND] = "primary"
    servers.run(1.0)
    assert client.take() == b"i 127.0.0.1:1001\n"


def test_who_is_held_for_longer_than_its_time_gets_an_error() -> None:
    servers = Servers()
    servers.says[PRIMARY] = "replica"
    servers.run()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    for _ in range(16):
        servers.run(1.0)
    assert client.take() == b"error timeout\n"


def test_reads_go_to_the_primary_while_no_replica_is_there() -> None:
    servers = Servers()
    servers.says |= {SECOND: "away", THIRD: "away"}
    servers.run()
    client = servers.stage.client()
    assert servers.ask(client, b"login ann d\nread\n").endswith(b"i 127.0.0.1:1000\n")
    servers.says |= {SECOND: "replica", THIRD: "replica"}
    servers.run(1.0)
    assert servers.ask(client, b"read\n") != b"i 127.0.0.1:1000\n"


def test_a_replica_that_lags_is_not_read_from() -> None:
    servers = Servers(max_lag=2.0)
    servers.says |= {SECOND: "replica 2.5", THIRD: "replica 1.5"}
    servers.run()
    assert servers.roles == ["primary", "lagging", "replica"]
    servers.says[SECOND] = "replica 0.1"
    servers.run(1.0)
    assert servers.roles == ["primary", "replica", "replica"]


def test_a_primary_of_an_older_term_is_none() -> None:
    servers = Servers()
    servers.says |= {PRIMARY: "primary 0 3", SECOND: "primary 0 4"}
    servers.run()
    assert servers.roles == ["replaced", "primary", "replica"]


def test_of_two_primaries_of_one_term_the_one_stays_that_was_there_first() -> None:
    servers = Servers()
    servers.run()
    servers.says[SECOND] = "primary"
    servers.run(1.0)
    assert servers.roles == ["primary", "replaced", "replica"]
    servers.says[PRIMARY] = "away"
    servers.run(1.0)
    assert servers.roles == ["", "primary", "replica"]
    servers.says[PRIMARY] = "primary"
    servers.run(2.0)
    assert servers.roles == ["replaced", "primary", "replica"]


@pytest.mark.parametrize("answer", ["nothing", "arbiter"])
def test_a_server_without_a_role_of_these_gets_nothing(answer: str) -> None:
    servers = Servers()
    servers.says[THIRD] = answer
    servers.run()
    assert servers.roles[2] == ("" if answer == "nothing" else answer)
    client = servers.stage.client()
    servers.ask(client, b"login ann d\n")
    assert {servers.ask(client, b"read\n") for _ in range(4)} == {b"i 127.0.0.1:1001\n"}


def test_a_server_that_fails_a_request_is_asked_at_once() -> None:
    servers = Servers()
    client = servers.enter()
    servers.stage.say(client, b"write\n")
    servers.says |= {PRIMARY: "away", SECOND: "primary"}
    servers.run()
    assert client.take() == b"error reset\n"
    servers.run(0.15)
    assert servers.roles[0] == ""


def test_what_was_learnt_outlasts_new_endpoints_of_a_discovery() -> None:
    servers = Servers()
    servers.run()
    servers.stage.cluster.update(servers.stage.endpoints[:2])
    assert servers.roles == ["primary", "replica"]


def test_nothing_is_asked_and_nobody_waits_once_the_cluster_is_no_more() -> None:
    servers = Servers()
    servers.says[PRIMARY] = "replica"
    servers.run()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    asked = servers.asked
    servers.watch.stop()
    servers.run(5.0)
    assert (servers.asked, client.take()) == (asked, b"error no_endpoint\n")
    assert all(one.doubted is None for one in servers.stage.endpoints)


def test_a_further_try_waits_for_a_primary_too() -> None:
    servers = Servers(
        retry=RetryPolicy(
            attempts=1, on=frozenset(("connect", "reset")), backoff=(0.5, 0.5), unsafe=True, uniform=lambda: 1.0
        )
    )
    client = servers.enter()
    servers.stage.say(client, b"write\n")
    servers.says[PRIMARY] = "away"
    servers.run()
    servers.run(0.15)
    assert servers.roles == ["", "replica", "replica"]
    servers.run(2.0)
    assert client.take() == b""
    servers.says[THIRD] = "primary"
    servers.run(1.0)
    assert client.take() == b"i 127.0.0.1:1002\n"
    assert servers.stage.cluster.breaker.requests == 0


def test_what_a_filter_sends_in_place_of_a_request_is_sent_by_a_further_try_that_waited() -> None:
    servers = Servers(
        retry=RetryPolicy(attempts=1, on=frozenset(("reset",)), backoff=(0.5, 0.5), unsafe=True, uniform=lambda: 1.0)
    )
    client = servers.enter()
    servers.writes.on_request = (lambda exchange: exchange.forward_as(exchange.message.with_frame(b"write other\n")),)
    servers.stage.say(client, b"write this\n")
    servers.says[PRIMARY] = "away"
    servers.run(1.0)
    servers.run(2.0)
    servers.says[THIRD] = "primary"
    servers.run(1.0)
    assert client.take() == b"i 127.0.0.1:1002\n"
    assert servers.got == [b"write other"]


def test_another_primary_is_counted_the_first_one_is_not() -> None:
    servers = Servers()
    servers.run()
    counts = servers.stage.cluster.counts
    assert counts.promotions == 0
    servers.says.update({PRIMARY: "away"})
    servers.run(1.0)
    servers.says.update({PRIMARY: "primary"})
    servers.run(1.0)
    assert counts.promotions == 0
    servers.says.update({PRIMARY: "away", SECOND: "primary"})
    servers.run(1.0)
    servers.run(1.0)
    assert counts.promotions == 1


def test_how_far_a_replica_is_behind_is_known_of_the_endpoint() -> None:
    servers = Servers()
    servers.says.update({SECOND: "replica 1.5"})
    servers.run()
    assert [one.lag for one in servers.stage.cluster.endpoints] == [None, 1.5, None]


def test_why_a_server_has_no_role_is_in_the_log_from_the_first_question_on() -> None:
    servers = Servers()
    servers.stage.cluster.start(servers.stage.network)
    servers.says.update({PRIMARY: "away"})
    with capturedLogs() as found:
        servers.run()
    texts = [str(one["text"]) for one in found if "text" in one]
    assert [one for one in texts if one.startswith(f"{PRIMARY} is of no known role: ")]
