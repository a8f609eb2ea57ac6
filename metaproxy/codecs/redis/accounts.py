"""
Who may log in at the proxy.

Lives here: `Accounts`. Does not: how the proxy logs in at a server (`server`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping


class Accounts:
    """
    Who may log in. users: name -> password; the name `default` is that of AUTH with a password alone. Empty: everybody
    is logged in.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)

    def __bool__(self) -> bool:
        return bool(self._users)

    def accept(self, user: str, password: bytes) -> bool:
        """In constant time for a known user and for an unknown one."""
        expected = self._users.get(user, "")
        equal = hmac.compare_digest(expected.encode(), password)
        return equal and user in self._users
