"""
What servers keep of passwords, and how one that is said is compared with it.

    *2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19      mysql_native_password: the SHA-1 of the SHA-1
    $A$005$ salt of 20, digest of 43 characters    caching_sha2_password: SHA-crypt, 5 times 1000 rounds

Lives here: `User`. Does not: proofs (`passwords`), who may log in (`accounts`).

No error has a piece of what was written in it: that may be a password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import NamedTuple

from metaproxy.codecs.mysql.passwords import NATIVE, SHA2

_NATIVE = re.compile(rb"\*([0-9A-Fa-f]{40})")
_CRYPT = re.compile(rb"\$A\$([0-9A-Fa-f]{3})\$(.{20})([./0-9A-Za-z]{43})", re.DOTALL)
MOST_ROUNDS = 20_000
"""Of SHA-crypt, which take about 3 ms a thousand; servers have 5000 by default."""
_MOST_BYTES = 256
"""Of a password that caching_sha2_password has."""
_LETTERS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Crypt(NamedTuple):
    """What is kept for caching_sha2_password."""

    rounds: int
    salt: bytes
    digest: bytes


class User(NamedTuple):
    """
    One who may log in. password: as it is, b"" where only something made of it is known: twice, the SHA-1 of its SHA-1,
    or crypt.
    """

    name: bytes
    password: bytes = b""
    twice: bytes = b""
    crypt: Crypt | None = None

    @classmethod
    def kept(cls, name: bytes, text: bytes) -> User | None:
        """A user of whose password a server keeps that; None for another text. Raises ValueError."""
        found = _NATIVE.fullmatch(text)
        if found is not None:
            return cls(name, twice=bytes.fromhex(found[1].decode()))
        found = _CRYPT.fullmatch(text)
        if found is None:
            return None
        rounds = int(found[1], 16) * 1000
        if not 0 < rounds <= MOST_ROUNDS:
            raise ValueError(f"SHA-crypt of {rounds} rounds; at most {MOST_ROUNDS} are carried out here")
        return cls(name, crypt=Crypt(rounds, found[2], found[3]))

    def __repr__(self) -> str:
        return f"User({self.name!r})"

    @property
    def kind(self) -> int:
        """What is known of the password: as it is, or which method it is kept for."""
        return 0 if self.password else 1 if self.twice else 2

    @property
    def proofs(self) -> tuple[bytes, ...]:
        """The methods by which it can prove its password without saying it."""
        if self.password:
            return (NATIVE, SHA2)
        return (NATIVE,) if self.twice else ()

    def is_password(self, said: bytes) -> bool:
        """Whether that is its password; of one that a server keeps for caching_sha2_password."""
        kept = self.crypt
        if kept is None or not said or len(said) > _MOST_BYTES:
            return False
        return hmac.compare_digest(sha_crypt(said, kept.salt, kept.rounds), kept.digest)


def sha_crypt(password: bytes, salt: bytes, rounds: int) -> bytes:
    """The digest of SHA-crypt with SHA-256, with a salt of any length, in its 43 letters."""
    size = len(password)
    other = hashlib.sha256(password + salt + password).digest()
    first = hashlib.sha256(password + salt + _repeated(other, size))
    bits = size
    while bits:
        first.update(other if bits & 1 else password)
        bits >>= 1
    digest = first.digest()
    said = _repeated(hashlib.sha256(password * size).digest(), size)
    salted = _repeated(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    steps = [_around(number, said, salted) for number in range(42)]
    for number in range(rounds):
        before, behind = steps[number % 42]
        digest = hashlib.sha256(before + digest + behind).digest()
    return bytes(_letters(digest))


def _repeated(data: bytes, size: int) -> bytes:
    return (data * (size // len(data) + 1))[:size]


def _around(number: int, said: bytes, salted: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind the digest in a round; so it is again 42 rounds later."""
    between = (salted if number % 3 else b"") + (said if number % 7 else b"")
    return (said + between, b"") if number & 1 else (b"", between + said)


def _letters(digest: bytes) -> Iterator[int]:
    first, second, third = 0, 10, 20
    for _ in range(10):
        yield from _four(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
        first, second, third = third + 1, first + 1, second + 1
    yield from _four(digest[31] << 8 | digest[30], 3)


def _four(value: int, count: int) -> Iterator[int]:
    for _ in range(count):
        yield _LETTERS[value & 63]
        value >>= 6
