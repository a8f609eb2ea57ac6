"""
SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): both sides of a login that shows no password.

Lives here: the four messages of the conversation, what is kept of a password (`Verifier`), SASLprep (RFC 4013), and
the bounds on what a peer may ask for. Does not: how a protocol carries the messages; who the users are.

Channel binding (the mechanisms that end in -PLUS) is not done: the end of TLS may be this proxy, and a binding to it
would say nothing about the server. Who insists on it is refused by name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, Collection
from functools import lru_cache

HASHES = {"SCRAM-SHA-512": "sha512", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
"""The mechanisms, the best first, and what hashlib calls their hash."""

ITERATIONS = 4096
"""What a verifier has by default: the least that RFC 7677 allows."""
LEAST_ITERATIONS = 4096
MOST_ITERATIONS = 300_000
"""What a server may ask of us: about 0.1 s of work, in which no other connection is served."""

_MOST_BYTES = 4096
"""Bytes that a message of the conversation may have."""
_MOST_SALT = 1024
_MOCK_KEY = secrets.token_bytes(32)


class ScramError(Exception):
    """
    The login can't go on. The text is for logs and has no secret in it.

    value: the server-error-value of RFC 5802, such as 'invalid-proof': what the other side may be sent behind 'e='.
    """

    def __init__(self, text: str, value: str = "other-error") -> None:
        super().__init__(text)
        self.value = value


class Verifier:
    """What a server keeps of a password: enough to check a proof, too little to make one."""

    __slots__ = ("iterations", "salt", "server_key", "stored_key")

    def __init__(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> None:
        self.salt = salt
        self.iterations = iterations
        self.stored_key = stored_key
        self.server_key = server_key


def verifier(mechanism: str, password: str, salt: bytes = b"", iterations: int = ITERATIONS) -> Verifier:
    """
    Return the verifier of a password, which is taken as it is (see `saslprep`). Without a salt it gets a random one.

    It costs `iterations` hashes: some milliseconds. Keep it for the next login.
    """
    name = hash_name(mechanism)
    salt = salt or secrets.token_bytes(16)
    client_key, server_key = _keys(name, password, salt, iterations)
    return Verifier(salt, iterations, hashlib.new(name, client_key).digest(), server_key)


def hash_name(mechanism: str, known: Collection[str] = HASHES.keys()) -> str:
    """Return what hashlib calls the hash of a mechanism. Raises ScramError for others than the known ones."""
    if mechanism in known:
        return HASHES[mechanism]
    shown = mechanism[:64]
    if shown.endswith("-PLUS"):
        plain = shown.removesuffix("-PLUS")
        raise ScramError(f"{shown!r} binds to the channel, which ends at the proxy; use {plain!r}")
    raise ScramError(f"unknown mechanism {shown!r}; known are {', '.join(known)}")


class ScramClient:
    """
    The side that knows the password. Call `first`, `final` and `check`, in this order.

    user: "" where the protocol names the user elsewhere (PostgreSQL). password: as the server hashed it, see
    `saslprep`. nonce: for tests. keys: in place of the password, the client key and the server key that are made of it
    (`ScramServer.client_key`, `Verifier.server_key`); the server must have the same verifier then.
    """

    def __init__(
        self,
        mechanism: str,
        user: str,
        password: str,
        nonce: str = "",
        most_iterations: int = MOST_ITERATIONS,
        keys: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._hash = hash_name(mechanism)
        self._password = password
        self._known = keys
        self._nonce = nonce or _nonce()
        self._most = most_iterations
        self._bare = f"n={_escaped(user)},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the client-first-message."""
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the client-final-message, with the proof, for the server's first message."""
        text = _text(server_first)
        nonce, salt, iterations = self._challenge(text)
        client_key, server_key = self._known or _keys(self._hash, self._password, salt, iterations)
        without_proof = f"c=biws,r={nonce}"
        exchanged = f"{self._bare},{text},{without_proof}".encode()
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), exchanged, self._hash)
        self._signature = hmac.digest(server_key, exchanged, self._hash)
        return f"{without_proof},p={_encoded(_xor(client_key, signature))}".encode()

    def check(self, server_final: bytes) -> None:
        """Raises ScramError if the server refuses, or can't show that it knows the password's verifier."""
        field = _fields(_text(server_final))[0]
        if field.startswith("e="):
            raise ScramError(f"the server refused the login: {field[2:][:100]!r}", "other-error")
        if not self._signature or not hmac.compare_digest(_decoded(_value(field, "v")), self._signature):
            raise ScramError("the server's signature is wrong: it does not know this user's password")

    def _challenge(self, text: str) -> tuple[str, bytes, int]:
        fields = _fields(text)
        if len(fields) < 3:
            raise ScramError("the server's first message has no nonce, salt and iteration count")
        nonce, salt = _value(fields[0], "r"), _decoded(_value(fields[1], "s"))
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramError("the server's nonce does not go on the client's own")
        if not salt or len(salt) > _MOST_SALT:
            raise ScramError(f"a salt of {len(salt)} bytes; allowed are 1 to {_MOST_SALT}")
        return nonce, salt, self._iterations(_value(fields[2], "i"))

    def _iterations(self, text: str) -> int:
        count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not LEAST_ITERATIONS <= count <= self._most:
            raise ScramError(
                f"the server asks for {text[:20]!r} iterations; allowed: {LEAST_ITERATIONS} to {self._most}"
            )
        return count


class ScramServer:
    """
    The side that checks the proof. Call `first` and `final`, in this order; then `user` has logged in.

    find: the verifier of a name as the client wrote it, None if there is no such user; which it learns only after its
    proof, as with a wrong password. iterations: what an unknown user is asked for, as many as the verifiers have.
    nonce: for tests.
    """

    def __init__(
        self,
        mechanism: str,
        find: Callable[[str], Verifier | None],
        nonce: str = "",
        iterations: int = ITERATIONS,
    ) -> None:
        self._iterations = iterations
        self._hash = hash_name(mechanism)
        self._find = find
        self._own = nonce or _nonce()
        self._verifier: Verifier | None = None
        self._known = False
        self._nonce = self._header = self._exchanged = ""
        self.user = ""
        """The name in the client's first message; "" before it, and where the protocol names the user elsewhere."""
        self.client_key = b""
        """
        What the client's proof shows, once it is right: with it and the verifier's server key one can log in as that
        user where the same verifier is kept. It is a secret as the password is.
        """

    def first(self, client_first: bytes) -> bytes:
        """Return the server-first-message."""
        text = _text(client_first)
        self._header, bare = _gs2(text)
        fields = _fields(bare)
        if fields[0].startswith("m="):
            raise ScramError("a mandatory extension is not supported", "extensions-not-supported")
        if len(fields) < 2:
            raise ScramError("the client's first message has no user and nonce")
        self.user = _unescaped(_value(fields[0], "n"))
        identity = _unescaped(self._header.split(",")[1][2:])
        if identity and identity != self.user:
            raise ScramError("a login on behalf of another user (authzid) is not supported")
        client_nonce = _value(fields[1], "r")
        if not client_nonce:
            raise ScramError("the client's nonce is empty")
        found = self._find(self.user)
        self._known = found is not None
        self._verifier = kept = found or _mock(self._hash, self.user, self._iterations)
        self._nonce = client_nonce + self._own
        answer = f"r={self._nonce},s={_encoded(kept.salt)},i={kept.iterations}"
        self._exchanged = f"{bare},{answer}"
        return answer.encode()

    def final(self, client_final: bytes) -> bytes:
        """Return the server-final-message. Raises ScramError ('invalid-proof') if the password was wrong."""
        kept, self._verifier = self._verifier, None
        if kept is None:
            raise ScramError("the client's final message without a first one")
        without_proof, mark, proof_text = _text(client_final).rpartition(",p=")
        fields = _fields(without_proof)
        if not mark or len(fields) < 2:
            raise ScramError("the client's final message has no channel binding, nonce and proof")
        if _decoded(_value(fields[0], "c")) != self._header.encode():
            raise ScramError("the channel binding is not that of the first message", "channel-bindings-dont-match")
        if not hmac.compare_digest(_value(fields[1], "r").encode(), self._nonce.encode()):
            raise ScramError("the nonce is not that of the first message")
        exchanged = f"{self._exchanged},{without_proof}".encode()
        proof = _decoded(proof_text)
        signature = hmac.digest(kept.stored_key, exchanged, self._hash)
        client_key = _xor(proof, signature) if len(proof) == len(signature) else b""
        right = hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), kept.stored_key)
        if not right or not self._known:
            raise ScramError("the password is wrong, or there is no such user", "invalid-proof")
        self.client_key = client_key
        return f"v={_encoded(hmac.digest(kept.server_key, exchanged, self._hash))}".encode()


def saslprep(text: str) -> str:
    """
    Prepare a password as RFC 4013 wants it for SCRAM-SHA-256: one spelling for what looks the same.

    Raises ValueError for characters that no password may have. (PostgreSQL takes such a password as it is.)
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(" " if stringprep.in_table_c12(one) else one for one in text if not stringprep.in_table_b1(one))
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(test(one) for one in prepared for test in _PROHIBITED):
        raise ValueError("a character is not allowed in a password")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise ValueError("a text that runs from right to left is mixed with one that does not")
    return prepared


_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


@lru_cache(maxsize=256)
def _keys(name: str, password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return the client key and the server key. Kept, as each new connection to a server asks for the same ones."""
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    return hmac.digest(salted, b"Client Key", name), hmac.digest(salted, b"Server Key", name)


def _mock(name: str, user: str, iterations: int) -> Verifier:
    """Return what an unknown user is asked with: the same salt each time, so that it looks like a known one."""
    salt = hmac.digest(_MOCK_KEY, user.encode(), "sha256")[:16]
    key = hashlib.new(name, salt + _MOCK_KEY).digest()
    return Verifier(salt, iterations, key, key)


def _gs2(text: str) -> tuple[str, str]:
    """Return the head of a client's first message (binding flag and authzid), and what follows."""
    parts = text.split(",", 2)
    if len(parts) < 3 or not (parts[1] == "" or parts[1].startswith("a=")):
        raise ScramError("the client's first message has no head such as 'n,,'")
    flag = parts[0]
    if flag.startswith("p="):
        raise ScramError(
            f"channel binding {flag[2:][:40]!r} is not supported: TLS ends at the proxy; turn it off at the client",
            "channel-binding-not-supported",
        )
    if flag not in ("n", "y"):
        raise ScramError("the client's first message begins with none of 'n', 'y' and 'p='")
    return f"{flag},{parts[1]},", parts[2]


def _nonce() -> str:
    return secrets.token_urlsafe(24)


def _text(message: bytes) -> str:
    if len(message) > _MOST_BYTES:
        raise ScramError(f"a message of {len(message)} bytes; allowed are {_MOST_BYTES}")
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise ScramError("a message is not UTF-8", "invalid-encoding") from None


def _fields(text: str) -> list[str]:
    return text.split(",")


def _value(field: str, key: str) -> str:
    if not field.startswith(f"{key}="):
        raise ScramError(f"expected the attribute {key!r} and found {field[:1]!r}")
    return field[2:]


def _escaped(user: str) -> str:
    return user.replace("=", "=3D").replace(",", "=2C")


def _unescaped(user: str) -> str:
    plain = user.replace("=2C", ",").replace("=3D", "=")
    if _escaped(plain) != user:
        raise ScramError("a name has '=' that is neither '=2C' nor '=3D'", "invalid-username-encoding")
    return plain


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("an attribute is not base64", "invalid-encoding") from None


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
