"""
Who may log in at the proxy: the options `auth` and `users`.

Lives here: names, passwords and their comparison. Does not: what a client says to log in (`identity`); what who is
logged in may do (`acl`); how the proxy logs in at servers (`server`).

No error has a piece of what was written in it: that may be a password.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from metaproxy.codecs.redis.acl import Rules
from metaproxy.codecs.redis.metadata import ANYBODY

_KEYS = ("name", "password", "passwords", "nopass", "rules")


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


class Account:
    """
    A user. passwords: any of them logs in; None: every password does, and `default` is logged in without one. rules:
    what it may do, None for everything.
    """

    __slots__ = ("_digests", "enabled", "name", "open", "rules")

    def __init__(self, name: str, passwords: Iterable[str] | None, rules: Rules | None = None) -> None:
        self.name = name
        self.enabled = rules is None or rules.enabled
        self.open = passwords is None
        self.rules = None if rules is None or rules.everything else rules
        self._digests = [_digest(password.encode()) for password in passwords or ()]

    def accepts(self, digest: bytes) -> bool:
        """Compares with all of its passwords, in a time that tells nothing of them."""
        equal = [hmac.compare_digest(own, digest) for own in self._digests]
        return self.enabled and (self.open or any(equal))


_UNKNOWN = Account("", ["nobody knows it"])
"""Compared with where a name is not known, so that it takes as long as with one that is."""


class Accounts:
    """named: none: everybody is logged in and may do everything, as with a redis-server without a password."""

    def __init__(self, named: Iterable[Account] = ()) -> None:
        self._named = {one.name: one for one in named}
        default = self._named.get(ANYBODY) if self._named else Account(ANYBODY, None)
        self.newcomer = default if default is not None and default.open and default.enabled else None
        """Who is logged in on a new connection, or None for no user."""
        self.asks_no_password = default is not None and default.open
        """Whether `default` has none, so that AUTH with a password alone is a mistake."""

    def accept(self, user: bytes, password: bytes) -> Account | None:
        """Who logged in, or None."""
        name = user.decode("utf-8", "replace")
        if not self._named:
            return self.newcomer if name == ANYBODY else None
        found = self._named.get(name)
        accepted = (found or _UNKNOWN).accepts(_digest(password))
        return found if accepted else None


def accounts(auth: object, users: object) -> Accounts:
    """What the options say. Raises ValueError."""
    named = [*_of_auth(auth), *_of_users(users)]
    names = [one.name for one in named]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two users {name!r}")
    return Accounts(named)


def _of_auth(auth: object) -> list[Account]:
    """A password, {password: ...} or {users: {name: password}}: users that may do everything."""
    if auth is None:
        return []
    if isinstance(auth, str):
        auth = {"password": auth}
    if not isinstance(auth, Mapping):
        raise ValueError("auth is no password and no mapping")
    unknown = sorted(map(str, set(auth) - {"password", "users"}))
    if unknown:
        raise ValueError(f"auth has {', '.join(unknown)}; write password, or users")
    named = auth.get("users", {})
    if not isinstance(named, Mapping):
        raise ValueError("auth.users is no mapping of names to passwords")
    passwords = dict(named)
    if "password" in auth:
        passwords[ANYBODY] = auth["password"]
    if not passwords:
        raise ValueError("auth names no user; write password, or users")
    return [Account(str(name), [_password(str(name), one)]) for name, one in passwords.items()]


def _of_users(users: object) -> list[Account]:
    if users is None:
        return []
    if not isinstance(users, list) or not users:
        raise ValueError("users is a list; write - {name: ann, password: {secret: NAME}, rules: '+@read ~app:*'}")
    return [_user(place, one) for place, one in enumerate(users)]


def _user(place: int, user: object) -> Account:
    where = f"users[{place}]"
    if not isinstance(user, Mapping):
        raise ValueError(f"{where} is no mapping; its keys are {', '.join(_KEYS)}")
    unknown = sorted(map(str, set(user) - set(_KEYS)))
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; its keys are {', '.join(_KEYS)}")
    name = user.get("name")
    if not isinstance(name, str) or not name or any(character.isspace() or character == "\0" for character in name):
        raise ValueError(f"{where}.name is no text, or has blanks in it")
    ways = [key for key in ("password", "passwords", "nopass") if user.get(key)]
    if len(ways) != 1:
        raise ValueError(f"{where}: write one of password, passwords and nopass: true")
    return Account(name, _passwords(where, ways[0], user[ways[0]]), _rules(where, user.get("rules")))


def _passwords(where: str, way: str, value: object) -> list[str] | None:
    if way == "nopass":
        if value is not True:
            raise ValueError(f"{where}.nopass is true or left out")
        return None
    if way == "password":
        return [_password(where, value)]
    if not isinstance(value, list):
        raise ValueError(f"{where}.passwords is no list")
    return [_password(where, one) for one in value]


def _password(whose: str, password: object) -> str:
    if not isinstance(password, str) or not password:
        raise ValueError(f"the password of {whose} is no text, or an empty one")
    return password


def _rules(where: str, rules: object) -> Rules:
    if isinstance(rules, str):
        rules = rules.split()
    if not isinstance(rules, list) or not all(isinstance(one, str) and one for one in rules):
        raise ValueError(f"{where}.rules must say what it may do, such as '+@read ~app:*'; '+@all ~* &*' is everything")
    try:
        return Rules(rules)
    except ValueError as error:
        raise ValueError(f"{where}.rules: {error}") from None
