"""Servers tell which of them there are, and which has what: requests go by it."""

from __future__ import annotations

from harness import Stage
from redis_nodes import HALF, HIGH, LOW, ONE, THREE, TWO, Nodes

from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.layouts import slot
from metaproxy.proxy.layout import LayoutMonitor


def answer(who: str) -> bytes:
    return resp.bulk(who.encode())


def test_one_server_tells_of_all_and_requests_go_to_who_has_what_they_ask_for() -> None:
    nodes = Nodes()
    assert not nodes.monitor.warm
    nodes.run()
    assert nodes.monitor.warm
    assert nodes.told == {ONE: "primary", TWO: "primary", THREE: "replica"}
    client = nodes.stage.client()
    assert (nodes.ask(client, "GET", LOW), nodes.ask(client, "GET", HIGH)) == (answer(ONE), answer(TWO))
    assert nodes.stage.cluster.counts.redirects == 0


def test_without_anybody_to_ask_it_says_so() -> None:
    nodes = Nodes(seeds=())
    nodes.run()
    nodes.run(1.0)
    assert nodes.monitor.warm
    assert nodes.stage.cluster.counts.discovery_failures == 2


def test_requests_that_come_before_anything_is_told_wait_for_it() -> None:
    nodes = Nodes()
    client = nodes.stage.client()
    nodes.stage.say(client, resp.encode([b"GET", HIGH.encode()]))
    nodes.run()
    assert client.take() == answer(TWO)


def test_reads_go_to_replicas_of_who_has_it_and_to_itself_where_it_has_none() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    assert (nodes.ask(client, "EXISTS", LOW), nodes.ask(client, "EXISTS", HIGH)) == (answer(THREE), answer(TWO))


def test_a_subset_of_any_role_is_of_primaries_and_replicas() -> None:
    nodes = Nodes()
    nodes.run()
    cluster, subset = nodes.stage.cluster, {"role": "any"}
    asked = {cluster.owner(LOW, subset) for _ in range(6)}
    assert {getattr(one, "address", "") for one in asked} == {ONE, THREE}
    nodes.roles[THREE] = "slave,fail"
    nodes.run(1.0)
    assert {getattr(cluster.owner(LOW, subset), "address", "") for _ in range(6)} == {ONE}


def test_one_that_checks_find_unwell_is_not_asked_for_what_it_has() -> None:
    nodes = Nodes()
    nodes.run()
    cluster, subset = nodes.stage.cluster, {"role": "any"}
    three = next(one for one in cluster.endpoints if one.address == THREE)
    for healthy, asked in ((True, {ONE, THREE}), (False, {ONE}), (True, {ONE, THREE})):
        three.healthy = healthy
        cluster.refresh()
        assert {getattr(cluster.owner(LOW, subset), "address", "") for _ in range(6)} == asked


def test_a_request_with_no_key_goes_to_any_primary() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    assert {nodes.ask(client, "TIME") for _ in range(6)} == {answer(ONE), answer(TWO)}


def test_what_no_server_has_is_their_own_error_and_holds_up_no_other_request() -> None:
    nodes = Nodes()
    nodes.slots = {ONE: [(0, HALF - 1)], TWO: [(HALF, 12000)], THREE: []}
    nodes.run()
    client = nodes.stage.client()
    assert nodes.ask(client, "GET", HIGH) == b"-CLUSTERDOWN Hash slot not served\r\n"
    assert nodes.ask(client, "TIME") in (answer(ONE), answer(TWO))
    assert nodes.ask(client, "GET", LOW) == answer(ONE)


def test_of_several_replicas_of_the_same_keys_one_is_asked_for_all() -> None:
    nodes = Nodes()
    four, five = "127.0.0.1:1003", "127.0.0.1:1004"
    nodes.roles |= {four: "slave", five: "slave"}
    nodes.slots |= {four: [], five: []}
    nodes.run()
    cluster = nodes.stage.cluster
    assert [one.address for one in cluster.everyone()] == [ONE, TWO]
    assert [one.address for one in cluster.everyone(replicas=True)] == [ONE, TWO, THREE, four, five]
    assert cluster.everyone({"role": "replica"}) == [], "TWO has none"
    nodes.slots |= {ONE: [(0, 16383)], TWO: []}
    nodes.run(1.0)
    assert [one.address for one in cluster.everyone({"role": "replica"})] == [five]


def test_a_request_with_many_keys_is_cut_as_servers_want_it() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    assert slot("a") != slot("b")
    assert nodes.owner(slot("a")) == nodes.owner(slot("k1")) == TWO
    said = nodes.ask(client, "MGET", "a", "k1")
    assert said.startswith(b"-"), "bulk strings are no answers to MGET, which cost nobody else anything"
    assert [words for _, words in nodes.got] == [b"MGET a", b"MGET k1"]
    assert nodes.ask(client, "GET", LOW) == answer(ONE)


def test_requests_for_what_has_no_primary_wait_for_one_and_the_servers_are_asked_soon() -> None:
    nodes = Nodes()
    four = "127.0.0.1:1003"
    nodes.roles[four] = "master"
    nodes.slots |= {ONE: [(0, 4000)], four: [(4001, HALF - 1)]}
    nodes.run()
    client = nodes.stage.client()
    nodes.roles[TWO] = "master,fail"
    nodes.state = dict.fromkeys((ONE, THREE, four), "fail")
    nodes.run(1.0)
    assert nodes.told[TWO] == "failed"
    assert nodes.ask(client, "GET", HIGH) == b""
    nodes.run(1.0)
    nodes.asked.clear()
    for _ in range(5):
        nodes.run(0.1)
    assert len(nodes.asked) == 2 * 5
    nodes.slots |= {TWO: [], ONE: [(0, 4000), (HALF, 16383)]}
    nodes.state = {}
    nodes.run(0.1)
    assert client.take() == answer(ONE)


def test_a_request_in_pieces_waits_for_the_primary_of_one_of_them() -> None:
    nodes = Nodes()
    four = "127.0.0.1:1003"
    nodes.roles[four] = "master"
    nodes.slots |= {ONE: [(0, 4000)], four: [(4001, HALF - 1)]}
    nodes.run()
    client = nodes.stage.client()
    nodes.roles[TWO] = "master,fail"
    nodes.run(1.0)
    nodes.got.clear()
    assert nodes.ask(client, "DEL", LOW, HIGH) == b""
    nodes.run(0.1)
    assert nodes.got == [], "no part of it is sent before all can be"
    nodes.slots |= {TWO: [], ONE: [(0, 4000), (HALF, 16383)]}
    nodes.run(0.1)
    assert sorted(nodes.got) == sorted([(four, b"DEL " + LOW.encode()), (ONE, b"DEL " + HIGH.encode())])
    assert nodes.stage.cluster.breaker.requests == 0


def test_while_no_server_takes_writes_all_wait() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    nodes.roles |= {ONE: "master,fail", TWO: "master,fail"}
    nodes.run(1.0)
    assert (nodes.ask(client, "GET", LOW), nodes.ask(client, "TIME")) == (b"", b"")
    nodes.roles |= {ONE: "master", TWO: "master"}
    nodes.run(0.1)
    assert client.take() in (answer(ONE) + answer(ONE), answer(ONE) + answer(TWO))


def test_who_tells_it_and_has_nothing_is_asked_with_a_login_of_its_own() -> None:
    stage = Stage(Redis(), endpoints=0)
    stage.cluster.credentials = {"password": "of the servers"}
    LayoutMonitor("sentinel", "mymaster", 1.0, 10, [ONE], stage.clock, {"password": "of Sentinels"}).start(
        stage.cluster, stage.network
    )
    stage.clock.advance(0)
    (sentinel,) = stage.network.upstreams
    assert sentinel.take() == resp.encode([b"AUTH", b"of Sentinels"])
    stage.say(sentinel, b"+OK\r\n")
    master = [b"name", b"mymaster", b"ip", b"127.0.0.1", b"port", b"1001", b"flags", b"master"]
    for reply in (resp.encode([b"127.0.0.1", b"1001"]), resp.encode(master), b"*0\r\n"):
        stage.say(sentinel, reply)
    assert [one.address for one in stage.cluster.endpoints] == [TWO]
    client = stage.client()
    stage.say(client, resp.encode([b"GET", b"a"]))
    assert stage.network.upstreams[-1].take() == resp.encode([b"AUTH", b"of the servers"])
    stage.clock.advance(1.0)
    assert [wire.peer for wire in stage.network.upstreams] == [ONE, TWO, ONE], "the master is not asked who is it"


def test_what_moves_to_another_server_is_found_by_the_next_answer() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    nodes.slots = {ONE: [], TWO: [(0, 16383)], THREE: []}
    nodes.roles[ONE] = "slave"
    nodes.run(1.0)
    assert nodes.ask(client, "GET", LOW) == answer(TWO)
    assert nodes.stage.cluster.counts.redirects == 0


def test_a_server_that_says_nothing_or_is_not_sure_is_passed_over() -> None:
    nodes = Nodes(seeds=(ONE, TWO))
    nodes.away.add(ONE)
    nodes.state = {TWO: "fail", THREE: "fail"}
    nodes.run()
    assert nodes.told == {ONE: "primary", TWO: "primary", THREE: "replica"}, "there is no better answer"
    nodes.slots = {ONE: [], TWO: [(0, 16383)], THREE: []}
    nodes.run(1.0)
    assert nodes.told[ONE] == "primary", "nor is this one better than what is known"
    nodes.state.clear()
    nodes.run(1.0)
    assert nodes.told[ONE] == "spare"


def test_an_older_answer_changes_nothing_while_there_is_a_newer_one() -> None:
    nodes = Nodes(seeds=(ONE, TWO))
    nodes.epochs = {ONE: 5, TWO: 5, THREE: 5}
    nodes.run()
    nodes.slots = {ONE: [], TWO: [(0, 16383)], THREE: []}
    nodes.epochs = {ONE: 4, TWO: 4, THREE: 6}
    nodes.asked.clear()
    nodes.run(1.0)
    assert nodes.asked[-1] == THREE
    assert nodes.told[ONE] == "spare"


def test_while_nobody_answers_the_last_answer_stays() -> None:
    nodes = Nodes()
    nodes.run()
    nodes.away |= {ONE, TWO, THREE}
    nodes.run(1.0)
    assert nodes.told == {ONE: "primary", TWO: "primary", THREE: "replica"}
    assert nodes.stage.cluster.counts.discovery_failures == 1


def test_a_request_waits_while_what_it_asks_for_has_no_primary() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    nodes.roles[ONE] = "master,fail"
    nodes.run(1.0)
    assert nodes.ask(client, "GET", LOW) == b""
    assert nodes.ask(nodes.stage.client(), "GET", HIGH) == answer(TWO), "the others go on"
    nodes.roles |= {ONE: "slave", THREE: "master"}
    nodes.slots = {ONE: [], THREE: [(0, HALF - 1)], TWO: [(HALF, 16383)]}
    nodes.run(1.0)
    assert client.take() == answer(THREE)


def test_connections_are_made_anew_when_a_server_is_something_else_now() -> None:
    nodes = Nodes()
    nodes.run()
    client = nodes.stage.client()
    nodes.ask(client, "EXISTS", LOW)
    nodes.roles |= {ONE: "slave", THREE: "master"}
    nodes.slots = {ONE: [], THREE: [(0, HALF - 1)], TWO: [(HALF, 16383)]}
    nodes.run(1.0)
    assert nodes.ask(client, "GET", LOW) == answer(THREE)
    wires = [wire for wire in nodes.stage.network.upstreams if wire.peer == THREE and not wire.closed]
    assert [getattr(wire, "allowed", set()) for wire in wires] == [set()], "READONLY was said on the one before"


def test_nothing_is_asked_and_nobody_waits_once_the_cluster_is_no_more() -> None:
    nodes = Nodes()
    client = nodes.stage.client()
    nodes.stage.say(client, resp.encode([b"GET", HIGH.encode()]))
    nodes.monitor.stop()
    nodes.run(5.0)
    assert nodes.asked == []
    assert client.take().startswith(b"-ERR")
