"""
How the proxy logs in at a broker, with a cluster's `credentials`: SaslHandshake, and SaslAuthenticate for each token.

Lives here: `ServerLogin`. Does not: SCRAM itself (`codecs.scram`); the session that begins so (`server`).

Both requests are written in the oldest version that has what is needed, which all brokers since 1.0 know: no
ApiVersions has to come before them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.kafka.users import MECHANISMS, PLAIN, SCRAM
from metaproxy.codecs.scram import ScramClient, ScramError
from metaproxy.message import FrameError

KEYS: Final = ("user", "password", "mechanism")
_HANDSHAKE, _AUTHENTICATE = 17, 36
_HEAD: Final = struct.Struct(">ihhih")
_CLIENT: Final = b"metaproxy"


class ServerLogin:
    """Send `first`, then what `next` gives for each answer until `done`."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        """Raises ValueError where the credentials are no login for Kafka."""
        unknown = sorted(set(credentials) - set(KEYS))
        if unknown:
            raise ValueError(f"credentials has {unknown[0]!r}; known are {', '.join(KEYS)}")
        self._user, self._password = credentials.get("user", ""), credentials.get("password", "")
        if not self._user or not self._password:
            raise ValueError("credentials need user and password")
        self._mechanism = credentials.get("mechanism", SCRAM[0])
        if self._mechanism not in MECHANISMS:
            raise ValueError(f"credentials.mechanism is none of {', '.join(MECHANISMS)}")
        self._scram = None if self._mechanism == PLAIN else ScramClient(self._mechanism, self._user, self._password)
        self._step = 0
        self.done = False

    def first(self) -> bytes:
        name = self._mechanism.encode()
        return _request(_HANDSHAKE, struct.pack(">h", len(name)) + name)

    def next(self, frame: bytes) -> bytes:
        """frame: a whole one, with its size. Raises FrameError when the login is refused."""
        step, self._step = self._step, self._step + 1
        try:
            if step == 0:
                return self._begin(frame)
            return self._go_on(step, _token(frame))
        except (ScramError, struct.error, UnicodeDecodeError) as error:
            raise FrameError(f"the login of {self._user!r} failed: {error}") from None

    def _begin(self, frame: bytes) -> bytes:
        (code,) = struct.unpack_from(">h", frame, 8)
        if code:
            offered = f"the broker has {', '.join(_mechanisms(frame)) or 'none'}" if code == 33 else f"error {code}"
            raise ScramError(f"mechanism {self._mechanism}: {offered}; write one of these as credentials.mechanism")
        scram = self._scram
        return _token_request(scram.first() if scram else f"\0{self._user}\0{self._password}".encode())

    def _go_on(self, step: int, token: bytes) -> bytes:
        scram = self._scram
        if scram is not None and step == 1:
            return _token_request(scram.final(token))
        if scram is not None:
            scram.check(token)
        self.done = True
        return b""


def _token(frame: bytes) -> bytes:
    """What a SaslAuthenticate is answered with."""
    code, size = struct.unpack_from(">hh", frame, 8)
    at = 12 + max(size, 0)
    if code:
        raise ScramError(f"the broker refused it: {frame[12:at].decode()[:200]!r} (error {code})")
    (length,) = struct.unpack_from(">i", frame, at)
    return frame[at + 4 : at + 4 + max(length, 0)]


def _mechanisms(frame: bytes) -> list[str]:
    """Those that a SaslHandshake is answered with."""
    (count,) = struct.unpack_from(">i", frame, 10)
    names, at = [], 14
    for _ in range(min(count, 20)):
        (size,) = struct.unpack_from(">h", frame, at)
        names.append(frame[at + 2 : at + 2 + size].decode()[:40])
        at += 2 + size
    return names


def _token_request(token: bytes) -> bytes:
    return _request(_AUTHENTICATE, struct.pack(">i", len(token)) + token)


def _request(key: int, body: bytes) -> bytes:
    """In version 1 for a handshake, 0 for a token, under the id 0: those of clients' requests begin with 1."""
    version = 1 if key == _HANDSHAKE else 0
    return _HEAD.pack(10 + len(_CLIENT) + len(body), key, version, 0, len(_CLIENT)) + _CLIENT + body
