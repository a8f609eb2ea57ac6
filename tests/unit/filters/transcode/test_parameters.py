"""Variables of the path and of the query, as JSON of a message."""

from __future__ import annotations

import pytest
from transcoding import shop

from metaproxy.filters.transcode.descriptors import Api
from metaproxy.filters.transcode.parameters import MOST, as_json, pairs_of

API = Api(shop(), ["shop.Shop"])
QUERY = next(method.request.DESCRIPTOR for method in API.methods if method.name == "Find")


def read(query: str, lenient: bool = False, **path: str) -> dict[str, object]:
    return as_json(API, QUERY, path.items(), pairs_of(query), lenient)


def test_names_lead_into_messages_and_repeated_fields_are_lists() -> None:
    assert read("item.name=x&words=a&words=b&item.maker.full_name=Ann&page=3&item.tags=t", parent="shops/1") == {
        "parent": "shops/1", "item": {"name": "x", "maker": {"full_name": "Ann"}, "tags": ["t"]}, "words": ["a", "b"],
        "page": "3",
    }  # fmt: skip


def test_names_of_json_are_those_of_the_file() -> None:
    assert read("item.maker.fullName=Ann&item.madeAt=2026-01-01T00:00:00Z") == {
        "item": {"maker": {"full_name": "Ann"}, "made_at": "2026-01-01T00:00:00Z"}
    }


def test_escapes_and_plus_signs_are_decoded() -> None:
    assert pairs_of("a=b%20c%2B+%C3%BC&&d") == [("a", "b c+ \u00fc"), ("d", "")]


@pytest.mark.parametrize("text, value", [("true", True), ("false", False), ("1", True), ("0", False)])
def test_booleans_are_words(text: str, value: bool) -> None:
    assert read(f"item.sold={text}&item.fresh={text}") == {"item": {"sold": value, "fresh": value}}


@pytest.mark.parametrize(
    "query, text",
    [
        ("colour=red", "no field 'colour'"),
        ("item.colour=red", "shop.Item has no field 'colour'"),
        ("parent.x=1", "parent has no fields"),
        ("words.x=1", "words has no fields"),
        ("item=1", "item is a message"),
        ("item.sold=maybe", "write true or false"),
        ("parent=a&parent=b", "given twice"),
        ("parent=%ff", "UTF-8"),
        ("&".join(f"words={number}" for number in range(MOST + 1)), "more than"),
    ],
)
def test_what_the_message_cannot_hold_is_refused(query: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(query)


def test_unknown_names_may_be_left_out() -> None:
    assert read("colour=red&page=1&item.colour=1", lenient=True)["page"] == "1"
    with pytest.raises(ValueError, match="colour"):
        as_json(API, QUERY, [("colour", "x")], [], True)
