"""
A broker's connection at which the proxy logs in by itself, for clients whose logins end at the proxy.

One without channels may become another client's of the same state. What a broker says then is said to no client.

Lives here: `OwnServer`. Does not: the login's words (`broker_login`), answers and deliveries (`server`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.amqp import methods, wire
from metaproxy.codecs.amqp.broker_login import BrokerLogin
from metaproxy.codecs.amqp.login import Profile
from metaproxy.codecs.amqp.metadata import Reader
from metaproxy.codecs.amqp.methods import METHODS
from metaproxy.codecs.amqp.server import ServerSession
from metaproxy.message import FrameError, Hold, Kind, Message

_CHANNEL_OPEN_OK = METHODS[methods.CHANNEL_OPEN].answer
_PASSIVE, _EXCLUSIVE = 1, 4
_WELCOME = Message(Kind.RESPONSE, wire.method_frame(0, methods.OPEN_OK, b"\0"))


class OwnServer(ServerSession):
    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._login: BrokerLogin | None = None
        self._profile: Profile | None = None
        self._open_channels: set[int] = set()
        self._soiled = False
        self.reusable = True

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        """profile: None for a health check, which asks what a broker says first."""
        if not isinstance(profile, Profile):
            return b""
        try:
            self._login = login = BrokerLogin(profile, credentials)
        except ValueError as error:
            self.error = FrameError(str(error))
            return b""
        self._profile = profile
        self.ready = False
        return login.first()

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if not self.ready:
            self._go_on(frame, channel)
        elif number == methods.CLOSE and not self._open_channels and not self._soiled:
            # The broker leaves, and this is no client's connection: it ends.
            messages.append(Message(Kind.DRAIN, frame))
        else:
            super()._take(frame, channel, number, messages)
            if number == methods.CHANNEL_CLOSE_OK:
                self._closed_channel(channel)
            elif number == _CHANNEL_OPEN_OK:
                messages[-1].hold = Hold.OPEN
            elif number == methods.UNBLOCKED and self.reusable:
                messages[-1].hold = Hold.CLOSE  # it was all that the client kept the connection for

    def _go_on(self, frame: bytes, channel: int) -> None:
        """With the login."""
        login, profile = self._login, self._profile
        if login is None or profile is None or channel:
            raise FrameError("a broker that speaks before its turn")
        said = login.next(frame)
        if said:
            self.say(said)
        if not login.done:
            return
        self.ready = True
        self._agree(profile.frame_max, login.heartbeat)
        self._lanes.frame_max = profile.frame_max
        self._channel_max = profile.channel_max or 0xFFFF
        self._identity.user, self._identity.vhost = profile.user, profile.vhost.decode("utf-8", "surrogateescape")
        self._reader = Reader(self._identity)
        self.welcome = _WELCOME
        if login.refusal:
            self.welcome = Message(Kind.ERROR, login.refusal)
        if login.refusal or profile.forwarded is not None:  # which is good for one client
            self._soiled, self.reusable = True, False

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is Kind.REQUEST or message.kind is Kind.ONEWAY:
            self._note(message.frame)
        return super().send(message, id)

    def _note(self, frame: bytes) -> None:
        if frame == wire.PROTOCOL:
            return
        number = wire.number_of(frame)
        if number == methods.CHANNEL_OPEN:
            self._open_channels.add(wire.channel_of(frame))
            self.reusable = False
        elif number == methods.CHANNEL_CLOSE_OK:
            self._closed_channel(wire.channel_of(frame))
        elif number == methods.QUEUE_DECLARE and not self._soiled:
            bits = wire.number_at(wire.read_arguments(frame, METHODS[number]), "bits")
            self._soiled = bool(bits & _EXCLUSIVE) and not bits & _PASSIVE

    def _closed_channel(self, channel: int) -> None:
        self._open_channels.discard(channel)
        self.reusable = not self._open_channels and not self._soiled
