"""
Who may log in at the proxy: the option `auth`.

Lives here: names, passwords and their comparison. Does not: what a client says to log in (`identity`); how the proxy
logs in at servers (`server`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from metaproxy.codecs.redis.metadata import ANYBODY


class Accounts:
    """
    users: name -> password; the name `default` is that of AUTH with a password alone. Empty: everybody is logged in, as
    with a redis-server without a password.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = {name: password.encode() for name, password in users.items()}

    def __bool__(self) -> bool:
        return bool(self._users)

    def accept(self, user: bytes, password: bytes) -> str | None:
        """The name of who logged in, or None: as fast for an unknown name as for a known one."""
        name = user.decode("utf-8", "replace")
        if not self._users:
            return name if name == ANYBODY else None
        equal = hmac.compare_digest(self._users.get(name, b""), password)
        return name if equal and name in self._users else None


def accounts(auth: str | Mapping[str, object] | None) -> Accounts:
    """What the option says: a password, {password: ...} or {users: {name: password}}. Raises ValueError."""
    if auth is None:
        return Accounts({})
    if isinstance(auth, str):
        auth = {"password": auth}
    unknown = sorted(set(auth) - {"password", "users"})
    if unknown:
        raise ValueError(f"auth has {', '.join(unknown)}; write password, or users")
    named = auth.get("users", {})
    if not isinstance(named, Mapping):
        raise ValueError("auth.users is no mapping of names to passwords")
    users = dict(named)
    if "password" in auth:
        users[ANYBODY] = auth["password"]
    for name, password in users.items():
        if not isinstance(password, str) or not password:
            raise ValueError(f"the password of {name} is no text, or an empty one")
    if not users:
        raise ValueError("auth names nobody; write password, or users")
    return Accounts({str(name): password for name, password in users.items()})
