"""
A login that passes from a client to its server, where TLS may be on either side, or on one alone.

    client   ── [TLS request] ── login ── answers ──>  proxy  ── [TLS request] ── login ── answers ──>  server

A side with TLS has one packet more, so that its sequence numbers are ahead by one, and says so in the flags of the
login. What a client would say as it is over TLS, its password, does not go on without it.

Lives here: `PassingLogin`. Does not: whether a client may log in without TLS (`stream`), which packets these are
(`client`, `server`).
"""

from __future__ import annotations

from metaproxy.codecs.mysql.handshake import Capability, ChangeUser, Login, Switch
from metaproxy.codecs.mysql.packets import EOF, HEAD, numbered, packet, payload_of
from metaproxy.codecs.mysql.passwords import CLEAR
from metaproxy.message import FrameError

_SSL = int(Capability.SSL)
_TLS_REQUEST = 32
"""Bytes of it: those with which a login begins."""
_SAID_AS_IT_IS = (CLEAR, b"sha256_password", b"dialog")
"""Methods by which a client says its password over TLS without being asked."""
_WHOLE = b"\1\4"
"""caching_sha2_password: the server does not know this password, and wants it whole."""
_HINT = "give listener and cluster the same: `tls: {start: protocol}` on both, or on neither"


class PassingLogin:
    """frame: the client's login. to_server: whether TLS begins towards the server. flags: those of the login."""

    def __init__(self, frame: bytes, to_server: bool) -> None:
        self._frame = frame
        payload = payload_of(frame)
        self._login = Login.read(payload)
        self.flags = self._login.capabilities
        self._over_tls, self._to_server = bool(self.flags & _SSL), to_server
        self._ahead = to_server - self._over_tls
        self._check_method(self._login.plugin)

    def tls_request(self) -> bytes:
        """The packet behind which TLS begins."""
        return packet(self._flagged()[:_TLS_REQUEST], 1)

    def login(self) -> bytes:
        """The login as the server gets it."""
        if self._over_tls == self._to_server:
            return self._frame
        return packet(self._flagged(), self._frame[3] + self._ahead)

    def _flagged(self) -> bytes:
        payload = payload_of(self._frame)
        flags = int.from_bytes(payload[:4], "little") & ~_SSL | (_SSL if self._to_server else 0)
        return flags.to_bytes(4, "little") + payload[4:]

    def to_server(self, frame: bytes) -> bytes:
        """A client's packet within the login."""
        return numbered(frame, frame[3] + self._ahead) if self._ahead else frame

    def to_client(self, frame: bytes) -> bytes:
        """A server's. Raises FrameError where the client must not answer it."""
        if self._ahead:
            self.check_question(frame[HEAD:])
            frame = numbered(frame, frame[3] - self._ahead)
        return frame

    @property
    def uneven(self) -> bool:
        """Whether TLS is on one side alone."""
        return bool(self._ahead)

    def check_change(self, payload: bytes) -> None:
        """A COM_CHANGE_USER, where TLS is on one side alone. Raises FrameError where it must not go on."""
        self._check_method(ChangeUser.read(payload, self.flags).plugin)

    def _check_method(self, plugin: bytes) -> None:
        if self._over_tls and not self._to_server and plugin in _SAID_AS_IT_IS:
            raise FrameError(f"a login by {plugin.decode()} goes to no server without TLS; {_HINT}")

    def check_question(self, payload: bytes) -> None:
        """What a server asks, where TLS is on one side alone. Raises FrameError where the client must not answer."""
        if payload[:2] == _WHOLE:
            raise FrameError(f"the server wants the password, and TLS is on one side alone; {_HINT}")
        if payload[0] == EOF:
            self._check_method(Switch.read(payload).plugin)
