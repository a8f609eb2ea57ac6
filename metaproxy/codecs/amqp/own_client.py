"""
A client that logs in at the proxy: its connection to a broker is there while it has channels.

    login ── Kind.CONNECT ── (no channel) ── channel.open-ok: Hold.OPEN ── ... ── the last one closed: Hold.CLOSE
                                  └───────────────────────────────────────────────────┘

While it has none, and no exclusive queue, which lives as long as a connection, the broker may go, and another one take
its place. A client whose login is the broker's to decide about has its connection for life.

Lives here: `OwnClient`. Does not: passwords (`login`), the broker's side (`own_server`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.amqp import login, methods, wire
from metaproxy.codecs.amqp.client import ClientSession, Command
from metaproxy.codecs.amqp.errors import CODES, Violation
from metaproxy.codecs.amqp.login import Accounts, Anyone, Forwarded, Profile
from metaproxy.codecs.amqp.login_fields import read_login
from metaproxy.codecs.amqp.methods import METHODS
from metaproxy.codecs.amqp.tuning import Tune
from metaproxy.message import Hold, Kind, Message

_PASSIVE, _EXCLUSIVE = 1, 4
_CLOSES: Final = (methods.CHANNEL_CLOSE, methods.CHANNEL_CLOSE_OK)
_BLOCKING: Final = (methods.BLOCKED, methods.UNBLOCKED)
_LIMITS: Final = ("channel-max", "frame-max")
_LEAST_FRAME: Final = 4096
_SECRET_UPDATED: Final = wire.method_frame(0, METHODS[methods.UPDATE_SECRET].answer)


class OwnClient(ClientSession):
    __slots__ = (
        "_accounts", "_exclusive", "_forwarded", "_limits", "_open_channels", "_profile", "_properties", "_waits",
    )  # fmt: skip

    def __init__(
        self,
        max_frame: int,
        stream_over: int,
        tune: Tune,
        accounts: Accounts | Anyone,
        login_timeout: float = 0.0,
    ) -> None:
        super().__init__(max_frame, stream_over, tune, login_timeout)
        self._accounts = accounts
        self._properties = b""
        self._limits = (0, 0)
        self._forwarded: Forwarded | None = None
        self._profile: Profile | None = None
        self._open_channels: set[int] = set()
        self._waits = False  # for the broker, which is to say when it takes messages again
        self._exclusive = False  # it has declared a queue that lives as long as its connection

    @property
    def _is_bound(self) -> bool:
        """Whether the broker's connection has something of it."""
        return bool(self._open_channels) or self._exclusive or self._waits or self._forwarded is not None

    # -- the login

    def _greet(self, messages: list[Message]) -> None:
        self.say(login.GREETING)

    def _control(self, kind: Kind, frame: bytes, number: int, messages: list[Message]) -> None:
        if number == methods.START_OK:
            self._logged_in(frame, messages)
        elif number == methods.TUNE_OK:
            values = wire.read_arguments(frame, METHODS[number])
            channel_max, frame_max = (wire.number_at(values, name) for name in _LIMITS)
            if frame_max < _LEAST_FRAME:
                raise Violation("NOT_ALLOWED", f"tune-ok with frame_max {frame_max}; the least is {_LEAST_FRAME}")
            self._limits = frame_max, channel_max
        elif number == methods.OPEN:
            vhost = wire.string_at(wire.read_arguments(frame, METHODS[number]), "vhost")
            self._profile = Profile(self._identity.user, vhost, self._properties, *self._limits, self._forwarded)
            message = self._message(Kind.CONNECT, frame, 0)
            # A login of the client's own is good for its own connection, and as long as that lasts.
            message.hold = Hold.EXCHANGE if self._forwarded is None else Hold.OPEN
            messages.append(message)
        elif number in (methods.CLOSE, methods.CLOSE_OK) and not self._is_bound:
            self.closing = True
            if number == methods.CLOSE:
                messages.append(Message(Kind.REQUEST, frame, self._next_id(), answer=wire.CLOSED))
        elif number in _BLOCKING and not self._is_bound:
            """No broker's connection is concerned."""
        elif number == methods.UPDATE_SECRET and self._forwarded is None:
            # As RabbitMQ answers it of users that it knows itself: nothing changes.
            messages.append(Message(Kind.REQUEST, frame, self._next_id(), answer=_SECRET_UPDATED))
        elif number == methods.SECURE_OK:
            raise Violation("COMMAND_INVALID", "connection.secure-ok where nothing was asked")
        else:
            super()._control(kind, frame, number, messages)

    def _logged_in(self, frame: bytes, messages: list[Message]) -> None:
        said = read_login(frame)
        if self._accounts.admits(said):
            self._properties = login.properties_of(frame)
            if self._accounts.forwards:
                self._forwarded = Forwarded(said.response)
            self.say(login.tune(self._tune.channel_max, self._tune.frame_max, login.HEARTBEAT))
            return
        refusal = b""
        if login.understands_refusals(frame):
            refusal = self.end("ACCESS_REFUSED", CODES["ACCESS_REFUSED"], login.REFUSED)
        self.closing = True
        messages.append(Message(Kind.REQUEST, frame, self._next_id(), answer=refusal))

    def _send_blocking(self, frame: bytes, blocks: bool) -> bytes:
        self._waits = blocks
        return frame

    # -- what it sends then

    def _message(self, kind: Kind, frame: bytes, channel: int) -> Command:
        message = super()._message(kind, frame, channel)
        message.profile = self._profile
        return message

    def _is_unopened(self, channel: int) -> bool:
        """Known where the broker's connection is not the client's from its login on."""
        return self._forwarded is None and channel not in self._open_channels

    def _leave_unopened(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        self._open_channels.discard(channel)
        super()._leave_unopened(frame, channel, number, messages)

    def _check(self, channel: int, number: int) -> None:
        """A broker would close the connection, which may be another client's by then."""
        super()._check(channel, number)
        if number != methods.CHANNEL_OPEN and self._is_unopened(channel):
            raise Violation("CHANNEL_ERROR", f"{methods.name_of(number)} on channel {channel}, which is not open")

    def _take(self, frame: bytes, channel: int, number: int, messages: list[Message]) -> None:
        if number == methods.CHANNEL_CLOSE_OK and channel and self._is_unopened(channel):
            return  # broker and client have closed it at the same time, and the broker has answered
        before = len(messages)
        super()._take(frame, channel, number, messages)
        if channel and len(messages) > before:
            self._note(messages[-1], frame, channel, number)

    def _note(self, message: Message, frame: bytes, channel: int, number: int) -> None:
        """What binds it to its connection, or frees it."""
        if self._forwarded is not None:
            return
        if number == methods.CHANNEL_OPEN:
            if not self._is_bound:
                message.hold = Hold.EXCHANGE  # the broker's answer binds it: what fails before that may be tried again
            self._open_channels.add(channel)
        elif number in _CLOSES:
            self._open_channels.discard(channel)
            if not self._is_bound:
                message.hold = Hold.CLOSE
        elif number == methods.QUEUE_DECLARE and not self._exclusive:
            bits = wire.number_at(wire.read_arguments(frame, METHODS[number]), "bits")
            self._exclusive = bool(bits & _EXCLUSIVE) and not bits & _PASSIVE
