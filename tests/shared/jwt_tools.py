"""Keys, tokens and exchanges for the tests of `jwt`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from metaproxy.message import Kind, Message

NOW = 1_700_000_000.0
ISSUER = "https://issuer.example"


@cache
def private(kind: str) -> Any:
    """A private key; the same for the same name, made once for all tests."""
    family = kind.partition("-")[0]
    if family == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if family == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


ALGORITHMS = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}


def algorithm(kind: str) -> str:
    return ALGORITHMS[kind.partition("-")[0]]


def jwk(kind: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    made: Any = get_default_algorithms()[algorithm(kind)].to_jwk(private(kind).public_key())
    found = json.loads(made) if isinstance(made, str) else dict(made)
    found.pop("key_ops", None)
    return {**found, **({"kid": name} if name else {}), **more}


def jwks(*kinds: str, named: bool = True) -> str:
    return json.dumps({"keys": [jwk(kind, kind if named else None) for kind in kinds]})


def token(kind: str = "rsa", name: str | None = "", algorithm_name: str = "", key: Any = None, **claims: Any) -> str:
    """A token for an hour, signed by the key of this kind; claims that are None are left out."""
    held = {"iss": ISSUER, "sub": "ann", "iat": NOW, "exp": NOW + 3600, **claims}
    headers = {"kid": kind if name == "" else name} if name is not None else None
    return jwt.encode(
        {claim: value for claim, value in held.items() if value is not None},
        key if key is not None else private(kind),
        algorithm_name or algorithm(kind),
        headers=headers,
    )


class Asked:
    """An exchange as a filter sees it: what is asked of it, what it is to change."""

    def __init__(self, **known: str) -> None:
        self.message = Message(Kind.REQUEST, b"", 1, {key.replace("_", "-"): value for key, value in known.items()})
        self.outcome = self.details = ""
        self.learnt: dict[str, str | None] = {}
        self.changes: dict[str, str] = {}
        self.removed: set[str] = set()

    def get(self, key: str) -> str | None:
        return self.learnt[key] if key in self.learnt else self.message.get(key)

    def learn(self, key: str, value: str | None) -> None:
        self.learnt[key] = value

    def set(self, key: str, value: str) -> None:
        self.changes[key] = value

    def remove(self, key: str) -> None:
        self.removed.add(key)
