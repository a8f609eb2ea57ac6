"""The hash of a key's values (data-plane.md 8.4), with its missing values (B5)."""

from __future__ import annotations

import pytest
import xxhash

from metaproxy.balancers.hashing import by_address, hash_values, key_names
from metaproxy.testing import FakeEndpoint


@pytest.mark.parametrize(
    ("values", "fed"),
    [
        (["user-17"], b"user-17"),
        ([""], b""),
        (["b", "a"], b"ab"),
        (["b", None, "a"], b"ab"),
        ([None, "a"], b"a"),
        (["\u00fc", "z"], b"z\xc3\xbc"),
        (["\udcff"], b"\xff"),  # how a codec hands on bytes that are no UTF-8
        (["\udcff", "a"], b"a\xff"),
    ],
)
def test_present_values_are_sorted_and_fed_to_xxh64_with_seed_0(values: list[str | None], fed: bytes) -> None:
    assert hash_values(values) == xxhash.xxh64_intdigest(fed, seed=0)


def test_the_hash_is_the_one_that_xxh64_publishes() -> None:
    assert hash_values([""]) == 0xEF46DB3751D8E999
    assert hash_values(["abc"]) == 0x44BC2CF5AD770999


def test_the_order_of_keys_does_not_matter() -> None:
    assert hash_values(["x", "y", "z"]) == hash_values(["z", "x", "y"])


@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_b5_a_request_without_any_key_has_no_hash(values: list[None]) -> None:
    assert hash_values(values) is None


@pytest.mark.parametrize(("key", "names"), [(None, ()), ("user", ("user",)), (["a", "b"], ("a", "b")), ([], ())])
def test_a_key_is_one_name_or_a_list_of_names(key: list[str] | str | None, names: tuple[str, ...]) -> None:
    assert key_names(key) == names


@pytest.mark.parametrize("key", ["", ["a", ""]])
def test_an_empty_name_is_refused(key: list[str] | str) -> None:
    with pytest.raises(ValueError, match="key holds an empty name; write the name of a metadata key"):
        key_names(key)


def test_endpoints_are_sorted_by_address() -> None:
    endpoints = [FakeEndpoint("b:1"), FakeEndpoint("a:2"), FakeEndpoint("a:1")]
    assert [endpoint.address for endpoint in by_address(endpoints)] == ["a:1", "a:2", "b:1"]
