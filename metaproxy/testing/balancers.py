"""
`check_balancer`: the contract of a balancer, for the tests of its author.

Lives here: that only given endpoints are picked, by their weights, and that few keys move when one leaves. Does not:
how endpoints are found usable.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.testing.bench import verify
from metaproxy.testing.fakes import FakeEndpoint
from metaproxy.testing.report import need


def check_balancer(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], weighted: bool = True, disruption: float = 0.25
) -> None:
    """
    Raise AssertionError unless what `make(endpoints)` builds keeps the contract of a balancer.

    weighted: picks follow the weights of endpoints that have nothing under way; say False where they are not meant to.
    disruption: with `uses_hash`, the share of the keys of other endpoints that may move when one of ten leaves.
    """
    balancer = make(_endpoints(3))
    verify(ILoadBalancer, balancer)
    need(isinstance(balancer.uses_hash, bool), f"uses_hash is {balancer.uses_hash!r}; it must be True or False")
    hashes = _hashes(6000)
    for weight in (1, 7):
        (only,) = _endpoints(1, weight)
        picked = _picks(make([only]), hashes[:50])
        need(set(picked) == {only}, f"the only endpoint was given, but picked were {set(picked)}")
    _check_shares(make, _endpoints(5), hashes)
    if weighted:
        _check_shares(make, [FakeEndpoint(f"10.0.1.{w}:80", w) for w in (1, 2, 3)], hashes)
    if balancer.uses_hash:
        _check_stability(make, hashes, disruption)


def _endpoints(count: int, weight: int = 1) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"10.0.0.{i}:20880", weight) for i in range(1, count + 1)]


def _hashes(count: int) -> list[int]:
    draw = random.Random(3)
    return [draw.getrandbits(64) for _ in range(count)]


def _picks(balancer: ILoadBalancer, hashes: Iterable[int]) -> list[IEndpoint]:
    uses_hash = balancer.uses_hash
    return [balancer.pick(value if uses_hash else 0) for value in hashes]


def _check_shares(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], endpoints: Sequence[IEndpoint], hashes: Sequence[int]
) -> None:
    """
    Each endpoint's share within 40 % of its weight's. Of 6000 independent picks at a share of 1/6 that is 13 standard
    deviations; on a ring of 1024 places, whose own unevenness counts for more, still 5.
    """
    counts = Counter(_picks(make(list(endpoints)), hashes))
    strange = [endpoint for endpoint in counts if endpoint not in endpoints]
    need(not strange, f"pick() gave {strange}, which is none of the endpoints that the balancer was built with")
    total = sum(endpoint.weight for endpoint in endpoints)
    for endpoint in endpoints:
        share, wanted = counts[endpoint] / len(hashes), endpoint.weight / total
        need(bool(counts[endpoint]), f"{endpoint} was not picked once in {len(hashes)} times")
        need(
            0.6 * wanted <= share <= 1.4 * wanted,
            f"{endpoint} got {share:.1%} of {len(hashes)} picks; by its weight it should get about {wanted:.1%}",
        )


def _check_stability(
    make: Callable[[Sequence[IEndpoint]], ILoadBalancer], hashes: Sequence[int], disruption: float
) -> None:
    endpoints = _endpoints(10)
    balancer = make(endpoints)
    before = _picks(balancer, hashes)
    need(_picks(balancer, hashes) == before, "the same hash gave another endpoint when it was picked again")
    need(
        _picks(make(endpoints[::-1]), hashes) == before,
        "the same endpoints in another order gave other picks: two proxies would disagree; sort them by address",
    )
    gone = endpoints[3]
    after = _picks(make([endpoint for endpoint in endpoints if endpoint is not gone]), hashes)
    others = [(old, new) for old, new in zip(before, after, strict=True) if old is not gone]
    moved = sum(old is not new for old, new in others) / len(others)
    need(
        moved <= disruption,
        f"when one of ten endpoints left, {moved:.1%} of the keys of the others moved; allowed are {disruption:.1%}",
    )
