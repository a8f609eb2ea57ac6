"""
How a password is proved without being said: mysql_native_password and caching_sha2_password.

Lives here: proofs and their checks, `Secret`, the encryption of a password for a server's public key. Does not: what
servers keep of passwords (`kept_passwords`), who asks whom when (`upstream_login`, `accounts`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from metaproxy.message import FrameError
from metaproxy.support.extras import install

NATIVE, SHA2, CLEAR = b"mysql_native_password", b"caching_sha2_password", b"mysql_clear_password"
SIZES = {NATIVE: 20, SHA2: 32}
"""Bytes of a proof."""
_LETTERS = bytes(range(0x21, 0x7F)).replace(b"$", b"")


class Secret(NamedTuple):
    """
    What the proxy knows of a password, enough to log in as its user elsewhere. password: as it is; once: its SHA-1, by
    which mysql_native_password proves it. It is never shown.
    """

    password: bytes = b""
    once: bytes = b""

    def __repr__(self) -> str:
        return "Secret(...)" if any(self) else "Secret()"


NO_SECRET = Secret()


def new_challenge() -> bytes:
    """20 bytes that can't be guessed, none of which is a NUL."""
    return bytes(secrets.choice(_LETTERS) for _ in range(20))


def proof(plugin: bytes, password: bytes, challenge: bytes) -> bytes:
    """What a client answers to a challenge; nothing for an empty password."""
    if not password:
        return b""
    if plugin == NATIVE:
        return native_proof(hashlib.sha1(password).digest(), challenge)
    once = hashlib.sha256(password).digest()
    return _xor(once, hashlib.sha256(hashlib.sha256(once).digest() + challenge).digest())


def native_proof(once: bytes, challenge: bytes) -> bytes:
    """The proof of mysql_native_password by the SHA-1 of a password."""
    return _xor(once, hashlib.sha1(challenge + hashlib.sha1(once).digest()).digest())


def shown_by(answer: bytes, twice: bytes, challenge: bytes) -> bytes:
    """
    The SHA-1 of a password that its proof by mysql_native_password has shown; nothing where the proof is wrong. twice:
    the SHA-1 of that, which is what servers keep.
    """
    once = _xor(answer, hashlib.sha1(challenge + twice).digest())
    return once if hmac.compare_digest(hashlib.sha1(once).digest(), twice) else b""


def proves(plugin: bytes, password: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether the answer is right. Takes as long where it is wrong."""
    return hmac.compare_digest(proof(plugin, password, challenge), answer)


def encrypted(password: bytes, challenge: bytes, key: bytes) -> bytes:
    """A password that only the owner of the public key (PEM) can read. Raises FrameError."""
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ImportError:
        raise FrameError("a password can't be encrypted for the server: " + install("tls")) from None
    try:
        public = serialization.load_pem_public_key(key)
    except ValueError as error:
        raise FrameError(f"the server's public key can't be read: {error}") from None
    if not isinstance(public, rsa.RSAPublicKey):
        raise FrameError("the server's public key is none of RSA")
    said = password + b"\0"
    repeated = (challenge * (len(said) // len(challenge) + 1))[: len(said)]
    sha1 = hashes.SHA1()  # as the protocol has it
    try:
        return public.encrypt(_xor(said, repeated), padding.OAEP(padding.MGF1(sha1), sha1, None))
    except ValueError:
        raise FrameError("the password is too long for the server's public key") from None


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
