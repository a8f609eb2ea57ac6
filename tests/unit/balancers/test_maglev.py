"""The table: Envoy's entries, spread, stability."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from metaproxy.balancers.hashing import by_address
from metaproxy.balancers.maglev import Maglev, is_prime, next_prime, table
from metaproxy.testing import FakeEndpoint, check_balancer

# Envoy 1.40.0, `-l trace` ("maglev: i=... address=..."): table_size 31; 127.0.0.1:20881, 127.0.0.1:20882, [::1]:20883
# (last digits below) with weights 1, 2, 3. And table_size 13; 127.0.0.1:20881 to 20883, equal weights.
ENVOY_31 = "3132223232213331213333213323221"
ENVOY_13 = "1131213232321"


def equal(count: int) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"10.0.{i // 256}.{i % 256}:20880") for i in range(count)]


@pytest.mark.no_cover  # tables of 65537 entries
def test_maglev_keeps_the_contract_and_moves_few_keys_of_other_endpoints() -> None:
    check_balancer(Maglev, disruption=0.01)


def test_the_table_is_envoy_s_with_weights() -> None:
    endpoints = [FakeEndpoint("127.0.0.1:20881", 1), FakeEndpoint("127.0.0.1:20882", 2), FakeEndpoint("[::1]:20883", 3)]
    assert "".join(owner.address[-1] for owner in table(by_address(endpoints), 31)) == ENVOY_31


def test_the_table_is_envoy_s_without_weights() -> None:
    endpoints = [FakeEndpoint(f"127.0.0.1:2088{i}") for i in (2, 1, 3)]
    assert "".join(owner.address[-1] for owner in table(by_address(endpoints), 13)) == ENVOY_13


def test_a_hash_goes_to_its_entry() -> None:
    endpoints = [FakeEndpoint(f"127.0.0.1:2088{i}") for i in (1, 2, 3)]
    balancer = Maglev(endpoints, table_size=13)
    assert "".join(balancer.pick(value).address[-1] for value in range(26)) == ENVOY_13 * 2


@pytest.mark.parametrize("count", [1, 3, 100, 1000])
def test_equal_endpoints_have_shares_that_differ_by_one_entry_at_most(count: int) -> None:
    """Each takes one entry a round (paper, section 3.4)."""
    counts = Counter(table(equal(count), 65537))
    assert len(counts) == count
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("weights", [[1, 2, 3], [1, 99], [7, 11, 13, 100], [1] * 50 + [1000]])
def test_shares_follow_the_weights_within_an_entry_each(weights: list[int]) -> None:
    """Everybody takes one in the first round, so the lighter ones are ahead by one at most, at the heaviest's cost."""
    endpoints = [FakeEndpoint(f"10.0.0.{i}:1", weight) for i, weight in enumerate(weights)]
    counts = Counter(table(endpoints, 65537))
    for endpoint in endpoints:
        assert abs(counts[endpoint] - 65537 * endpoint.weight / sum(weights)) <= (
            len(weights) if endpoint.weight == max(weights) else 2
        ), endpoint


def moved_entries(count: int, size: int) -> float:
    """The share of the other endpoints' entries that move when one of `count` leaves."""
    endpoints = equal(count)
    gone = endpoints[count // 2]
    before = table(endpoints, size)
    after = table([endpoint for endpoint in endpoints if endpoint is not gone], size)
    kept = [(old, new) for old, new in zip(before, after, strict=True) if old is not gone]
    return sum(old is not new for old, new in kept) / len(kept)


@pytest.mark.no_cover  # tables of 65537 entries
def test_when_one_endpoint_leaves_few_entries_of_others_move() -> None:
    """The paper's section 5.3 measures this disruption; at 65537 entries it is below a per cent."""
    assert moved_entries(10, 65537) < 0.01
    assert moved_entries(100, 65537) < 0.01


@pytest.mark.no_cover  # tables of 65537 entries
def test_a_larger_table_moves_fewer_entries() -> None:
    """Also section 5.3: that is what a table has so many more entries than endpoints for."""
    assert moved_entries(100, 65537) < 0.6 * moved_entries(100, 1009)


def test_the_order_in_which_endpoints_are_reported_does_not_matter() -> None:
    endpoints = equal(20)
    shuffled = random.Random(8).sample(endpoints, 20)
    one, other = Maglev(endpoints, 1009), Maglev(shuffled, 1009)
    assert all(one.pick(value) is other.pick(value) for value in range(1009))


def test_an_endpoint_that_finds_no_entry_does_no_harm() -> None:
    assert len(table(equal(20), 13)) == 13


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (65536, "table_size 65536 is not a prime up to 5000011; write 65537, or 65537"),
        (1000, "table_size 1000 is not a prime up to 5000011; write 65537, or 1009"),
        (-5, "table_size -5 is not a prime up to 5000011; write 65537, or 2"),
        (10**18 + 9, "table_size 1000000000000000009 is not a prime up to 5000011; write 65537, or 5000011"),
    ],
)
def test_a_table_size_that_is_no_prime_is_refused_with_the_next_one(size: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Maglev(equal(1), table_size=size)


def test_primes_are_known() -> None:
    assert [number for number in range(-2, 40) if is_prime(number)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]
    assert is_prime(65537)
    assert is_prime(5000011)
    assert not is_prime(65537 * 3)
    assert next_prime(24) == 29


def test_the_key_is_kept_for_whoever_hashes() -> None:
    assert Maglev(equal(1), 13, key=["interface", "user"]).keys == ("interface", "user")
