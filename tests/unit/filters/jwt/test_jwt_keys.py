from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jwt_tools import NOW, jwk, jwks
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.jwt.keys import LOOK, MAX_JWKS, MAX_KEYS, BadKeys, FileKeys, FixedKeys, KeySet, RemoteKeys
from metaproxy.filters.jwt.keys import shared_secret as secret_keys

REFRESH = 600.0


def counts() -> dict[str, int]:
    return {"jwks_fetch_success": 0, "jwks_fetch_failed": 0}


def test_a_key_is_found_by_its_name_and_algorithm_and_without_a_name_by_all_that_suit() -> None:
    keys = KeySet(jwks("rsa", "rsa-2", "ec"))
    assert len(keys.find("RS256", "rsa")) == 1
    assert len(keys.find("RS256", None)) == 2
    assert len(keys.find("PS512", None)) == 2
    assert keys.find("RS256", "ec") == keys.find("ES384", "ec") == keys.find("HS256", None) == []


def test_a_key_for_one_algorithm_serves_no_other() -> None:
    keys = KeySet(json.dumps({"keys": [jwk("rsa", "a", alg="RS512")]}))
    assert (len(keys.find("RS512", "a")), keys.find("RS256", "a")) == (1, [])


def test_keys_of_unknown_types_and_for_encryption_are_left_out() -> None:
    odd = [{"kty": "new"}, {"kty": "OKP", "crv": "X25519", "x": "AA"}, jwk("ec", "e", use="enc")]
    keys = KeySet(json.dumps({"keys": [*odd, jwk("rsa", "r")]}))
    assert len(keys.find("RS256", None)) == 1
    assert keys.find("ES256", None) == keys.find("EdDSA", None) == []
    with pytest.raises(BadKeys, match="without a key"):
        KeySet(json.dumps({"keys": odd}))


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no JWKS"),
        ('{"keys": [1]}', "no JWKS"),
        ('{"keys": []}', "without a key"),
        (json.dumps({"keys": [{"kty": "oct"}] * (MAX_KEYS + 1)}), "more than 100 keys"),
        (" " * (MAX_JWKS + 1), "more than 1048576 bytes"),
        ('{"keys": [{"kty": "RSA", "n": "c2VjcmV0", "e": 7}]}', r"keys\[0\] of the JWKS is broken"),
        ('{"keys": [{"kty": "oct", "k": 7}]}', r"keys\[0\] of the JWKS is broken"),
    ],
)
def test_what_is_wrong_with_a_jwks_is_told_without_a_piece_of_it(text: str, told: str) -> None:
    with pytest.raises(BadKeys, match=told) as raised:
        KeySet(text)
    assert "c2VjcmV0" not in str(raised.value)


def test_a_shared_secret_has_to_be_as_long_as_its_algorithms_hash() -> None:
    assert len(secret_keys("s" * 64, ["HS256", "HS512"]).find("HS512", None)) == 1
    with pytest.raises(ValueError, match="64 bytes at least, for HS256, HS512"):
        secret_keys("s" * 63, ["HS256", "HS512"])


def test_fixed_keys_stay_and_have_nothing_to_wait_for() -> None:
    keys = FixedKeys(KeySet(jwks("rsa")))
    assert keys.current(NOW) is keys.current(NOW + 1e6)
    assert keys.fetched(NOW) is keys.stop() is None


# -- files


def write(path: Path, text: str) -> None:
    """As one does it: another file that takes the name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_file_is_read_again_when_it_changed_and_not_looked_at_with_every_request(tmp_path: Path) -> None:
    path, counters = tmp_path / "jwks.json", counts()
    path.write_text(jwks("rsa"))
    keys = FileKeys(str(path), counters)
    first = keys.current(NOW)
    write(path, jwks("ec"))
    assert keys.current(NOW + LOOK / 2) is first
    second = keys.current(NOW + LOOK)
    assert second is not first
    assert second is not None and second.find("ES256", "ec")
    assert keys.current(NOW + 3 * LOOK) is second
    assert counters == {"jwks_fetch_success": 1, "jwks_fetch_failed": 0}


def test_a_file_that_is_gone_or_broken_leaves_the_keys_of_before(tmp_path: Path) -> None:
    path, counters = tmp_path / "jwks.json", counts()
    path.write_text(jwks("rsa"))
    keys = FileKeys(str(path), counters)
    first = keys.current(NOW)
    write(path, "{")
    assert keys.current(NOW + LOOK) is first
    path.unlink()
    assert keys.current(NOW + 2 * LOOK) is first
    write(path, jwks("ec"))
    assert keys.current(NOW + 3 * LOOK) is not first
    assert counters == {"jwks_fetch_success": 1, "jwks_fetch_failed": 2}


def test_a_file_that_can_not_be_used_from_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        FileKeys(str(tmp_path / "none"), counts())
    with pytest.raises(BadKeys, match="not a file"):
        FileKeys(str(tmp_path), counts())


# -- URLs


class Remote:
    """RemoteKeys over calls that a test answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.calls: list[Deferred[bytes]] = []
        self.counters = counts()
        self.closed = 0
        self.keys = RemoteKeys("http://keys", REFRESH, self.clock, self._fetch, self.counters, self._close)

    def _fetch(self) -> Deferred[bytes]:
        call: Deferred[bytes] = Deferred()
        self.calls.append(call)
        return call

    def _close(self) -> None:
        self.closed += 1

    def wait(self) -> Deferred[None] | None:
        return self.keys.fetched(self.clock.seconds())

    def current(self) -> Any:
        return self.keys.current(self.clock.seconds())

    def answer(self, *kinds: str) -> None:
        self.calls[-1].callback(jwks(*kinds).encode())

    def fail(self) -> None:
        self.calls[-1].errback(RuntimeError("away"))


def test_nothing_is_fetched_before_keys_are_wanted() -> None:
    remote = Remote()
    remote.clock.advance(10 * REFRESH)
    assert remote.calls == []


def test_requests_that_want_keys_wait_for_one_fetch() -> None:
    remote = Remote()
    done: list[int] = []
    for number in range(3):
        waiting = remote.wait()
        assert waiting is not None
        waiting.addCallback(lambda _, each: done.append(each), number)
    assert (len(remote.calls), remote.current(), done) == (1, None, [])
    remote.answer("rsa")
    assert (done, len(remote.current().find("RS256", "rsa"))) == ([0, 1, 2], 1)


def test_keys_are_refreshed_in_the_background_and_stay_the_same_object_when_nothing_changed() -> None:
    remote = Remote()
    remote.wait()
    remote.answer("rsa")
    first = remote.current()
    remote.clock.advance(REFRESH)
    assert len(remote.calls) == 2
    assert remote.current() is first
    remote.answer("rsa")
    assert remote.current() is first
    remote.clock.advance(REFRESH)
    remote.answer("ec")
    assert remote.current().find("ES256", "ec")
    assert remote.counters == {"jwks_fetch_success": 3, "jwks_fetch_failed": 0}


def test_a_fetch_that_fails_leaves_the_keys_and_is_tried_again_ever_more_slowly() -> None:
    remote = Remote()
    remote.wait()
    remote.answer("rsa")
    first = remote.current()
    remote.clock.advance(REFRESH)
    for wait in (10, 20, 40, 60, 60):
        before = len(remote.calls)
        remote.fail()
        remote.clock.advance(wait - 0.1)
        assert len(remote.calls) == before
        remote.clock.advance(0.1)
        assert len(remote.calls) == before + 1
    assert remote.current() is first
    remote.calls[-1].callback(b"{}")
    assert remote.current() is first
    assert remote.counters == {"jwks_fetch_success": 1, "jwks_fetch_failed": 6}


def test_a_key_that_is_not_there_has_keys_fetched_but_not_more_often_than_every_few_seconds() -> None:
    remote = Remote()
    assert remote.wait() is not None
    remote.answer("rsa")
    assert remote.wait() is None
    remote.clock.advance(LOOK)
    assert remote.wait() is not None
    assert len(remote.calls) == 2
    remote.answer("rsa")
    remote.clock.advance(REFRESH - 1)
    assert len(remote.calls) == 2  # the refresh counts from the last fetch


def test_stopping_cancels_what_is_under_way_and_what_is_planned() -> None:
    remote = Remote()
    waiting = remote.wait()
    remote.keys.stop()
    assert waiting is not None and waiting.called
    assert remote.closed == 1
    assert remote.wait() is None
    other = Remote()
    other.wait()
    other.answer("rsa")
    other.keys.stop()
    assert other.clock.getDelayedCalls() == []
