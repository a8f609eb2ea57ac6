"""
Who may log in at the proxy: the option `users`, and the conversation in which a client shows that it knows a password.

Lives here: `Users`, `Conversation`. Does not: SCRAM itself (`codecs.scram`); how the proxy logs in at servers
(`server_login`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.mongodb import bson, errors, wire
from metaproxy.codecs.scram import HASHES, ScramError, ScramServer, Verifier, saslprep, verifier
from metaproxy.message import ErrorKind

ITERATIONS: Final = {"SCRAM-SHA-256": 15000, "SCRAM-SHA-1": 10000}
"""As MongoDB's servers have it."""
MECHANISMS: Final = tuple(HASHES)
_CONVERSATION: Final = 1
MOST_FAILURES: Final = 3
"""Failed logins after which a connection ends."""


def scram_password(mechanism: str, user: str, password: str) -> str:
    """What MongoDB takes for the password in SCRAM. Raises ValueError for one that can't be one."""
    if mechanism == "SCRAM-SHA-1":
        return hashlib.md5(f"{user}:mongo:{password}".encode(), usedforsecurity=False).hexdigest()
    return saslprep(password)


class Users:
    """passwords: by user."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = dict(passwords)
        self._verifiers: dict[tuple[str, str], Verifier] = {}

    def find(self, mechanism: str, user: str) -> Verifier | None:
        """What is kept of a user's password, made at the first login; None for an unknown user."""
        password = self._passwords.get(user)
        if password is None:
            return None
        kept = self._verifiers.get((mechanism, user))
        if kept is None:
            prepared = scram_password(mechanism, user, password)
            kept = verifier(mechanism, prepared, iterations=ITERATIONS[mechanism])
            self._verifiers[mechanism, user] = kept
        return kept


def users(option: object) -> Users | None:
    """What the option says; None for no option. Raises ValueError, with nothing in it that may be a password."""
    if option is None:
        return None
    if not isinstance(option, Mapping) or not option:
        raise ValueError("users is no mapping of names to passwords; write {app: {secret: NAME}}")
    for name, password in option.items():
        if not isinstance(name, str) or not name:
            raise ValueError("a name in users is no text, or empty")
        if not isinstance(password, str) or not password:
            raise ValueError(f"the password of {name!r} in users is no text, or empty; write {{secret: NAME}}")
        try:
            saslprep(password)
        except ValueError as error:
            raise ValueError(f"the password of {name!r} in users can't be used: {error}") from None
    return Users(option)


class Conversation:
    """The logins of one connection. users: None: nobody need log in. user: who has; "" before."""

    __slots__ = ("_scram", "_skips_empty", "_users", "failures", "user")

    def __init__(self, users: Users | None) -> None:
        self._users = users
        self._scram: ScramServer | None = None
        self._skips_empty = False
        self.user = ""
        self.failures = 0

    @property
    def admitted(self) -> bool:
        """Whether commands may be sent."""
        return self._users is None or bool(self.user)

    def answer(self, command: str, frame: bytes, body: wire.Body) -> bytes:
        """The document that answers saslStart, saslContinue or logout."""
        if command == "logout":
            self.user = ""
            return bson.document({"ok": 1.0})
        try:
            if command == "saslStart":
                return bson.document({**self._start(frame, body), "ok": 1.0})
            if command == "saslContinue":
                return bson.document({**self._continue(frame, body), "ok": 1.0})
            raise ScramError(f"{command} is no login for this proxy; use {' or '.join(MECHANISMS)}")
        except ScramError as error:
            self._scram = None
            self.user = ""
            self.failures += 1
            text = "Authentication failed." if error.value == "invalid-proof" else f"Authentication failed: {error}"
            return errors.document(ErrorKind.DENIED, text, "AuthenticationFailed")

    def speculative(self, frame: bytes, body: wire.Body) -> bytes | None:
        """The document that answers a saslStart within a hello; None where it is none that can go on."""
        try:
            return bson.document(self._start(frame, body))
        except ScramError:  # the client then begins a login of its own, and gets the error
            return None

    def _start(self, frame: bytes, body: wire.Body) -> dict[str, bson.Value]:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        mechanism = _text(frame, fields, b"mechanism")
        listed = self._users
        if listed is None:
            raise ScramError("this proxy asks for no login")
        if _text(frame, fields, b"db") == "$external" or _text(frame, fields, b"$db") == "$external":
            raise ScramError("the users of this proxy are not in $external; leave out authSource, or write admin")
        if mechanism in ITERATIONS:
            find, iterations = listed.find, ITERATIONS[mechanism]
            self._scram = ScramServer(mechanism, lambda name: find(mechanism, name), iterations=iterations)
        else:
            self._scram = ScramServer(mechanism, lambda name: None)  # says what is wrong with the mechanism
        options = fields.get(b"options")
        self._skips_empty = False
        if options is not None and options.type == bson.DOCUMENT:
            skip = bson.find(frame, options.at, options.stop, b"skipEmptyExchange")
            self._skips_empty = skip is not None and bool(bson.number(frame, skip))
        self.user = ""
        first = self._scram.first(_payload(frame, fields))
        return {"conversationId": _CONVERSATION, "done": False, "payload": first}

    def _continue(self, frame: bytes, body: wire.Body) -> dict[str, bson.Value]:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        payload = _payload(frame, fields)
        scram = self._scram
        if scram is None:
            raise ScramError("saslContinue without a saslStart")
        if self.user and not payload:  # the empty message behind the last one
            self._scram = None
            return {"conversationId": _CONVERSATION, "done": True, "payload": b""}
        final = scram.final(payload)
        self.user = scram.user
        self.failures = 0
        if self._skips_empty:
            self._scram = None
        return {"conversationId": _CONVERSATION, "done": self._skips_empty, "payload": final}


def _text(frame: bytes, fields: dict[bytes, bson.Element], name: bytes) -> str:
    return (bson.text(frame, fields[name]) or "") if name in fields else ""


def _payload(frame: bytes, fields: dict[bytes, bson.Element]) -> bytes:
    payload = bson.binary(frame, fields[b"payload"]) if b"payload" in fields else None
    if payload is None:
        raise ScramError("a login without a payload")
    return payload
