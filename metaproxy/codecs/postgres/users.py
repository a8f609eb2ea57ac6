"""
Who may log in at the proxy: the options `users` and `auth`.

Lives here: names, what is kept of their passwords, what a login shows of them. Does not: what is said to log in
(`client_login`), users that a server knows (`user_lookup`).

No error has a piece of what was written in it: that may be a password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Literal

from metaproxy.codecs import scram
from metaproxy.codecs.scram import Verifier

Method = Literal["scram-sha-256", "md5", "password", "trust"]
SCRAM = "SCRAM-SHA-256"
SCRAM_METHOD: Method = "scram-sha-256"
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_MD5 = re.compile(r"md5[0-9a-f]{32}")
_FORMS = "a text: a password, or what PostgreSQL keeps of one (SCRAM-SHA-256$... or md5...)"


class Secret:
    """
    What the proxy knows of a password, enough to log in as its user elsewhere. password: as it was written; md5: what
    PostgreSQL keeps for md5; keys: the client key and the server key of SCRAM. It is never shown.
    """

    __slots__ = ("_all", "keys", "md5", "password")

    def __init__(self, password: str = "", md5: str = "", keys: tuple[bytes, bytes] | None = None) -> None:
        self.password, self.md5, self.keys = password, md5, keys
        self._all = password, md5, keys

    def __bool__(self) -> bool:
        return bool(self.password or self.md5 or self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self._all)

    def __repr__(self) -> str:
        return "Secret(...)" if self else "Secret()"


NO_SECRET = Secret()


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
        elif text.startswith(f"{SCRAM}$"):
            raise ValueError(f"what is kept of the password of {name!r} begins with {SCRAM}$ and is no such text")
        elif _MD5.fullmatch(text):
            self.md5 = text
        elif text:
            self.password = text
            self.md5 = _md5(text, name)
        else:
            raise ValueError(f"the password of {name!r} is empty")

    def can(self, method: Method) -> bool:
        """
        Whether what is known of the password is enough. To check one that is said costs the iterations of the verifier,
        of which a user may have written any number; a proof costs none.
        """
        kept = self._verifier
        if method == "password":
            return kept is None or 0 < kept.iterations <= scram.MOST_ITERATIONS
        return method != SCRAM_METHOD or kept is not None or bool(self.password)

    def method(self, wanted: Method) -> Method:
        """How it logs in where that is wanted: by SCRAM if md5 is not possible, as PostgreSQL has it."""
        return SCRAM_METHOD if wanted == "md5" and not self.md5 else wanted

    @property
    def secret(self) -> Secret:
        return Secret(self.password, self.md5)

    def is_password(self, said: str) -> bool:
        """Whether that is its password."""
        if self.password:
            return hmac.compare_digest(said.encode(), self.password.encode())
        if self.md5:
            return hmac.compare_digest(_md5(said, self.name), self.md5)
        kept = self.verifier
        found = scram.verifier(SCRAM, prepared(said), kept.salt, kept.iterations)
        return hmac.compare_digest(found.stored_key, kept.stored_key)

    @property
    def verifier(self) -> Verifier:
        """What proofs are checked against; made at the first login, as it takes some milliseconds."""
        if self._verifier is None:
            if not self.password:
                raise ValueError("nothing is known that SCRAM could check a proof against")
            self._verifier = scram.verifier(SCRAM, prepared(self.password))
        return self._verifier


def _md5(password: str, name: str) -> str:
    return "md5" + hashlib.md5(password.encode() + name.encode(), usedforsecurity=False).hexdigest()


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
            kept = "is not enough" if method == SCRAM_METHOD else f"has not 1 to {scram.MOST_ITERATIONS} iterations"
            raise ValueError(f"users: what is written for {name!r} {kept} for {method}; write its password")
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
