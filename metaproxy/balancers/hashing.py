"""
From metadata to a hash: what the balancers that look at one share.

Lives here: the hash of a route's or balancer's key (data-plane.md calls it the hash policy) and the reading of `key`.
Does not: rings and tables; what happens to a request without a key (its caller takes a random number).
"""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from metaproxy.interfaces import IEndpoint


def hash_values(values: Sequence[str | None]) -> int | None:
    """
    64 bits of the values of a key's parts: XXH64 with seed 0; several values are sorted and fed one after another, so
    their order does not matter, and a missing one (None) counts as an empty one.

    None when no value is there at all: such requests have nothing in common and must not all go to one endpoint.
    """
    if len(values) == 1:  # as nearly always, and half the cost
        value = values[0]
        return None if value is None else xxhash.xxh64_intdigest(value.encode("utf-8", "surrogateescape"))
    present = sorted([value.encode("utf-8", "surrogateescape") for value in values if value is not None])
    return xxhash.xxh64_intdigest(b"".join(present)) if present else None


def key_names(key: str | list[str] | None) -> tuple[str, ...]:
    """The option `key` of a balancer as a tuple. Raises ValueError for an empty name."""
    names = (key,) if isinstance(key, str) else tuple(key or ())
    if not all(names):
        raise ValueError("key holds an empty name; write the name of a metadata key, such as user, or a list of names")
    return names


def by_address(endpoints: Sequence[IEndpoint]) -> list[IEndpoint]:
    """In the order of addresses: what is built from it is the same whatever order a discovery reported."""
    return sorted(endpoints, key=lambda endpoint: str(endpoint.address))
