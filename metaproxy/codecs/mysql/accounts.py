"""
Who may log in at the proxy: the option `users`, and the login of a client there.

    login with a proof of a known kind ── right: in
         └── another kind, or none ── asked for one that the client may know ── right: in

A client that proves nothing learns nothing: neither whether its name is known, nor by the time that it takes.

Lives here: `Accounts`, `Entrance`. Does not: logins at servers (`upstream_login`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import Enum

from metaproxy.codecs.mysql.handshake import Switch
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, SIZES, new_challenge, proves

_MOST_NAME = 128


class Accounts:
    """Names and passwords, from the option `users`. Raises ValueError, without a word of a password."""

    def __init__(self, users: object) -> None:
        if not isinstance(users, Mapping) or not users:
            raise ValueError("users is a mapping of names to passwords; write {app: {secret: NAME}}")
        self._passwords: dict[bytes, bytes] = {}
        for name, password in users.items():
            if not isinstance(name, str) or not name or len(name) > _MOST_NAME or "\0" in name:
                raise ValueError(f"users has {str(name)[:_MOST_NAME]!r}, which is no name of 1 to {_MOST_NAME} letters")
            if not isinstance(password, str) or not password or "\0" in password:
                raise ValueError(f"the password of user {name!r} is no text, or an empty one")
            self._passwords[name.encode()] = password.encode()
        self._unknown = secrets.token_bytes(16)

    def password(self, user: bytes) -> tuple[bytes, bool]:
        """A user's password, and whether the user is known; of another one that nobody has."""
        password = self._passwords.get(user)
        return (self._unknown, False) if password is None else (password, True)


class Step(Enum):
    """What becomes of a login."""

    IN = 0
    ASKED = 1
    REFUSED = 2


class Entrance:
    """One client's logins. challenge: what its greeting, or the last question, had."""

    def __init__(self, accounts: Accounts, first: bytes) -> None:
        self._accounts = accounts
        self._first = first
        self.challenge = new_challenge()
        self.user = b""
        self._asked = b""  # the kind of proof that a question asked for

    def is_same_user(self, other: Entrance) -> bool:
        """Whether both are one user. The name is not enough, as each listener has users of its own."""
        one, known = self._accounts.password(self.user)
        return known and self.user == other.user and (one, known) == other._accounts.password(other.user)

    def begin(self, user: bytes, plugin: bytes, answer: bytes) -> tuple[Step, bytes]:
        """A login, and what to say if it goes on. plugin: by which the client has answered, b"" if it did not say."""
        self.user = user
        plugin = plugin or NATIVE
        if len(answer) == SIZES.get(plugin):
            return self._check(plugin, answer)
        # It has another plugin than it was greeted with, or none that can answer the greeting.
        other = NATIVE if self._first == SHA2 else SHA2
        self._asked = plugin if plugin in SIZES and plugin != self._first else other
        self.challenge = new_challenge()
        return Step.ASKED, Switch(self._asked, self.challenge).write()

    def answer(self, answer: bytes) -> tuple[Step, bytes]:
        """The answer to a question."""
        plugin, self._asked = self._asked, b""
        if len(answer) != SIZES[plugin]:
            return Step.REFUSED, b""
        return self._check(plugin, answer)

    def _check(self, plugin: bytes, answer: bytes) -> tuple[Step, bytes]:
        password, known = self._accounts.password(self.user)
        right = proves(plugin, password, self.challenge, answer) and known
        return (Step.IN, b"\1\3" if plugin == SHA2 else b"") if right else (Step.REFUSED, b"")
