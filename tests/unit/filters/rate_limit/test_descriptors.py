from __future__ import annotations

from typing import Any

import pytest

from metaproxy.filters.rate_limit.descriptors import LONGEST, descriptors
from metaproxy.plugins import OptionError

USER = {"key": "user", "from": "caller"}


def entries(written: Any, **metadata: str) -> Any:
    """The entries that one descriptor has for a request."""
    (descriptor,) = descriptors([written])
    asked = descriptor.asked(metadata.get)
    return None if asked is None else asked.entries


def test_entries_are_metadata_and_literals() -> None:
    written = [USER, {"key": "what", "value": "pay"}, {"key": "port", "value": 80}]
    assert entries(written, caller="ann") == (("user", "ann"), ("what", "pay"), ("port", "80"))


def test_the_originals_form_is_one_entry() -> None:
    assert entries({"property": "method", "descriptor_key": "m"}, method="pay") == (("m", "pay"),)


def test_a_missing_key_is_an_empty_value_unless_the_descriptor_is_to_be_left_out() -> None:
    assert entries([USER]) == (("user", ""),)
    assert entries([{**USER, "skip_if_absent": True}]) is None


def test_a_descriptor_may_have_a_limit() -> None:
    limit = {"requests_per_unit": 5, "unit": "minute"}
    for written in ({"entries": [USER], "limit": limit}, {"property": "a", "descriptor_key": "b", "limit": limit}):
        (descriptor,) = descriptors([written])
        assert descriptor.limit is not None
        assert (descriptor.limit.requests, descriptor.limit.seconds) == (5, 60)


def test_a_long_value_is_replaced_by_a_digest_of_bounded_size() -> None:
    values = [entries([USER], caller="x" * size)[0][1] for size in (LONGEST, LONGEST + 1, 100000)]
    assert values[0] == "x" * LONGEST
    assert len(set(values)) == 3 and all(len(value) <= LONGEST for value in values)


@pytest.mark.parametrize(
    ("written", "path", "told"),
    [
        ([], (), "an empty list"),
        (["user"], (0,), "neither a list of entries"),
        ([[]], (0,), "without entries"),
        ([[USER], {"entries": [USER, "x"]}], (1, "entries", 1), "'x' is not"),
        ([[{"key": "a"}]], (0, 0), "write from: METADATA KEY, or value: TEXT"),
        ([[{"key": "a", "from": "b", "value": "c"}]], (0, 0), "one of them"),
        ([[{"from": "b"}]], (0, 0), "key is missing"),
        ([[{"key": "a", "form": "b"}]], (0, 0, "form"), "unknown key 'form'"),
        ([[{"key": "a", "from": 5}]], (0, 0, "from"), "5 is not the name"),
        ([[{"key": "a", "value": [1]}]], (0, 0, "value"), "[1] is not a text"),
        ([[{"key": "a", "value": "b", "skip_if_absent": True}]], (0, 0, "skip_if_absent"), "with from"),
        ([{"property": "a"}], (0,), "write {entries"),
        ([{"entries": [USER], "limit": {"requests_per_unit": 1, "unit": "week"}}], (0, "limit", "unit"), "'week'"),
        (
            [{"entries": [USER], "limit": {"requests_per_unit": -1, "unit": "day"}}],
            (0, "limit", "requests_per_unit"),
            "-1",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(written: list[Any], path: tuple[object, ...], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        descriptors(written)
    assert (caught.value.option, caught.value.path) == ("descriptors", path)
    assert told in str(caught.value)
