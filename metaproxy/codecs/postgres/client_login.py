"""
The login of a client at the proxy: SCRAM-SHA-256, md5, a password, or none.

Lives here: `ClientLogin`, what is said on both sides. Does not: who the users are (`users`), what follows a login.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.users import NO_SECRET, SCRAM, Method, Secret, User
from metaproxy.codecs.scram import ScramError, ScramServer, Verifier
from metaproxy.message import FrameError

OK = wire.message(b"R", b"\0\0\0\0")


class LoginRefused(Exception):
    """The client is not who it says. The text is the client's; code: its SQLSTATE."""

    def __init__(self, text: str, code: str = "28P01") -> None:
        super().__init__(text)
        self.code = code


class ClientLogin:
    """
    One login. encrypted: whether TLS hides a password. done: it has succeeded; secret: what it has shown then. A name
    that is not known is refused after its password, as one whose password is wrong, and so is a user of whose password
    too little is known.
    """

    def __init__(self, user: User | None, method: Method, name: str, encrypted: bool) -> None:
        self._method = user.method(method) if user is not None else method
        if user is not None and not user.can(self._method):
            user = None
        self._user = user
        self._name, self._encrypted = name, encrypted
        self.secret = user.secret if user is not None else NO_SECRET
        self._salt = b""
        self._scram: ScramServer | None = None
        self._scram_begun = False
        self.done = False

    def begin(self) -> bytes:
        """What the client is asked; b"" where nothing has to be. May raise LoginRefused."""
        if self._method == "trust":
            if self._user is None:
                raise LoginRefused(f'user "{self._name}" is not known', "28000")
            self.done = True
            return b""
        if self._method == "md5":
            self._salt = secrets.token_bytes(4)
            return wire.message(b"R", b"\0\0\0\5" + self._salt)
        if self._method == "password":
            if not self._encrypted:
                raise LoginRefused("a password is only taken over TLS", "28000")
            return wire.message(b"R", b"\0\0\0\3")
        self._scram = ScramServer(SCRAM, self._verifier)
        return wire.message(b"R", b"\0\0\0\x0a" + SCRAM.encode() + b"\0\0")

    def answer(self, frame: bytes) -> bytes:
        """What follows a client's password message. May raise LoginRefused, and FrameError for what is none."""
        body = frame[wire.HEAD_SIZE :]
        if self._scram is not None:
            return self._answer_scram(self._scram, body)
        if body[-1:] != b"\0":
            raise FrameError("a password without the zero byte that ends it")
        said = body[:-1]
        if self._method == "md5":
            known = self._user.md5.removeprefix("md5") if self._user is not None else secrets.token_hex(16)
            wanted = hashlib.md5(known.encode() + self._salt, usedforsecurity=False).hexdigest()
            right = hmac.compare_digest(said, b"md5" + wanted.encode())
        else:
            text = said.decode("utf-8", "replace")
            right = self._user is not None and self._user.is_password(text)
            self.secret = Secret(text)
        if not right or self._user is None:
            raise self._wrong()
        self.done = True
        return b""

    def _verifier(self, name: str) -> Verifier | None:
        """name: what SCRAM says; PostgreSQL's clients leave it empty, or write what is ignored."""
        return self._user.verifier if self._user is not None else None

    def _answer_scram(self, scram: ScramServer, body: bytes) -> bytes:
        try:
            if not self._scram_begun:
                self._scram_begun = True
                return wire.message(b"R", b"\0\0\0\x0b" + scram.first(_initial(body)))
            final = scram.final(body)
        except ScramError as error:
            if error.value == "invalid-proof":
                raise self._wrong() from None
            raise LoginRefused(f"SASL: {error}", "08P01") from None
        self.done = True
        if not self.secret and self._user is not None:
            self.secret = Secret(keys=(scram.client_key, self._user.verifier.server_key))
        return wire.message(b"R", b"\0\0\0\x0c" + final)

    def _wrong(self) -> LoginRefused:
        return LoginRefused(f'password authentication failed for user "{self._name}"')


def _initial(body: bytes) -> bytes:
    """What a SASLInitialResponse holds. May raise FrameError."""
    name, at = wire.text_at(body, 0, len(body))
    if name != SCRAM.encode():
        raise FrameError(f"the login method {name[:40]!r}; write {SCRAM}")
    size = int.from_bytes(body[at : at + 4], "big")
    if len(body) != at + 4 + size:
        raise FrameError("a SASLInitialResponse whose length is wrong")
    return body[at + 4 :]
