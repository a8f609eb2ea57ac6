"""Who is refused, who is not read for a while, and in which order they are read again; what a crowd gets."""

from __future__ import annotations

import gc
import random
from collections import Counter, deque
from weakref import ref

import pytest
from twisted.internet.task import Clock

from metaproxy.proxy.overload import OverloadLimits, OverloadMonitor
from metaproxy.proxy.shed_share import PARKED, ShedShare
from metaproxy.routing.table import HIGH, LOW, NORMAL

LIMIT = 0.05


class Turn:
    def __init__(self) -> None:
        self.now = 0.0


class Client:
    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.resumed = 0

    def resume(self, reason: object) -> None:
        assert reason == PARKED
        self.resumed += 1


class Stage:
    """Clients of one priority, of which `draw` says whether one is refused."""

    def __init__(self, number: int, draw: float = 0.0) -> None:
        self.turn = Turn()
        self.share = ShedShare(lambda: draw)
        self.clients = [Client(self.turn) for _ in range(number)]
        self.asks = 0

    def ask(self, client: Client) -> bool:
        """Whether it is answered; each asks in a turn of its own."""
        self.turn.now += 0.0001
        return not self.share.refuses_one_of(client)

    def park(self, *clients: Client, brief: bool = False) -> None:
        for client in clients:
            assert not self.ask(client) and self.share.park(client, brief)

    def look(self, number: int = 1) -> list[int]:
        """After each: how many have been read again so far."""
        seen = []
        for _ in range(number):
            self.turn.now += 0.1
            self.share.look(self.turn.now, 0.0)
            seen.append(sum(client.resumed for client in self.clients))
        return seen


def test_what_is_not_read_counts_as_refused() -> None:
    """Draws of 0.2: a request is refused while the share that is left to refuse is larger."""
    stage = Stage(10, draw=0.2)
    for client in stage.clients:
        stage.share.value = 0.0001
        assert stage.ask(client)
    stage.share.value = 0.4
    assert not stage.ask(stage.clients[0])
    stage.share.park(stage.clients[0], False)
    assert not stage.ask(stage.clients[1]), "0.4 - 0.6 * 1 / 9"
    stage.share.park(stage.clients[1], False)
    assert not stage.ask(stage.clients[2]), "0.4 - 0.6 * 2 / 8"
    stage.share.park(stage.clients[2], False)
    assert stage.ask(stage.clients[3]), "0.4 - 0.6 * 3 / 7"
    assert stage.share.count == 3 and stage.share.parked == 3 and stage.share.active == 7


def test_where_all_are_refused_what_is_not_read_changes_nothing() -> None:
    stage = Stage(10, draw=0.999)
    stage.share.value = 1.0
    stage.park(*stage.clients[:9])
    assert not stage.ask(stage.clients[9])


def test_a_share_of_none_refuses_nothing_and_counts_nobody() -> None:
    stage = Stage(2)
    assert all(stage.ask(client) for client in stage.clients)
    assert not stage.share.asked and stage.share.active == 0


@pytest.mark.parametrize(("passed", "each"), [(0, 2), (120, 3), (1000, 5)])
def test_some_are_read_again_at_each_look_the_first_ones_first_and_the_more_the_more_others_pass(
    passed: int, each: int
) -> None:
    stage = Stage(100)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    other = Client(stage.turn)
    for number in (1, 2):
        stage.share.value = 1e-9
        assert all(stage.ask(other) for _ in range(passed))
        stage.share.value = 1.0
        assert stage.look() == [number * each]
    assert [client.resumed for client in stage.clients] == [1] * 2 * each + [0] * (100 - 2 * each)


def test_those_that_are_too_many_are_read_again_at_most_a_quarter_at_a_look() -> None:
    stage = Stage(16)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    stage.share.value = 0.0
    assert stage.look(6) == [5, 9, 12, 14, 16, 16]
    assert stage.share.parked == 0


def test_none_waits_for_ever() -> None:
    stage = Stage(100)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    assert stage.look(61)[-1] == 100, "those that were read again ask nothing, and are not parked"


def test_what_waited_in_the_socket_is_refused_and_what_comes_after_it_is_as_good_as_any() -> None:
    stage = Stage(20, draw=0.9)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    stage.share.value = 0.8
    stage.look()
    back = [client for client in stage.clients if client.resumed]
    assert len(back) == 4, "a fifth too many"
    first = back[0]
    assert not stage.ask(first)
    assert stage.share.refuses_one_of(first), "of the same turn"
    assert not stage.share.park(first, False), "it would be refused for ever"
    assert stage.ask(first) and stage.ask(first)
    stage.look(4)
    assert stage.ask(back[1]), "later than what waited could be read"


def test_what_waited_is_refused_also_when_nothing_else_is() -> None:
    stage = Stage(1)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    stage.share.value = 0.0
    stage.share.forget()
    assert stage.share.owes and stage.look() == [1] and stage.share.owes
    assert not stage.ask(stage.clients[0]) and stage.ask(stage.clients[0]) and not stage.share.owes


def test_one_that_may_ask_what_is_of_a_higher_priority_is_read_again_soon_and_what_waited_is_not_refused() -> None:
    stage = Stage(100, draw=0.5)
    stage.share.value = 1.0
    stage.park(*stage.clients, brief=True)
    assert stage.share.parked == 100
    assert stage.look() == [100] and stage.share.parked == 0
    stage.share.value = 0.1
    assert stage.ask(stage.clients[0])


def test_who_has_asked_nothing_for_a_while_is_not_counted() -> None:
    stage = Stage(30, draw=1.0)
    stage.share.value = 0.5
    for client in stage.clients:
        stage.ask(client)
    stage.look(11)
    assert stage.share.active == 30, "of the second before"
    for client in stage.clients[:5]:
        stage.ask(client)
    stage.look(10)
    assert stage.share.active == 5
    stage.look(10)
    assert not stage.share.asked


def test_at_the_end_all_are_read_again() -> None:
    stage = Stage(9)
    stage.share.value = 1.0
    stage.park(*stage.clients[:5])
    stage.park(*stage.clients[5:], brief=True)
    stage.share.release()
    assert [client.resumed for client in stage.clients] == [1] * 9 and stage.share.parked == 0


class Member(Client):
    """A client that always has a request under way, which waits in the crowd's line."""

    def __init__(self, crowd: Crowd, priority: int) -> None:
        super().__init__(crowd.turn)
        self.crowd, self.priority = crowd, priority
        self.asked = 0.0
        self.answers = 0

    def ask(self) -> None:
        self.asked = self.crowd.clock.seconds()

    def resume(self, reason: object) -> None:
        self.crowd.line.append(self)


class Crowd:
    """
    More clients than a process can serve in time: it does `SPEED` requests a second, and to refuse one costs `REFUSAL`
    of what it costs to serve one. Each asks again at once; what it asks while it is parked waits for its turn.
    """

    SPEED = 10000
    REFUSAL = 0.7

    def __init__(self, **members: int) -> None:
        self.clock, self.turn = Clock(), Turn()
        uniform = random.Random(7).random
        self.monitor = OverloadMonitor(self.clock, lambda: 0, lambda: None, uniform, self.look)
        self.monitor.limit(OverloadLimits(0, LIMIT))
        self.monitor.start(tuple)
        ranks = {"low": LOW, "normal": NORMAL, "high": HIGH}
        self.members = [Member(self, ranks[word]) for word, number in members.items() for _ in range(number)]
        self.line: deque[Member | None] = deque(self.members)
        self.waits: list[float] = []
        self.refused = 0
        self.sent, self.waited = -1.0, 0.0

    def look(self) -> float:
        """As a QueueProbe does."""
        if self.sent >= 0:
            return self.clock.seconds() - self.sent
        self.sent = self.clock.seconds()
        self.line.append(None)
        return self.waited

    def run(self, seconds: float) -> None:
        self.waits, self.refused = [], 0
        for member in self.members:
            member.answers = 0
        for _ in range(round(seconds / 0.005)):
            room = self.SPEED * 0.005
            while room > 0 and self.line:
                room -= self._serve(self.line.popleft())
            self.clock.advance(0.005)

    def _serve(self, one: Member | None) -> float:
        now = self.clock.seconds()
        self.turn.now += 1e-7  # a turn of its own
        self.turn.now = max(self.turn.now, now)
        if one is None:
            self.waited, self.sent = now - self.sent, -1.0
            return 0.0
        monitor = self.monitor
        refused = monitor.shedding and monitor.sheds(one.priority, one)
        if refused:
            self.refused += 1
        else:
            one.answers += 1
            self.waits.append(now - one.asked)
        one.ask()
        if not (refused and monitor.requests[one.priority].park(one, False)):
            self.line.append(one)
        return self.REFUSAL if refused else 1.0


@pytest.mark.parametrize("number", [600, 1000, 3000])
def test_a_crowd_costs_a_tenth_of_what_can_be_done_at_most_and_who_is_served_is_served_in_time(number: int) -> None:
    crowd = Crowd(normal=number)
    crowd.run(4)
    crowd.run(20)
    assert len(crowd.waits) >= 0.9 * 20 * crowd.SPEED
    waits = sorted(crowd.waits)
    assert waits[len(waits) // 2] <= LIMIT and waits[len(waits) * 99 // 100] <= 2 * LIMIT
    assert sum(not member.answers for member in crowd.members) <= number // 100, "each has its turn, but for chance"


def test_a_crowd_of_low_priority_is_refused_and_the_others_are_not() -> None:
    crowd = Crowd(low=600, normal=200, high=100)
    crowd.run(4)
    crowd.run(20)
    answers = Counter[int]()
    for member in crowd.members:
        answers[member.priority] += member.answers
    counts = [share.count for share in crowd.monitor.requests]
    assert counts[NORMAL] == counts[HIGH] == 0 < counts[LOW]
    assert answers[LOW] < answers[NORMAL] * 3, "of their number"
    assert len(crowd.waits) >= 0.9 * 20 * crowd.SPEED


def test_when_the_crowd_has_gone_all_are_served_again_within_seconds() -> None:
    crowd = Crowd(normal=3000)
    crowd.run(5)
    assert crowd.monitor.parked > 1000
    gone = set(crowd.members[100:])
    crowd.members = crowd.members[:100]
    crowd.line = deque(one for one in crowd.line if one not in gone)
    for member in gone:
        member.resume = lambda reason: None  # type: ignore[method-assign]
    crowd.run(5)
    crowd.run(1)
    assert crowd.monitor.parked == 0 and crowd.refused == 0 and not crowd.monitor.shedding


def test_a_client_that_has_gone_while_it_was_not_read_is_not_kept() -> None:
    stage = Stage(2)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    gone = ref(stage.clients.pop(0))
    gc.collect()
    assert gone() is None and stage.share.parked == 2
    stage.share.value = 0.0
    assert stage.look(3)[-1] == 1
    assert stage.share.parked == 0


def test_one_that_comes_later_is_not_taken_for_one_that_was_read_again() -> None:
    stage = Stage(1)
    stage.share.value = 1.0
    stage.park(*stage.clients)
    stage.share.value = 0.0
    stage.look()
    before = id(stage.clients.pop())
    others = [Client(stage.turn) for _ in range(50)]
    assert before not in map(id, others), "it is kept as long as its id says something"
    assert all(stage.ask(client) for client in others)
