"""
How the proxy logs in at a server: the answer to its greeting, and to what it asks behind that.

    login ── OK
      ├── another way (EOF) ── proof ── OK
      └── caching_sha2_password: quick ── OK
                 └── full ── the password: as it is behind TLS, else encrypted for the server's key ── OK

Lives here: `UpstreamLogin`. Does not: where packets end, what follows the login (`pooled_server`).
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.codecs.mysql.handshake import Capability, Greeting, Login, Switch, tls_request, write_attributes
from metaproxy.codecs.mysql.packets import EOF, ERR, MORE, OK, packet, read_error
from metaproxy.codecs.mysql.passwords import (
    CLEAR,
    NATIVE,
    NO_SECRET,
    SHA2,
    Secret,
    encrypted,
    native_proof,
    proof,
)  # fmt: skip
from metaproxy.message import FrameError

C = Capability
NEEDED = C.PROTOCOL_41 | C.SECURE_CONNECTION | C.PLUGIN_AUTH
WANTED = (
    NEEDED | C.MYSQL | C.LENENC_AUTH_DATA | C.TRANSACTIONS | C.MULTI_RESULTS | C.PS_MULTI_RESULTS | C.CONNECT_ATTRS
    | C.STMT_BULK
)  # fmt: skip
"""What every connection of the proxy's own has, if its server does: so that answers are the same on all of them."""
_MAX_PACKET = 1 << 30
_ASK_KEY = b"\2"
_QUICK, _FULL = b"\3", b"\4"
_KEY_MARK = b"-----BEGIN"


class UpstreamLogin:
    """
    One login. credentials: user, password, and `public_key`: a server's key in PEM, or `ask` to ask the server for it.
    secure: whether the connection is encrypted. user, secret: of another one than the credentials', if there is one.
    done: whether it was let in.
    """

    def __init__(
        self, credentials: Mapping[str, str], secure: bool, user: bytes = b"", secret: Secret = NO_SECRET
    ) -> None:
        self._user = user or credentials.get("user", "").encode()
        self._secret = secret if user else Secret(credentials.get("password", "").encode())
        self._key = credentials.get("public_key", "").encode()
        self._secure = secure
        self._challenge = b""
        self._plugin = b""
        self._waits_for_key = False
        self.flags = 0
        self.done = False

    def ask_for_tls(self, greeting: Greeting, flags: int, sequence: int) -> bytes:
        """The packet behind which TLS begins: the head of a login."""
        self._secure = True
        self._agree(greeting, flags)
        return packet(tls_request(self.flags, _MAX_PACKET), sequence)

    def begin(self, greeting: Greeting, flags: int, charset: int, sequence: int) -> bytes:
        """The packet that answers a greeting. flags: capabilities that the clients of this connection need."""
        self._agree(greeting, flags)
        self._take(greeting.plugin, greeting.challenge)
        if self._plugin not in (NATIVE, SHA2) or self._secret.once:
            self._plugin = NATIVE  # the server asks for its own way behind this, if that is another one
        attributes = write_attributes({"program_name": "metaproxy"})
        answer = self._proof()
        login = Login(self.flags, _MAX_PACKET, charset, self._user, answer, b"", self._plugin, attributes)
        return packet(login.write(), sequence)

    def _agree(self, greeting: Greeting, flags: int) -> None:
        if ~greeting.capabilities & NEEDED:
            raise FrameError("the server is too old: it has no PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH")
        missing = Capability(flags & ~greeting.capabilities)
        if missing:
            raise FrameError(f"the server does not offer {missing!r}, which the client was offered")
        self.flags = int(WANTED & greeting.capabilities | flags | (C.SSL if self._secure else 0))

    def change_user(self, charset: int, secret: Secret) -> bytes:
        """
        COM_CHANGE_USER to the same user: rids the connection of all that its last client left. secret: see Profile.
        """
        self._secret = secret if any(secret) else self._secret
        answer = self._proof()
        self.done = False
        parts = [
            b"\x11", self._user, b"\0", bytes((len(answer),)), answer, b"\0", charset.to_bytes(2, "little"),
            self._plugin, b"\0",
        ]  # fmt: skip
        if self.flags & C.CONNECT_ATTRS:
            attributes = write_attributes({"program_name": "metaproxy"})
            parts += [bytes((len(attributes),)), attributes]
        return packet(b"".join(parts), 0)

    def receive(self, payload: bytes, sequence: int) -> bytes:
        """What to answer to a server's packet; nothing where it goes on by itself. Raises FrameError."""
        first = payload[0]
        if first == OK:
            self.done = True
            return b""
        if first == ERR:
            refusal = read_error(payload)
            raise FrameError(f"the server refused the login: {refusal.number} {refusal.text}")
        if first == EOF:
            return self._switch(Switch.read(payload), sequence)
        if first == MORE:
            return self._go_on(payload[1:], sequence)
        raise FrameError(f"a packet that begins with {first:#x} within a login")

    def _proof(self) -> bytes:
        """Of the password, by the method that the server wants. Raises FrameError where that needs more of it."""
        once = self._secret.once
        if not once:
            return proof(self._plugin, self._secret.password, self._challenge)
        if self._plugin == NATIVE:
            return native_proof(once, self._challenge)
        raise FrameError(
            f"the server wants a login by {self._plugin.decode()}, and of the client's password the proxy only knows "
            f"what {NATIVE.decode()} has shown"
        )

    def _take(self, plugin: bytes, challenge: bytes) -> None:
        self._plugin, self._challenge = plugin, challenge[:20]

    def _switch(self, switch: Switch, sequence: int) -> bytes:
        self._take(switch.plugin, switch.challenge)
        if self._plugin == CLEAR and not self._secret.once:
            if not self._secure:
                raise FrameError("the server asks for the password as it is; that needs `tls` towards it")
            return packet(self._secret.password + b"\0", sequence + 1)
        if self._plugin not in (NATIVE, SHA2, CLEAR):
            way = self._plugin.decode("latin-1")[:64]
            raise FrameError(f"the server asks for a login by {way}; {NATIVE.decode()} and {SHA2.decode()} are known")
        return packet(self._proof(), sequence + 1)

    def _go_on(self, said: bytes, sequence: int) -> bytes:
        """What a server says behind a proof by caching_sha2_password."""
        if self._plugin != SHA2:
            raise FrameError("the server goes on with a login that has nothing more")
        if self._waits_for_key:
            self._waits_for_key = False
            return packet(encrypted(self._secret.password, self._challenge, said), sequence + 1)
        if said == _QUICK:
            return b""
        if said != _FULL:
            raise FrameError(f"a server says {said[:16].hex()} behind a proof by caching_sha2_password")
        if self._secure:
            return packet(self._secret.password + b"\0", sequence + 1)
        if self._key.startswith(_KEY_MARK):
            return packet(encrypted(self._secret.password, self._challenge, self._key), sequence + 1)
        if self._key != b"ask":
            raise FrameError(
                "the server wants the password, not a proof of it (caching_sha2_password); that needs `tls` towards it,"
                " or credentials: {public_key: PEM}, or `ask` to trust any key that comes from there"
            )
        self._waits_for_key = True
        return packet(_ASK_KEY, sequence + 1)
