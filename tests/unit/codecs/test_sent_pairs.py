"""Pairs that a message carries: which metadata they are, and what a receiver may see where that is not clear."""

import pytest

from metaproxy.codecs import sent_pairs
from metaproxy.codecs.sent_pairs import Pair, Unclear

OWN = frozenset(("method", "service"))


def metadata(*pairs: Pair) -> tuple[dict[str, str], bool]:
    found = {"method": "Echo", "service": "demo"}
    clear = sent_pairs.add(found, pairs, OWN, "field.")
    return {key: value for key, value in found.items() if key not in OWN or value not in ("Echo", "demo")}, clear


def test_a_pair_is_there_as_spelled_and_in_lower_case() -> None:
    assert metadata(("Tenant", "a"), ("zone", "b")) == ({"Tenant": "a", "tenant": "a", "zone": "b"}, True)


@pytest.mark.parametrize("key", ["method", "METHOD", "Service"])
def test_no_pair_stands_for_a_key_of_the_codec(key: str) -> None:
    found, clear = metadata((key, "x"))
    assert found == {f"field.{key}": "x", f"field.{key.lower()}": "x"}
    assert clear


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "1"), ("a", "2")],
        [("a", "1"), ("A", "1")],
        [("A", "1"), ("a", "1")],
        [("a", None)],
        [(None, "1")],
    ],
)
def test_what_is_there_twice_or_is_no_text_is_not_clear(pairs: list[Pair]) -> None:
    assert metadata(*pairs)[1] is False


def test_of_equal_keys_the_last_counts_and_any_may_be_seen() -> None:
    pairs = [("a", "1"), ("A", "2"), ("a", "3"), ("b", "4"), ("b", "4")]
    assert metadata(*pairs)[0] == {"a": "3", "A": "2", "b": "4"}
    unclear = Unclear(pairs, OWN, "field.")
    assert unclear("a") == ("1", "2", "3")
    assert unclear("b") is None


def test_a_value_that_is_no_text_may_be_any() -> None:
    unclear = Unclear([("a", "1"), ("a", None), ("b", "2")], OWN, "field.")
    assert (unclear("a"), unclear("b")) == ((), None)


def test_a_key_that_is_no_text_may_be_any_but_the_codecs_own() -> None:
    unclear = Unclear([(None, "1"), ("b", "2")], OWN, "field.")
    assert (unclear("a"), unclear("b"), unclear("method")) == ((), (), None)


def test_fields_of_the_head_that_are_there_twice_are_added() -> None:
    unclear = Unclear([], OWN, "field.", {"method": ("Echo", "Other")})
    assert unclear("method") == ("Echo", "Other")
