"""
The login of a client that ends at the proxy: SASL PLAIN, against the option `users`.

    header ── start ── start-ok ── tune ── tune-ok ── open ── Kind.CONNECT ── open-ok
                          └── no right password: connection.close 403, or just the end

Lives here: `Accounts`, `Profile`, what the proxy says in it. Does not: the connection that begins so (`own_client`),
how the proxy logs in at brokers (`broker_login`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple, Union

from metaproxy.codecs.amqp import fields, methods, wire
from metaproxy.codecs.amqp.login_fields import Login
from metaproxy.codecs.amqp.methods import METHODS

MECHANISM: Final = b"PLAIN"
LOCALE: Final = b"en_US"
HEARTBEAT: Final = 60
"""Seconds that clients are offered; they may choose others."""
_MOST_PROPERTIES: Final = 4096
"""Bytes of a client's properties that are passed on; of longer ones only what it is capable of."""
_MOST_NAME: Final = 255
_CAPABILITIES: Final = (
    "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
    "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
)  # fmt: skip
"""What RabbitMQ has said of itself since version 3.3, whichever broker the client will come to."""
_VERSION: Final = "3.10.0"
"""
Clients ask product and version what basic.qos means (kombu, of Celery) and what there is; those that find none fail or
take the broker for one older than 3.3. Newer brokers do no less than this one.
"""
_CLOSES: Final = b"authentication_failure_close"
REFUSED: Final = "Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
"""In the broker's words, by which some clients know it."""

Table = dict[str, Union[bool, str, "Table"]]


class Forwarded:
    """What a client logs in with, to be said to a broker: no text of it is ever shown."""

    __slots__ = ("response",)

    def __init__(self, response: bytes) -> None:
        self.response = response

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Forwarded) and hmac.compare_digest(self.response, other.response)

    def __hash__(self) -> int:
        return hash(self.response)

    def __repr__(self) -> str:
        return "Forwarded(...)"


class Profile(NamedTuple):
    """
    The state that a connection to a broker is opened in. user: as whom the client logged in at the proxy; properties:
    the client's, as a table; frame_max, channel_max: what client and broker both keep to; forwarded: the client's own
    login, where that is the broker's to decide about.
    """

    user: str
    vhost: bytes
    properties: bytes
    frame_max: int
    channel_max: int
    forwarded: Forwarded | None = None


class Anyone:
    """In the place of `Accounts`: the broker decides who may log in."""

    forwards = True

    def admits(self, login: Login) -> bool:
        """Whether it is a login by PLAIN at all."""
        return login.mechanism.encode("latin-1") == MECHANISM and bool(login.user)


class Accounts:
    """Who may log in, by name. Raises ValueError, without a password in its text."""

    forwards = False

    def __init__(self, users: object) -> None:
        if not isinstance(users, Mapping) or not users:
            raise ValueError("users is a mapping of names to passwords; write {app: {secret: NAME}}")
        self._passwords: dict[bytes, bytes] = {}
        for name, password in users.items():
            if not isinstance(name, str) or not 0 < len(name.encode()) <= _MOST_NAME or "\0" in name:
                raise ValueError(f"users has {str(name)[:64]!r}, which is no name of 1 to {_MOST_NAME} bytes")
            if not isinstance(password, str) or not password or "\0" in password:
                raise ValueError(f"the password of {name!r} in users is no text, or empty; write {{secret: NAME}}")
            self._passwords[name.encode()] = _digest(password.encode())

    def admits(self, login: Login) -> bool:
        """Whether that is the password of that user, and it asks for no other's rights."""
        parts = login.response.split(b"\0")
        if login.mechanism.encode("latin-1") != MECHANISM or len(parts) != 3 or parts[0] not in (b"", parts[1]):
            return False
        kept = self._passwords.get(parts[1])
        right = hmac.compare_digest(_digest(parts[2]), kept or bytes(32))  # as slow for a name that is not known
        return right and kept is not None


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


def tune(channel_max: int, frame_max: int, heartbeat: int) -> bytes:
    """What a client is offered, where 0 would be no limit."""
    return wire.method_frame(0, methods.TUNE, limits(channel_max, frame_max or _NO_LIMIT, heartbeat))


_NO_LIMIT: Final = 0x7FFFFFFF


def limits(channel_max: int, frame_max: int, heartbeat: int) -> bytes:
    """The arguments of tune and tune-ok."""
    return channel_max.to_bytes(2, "big") + frame_max.to_bytes(4, "big") + heartbeat.to_bytes(2, "big")


def properties_of(frame: bytes) -> bytes:
    """What start-ok says of its client, as a table to send on. May raise FrameError."""
    at = wire.number_at(wire.read_arguments(frame, METHODS[methods.START_OK]), "client-properties")
    size = 4 + int.from_bytes(frame[at : at + 4], "big")
    if size <= _MOST_PROPERTIES:
        return frame[at : at + size]
    able = _capabilities(frame)
    return table(
        {"product": "metaproxy", "capabilities": {name: True for name in _CAPABILITIES if name.encode() in able}}
    )


def understands_refusals(frame: bytes) -> bool:
    """Whether the client that says this start-ok takes a close for an answer to it; others get the end."""
    return _CLOSES in _capabilities(frame)


def _capabilities(frame: bytes) -> set[bytes]:
    """Those that a start-ok says are there. May raise FrameError."""
    at = wire.number_at(wire.read_arguments(frame, METHODS[methods.START_OK]), "client-properties")
    for field in fields.table_fields(frame, at, wire.frame_end(frame) - 1):
        if field.name == b"capabilities":
            able = fields.find_table(frame, field)
            return {name for name, one in able.items() if fields.field_text(frame, one) == "true"}
    return set()


def table(values: Table) -> bytes:
    """A table, behind its size."""
    written = b"".join(wire.short_string(name.encode()) + _value(value) for name, value in values.items())
    return len(written).to_bytes(4, "big") + written


def _value(value: bool | str | Table) -> bytes:
    if isinstance(value, bool):
        return b"t\1" if value else b"t\0"
    if isinstance(value, str):
        return b"S" + _long_string(value.encode())
    return b"F" + table(value)


def _long_string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _start() -> bytes:
    capabilities: Table = dict.fromkeys(_CAPABILITIES, True)
    about = table({"product": "RabbitMQ", "version": _VERSION, "platform": "metaproxy", "capabilities": capabilities})
    return wire.method_frame(0, methods.START, b"\0\x09" + about + _long_string(MECHANISM) + _long_string(LOCALE))


GREETING: Final = _start()
