"""The shape of commands: what differs only in values is the same, and no value is shown."""

from collections.abc import Mapping

import pytest
from mongodb_words import answer, command, sequence

from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.codecs.mongodb.shape import LONGEST
from metaproxy.message import Message, Side


def read(fields: Mapping[str, bson.Value], *sequences: bytes) -> Message:
    (message,) = MongoDB().session(Side.CLIENT, 1 << 22).receive(command(7, fields, *sequences))
    return message


@pytest.mark.parametrize(
    ("fields", "sequences", "text"),
    [
        ({"find": "a", "filter": {"x": 5, "y": {"$gt": "z"}}}, (), "find shop.a filter:{x:?,y:{$gt:?}}"),
        ({"find": "a", "filter": {"x": {"$in": [1, 2, 3]}}}, (), "find shop.a filter:{x:{$in:[?]}}"),
        (
            {"aggregate": "a", "pipeline": [{"$match": {"x": 1}}, {"$match": {"x": 2}}, {"$limit": 5}], "cursor": {}},
            (),
            "aggregate shop.a pipeline:[{$match:{x:?}},{$limit:?}]",
        ),
        ({"insert": "a"}, (sequence("documents", {"x": 1}),), "insert shop.a"),
        (
            {"update": "a"},
            (sequence("updates", {"q": {"_id": 1}, "u": {"$set": {"x": 2}}}, {"q": {}, "u": {}}),),
            "update shop.a updates:[{q:{_id:?},u:{$set:{x:?}}}]",
        ),
        ({"explain": {"find": "a", "filter": {"x": 1}}}, (), "explain shop.a explain:{find:?,filter:{x:?}}"),
        ({"getMore": 1 << 40, "collection": "a", "batchSize": 5}, (), "getMore shop.a collection:?"),
    ],
)
def test_a_shape_has_names_and_no_values(
    fields: dict[str, bson.Value], sequences: tuple[bytes, ...], text: str
) -> None:
    assert read({**fields, "lsid": {"id": b"x"}, "comment": "why"}, *sequences).get("normalized") == text


def test_commands_that_differ_in_values_have_one_fingerprint() -> None:
    one, other = read({"find": "a", "filter": {"x": 1}}), read({"find": "a", "filter": {"x": "two"}})
    assert one.get("fingerprint") == other.get("fingerprint")
    assert one.get("fingerprint") != read({"find": "a", "filter": {"y": 1}}).get("fingerprint")
    assert one.get("fingerprint") != read({"find": "b", "filter": {"x": 1}}).get("fingerprint")


def nested(depth: int) -> bson.Value:
    value: bson.Value = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "filter", [{"x" * 100 + str(number): 1 for number in range(1000)}, {"a": nested(50)}, {"a": [{"b": 1}, 2] * 5000}]
)
def test_a_shape_is_bounded_whatever_is_sent(filter: bson.Value) -> None:
    text = read({"find": "a", "filter": filter}).get("normalized")
    assert text is not None
    assert len(text) <= LONGEST + 3
    assert "..." in text


def rows(fields: Mapping[str, bson.Value]) -> str | None:
    (message,) = MongoDB().session(Side.SERVER, 1 << 22).receive(answer(1, fields))
    return message.get("rows")


def test_answers_say_how_many_documents_they_have() -> None:
    assert rows({"cursor": {"firstBatch": [{"a": 1}, {"a": 2}], "id": 0}, "ok": 1.0}) == "2"
    assert rows({"cursor": {"nextBatch": [], "id": 0}, "ok": 1.0}) == "0"
    assert rows({"n": 7, "ok": 1.0}) == "7"
    assert rows({"ok": 1.0}) is None


def test_who_asks_whether_values_are_clear_does_not_have_the_shape_made() -> None:
    message = read({"find": "a"})
    assert message.values("command") == ("find",)
    assert message.more is not None
    assert message.get("normalized") == "find shop.a"
    assert message.more is None
