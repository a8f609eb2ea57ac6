"""
How the proxy logs in at a server, with a cluster's `credentials`: a hello that begins with SCRAM or a certificate, and
what follows.

Lives here: `login`, `ServerLogin`, `CertificateLogin`. Does not: SCRAM itself (`codecs.scram`); the session that begins
so (`server`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Protocol

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mongodb.identity import CLIENT, EXTERNAL, LOGIN_AS, X509, Identity
from metaproxy.codecs.mongodb.users import MECHANISMS, scram_password
from metaproxy.codecs.scram import ScramClient, ScramError
from metaproxy.message import FrameError

KEYS: Final = ("user", "password", "database", "mechanism", LOGIN_AS)
_DRIVER: Final[dict[str, bson.Value]] = {
    "driver": {"name": "metaproxy", "version": "1"},
    "os": {"type": "unknown"},
    "application": {"name": "metaproxy"},
}
_OURS: Final = 0
"""The requestID of the messages of a login: those of clients begin with 1."""


def own_user(profile: Hashable, credentials: Mapping[str, str]) -> Identity | None:
    """The client as whom a connection of that state logs in; None for the user of the credentials."""
    return profile if isinstance(profile, Identity) and credentials.get(LOGIN_AS) == CLIENT else None


class Login(Protocol):
    """Call `first`, then `next` with each answer until `done`."""

    done: bool

    def first(self) -> bytes:
        """The hello, with the beginning of a login."""

    def next(self, frame: bytes) -> bytes:
        """What to send behind an answer; b"" when the login is done. Raises FrameError when it is refused."""


def login(identity: Identity | None, credentials: Mapping[str, str], encrypted: bool) -> Login | None:
    """
    The login of a connection, None where it needs none. encrypted: by TLS. Raises ValueError where the credentials are
    no login for MongoDB.
    """
    unknown = sorted(set(credentials) - set(KEYS))
    if unknown:
        raise ValueError(f"credentials have {', '.join(unknown)}; their keys are {', '.join(KEYS)}")
    if credentials.get(LOGIN_AS, CLIENT) != CLIENT:
        raise ValueError(f"credentials.{LOGIN_AS} is `{CLIENT}`, or left out")
    if identity is not None and identity.mechanism == X509:
        raise ValueError(f"{identity.user!r} has logged in by a certificate, with which only the client itself can")
    if identity is not None:
        shown = {"user": identity.user, "password": identity.password, "database": identity.database}
        return ServerLogin({**shown, "mechanism": identity.mechanism}, identity.keys)
    if not credentials or set(credentials) == {LOGIN_AS}:  # what is not a client's asks hello, which needs no login
        return None
    if credentials.get("mechanism") == X509:
        return CertificateLogin(credentials, encrypted)
    return ServerLogin(credentials)


class CertificateLogin:
    """A login by the certificate of the connection: the cluster's `tls.certificate`."""

    def __init__(self, credentials: Mapping[str, str], encrypted: bool) -> None:
        """Raises ValueError where that can't be."""
        if credentials.get("password") or credentials.get("database", EXTERNAL) != EXTERNAL:
            raise ValueError(f"credentials with mechanism {X509} have no password, and no database but {EXTERNAL}")
        if not encrypted:
            raise ValueError(
                f"credentials with mechanism {X509} need `tls` of the cluster, with `certificate` and `key`"
            )
        self._start: dict[str, bson.Value] = {"authenticate": 1, "mechanism": X509}
        if user := credentials.get("user", ""):
            self._start["user"] = user
        self._user = user or "the certificate"
        self._started = False
        self.done = False

    def first(self) -> bytes:
        start = {**self._start, "db": EXTERNAL}
        return _message({"hello": 1, "client": _DRIVER, "speculativeAuthenticate": start, "$db": "admin"})

    def next(self, frame: bytes) -> bytes:
        fields = _answered(frame, self._user)
        if self._started or b"speculativeAuthenticate" in fields:
            self.done = True
            return b""
        self._started = True
        return _message({**self._start, "$db": EXTERNAL})


class ServerLogin:
    """A login by SCRAM. keys: in place of a password, see ScramClient."""

    def __init__(self, credentials: Mapping[str, str], keys: tuple[bytes, bytes] | None = None) -> None:
        """Raises ValueError where the credentials are no login for MongoDB."""
        self._keys = keys
        self._user, self._password = credentials.get("user", ""), credentials.get("password", "")
        if not self._user or not (self._password or keys):
            raise ValueError("credentials need user and password")
        self._mechanism = credentials.get("mechanism", "")
        if self._mechanism and self._mechanism not in MECHANISMS:
            raise ValueError(f"credentials.mechanism is none of {', '.join((*MECHANISMS, X509))}")
        self._database = credentials.get("database", "admin")
        self._scram: ScramClient | None = None
        self._started = False
        self._proven = self._verified = False
        self.done = False

    def first(self) -> bytes:
        """By the mechanism that most servers have."""
        start = {**self._start(self._mechanism or MECHANISMS[0]), "db": self._database}
        return _message(
            {
                "hello": 1,
                "client": _DRIVER,
                "saslSupportedMechs": f"{self._database}.{self._user}",
                "speculativeAuthenticate": start,
                "$db": "admin",
            }
        )

    def next(self, frame: bytes) -> bytes:
        fields = _answered(frame, self._user)
        try:
            if self._started:
                return self._go_on(frame, fields)
            self._started = True
            return self._choose(frame, fields)
        except (ScramError, ValueError) as error:
            raise FrameError(f"the login of {self._user!r} failed: {error}") from None

    def _choose(self, frame: bytes, fields: dict[bytes, bson.Element]) -> bytes:
        """Behind the hello: go on with what it began, or begin with a mechanism that the user has."""
        speculative = fields.get(b"speculativeAuthenticate")
        if speculative is not None and speculative.type == bson.DOCUMENT:
            inner = bson.elements(frame, speculative.at, speculative.stop)
            return self._go_on(frame, {element.name: element for element in inner})
        mechanism = self._mechanism
        offered = fields.get(b"saslSupportedMechs")
        if not mechanism and offered is not None and offered.type == bson.ARRAY:
            names = [bson.text(frame, one) for one in bson.elements(frame, offered.at, offered.stop)]
            mechanism = next((one for one in MECHANISMS if one in names), "")
            if not mechanism:
                raise ScramError(f"the server offers {names}; known are {', '.join(MECHANISMS)}")
        return _message({**self._start(mechanism or MECHANISMS[0]), "$db": self._database})

    def _start(self, mechanism: str) -> dict[str, bson.Value]:
        password = scram_password(mechanism, self._user, self._password) if self._keys is None else ""
        self._scram = scram = ScramClient(mechanism, self._user, password, keys=self._keys)
        options: dict[str, bson.Value] = {"skipEmptyExchange": True}
        return {"saslStart": 1, "mechanism": mechanism, "payload": scram.first(), "options": options}

    def _go_on(self, frame: bytes, fields: dict[bytes, bson.Element]) -> bytes:
        scram = self._scram
        payload = bson.binary(frame, fields[b"payload"]) if b"payload" in fields else None
        if scram is None or payload is None:
            raise ScramError("the server's answer has no payload")
        conversation = int(bson.number(frame, fields[b"conversationId"]) or 0) if b"conversationId" in fields else 1
        if not self._proven:
            self._proven = True
            return self._continue(conversation, scram.final(payload))
        if payload or not self._verified:
            scram.check(payload)
            self._verified = True
        self.done = b"done" in fields and bool(bson.number(frame, fields[b"done"]))
        return b"" if self.done else self._continue(conversation, b"")

    def _continue(self, conversation: int, payload: bytes) -> bytes:
        return _message({"saslContinue": 1, "conversationId": conversation, "payload": payload, "$db": self._database})


def _answered(frame: bytes, user: str) -> dict[bytes, bson.Element]:
    """The fields of an answer. Raises FrameError where it is a refusal."""
    fields = {element.name: element for element in bson.elements(frame, *wire.body(frame))}
    if b"ok" not in fields or not bson.number(frame, fields[b"ok"]):
        text = (bson.text(frame, fields[b"errmsg"]) or "") if b"errmsg" in fields else ""
        raise FrameError(f"the server refused the login of {user!r}: {text[:200]}")
    return fields


def _message(fields: Mapping[str, bson.Value]) -> bytes:
    return wire.message(_OURS, 0, bson.document(fields))
