"""
Keys by which clients name each other's connections: PostgreSQL's BackendKeyData, MySQL's connection id.

They are the proxy's own where a client is moved from one server's connection to another: it keeps its key. Whose login
passes has its server's. Lives here: `new_key`, `adopt_key`, `owner_of`, for all listeners of the process. Does not:
what is done with them (`Message.companion`).
"""

from __future__ import annotations

import secrets
from typing import Final
from weakref import WeakValueDictionary

SECRET_SIZE: Final = 4
"""Bytes of a secret that all versions of PostgreSQL's protocol take."""

_owners: WeakValueDictionary[tuple[int, bytes], object] = WeakValueDictionary()


def new_key(owner: object, secret_size: int = SECRET_SIZE) -> tuple[int, bytes]:
    """
    A number, 1 to 2**31 - 1, and a secret, by which `owner` is found as long as it lives. No two owners have the same
    number and secret; where `secret_size` is 0, no two have the same number.
    """
    while True:
        key = secrets.randbelow((1 << 31) - 1) + 1, secrets.token_bytes(secret_size)
        if key not in _owners:
            _owners[key] = owner
            return key


def adopt_key(owner: object, number: int, secret: bytes) -> bool:
    """Have a key that a server gave find `owner`; False where another one has it, who keeps it."""
    return _owners.setdefault((number, secret), owner) is owner


def owner_of(number: int, secret: bytes = b"") -> object | None:
    """Whose key this is; None for a key that was not given, or whose owner is gone."""
    return _owners.get((number, secret))
