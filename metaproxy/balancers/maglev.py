"""
`maglev`: the same key to the same endpoint, by a table that is filled in turns.

Lives here: the table of Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016),
section 3.4, with the weights and hashes of Envoy's maglev_lb.cc, so that a mesh of both sends a key to the same place.
Does not: hashing of keys (`hashing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from typing import Annotated

import xxhash
from zope.interface import implementer

from metaproxy.balancers.hashing import by_address, key_names
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.units import Option

MAX_TABLE = 5_000_011
"""Entries that a table may have, as in Envoy; one takes 8 bytes, and about a microsecond to build."""


@implementer(ILoadBalancer)
class Maglev:
    """
    Every endpoint has its own random order of a table's entries and takes the first free one at its turn, so shares
    follow the weights almost exactly, and a pick is one look-up. When one of n endpoints leaves, its keys move and a
    few of the others with them.
    """

    uses_hash = True

    def __init__(
        self,
        endpoints: Sequence[IEndpoint],
        table_size: Annotated[
            int,
            Option(
                "Entries, a prime; best 100 times the number of endpoints or more. With fewer entries than endpoints, "
                "some get none.",
                most=MAX_TABLE,
            ),
        ] = 65537,
        key: Annotated[
            str | list[str] | None,
            Option("A metadata key, or several, to hash; `hash:` of a route comes before it."),
        ] = None,
    ) -> None:
        if table_size > MAX_TABLE or not is_prime(table_size):
            raise ValueError(
                f"table_size {table_size} is not a prime up to {MAX_TABLE}; write 65537, or {next_prime(table_size)}"
            )
        self.keys = key_names(key)
        self._size = table_size
        self._table = table(by_address(endpoints), table_size)

    def pick(self, hash_value: int) -> IEndpoint:
        return self._table[hash_value % self._size]


def table(endpoints: Sequence[IEndpoint], size: int) -> list[IEndpoint]:
    """
    The entries in order. In each round an endpoint of the greatest weight takes one, one of a third of it takes one in
    every third round, and so on. size: a prime, or the search for a free entry might not end.
    """
    free: list[IEndpoint | None] = [None] * size
    heaviest = max(endpoint.weight for endpoint in endpoints)
    at, step = [], []
    for endpoint in endpoints:
        address = str(endpoint.address).encode()
        at.append(xxhash.xxh64_intdigest(address) % size)
        step.append(xxhash.xxh64_intdigest(address, seed=1) % (size - 1) + 1)
    taken = [0] * len(endpoints)
    # Whose turn is next: (round, index). Asking each one in each round would take minutes with unequal weights.
    turns = [(1, index) for index in range(len(endpoints))]
    heapify(turns)
    for _ in range(size):
        round, index = turns[0]
        entry, skip = at[index], step[index]
        while free[entry] is not None:
            entry = (entry + skip) % size
        free[entry] = endpoints[index]
        at[index] = (entry + skip) % size
        taken[index] += 1
        heapreplace(turns, (max(round + 1, -(-taken[index] * heaviest // endpoints[index].weight)), index))
    return [endpoint for endpoint in free if endpoint is not None]


def is_prime(number: int) -> bool:
    """Whether a number is a prime; by trial division, so only for what a table may measure."""
    if number < 2 or (number > 2 and number % 2 == 0):
        return False
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def next_prime(number: int) -> int:
    """The least prime that is not below `number`, or the greatest that a table may measure."""
    if number > MAX_TABLE:
        return MAX_TABLE
    candidate = max(number, 2)
    while not is_prime(candidate):
        candidate += 1
    return candidate
