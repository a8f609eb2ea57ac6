"""
What a hashing balancer is given of a request: metadata, or facts of its connection.

Lives here: `hash_keys`, and keys of which one is a fact. Does not: hashing (`balancers.hashing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from metaproxy.routing.matcher import FACTS


class ConnectionKeys(tuple[str, ...]):
    """Keys of which one at least is a fact, such as source.address; the others are metadata keys."""

    __slots__ = ()

    def values(self, get: Callable[[str], str | None], facts: Mapping[str, str]) -> list[str | None]:
        """A fact that is not known is None: no metadata stand in for it. May raise FrameError, as `get` does."""
        return [facts.get(key) if key.startswith(FACTS) else get(key) for key in self]


def hash_keys(names: Iterable[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that are hashed for the names that were written. aliases: see ICodec.hash_aliases."""
    keys = tuple(aliases.get(name, name) for name in names)
    return ConnectionKeys(keys) if any(key.startswith(FACTS) for key in keys) else keys
