from __future__ import annotations

import random
from collections import Counter

import xxhash
from zope.interface.verify import verifyObject

from metaproxy.balancers.maglev import Maglev
from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.levels import Levels
from metaproxy.interfaces import ILoadBalancer

FIRST, SECOND, THIRD = (
    [Endpoint("a:1"), Endpoint("a:2")], [Endpoint("b:1")], [Endpoint("c:1"), Endpoint("c:2"), Endpoint("c:3")],
)  # fmt: skip

DRAWS = 40_000
BOUND = 0.012
"""Five standard deviations of a share of a half in so many draws."""


def hashes(number: int = DRAWS) -> list[int]:
    return [xxhash.xxh64_intdigest(f"key-{index}".encode()) for index in range(number)]


def test_it_is_a_balancer_of_the_kind_that_it_is_made_of() -> None:
    levels = Levels([0.5, 0.5], [RingHash(FIRST, key="user"), RingHash(SECOND, key="user")])
    assert verifyObject(ILoadBalancer, levels)
    assert levels.uses_hash and levels.keys == ("user",)
    assert not Levels([0.5, 0.5], [RoundRobin(FIRST), RoundRobin(SECOND)]).uses_hash


def test_levels_are_drawn_by_their_shares() -> None:
    levels = Levels([0.7, 0.2, 0.1], [RoundRobin(one) for one in (FIRST, SECOND, THIRD)], random.Random(5).random)
    picked = Counter(str(levels.pick(0).address)[0] for _ in range(DRAWS))
    for name, share in {"a": 0.7, "b": 0.2, "c": 0.1}.items():
        assert abs(picked[name] / DRAWS - share) < BOUND


def test_hashes_spread_over_levels_by_their_shares_and_inside_each_as_ever() -> None:
    for balancer in (RingHash, Maglev):
        levels = Levels([0.6, 0.4], [balancer(FIRST), balancer(THIRD)])
        picked = Counter(levels.pick(one).address for one in hashes())
        assert abs(sum(picked[one.address] for one in FIRST) / DRAWS - 0.6) < BOUND
        # A ring of 1024 places is uneven by itself, by up to 15 percent here; a level that were decided by the
        # same bits as the place in the table would leave parts of it out.
        for one in THIRD:
            assert 0.4 / 3 * 0.8 < picked[one.address] / DRAWS < 0.4 / 3 * 1.2


def test_a_key_stays_in_its_level_while_the_shares_do_and_few_move_when_they_change() -> None:
    before = Levels([0.6, 0.4], [Maglev(FIRST), Maglev(SECOND)])
    again = Levels([0.6, 0.4], [Maglev(FIRST), Maglev(SECOND)])
    after = Levels([0.5, 0.5], [Maglev(FIRST), Maglev(SECOND)])
    assert all(before.pick(one) is again.pick(one) for one in hashes(2000))
    moved = sum(before.pick(one) is not after.pick(one) for one in hashes())
    assert abs(moved / DRAWS - 0.1) < BOUND


def test_the_last_level_takes_what_rounding_leaves() -> None:
    levels = Levels([0.1] * 9 + [0.0999], [RoundRobin(FIRST)] * 9 + [RoundRobin(SECOND)], lambda: 0.999999)
    assert levels.pick(0).address == "b:1"
