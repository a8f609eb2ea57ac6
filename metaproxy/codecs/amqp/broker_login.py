"""
How the proxy logs in at a broker, with a cluster's `credentials`, for clients whose logins end at the proxy.

    header ── start ── start-ok (PLAIN) ── tune ── tune-ok, open ── open-ok

Lives here: `BrokerLogin`. Does not: clients' logins (`login`); the connection that begins so (`own_server`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.login import LOCALE, MECHANISM, Profile, limits
from metaproxy.codecs.amqp.methods import METHODS, Method
from metaproxy.message import FrameError

_KEYS: Final = ("user", "password")
_START: Final = Method(
    "connection.start", (("major", "b"), ("minor", "b"), ("server-properties", "T"), ("mechanisms", "S"))
)


class BrokerLogin:
    """
    One login; call `first`, then `next` with each of the broker's frames until `done`. heartbeat: seconds that broker
    and proxy have agreed on. refusal: the broker's connection.close, of a login that it took: its virtual host is not
    there, or not for this user; or of one that is the client's own. Raises ValueError where the credentials are no
    login for RabbitMQ.
    """

    __slots__ = ("_expected", "_login", "_profile", "_user", "done", "heartbeat", "refusal")

    def __init__(self, profile: Profile, credentials: Mapping[str, str]) -> None:
        unknown = sorted(set(credentials) - set(_KEYS))
        if unknown:
            raise ValueError(f"credentials have {', '.join(unknown)}; their keys are {', '.join(_KEYS)}")
        user, password = (credentials.get(key, "") for key in _KEYS)
        if profile.forwarded is not None and credentials:
            raise ValueError(
                "clients log in at brokers by themselves, as the listener's protocol has `logins: forward`: leave out "
                "the credentials of the cluster"
            )
        if profile.forwarded is None and (not user or not password):
            raise ValueError(
                "the proxy logs in by itself, for clients that log in at the proxy (`users`) or for copies (`mirror`): "
                "credentials of the cluster need user and password"
            )
        self._user = user
        self._login = b"\0" + user.encode() + b"\0" + password.encode()
        if profile.forwarded is not None:
            self._login = profile.forwarded.response
        self._profile = profile
        self._expected = methods.START
        self.heartbeat = 0
        self.refusal = b""
        self.done = False

    def first(self) -> bytes:
        return wire.PROTOCOL

    def next(self, frame: bytes) -> bytes:
        """What to say behind one of the broker's methods. Raises FrameError where it refuses the login."""
        number = wire.number_of(frame)
        if number == methods.CLOSE:
            return self._closed(frame)
        if number != self._expected:
            name = methods.name_of(number)
            raise FrameError(f"{name} within a login, where {methods.name_of(self._expected)} is next")
        if number == methods.START:
            self._expected = methods.TUNE
            return self._started(frame)
        if number == methods.TUNE:
            self._expected = methods.OPEN_OK
            return self._tuned(frame)
        self.done = True
        return b""

    def _started(self, frame: bytes) -> bytes:
        values = wire.read_arguments(frame, _START)
        mechanisms = wire.string_at(values, "mechanisms").split()
        if MECHANISM not in mechanisms:
            offered = b" ".join(mechanisms)[:100].decode("latin-1")
            raise FrameError(f"the broker offers the mechanisms {offered!r}, and not PLAIN")
        words = wire.short_string(MECHANISM) + len(self._login).to_bytes(4, "big") + self._login
        return wire.method_frame(0, methods.START_OK, self._profile.properties + words + wire.short_string(LOCALE))

    def _tuned(self, frame: bytes) -> bytes:
        """The client has agreed to its limits before: a broker with smaller ones can't serve it."""
        values = wire.read_arguments(frame, METHODS[methods.TUNE])
        profile = self._profile
        for name, wanted in (("frame_max", profile.frame_max), ("channel_max", profile.channel_max)):
            most = wire.number_at(values, name.replace("_", "-"))
            if 0 < most < wanted:
                raise FrameError(
                    f"the broker's {name} is {most}, and the client has agreed to {wanted}: write `{name}: {most}` at "
                    "the listener's protocol"
                )
        self.heartbeat = wire.number_at(values, "heartbeat")
        agreed = limits(profile.channel_max, profile.frame_max, self.heartbeat)
        tuned = wire.method_frame(0, methods.TUNE_OK, agreed)
        return tuned + wire.method_frame(0, methods.OPEN, wire.short_string(profile.vhost) + b"\0\0")

    def _closed(self, frame: bytes) -> bytes:
        values = wire.read_arguments(frame, METHODS[methods.CLOSE])
        code, text = wire.number_at(values, "code"), wire.string_at(values, "text").decode("utf-8", "replace")
        if self._expected != methods.OPEN_OK and self._profile.forwarded is None:
            raise FrameError(f"the broker refused the login of {self._user!r}: {code} {text}")
        self.refusal = frame
        self.done = True
        return wire.CLOSED
