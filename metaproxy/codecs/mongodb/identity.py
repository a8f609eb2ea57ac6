"""
Whom a client has logged in as at the proxy, and what that has shown: enough to log in at a server as the same user.

Lives here: `Identity`, `Identities`. Does not: the login at the proxy (`users`), the one at a server (`server_login`).
"""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

LOGIN_AS: Final = "login_as"
"""Of a cluster's credentials: `client`: connections of clients log in as their own users."""
CLIENT: Final = "client"
X509: Final = "MONGODB-X509"
"""The mechanism of who has a certificate."""
EXTERNAL: Final = "$external"
"""The database of users whose passwords no server has."""

_Shown = tuple[str, str, str, str, tuple[bytes, bytes] | None]


class Identity:
    """
    The `profile` of a client's requests. database: in which the user is. password: "" where only SCRAM's keys of that
    `mechanism` are known: those of the client and of the server; neither for who has shown a certificate. Logins that
    have shown the same are one object.
    """

    __slots__ = ("__weakref__", "database", "keys", "mechanism", "password", "user")

    def __init__(self, shown: _Shown) -> None:
        self.user, self.database, self.password, self.mechanism, self.keys = shown

    @property
    def plain(self) -> tuple[str, str]:
        """What a recording may keep of it."""
        return self.user, self.database

    def __repr__(self) -> str:
        return f"Identity({self.user!r}, {self.database!r}, ...)"


class Identities:
    """Those of a codec's clients, as long as somebody has one."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[_Shown, Identity] = WeakValueDictionary()

    def by_password(self, user: str, database: str, password: str) -> Identity:
        return self._of((user, database, password, "", None))

    def by_keys(self, user: str, database: str, mechanism: str, keys: tuple[bytes, bytes]) -> Identity:
        return self._of((user, database, "", mechanism, keys))

    def by_certificate(self, subject: str) -> Identity:
        return self._of((subject, EXTERNAL, "", X509, None))

    def _of(self, shown: _Shown) -> Identity:
        found = self._known.get(shown)
        if found is None:
            found = self._known[shown] = Identity(shown)
        return found
