"""
Who may log in at the proxy: the option `users`, and the conversation in which a client shows that it knows a password.

Lives here: `Users`, `Conversation`. Does not: SCRAM itself (`codecs.scram`); the messages that carry it (`login`); how
the proxy logs in at servers (`server_login`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.scram import ITERATIONS, ScramError, ScramServer, Verifier, verifier

PLAIN: Final = "PLAIN"
SCRAM: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256")
MECHANISMS: Final = (PLAIN, *SCRAM)
"""Those that Kafka's servers and clients have for passwords."""
_MOST_BYTES: Final = 4096
"""Bytes that a token may have."""


class LoginError(Exception):
    """The login has failed. The text is for the client and for logs, with no secret in it."""


class Users:
    """passwords: by user, as they are: Kafka prepares no text."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = dict(passwords)
        self._verifiers: dict[tuple[str, str], Verifier] = {}

    def password(self, user: str) -> str:
        """The one of a user who has logged in."""
        return self._passwords[user]

    def check(self, user: str, password: str) -> bool:
        known = self._passwords.get(user)
        same = hmac.compare_digest(password.encode(), (known or "").encode())
        return same and known is not None

    def find(self, mechanism: str, user: str) -> Verifier | None:
        """What is kept of a user's password, made at the first login; None for an unknown user."""
        password = self._passwords.get(user)
        if password is None:
            return None
        kept = self._verifiers.get((mechanism, user))
        if kept is None:
            kept = self._verifiers[mechanism, user] = verifier(mechanism, password, iterations=ITERATIONS)
        return kept


def users(option: object) -> Users | None:
    """What the option says; None for none. Raises ValueError, with nothing in it that may be a password."""
    if option is None:
        return None
    if not isinstance(option, Mapping) or not option:
        raise ValueError("users is no mapping of names to passwords; write {app: {secret: NAME}}")
    for name, password in option.items():
        if not isinstance(name, str) or not name or "\0" in name:
            raise ValueError("a name in users is no text, or empty")
        if not isinstance(password, str) or not password or "\0" in password:
            raise ValueError(f"the password of {name!r} in users is no text, or empty; write {{secret: NAME}}")
    return Users(option)


class Conversation:
    """
    One login: `begin` with a mechanism, then `next` with each token until `user` is there. Both raise LoginError.
    """

    __slots__ = ("_mechanism", "_scram", "_started", "_users", "user")

    def __init__(self, users: Users) -> None:
        self._users = users
        self._mechanism = ""
        self._scram: ScramServer | None = None
        self._started = False
        self.user = ""

    @property
    def begun(self) -> bool:
        """Whether a token is to come."""
        return bool(self._mechanism) and not self.user

    def begin(self, mechanism: str) -> None:
        if self._mechanism:
            raise LoginError("a second SaslHandshake")
        if mechanism not in MECHANISMS:
            raise LoginError(f"unknown mechanism {mechanism[:64]!r}; write one of {', '.join(MECHANISMS)}")
        self._mechanism = mechanism
        if mechanism in SCRAM:
            self._scram = ScramServer(mechanism, lambda user: self._users.find(mechanism, user))

    def next(self, token: bytes) -> bytes:
        """What answers a client's token."""
        if not self.begun:
            raise LoginError("a token of a login that was not begun; SaslHandshake comes before it")
        if len(token) > _MOST_BYTES:
            raise LoginError(f"a token of {len(token)} bytes; allowed are {_MOST_BYTES}")
        scram = self._scram
        if scram is None:
            self.user = self._plain(token)
            return b""
        try:
            if not self._started:
                self._started = True
                return scram.first(token)
            answer = scram.final(token)
        except ScramError as error:
            if error.value == "invalid-proof":
                raise LoginError("the user or the password is wrong") from None
            raise LoginError(str(error)) from None
        self.user, self._scram = scram.user, None
        return answer

    def _plain(self, token: bytes) -> str:
        """The user of a token as RFC 4616 has it: the name to act as, the user, the password."""
        parts = token.split(b"\0")
        if len(parts) != 3:
            raise LoginError("a token of PLAIN has two zero bytes: before the user, and before the password")
        try:
            identity, user, password = (part.decode() for part in parts)
        except UnicodeDecodeError:
            raise LoginError("a token of PLAIN is not UTF-8") from None
        if identity not in ("", user):
            raise LoginError("a login on behalf of another user (authzid) is not supported")
        if not self._users.check(user, password):
            raise LoginError("the user or the password is wrong")
        return user
