from __future__ import annotations

import pytest

from metaproxy.telemetry.secret_keys import MASK, masked, sounds_secret

SECRET = ["password", "Token", "x-api-key", "db.credentials", "AUTHORIZATION", "access_token", "my-jwt", "auth"]
PLAIN = ["method", "author", "key", "keys", "tokens_left", "interface", "passenger", ""]


@pytest.mark.parametrize("key", SECRET)
def test_a_key_that_names_a_secret_is_told_in_any_spelling(key: str) -> None:
    assert sounds_secret(key)


@pytest.mark.parametrize("key", PLAIN)
def test_other_keys_are_not(key: str) -> None:
    assert not sounds_secret(key)


def test_texts_under_such_keys_are_masked_however_deep() -> None:
    data = {"a": [{"token": "t", "n": 1}], "password": "p", "secret": {"file": "/x"}, "passwd": ""}
    assert masked(data) == {"a": [{"token": MASK, "n": 1}], "password": MASK, "secret": {"file": "/x"}, "passwd": ""}
