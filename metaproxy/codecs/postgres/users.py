"""
Who may log in at the proxy: the options `users` and `auth`.

Lives here: names and what is kept of their passwords. Does not: what is said to log in (`client_login`).

No error has a piece of what was written in it: that may be a password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Literal

from metaproxy.codecs import scram
from metaproxy.codecs.scram import Verifier

Method = Literal["scram-sha-256", "md5", "password", "trust"]
SCRAM = "SCRAM-SHA-256"
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_MD5 = re.compile(r"md5[0-9a-f]{32}")
_FORMS = "a text: a password, or what PostgreSQL keeps of one (SCRAM-SHA-256$... or md5...)"


class User:
    """
    password: as it was written; "" where only something made of it is known. md5: what PostgreSQL keeps for md5, ""
    where that is not known either.
    """

    __slots__ = ("_verifier", "md5", "name", "password")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.password = self.md5 = ""
        self._verifier: Verifier | None = None
        found = _VERIFIER.fullmatch(text)
        if found is not None:
            iterations, salt, stored, server = found.groups()
            self._verifier = Verifier(_decoded(salt), int(iterations), _decoded(stored), _decoded(server))
        elif _MD5.fullmatch(text):
            self.md5 = text
        elif text:
            self.password = text
            self.md5 = "md5" + hashlib.md5(text.encode() + name.encode(), usedforsecurity=False).hexdigest()
        else:
            raise ValueError(f"the password of {name!r} is empty")

    def can(self, method: Method) -> bool:
        """Whether what is known of the password is enough."""
        if method == "trust":
            return True
        if method == "scram-sha-256":
            return self._verifier is not None or bool(self.password)
        return bool(self.md5)

    @property
    def verifier(self) -> Verifier:
        """What proofs are checked against; made at the first login, as it takes some milliseconds."""
        if self._verifier is None:
            self._verifier = scram.verifier(SCRAM, prepared(self.password))
        return self._verifier


def users(value: object, method: Method) -> dict[str, User] | None:
    """What the option says; None where there is none, and logins pass. Raises ValueError."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise ValueError("users must be a mapping of a name to a password")
    found = {}
    for name, text in value.items():
        if isinstance(text, Mapping) and set(text) == {"password"}:
            text = text["password"]
        if not isinstance(name, str) or not name or "\0" in name or not isinstance(text, str):
            raise ValueError(f"users: each is a name and {_FORMS}")
        user = found[name] = User(name, text)
        if not user.can(method):
            raise ValueError(f"users: what is written for {name!r} is not enough for {method}; write its password")
    return found


def prepared(password: str) -> str:
    """A password as SCRAM wants it; PostgreSQL takes one that may not be as it is."""
    try:
        return scram.saslprep(password)
    except ValueError:
        return password


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("users: a SCRAM-SHA-256$... that is not base64") from None
