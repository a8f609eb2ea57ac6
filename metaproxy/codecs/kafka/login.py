"""
Clients' logins, SaslHandshake and SaslAuthenticate: that end at the proxy, and are answered as a broker would, or pass.

Lives here: `ClientLogin`, `PassingLogin`. Does not: who the users are, and what tokens mean (`users`); what a session
does before and behind it (`client`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.schema import ERRORS, KEYS, Form
from metaproxy.codecs.kafka.users import MECHANISMS, Conversation, LoginError, Users
from metaproxy.codecs.kafka.walk import Plan, plan, walk
from metaproxy.message import FrameError

HANDSHAKE: Final = KEYS["SaslHandshake"]
AUTHENTICATE: Final = KEYS["SaslAuthenticate"]
LOGIN: Final = frozenset({HANDSHAKE, AUTHENTICATE})
_ASKED: Final = ("Mechanism", "AuthBytes")
_LONGEST: Final = 256
"""Bytes of a name that metadata have."""
_REFUSED: Final = ERRORS["SASL_AUTHENTICATION_FAILED"]


class ClientLogin:
    """The login of one connection. user: who has, "" before; failed: why it can't go on: the connection ends."""

    __slots__ = ("_conversation", "_users", "failed", "user")

    def __init__(self, users: Users) -> None:
        self._users = users
        self._conversation = Conversation(users)
        self.user = ""
        self.failed = ""

    def answer(self, frame: bytes, form: Form) -> bytes:
        """What answers a request of one of the two APIs. Raises FrameError for one that can't be read."""
        said = _said(frame, form)
        if form.key == HANDSHAKE:
            return _answer(frame, self._begin(said))
        return _answer(frame, self._go_on(said, form.version), form.flexible)

    def _begin(self, mechanism: bytes) -> bytes:
        try:
            self._conversation.begin(mechanism.decode("utf-8", "replace"))
        except LoginError as error:
            self.failed = str(error)
            known = mechanism.decode("utf-8", "replace") in MECHANISMS
            return _mechanisms(ERRORS["ILLEGAL_SASL_STATE" if known else "UNSUPPORTED_SASL_MECHANISM"])
        return _mechanisms(0)

    def _go_on(self, token: bytes, version: int) -> bytes:
        try:
            said = self._conversation.next(token)
        except LoginError as error:
            self.failed = str(error)
            return _token(version, _REFUSED, f"Authentication failed: {error}")
        self.user = self._conversation.user
        return _token(version, 0, None, said)


class PassingLogin:
    """A login at the broker itself. user: who has, as far as its tokens say so: by PLAIN and SCRAM."""

    __slots__ = ("_mechanism", "_name", "user")

    def __init__(self) -> None:
        self._mechanism = self._name = b""
        self.user = ""

    def asked(self, frame: bytes, form: Form) -> None:
        """A request of one of the two APIs. Raises FrameError for one that can't be read."""
        said = _said(frame, form)
        if form.key == HANDSHAKE:
            self._mechanism, self._name = said, b""
        elif self._mechanism == b"PLAIN":
            self._name = said.split(b"\0", 2)[1] if b"\0" in said else b""
        elif self._mechanism.startswith(b"SCRAM-") and (first := _SCRAM_FIRST.match(said)):
            self._name = first[1].replace(b"=2C", b",").replace(b"=3D", b"=")

    def accepted(self) -> None:
        """The broker takes what was said last."""
        self.user = self._name[:_LONGEST].decode("utf-8", "replace")


_SCRAM_FIRST: Final = re.compile(rb"[ny],[^,]*,n=([^,]*),")


def _said(frame: bytes, form: Form) -> bytes:
    """The mechanism of a handshake, or a token."""
    found = walk(frame, wire.request_body(frame, form.flexible), _plan(form))
    if not found:
        raise FrameError(f"a {form.api} without what it is for")
    _, start, stop = found[0]
    size = 2 if form.key == HANDSHAKE else wire.varint(frame, start)[1] - start if form.flexible else 4
    return frame[start + size : stop]


@cache
def _plan(form: Form) -> Plan:
    return plan(form, lambda field, _: field.name if field.name in _ASKED else "")


def _answer(frame: bytes, body: bytes, flexible: bool = False) -> bytes:
    return wire.framed(wire.INT.pack(wire.correlation_id(frame)) + (b"\0" if flexible else b"") + body)


def _mechanisms(code: int) -> bytes:
    names = [wire.write_text(name.encode(), False) for name in MECHANISMS]
    return wire.SHORT.pack(code) + wire.INT.pack(len(names)) + b"".join(names)


def _token(version: int, code: int, error: str | None, token: bytes = b"") -> bytes:
    """The body of an answer to SaslAuthenticate. A login lasts as long as its connection."""
    flexible = version > 1
    text = wire.write_text(None if error is None else error.encode()[:1024], flexible)
    size = wire.write_varint(len(token) + 1) if flexible else wire.INT.pack(len(token))
    lifetime = bytes(8) if version else b""
    return b"".join((wire.SHORT.pack(code), text, size, token, lifetime, b"\0" if flexible else b""))
