"""Keys of clients' connections: no two alike, and gone with their owner."""

from __future__ import annotations

import gc

from metaproxy.codecs.cancel_keys import adopt_key, new_key, owner_of


class Session:
    """Something that has a key."""


def test_a_key_names_its_owner_and_nothing_else_does() -> None:
    one, other = Session(), Session()
    (number, secret), key = new_key(one), new_key(other)
    assert owner_of(number, secret) is one
    assert owner_of(*key) is other
    assert owner_of(number, bytes(4)) is None
    assert 0 < number < 1 << 31
    assert len(secret) == 4


def test_a_servers_key_is_its_first_owners() -> None:
    one, other = Session(), Session()
    assert adopt_key(one, 4711, b"abcd") and adopt_key(one, 4711, b"abcd")
    assert not adopt_key(other, 4711, b"abcd")
    assert owner_of(4711, b"abcd") is one


def test_a_key_may_be_a_number_alone() -> None:
    owners = [Session() for _ in range(100)]
    keys = [new_key(owner, 0) for owner in owners]
    assert len(set(keys)) == 100
    assert all(owner_of(number) is owner for (number, _), owner in zip(keys, owners, strict=True))


def test_a_key_whose_owner_is_gone_names_nobody() -> None:
    owner = Session()
    key = new_key(owner)
    del owner
    gc.collect()
    assert owner_of(*key) is None
