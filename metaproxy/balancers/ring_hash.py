"""
`ring_hash`: the same key to the same endpoint, by a ring of hashes (ketama).

Lives here: the ring, built by the algorithm of Envoy's ring_hash_lb.cc, so that a mesh of both sends a key to the same
place. Does not: hashing of keys (`hashing`).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Annotated

import xxhash
from zope.interface import implementer

from metaproxy.balancers.hashing import by_address, key_names
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.units import Option

MAX_RING = 8 << 20
"""Entries that a ring may have, as in Envoy; one takes 16 bytes, and about a microsecond to build."""


DUST = 1e-6
"""Of a place: what running sums may be off by."""


@implementer(ILoadBalancer)
class RingHash:
    """
    An endpoint stands at many places of a ring of 2**64, in proportion to its weight; a request goes to the first one
    at or after its hash. When one of n endpoints leaves, its keys move, and about as many of the others', who get more
    places to fill up the ring (as in Envoy; `maglev` moves fewer).
    """

    uses_hash = True

    def __init__(
        self,
        endpoints: Sequence[IEndpoint],
        minimum_ring_size: Annotated[
            int, Option("Places at least; more spread the keys more evenly.", least=1, most=MAX_RING)
        ] = 1024,
        maximum_ring_size: Annotated[
            int,
            Option(
                "Places at most: very unequal weights ask for many. A place takes 16 bytes, and a million about half a "
                "second to build, during which the proxy does nothing else.",
                least=1,
                most=MAX_RING,
            ),
        ] = MAX_RING,
        key: Annotated[
            str | list[str] | None,
            Option("A metadata key, or several, to hash; `hash:` of a route comes before it."),
        ] = None,
    ) -> None:
        if not 1 <= minimum_ring_size <= maximum_ring_size <= MAX_RING:
            raise ValueError(
                f"minimum_ring_size {minimum_ring_size} and maximum_ring_size {maximum_ring_size}; write sizes from 1"
                f" to {MAX_RING}, the minimum not above the maximum"
            )
        self.keys = key_names(key)
        places = ring(by_address(endpoints), minimum_ring_size, maximum_ring_size)
        # An array takes a fifth of a list's memory. Behind the last place the first one follows.
        self._hashes = array("Q", [place for place, _ in places])
        self._owners = [owner for _, owner in places]
        self._owners.append(self._owners[0])

    def pick(self, hash_value: int) -> IEndpoint:
        return self._owners[bisect_left(self._hashes, hash_value)]


def ring(endpoints: Sequence[IEndpoint], minimum: int, maximum: int) -> list[tuple[int, IEndpoint]]:
    """
    The places in the order of their hashes, each with who stands there: XXH64 of `<address>_0`, `<address>_1` ...

    The lightest endpoint gets a whole number of places, the others in proportion; where `maximum` leaves fractions,
    running sums decide who gets the odd place, as in Envoy; what floating point adds to a whole number is no place.
    """
    total = sum(endpoint.weight for endpoint in endpoints)
    lightest = min(endpoint.weight for endpoint in endpoints) / total
    scale = min(math.ceil(lightest * minimum) / lightest, float(maximum))
    hash_of = xxhash.xxh64_intdigest
    places: list[tuple[int, IEndpoint]] = []
    target = 0.0
    for endpoint in endpoints:
        target += scale * (endpoint.weight / total)
        prefix = f"{endpoint.address}_"
        own = math.ceil(target - DUST) - len(places)
        places += [(hash_of(f"{prefix}{i}".encode()), endpoint) for i in range(own)]
    places.sort(key=lambda place: place[0])
    return places
