"""
Who may log in at the proxy: the option `users`, and the conversation in which a client shows that it knows a password.

Lives here: `Users`, `Conversation`. Does not: SCRAM itself (`codecs.scram`); asking a server for a user
(`user_lookup`); how the proxy logs in at servers (`server_login`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from metaproxy.codecs.mongodb import bson, errors, wire
from metaproxy.codecs.mongodb.identity import EXTERNAL, X509, Identities, Identity
from metaproxy.codecs.mongodb.login_names import full_name, scram_user
from metaproxy.codecs.scram import ScramError, ScramServer, Verifier, hash_name, saslprep, verifier
from metaproxy.message import ErrorKind, FrameError

ITERATIONS: Final = {"SCRAM-SHA-256": 15000, "SCRAM-SHA-1": 10000}
"""As MongoDB's servers have it."""
MECHANISMS: Final = tuple(ITERATIONS)
_CONVERSATION: Final = 1
EVERYBODY: Final = "*"
"""In the place of a subject: any client that has a certificate that the listener takes."""
MOST_FAILURES: Final = 3
"""Failed logins after which a connection ends."""


def scram_password(mechanism: str, user: str, password: str) -> str:
    """What MongoDB takes for the password in SCRAM. Raises ValueError for one that can't be one."""
    if mechanism == "SCRAM-SHA-1":
        return hashlib.md5(f"{user}:mongo:{password}".encode(), usedforsecurity=False).hexdigest()
    return saslprep(password)


class Users:
    """
    passwords: by user. asks: others may be known to a server. certificates: subjects of those that log in by one, or
    EVERYBODY.
    """

    def __init__(
        self, passwords: Mapping[str, str], asks: bool = False, certificates: Collection[str] = frozenset()
    ) -> None:
        self._certificates = frozenset(certificates)
        self._passwords = dict(passwords)
        self._verifiers: dict[tuple[str, str], Verifier] = {}
        self._identities = Identities()
        self.asks = asks

    def knows(self, user: str) -> bool:
        return user in self._passwords

    def knows_certificate(self, subject: str) -> bool:
        return subject in self._certificates or EVERYBODY in self._certificates

    def identity(self, start: Start, keys: tuple[bytes, bytes] | None) -> Identity:
        """Whom a login that has succeeded shows. keys: of a user that a server knows, None for one of these here."""
        if start.mechanism == X509:
            return self._identities.by_certificate(start.user)
        if keys is None:
            return self._identities.by_password(start.user, start.database, self._passwords[start.user])
        return self._identities.by_keys(start.user, start.database, start.mechanism, keys)

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


def users(option: object, asks: bool = False, certificates: Collection[str] = ()) -> Users | None:
    """What the options say; None for none. Raises ValueError, with nothing in it that may be a password."""
    if option is None:
        return Users({}, asks, certificates) if asks or certificates else None
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
    return Users(option, asks, certificates)


class Start(NamedTuple):
    """
    How a login begins. database: in which the user is to be. By SCRAM: payload; skips_empty: without a last empty
    message. By a certificate the user is its subject.
    """

    mechanism: str
    user: str
    database: str
    payload: bytes = b""
    skips_empty: bool = False


class Conversation:
    """
    The logins of one connection. users: None: no login is needed. user: who has, "" before; identity: what that has
    shown.
    """

    __slots__ = ("_keys", "_scram", "_start", "_users", "failures", "identity", "user")

    def __init__(self, users: Users | None) -> None:
        self._users = users
        self._scram: ScramServer | None = None
        self._start: Start | None = None
        self._keys: Verifier | None = None
        self.identity: Identity | None = None
        self.user = ""
        self.failures = 0

    @property
    def admitted(self) -> bool:
        """Whether commands may be sent."""
        return self._users is None or bool(self.user)

    def answer(self, command: str, frame: bytes, body: wire.Body, subject: str) -> bytes:
        """
        The document that answers saslStart, saslContinue, authenticate or logout. subject: of the certificate that the
        client has shown; "" for none.
        """
        if command == "logout":
            self._forget()
            return bson.document({"ok": 1.0})
        if command == "saslStart":
            return self._say(lambda: self._begin(self._read(frame, body)))
        if command == "saslContinue":
            return self._say(lambda: self._continue(frame, body))
        return self._say(lambda: self._admit(self._of_certificate(frame, body, subject)))

    def unknown_user(self, command: str, frame: bytes, body: wire.Body, subject: str) -> Start | None:
        """A login of a user that only a server may know, so that it is to be asked; see `looked_up`."""
        users = self._users
        if users is None or not users.asks:
            return None
        try:
            if command == "authenticate":
                start = self._of_certificate(frame, body, subject)
                known = users.knows_certificate(subject)
            else:
                start = self._read(frame, body)
                known = start.mechanism not in ITERATIONS or not start.user or users.knows(start.user)
        except ScramError:  # which `answer` says
            return None
        if known:
            return None
        self._forget()
        return start

    def looked_up(self, start: Start, found: Verifier | None) -> bytes:
        """The document that answers such a saslStart, once it is known what a server has of the user."""
        return self._say(lambda: self._begin(start, found))

    def looked_up_certificate(self, start: Start, found: bool) -> bytes:
        """The same for an authenticate."""
        return self._say(lambda: self._admit(start, found))

    def speculative(self, command: str, frame: bytes, body: wire.Body, subject: str) -> bytes | None:
        """The document that answers a login within a hello; None where it is none that can go on."""
        if self.unknown_user(command, frame, body, subject) is not None:
            return None  # the client begins a login of its own
        try:
            if command == "authenticate":
                return bson.document(self._admit(self._of_certificate(frame, body, subject)))
            return bson.document(self._begin(self._read(frame, body)))
        except ScramError:  # as before, and it gets the error
            return None

    def _forget(self) -> None:
        self._scram = self._start = self._keys = self.identity = None
        self.user = ""

    def _say(self, step: Callable[[], dict[str, bson.Value]]) -> bytes:
        try:
            return bson.document({**step(), "ok": 1.0})
        except ScramError as error:
            self._forget()
            self.failures += 1
            text = "Authentication failed." if error.value == "invalid-proof" else f"Authentication failed: {error}"
            return errors.document(ErrorKind.DENIED, text, "AuthenticationFailed")

    def _of_certificate(self, frame: bytes, body: wire.Body, subject: str) -> Start:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        if self._users is None:
            raise ScramError("this proxy asks for no login")
        if _text(frame, fields, b"mechanism") != X509:
            raise ScramError(f"authenticate is for {X509}; use {' or '.join(MECHANISMS)}")
        if not subject:
            raise ScramError("the client has shown no certificate that the proxy knows the authority of")
        if _text(frame, fields, b"user") not in ("", subject):
            raise ScramError("the client's certificate is another user's")
        return Start(X509, subject, EXTERNAL)

    def _admit(self, start: Start, known: bool = False) -> dict[str, bson.Value]:
        """known: by a server."""
        self._forget()
        users = self._users
        assert users is not None
        if not known and not users.knows_certificate(start.user):
            raise ScramError("the subject of the certificate is no user's", "invalid-proof")
        self.identity = users.identity(start, None)
        self.user = full_name(start.user, EXTERNAL)
        self.failures = 0
        return {"dbname": EXTERNAL, "user": start.user}

    def _read(self, frame: bytes, body: wire.Body) -> Start:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        if self._users is None:
            raise ScramError("this proxy asks for no login")
        database = _text(frame, fields, b"db") or _text(frame, fields, b"$db") or "admin"
        if database == EXTERNAL:
            raise ScramError("the users of this proxy are not in $external; leave out authSource, or write admin")
        options, skips = fields.get(b"options"), False
        if options is not None and options.type == bson.DOCUMENT:
            skip = bson.find(frame, options.at, options.stop, b"skipEmptyExchange")
            skips = skip is not None and bool(bson.number(frame, skip))
        payload = _payload(frame, fields)
        try:
            user = scram_user(payload)
        except FrameError as error:
            raise ScramError(str(error)) from None
        return Start(_text(frame, fields, b"mechanism"), user, database, payload, skips)

    def _begin(self, start: Start, found: Verifier | None = None) -> dict[str, bson.Value]:
        """found: what a server has of the user, where it was asked."""
        self._forget()
        users, mechanism = self._users, start.mechanism
        assert users is not None
        hash_name(mechanism, MECHANISMS)

        def find(name: str) -> Verifier | None:
            if name != start.user:
                return None
            return users.find(mechanism, name) if users.knows(name) else found

        self._scram = ScramServer(mechanism, find, iterations=ITERATIONS.get(mechanism, 0))
        self._start, self._keys = start, found
        return {"conversationId": _CONVERSATION, "done": False, "payload": self._scram.first(start.payload)}

    def _continue(self, frame: bytes, body: wire.Body) -> dict[str, bson.Value]:
        fields = {element.name: element for element in bson.elements(frame, *body)}
        payload = _payload(frame, fields)
        scram, start, users = self._scram, self._start, self._users
        if scram is None or start is None or users is None:
            raise ScramError("saslContinue without a saslStart")
        if self.user and not payload:  # the empty message behind the last one
            self._scram = None
            return {"conversationId": _CONVERSATION, "done": True, "payload": b""}
        final = scram.final(payload)
        asked, self._keys = self._keys, None
        keys = (scram.client_key, asked.server_key) if asked is not None else None
        self.identity = users.identity(start, keys)
        self.user = start.user if keys is None else full_name(start.user, start.database)
        self.failures = 0
        if start.skips_empty:
            self._scram = None
        return {"conversationId": _CONVERSATION, "done": start.skips_empty, "payload": final}


def _text(frame: bytes, fields: dict[bytes, bson.Element], name: bytes) -> str:
    return (bson.text(frame, fields[name]) or "") if name in fields else ""


def _payload(frame: bytes, fields: dict[bytes, bson.Element]) -> bytes:
    payload = bson.binary(frame, fields[b"payload"]) if b"payload" in fields else None
    if payload is None:
        raise ScramError("a login without a payload")
    return payload
