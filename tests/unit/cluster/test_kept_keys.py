"""What only one server has is asked of that server."""

from __future__ import annotations

import pytest
from bank import BankStage
from harness import Wire

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.kept_keys import LONGEST, KeptKeys

HERE, THERE = Endpoint("127.0.0.1:1"), Endpoint("127.0.0.1:2")


def test_a_key_is_found_until_its_server_has_it_no_more() -> None:
    kept = KeptKeys()
    assert kept.find("a") is None
    kept.keep(HERE, "a", True)
    assert kept.find("a") is HERE
    kept.keep(THERE, "a", True)
    assert kept.find("a") is THERE
    kept.keep(THERE, "a", False)
    kept.keep(THERE, "never", False)
    assert (kept.find("a"), len(kept)) == (None, 0)


def test_the_key_that_was_used_longest_ago_makes_room() -> None:
    kept = KeptKeys(most=2)
    kept.keep(HERE, "a", True)
    kept.keep(HERE, "b", True)
    kept.find("a")
    kept.keep(HERE, "c", True)
    assert [kept.find(key) for key in "abc"] == [HERE, None, HERE]


def test_a_key_that_is_not_used_is_forgotten() -> None:
    kept = KeptKeys()
    now = [0.0]
    kept.now = lambda: now[0]
    kept.keep(HERE, "a", True)
    for _ in range(3):
        now[0] += LONGEST
        assert kept.find("a") is HERE
    now[0] += LONGEST + 1
    assert (kept.find("a"), len(kept)) == (None, 0)


class Cursors(BankStage):
    """Two servers; what is answered `i open KEY` opens what only that server has, until `i shut KEY`."""

    def __init__(self) -> None:
        super().__init__(endpoints=2)
        self.customer = self.client()
        self.say(self.customer, b"login ann d\n")
        self._greet()

    def _greet(self) -> None:
        for wire in self.upstreams:
            if wire.written.startswith(b"hello"):
                wire.written = wire.written.partition(b"\n")[2]
                self.say(wire, b"welcome\n")

    def ask(self, line: bytes, answer: bytes) -> Wire:
        """Where it went."""
        self.say(self.customer, line)
        self._greet()
        (wire,) = [wire for wire in self.upstreams if wire.take()]
        self.say(wire, answer)
        return wire


def test_requests_for_a_key_go_where_it_is_and_others_where_the_balancer_says() -> None:
    stage = Cursors()
    first = stage.ask(b"open one\n", b"i open one\n")
    second = stage.ask(b"open two\n", b"i open two\n")
    assert first.peer != second.peer
    assert {stage.ask(b"fetch one\n", b"i some\n").peer for _ in range(4)} == {first.peer}
    assert {stage.ask(b"fetch two\n", b"i some\n").peer for _ in range(4)} == {second.peer}
    assert len({stage.ask(b"fetch\n", b"i some\n").peer for _ in range(4)}) == 2
    stage.ask(b"fetch one\n", b"i shut one\n")
    assert len({stage.ask(b"fetch one\n", b"i some\n").peer for _ in range(4)}) == 2


@pytest.mark.parametrize("gone", ["unhealthy", "left"])
def test_a_key_whose_server_is_gone_is_nowhere(gone: str) -> None:
    stage = Cursors()
    stage.customer.take()
    where = stage.ask(b"open one\n", b"i open one\n").peer
    (endpoint,) = [one for one in stage.cluster.endpoints if one.address == where]
    if gone == "left":
        stage.cluster.update([one for one in stage.cluster.endpoints if one is not endpoint])
    else:
        endpoint.healthy = False
    stage.say(stage.customer, b"fetch one\n")
    assert stage.customer.take() == b"i open one\nerror no_endpoint\n"


def test_a_key_may_be_lost_without_a_word_of_its_server() -> None:
    kept = KeptKeys()
    kept.keep(HERE, "a", True)
    for key in ("a", "never"):
        kept.lose(key)
    assert (kept.find("a"), len(kept)) == (None, 0)
