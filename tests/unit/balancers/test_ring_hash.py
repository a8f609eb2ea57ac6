"""The ring: Envoy's places, spread, stability."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from metaproxy.balancers.ring_hash import RingHash, ring
from metaproxy.interfaces import IEndpoint
from metaproxy.testing import FakeEndpoint, check_balancer

# Envoy 1.40.0, `-l trace` ("ring hash: host=... hash=..."): ring_hash_lb_config {minimum_ring_size: 16,
# maximum_ring_size: 64}; 127.0.0.1:20881, 127.0.0.1:20882, [::1]:20883 (last digits below) with weights 1, 2, 3.
ENVOY = [
    (1919888442508368510, 3), (1986346228117223991, 2), (2966545515645599300, 1), (3223529298888980246, 3),
    (3840804243256950306, 3), (5605160053706844039, 3), (7854004256727937668, 3), (8886592734622323172, 2),
    (10008980166616175171, 1), (10658867788691289601, 2), (11308535746338991312, 3), (13746196538492604817, 1),
    (13910785527439659752, 3), (14510339228341677998, 2), (16805562582088807968, 3), (17341241510825799050, 2),
    (17348712313588191617, 2), (18415915760663635378, 3),
]  # fmt: skip


def weighted() -> list[FakeEndpoint]:
    return [FakeEndpoint("127.0.0.1:20881", 1), FakeEndpoint("127.0.0.1:20882", 2), FakeEndpoint("[::1]:20883", 3)]


def equal(count: int) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"10.0.{i // 256}.{i % 256}:20880") for i in range(count)]


def hashes(count: int) -> list[int]:
    draw = random.Random(7)
    return [draw.getrandbits(64) for _ in range(count)]


def test_ring_hash_keeps_the_contract_and_moves_a_tenth_of_the_other_keys_when_one_of_ten_leaves() -> None:
    check_balancer(RingHash, disruption=0.1)


def test_the_ring_is_envoy_s() -> None:
    assert [(place, int(owner.address[-1])) for place, owner in ring(weighted(), 16, 64)] == ENVOY


def test_a_hash_goes_to_the_place_at_or_after_it_and_from_the_last_to_the_first() -> None:
    balancer = RingHash(weighted(), 16, 64)
    for (place, owner), (_, after) in zip(ENVOY, ENVOY[1:] + ENVOY[:1], strict=True):
        assert int(balancer.pick(place).address[-1]) == owner
        assert int(balancer.pick(place + 1).address[-1]) == after
    assert int(balancer.pick(0).address[-1]) == ENVOY[0][1]
    assert int(balancer.pick(2**64 - 1).address[-1]) == ENVOY[0][1]


@pytest.mark.parametrize(
    ("weights", "minimum", "maximum", "places"),
    [
        ([1], 1024, 8388608, [1024]),
        ([1, 1, 1], 1024, 8388608, [342, 342, 342]),
        ([1, 3], 1024, 8388608, [256, 768]),
        ([1, 1, 1, 1], 6, 6, [2, 1, 2, 1]),  # the maximum leaves fractions: Envoy's own example
        ([1, 1000], 10, 100, [1, 99]),
    ],
)
def test_places_follow_the_weights_between_the_least_and_the_greatest_size(
    weights: list[int], minimum: int, maximum: int, places: list[int]
) -> None:
    endpoints = [FakeEndpoint(f"10.0.0.{i}:1", weight) for i, weight in enumerate(weights)]
    counts = Counter(owner for _, owner in ring(endpoints, minimum, maximum))
    assert [counts[endpoint] for endpoint in endpoints] == places


def test_the_spread_is_that_of_as_many_random_points() -> None:
    """
    With v places each of n endpoints, an endpoint's share of the ring has mean 1/n and, as the sum of v of the nv gaps
    between random points, a relative standard deviation of about 1/sqrt(v) (Karger et al., 1997).
    """
    endpoints = equal(50)
    places = ring(endpoints, 50 * 400, 8388608)
    shares: Counter[IEndpoint] = Counter()
    for (place, owner), (before, _) in zip(places, [places[-1], *places[:-1]], strict=True):
        shares[owner] += (place - before) % 2**64
    off = [shares[endpoint] / 2**64 * 50 - 1 for endpoint in endpoints]
    deviation = (sum(one * one for one in off) / 50) ** 0.5
    # 0.05 is 1/sqrt(400). The deviation of a sample of 50 is itself off by 10 % (1/sqrt(2*50)); allowed is 4 times it.
    assert 0.03 < deviation < 0.07
    assert max(map(abs, off)) < 0.05 * 4.9


@pytest.mark.parametrize("places", [1, 100, 1000])
def test_when_one_of_ten_leaves_only_its_keys_move_if_the_others_keep_their_places(places: int) -> None:
    """Karger et al. (1997), monotonicity."""
    endpoints = equal(10)
    before, after = RingHash(endpoints, 10 * places), RingHash(endpoints[:3] + endpoints[4:], 9 * places)
    heirs: Counter[str] = Counter()
    for value in hashes(20_000):
        if before.pick(value) is endpoints[3]:
            heirs[after.pick(value).address] += 1
        else:
            assert after.pick(value) is before.pick(value)
    assert len(heirs) == min(9, places)


@pytest.mark.parametrize("size", [1024, 65536])
def test_the_places_that_fill_up_the_ring_when_one_of_ten_leaves_move_a_tenth_of_the_other_keys(size: int) -> None:
    """Envoy's algorithm gives the nine that stay 1/9 more places each, and these take over 1/10 of all keys."""
    endpoints = equal(10)
    before, after = RingHash(endpoints, size), RingHash(endpoints[:3] + endpoints[4:], size)
    kept = [(before.pick(value), after.pick(value)) for value in hashes(20_000)]
    moved = [old is not new for old, new in kept if old is not endpoints[3]]
    # The sample's deviation is 0.3 % of 18,000, the ring's (100 new places of 1024) 1 %.
    assert 0.05 < sum(moved) / len(moved) < 0.15


def test_when_one_joins_ten_it_takes_its_share_and_nothing_else_moves() -> None:
    endpoints = equal(11)
    before, after = RingHash(endpoints[:10], 10 * 6000), RingHash(endpoints, 11 * 6000)
    moved = 0
    for value in hashes(20_000):
        if after.pick(value) is not before.pick(value):
            assert after.pick(value) is endpoints[10]
            moved += 1
    # 1/11 of 20,000; 4.9 deviations of the sample (41) and of the ring (1/sqrt(6000), 24) together.
    assert abs(moved - 20_000 / 11) < 4.9 * (41**2 + 24**2) ** 0.5


def test_more_weight_keeps_the_keys_that_an_endpoint_has() -> None:
    light = [FakeEndpoint("a:1", 1), FakeEndpoint("b:1", 1)]
    heavy = [FakeEndpoint("a:1", 1), FakeEndpoint("b:1", 2)]
    before, after = RingHash(light, 1024), RingHash(heavy, 1024 + 512)
    for value in hashes(5000):
        if before.pick(value) is light[1]:
            assert after.pick(value) is heavy[1]


@pytest.mark.parametrize(("least", "most"), [(0, 10), (20, 10), (1024, 2**24), (-1, 5)])
def test_sizes_out_of_bounds_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="write sizes from 1 to 8388608, the minimum not above the maximum"):
        RingHash(equal(1), least, most)


def test_the_key_is_kept_for_whoever_hashes() -> None:
    assert RingHash(equal(1), key=["interface", "user"]).keys == ("interface", "user")
    assert RingHash(equal(1), key="user").keys == ("user",)
    assert RingHash(equal(1)).keys == ()
