"""
`jwt`: the keys that tokens are checked with, and where they come from.

Lives here: `KeySet` (a JWKS, RFC 7517), sources: in the configuration, a file, a URL. Does not: tokens (`jwt_tokens`).

A source is asked for `current(now)`; when that has not got what is wanted, `fetched(now)` gives a Deferred that fires
when it was looked for again, or None when there is nothing to wait for. No error of a JWKS has a piece of it: it may
hold secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import jwt
from jwt.algorithms import get_default_algorithms
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

MAX_KEYS = 100
"""Of one set; a token without the name of its key is tried with all that suit it."""
MAX_JWKS = 1 << 20
"""Bytes."""
LOOK = 5.0
"""Seconds between two looks at a file; and, at least, between two fetches of a URL."""
RETRY = 60.0
"""Seconds, at most, until a fetch that failed is tried again."""

TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"HS{bits}": ("oct", ()) for bits in (256, 384, 512)},
    **{f"{family}{bits}": ("RSA", ()) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", ("P-256",)), "ES384": ("EC", ("P-384",)), "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
}  # fmt: skip
"""Algorithm -> the type of its keys, and their curves."""
SYMMETRIC = frozenset(name for name, (kind, _) in TYPES.items() if kind == "oct")


class BadKeys(ValueError):
    """A JWKS that can't be used."""


class KeySet:
    """
    The keys of a JWKS, never changed. Those of types that are not known, or not meant for signatures, are left out, as
    RFC 7517 asks. Raises BadKeys.
    """

    def __init__(self, text: str | bytes) -> None:
        self._keys = [key for key in _listed(text) if _is_usable(key)]
        if not self._keys:
            raise BadKeys("a JWKS without a key that signatures could be checked with")
        self._made: dict[tuple[int, str], jwt.PyJWK] = {}
        for place, key in enumerate(self._keys):
            self._make(place, _first_algorithm(key))

    def find(self, algorithm: str, name: str | None) -> list[jwt.PyJWK]:
        """The keys, for PyJWT, that a token of this algorithm may be signed with. name: its `kid`, if it has one."""
        found = []
        for place, key in enumerate(self._keys):
            if _suits(key, algorithm) and (name is None or key.get("kid") == name):
                found.append(self._make(place, algorithm))
        return found

    def _make(self, place: int, algorithm: str) -> jwt.PyJWK:
        made = self._made.get((place, algorithm))
        if made is None:
            try:
                made = self._made[place, algorithm] = jwt.PyJWK(self._keys[place], algorithm)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                raise BadKeys(f"keys[{place}] of the JWKS is broken") from None
        return made


def _listed(text: str | bytes) -> list[dict[str, object]]:
    if len(text) > MAX_JWKS:
        raise BadKeys(f"a JWKS of more than {MAX_JWKS} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKeys("not JSON, and so no JWKS") from None
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise BadKeys('no JWKS; it is written {"keys": [{"kty": ...}, ...]}')
    if len(keys) > MAX_KEYS:
        raise BadKeys(f"a JWKS of more than {MAX_KEYS} keys")
    return keys


def _is_usable(key: Mapping[str, object]) -> bool:
    return key.get("use", "sig") == "sig" and bool(_first_algorithm(key))


def _first_algorithm(key: Mapping[str, object]) -> str:
    return next((name for name in TYPES if _suits(key, name)), "")


def _suits(key: Mapping[str, object], algorithm: str) -> bool:
    kind, curves = TYPES[algorithm]
    if key.get("kty") != kind or (curves and key.get("crv") not in curves):
        return False
    return bool(key.get("alg", algorithm) == algorithm)


def shared_secret(secret: str, algorithms: list[str]) -> KeySet:
    """The set of one symmetric key. Raises ValueError for one that is too short for an algorithm (RFC 7518, 3.2)."""
    least = max(int(name[2:]) // 8 for name in algorithms)
    if len(secret.encode()) < least:
        raise ValueError(f"{least} bytes at least, for {', '.join(algorithms)}")
    key = get_default_algorithms()["HS256"].to_jwk(secret)
    jwk = json.loads(key) if isinstance(key, str) else dict(key)
    return KeySet(json.dumps({"keys": [{name: jwk[name] for name in ("kty", "k")}]}))


class FixedKeys:
    """Keys that stay as they are."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def current(self, now: float) -> KeySet | None:
        return self._keys

    def fetched(self, now: float) -> Deferred[None] | None:
        return None

    def stop(self) -> Deferred[None] | None:
        return None


class FileKeys(FixedKeys):
    """
    A file, looked at again every LOOK seconds while it is used. One that can't be read or used changes nothing.
    Raises BadKeys, and OSError, when it can't be used from the start.
    """

    def __init__(self, path: str, counters: dict[str, int]) -> None:
        self._path = Path(path)
        self._counters = counters
        self._looked = 0.0
        self._seen = self._state()
        super().__init__(self._read())

    def current(self, now: float) -> KeySet | None:
        if not 0 <= now - self._looked < LOOK:
            self._looked = now
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            seen = self._state()
            if seen == self._seen:
                return
            self._seen = seen
            self._keys = self._read()
            self._counters["jwks_fetch_success"] += 1
        except (OSError, BadKeys) as error:
            self._counters["jwks_fetch_failed"] += 1
            log.error("jwt: {path}: {error}; the keys of before stay", path=str(self._path), error=str(error))

    def _state(self) -> tuple[int, int, int]:
        state = os.stat(self._path)
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read(self) -> KeySet:
        if not self._path.is_file():
            raise BadKeys("not a file")
        with self._path.open("rb") as file:
            return KeySet(file.read(MAX_JWKS + 1))


class RemoteKeys:
    """
    A URL. fetch() -> a Deferred of the body, which fires in bounded time. It is asked when keys are wanted for the
    first time and `refresh` seconds after each success; after a failure sooner, and the keys of before stay; and when a
    token names a key that is not there, but not more often than every LOOK seconds. close: called with `stop`.
    """

    def __init__(
        self,
        url: str,
        refresh: float,
        clock: IReactorTime,
        fetch: Callable[[], Deferred[bytes]],
        counters: dict[str, int],
        close: Callable[[], Deferred[None] | None] = lambda: None,
    ) -> None:
        self._url = url
        self._close = close
        self._refresh = refresh
        self._clock = clock
        self.fetch = fetch
        self._counters = counters
        self._keys: KeySet | None = None
        self._body = b""
        self._asked: float | None = None
        self._failures = 0
        self._under_way: Deferred[bytes] | None = None
        self._waiting: list[Deferred[None]] = []
        self._next: IDelayedCall | None = None
        self._stopped = False

    def current(self, now: float) -> KeySet | None:
        return self._keys

    def inherit(self, before: RemoteKeys) -> None:
        """Begins with the keys of the same URL, and fetches them again when that was due, or sooner if it says so."""
        if before._url != self._url or before._keys is None or self._keys is not None:
            return
        self._keys, self._body, self._asked = before._keys, before._body, before._asked
        due = self._clock.seconds() if before._asked is None else before._asked + self._refresh
        if before._failures:  # the next try is due sooner than that
            due = self._clock.seconds()
        self._next = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._start)

    def fetched(self, now: float) -> Deferred[None] | None:
        if self._under_way is None:
            if self._stopped or (self._asked is not None and 0 <= now - self._asked < LOOK):
                return None
            self._start()
        if self._under_way is None:  # answered at once
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def stop(self) -> Deferred[None] | None:
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._under_way is not None:
            self._under_way.cancel()
        return self._close()

    def _start(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._asked = self._clock.seconds()
        fetching = self._under_way = self.fetch()
        fetching.addCallbacks(self._take, self._fail)
        fetching.addBoth(self._ended)

    def _take(self, body: bytes) -> None:
        try:
            if body != self._body or self._keys is None:
                self._keys, self._body = KeySet(body), body
        except BadKeys:
            self._fail(Failure())
            return
        self._failures = 0
        self._counters["jwks_fetch_success"] += 1

    def _fail(self, failure: Failure) -> None:
        self._failures += 1
        self._counters["jwks_fetch_failed"] += 1
        if not self._stopped:
            stays = "the keys of before stay" if self._keys is not None else "there are no keys yet"
            log.error("jwt: {url}: {why}; {stays}", url=self._url, why=failure.getErrorMessage(), stays=stays)

    def _ended(self, _: object) -> None:
        self._under_way = None
        if not self._stopped:
            wait = min(self._refresh, RETRY, LOOK * 2 ** min(self._failures, 8)) if self._failures else self._refresh
            self._next = self._clock.callLater(wait, self._start)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
