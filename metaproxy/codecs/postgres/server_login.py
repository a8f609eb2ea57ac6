"""
The login of the proxy at a server: SCRAM-SHA-256 and md5, a password over TLS, or none.

Lives here: `ServerLogin`, what is said on both sides. Does not: the messages that follow (`pooled_server`).
"""

from __future__ import annotations

import hashlib

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.users import SCRAM, Secret, prepared
from metaproxy.codecs.scram import ScramClient, ScramError
from metaproxy.message import FrameError

_OK, _PASSWORD, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12


class ServerLogin:
    """One login. encrypted: whether TLS hides a password. The texts of its errors hold no secret."""

    def __init__(self, user: str, secret: Secret, encrypted: bool) -> None:
        self._user, self._secret, self._encrypted = user, secret, encrypted
        self._scram: ScramClient | None = None
        self._checked = True

    def answer(self, body: bytes) -> bytes:
        """What the server's Authentication message is answered with; b"" for nothing. May raise FrameError."""
        asked = int.from_bytes(body[:4], "big")
        try:
            return self._answer(asked, body[4:])
        except ScramError as error:
            raise FrameError(f"the login failed: {error}") from None

    def _answer(self, asked: int, body: bytes) -> bytes:
        if asked == _OK:
            if not self._checked:
                raise FrameError("the login failed: the server did not show that it knows the password")
            return b""
        if not self._secret:
            raise FrameError(f"the server wants a password for user {self._user!r}, and `credentials` have none")
        password = self._secret.password
        if asked == _PASSWORD:
            if not self._encrypted:
                raise FrameError("the server wants the password as it is, which is only sent over TLS")
            if not password:
                raise self._unknown("the password as it is")
            return wire.message(b"p", password.encode() + b"\0")
        if asked == _MD5:
            if not password and not self._secret.md5:
                raise self._unknown("a login by md5")
            inner = self._secret.md5.removeprefix("md5")
            if password:
                inner = hashlib.md5(password.encode() + self._user.encode(), usedforsecurity=False).hexdigest()
            outer = hashlib.md5(inner.encode() + body[:4], usedforsecurity=False).hexdigest()
            return wire.message(b"p", b"md5" + outer.encode() + b"\0")
        if asked == _SASL:
            return self._begin_scram(body)
        if asked == _SASL_CONTINUE and self._scram is not None:
            return wire.message(b"p", self._scram.final(body))
        if asked == _SASL_FINAL and self._scram is not None:
            self._scram.check(body)
            self._checked = True
            return b""
        raise FrameError(f"the server wants a login by method {asked}, which the proxy does not know")

    def _begin_scram(self, body: bytes) -> bytes:
        if SCRAM.encode() not in body.split(b"\0"):
            raise FrameError(f"the server offers {body[:100]!r}; the proxy knows {SCRAM}")
        if not self._secret.password and self._secret.keys is None:
            raise self._unknown(f"a login by {SCRAM}")
        self._scram = ScramClient(SCRAM, "", prepared(self._secret.password), keys=self._secret.keys)
        self._checked = False
        first = self._scram.first()
        return wire.message(b"p", SCRAM.encode() + b"\0" + wire.LENGTH.pack(len(first)) + first)

    def _unknown(self, wanted: str) -> FrameError:
        known = "what SCRAM has shown of it" if self._secret.keys else "what md5 keeps of it"
        return FrameError(
            f"the server wants {wanted} of user {self._user!r}, of whose password the proxy only knows {known}"
        )
