"""Commands of MongoDB that are about more databases and collections than the one that most commands name."""

from __future__ import annotations

import pytest
from mongodb_words import command

from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Message, Side

ANY = ((), ())


def read(fields: dict[str, bson.Value]) -> Message:
    (message,) = MongoDB().session(Side.CLIENT, 1 << 22).receive(command(7, fields))
    return message


def named(fields: dict[str, bson.Value]) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """All databases and all collections that rules take a command to be about. It is sent to `shop`."""
    message = read(fields)
    return message.values("database"), message.values("collection")


def aggregate(*stages: bson.Value) -> dict[str, bson.Value]:
    return {"aggregate": "a", "pipeline": [*stages], "cursor": {}}


@pytest.mark.parametrize(
    "fields",
    [{"find": "a"}, {"insert": "a"}, {"getMore": 5, "collection": "a"}, {"explain": {"count": "a"}}, aggregate()],
)
def test_most_commands_are_about_one_collection(fields: dict[str, bson.Value]) -> None:
    assert named(fields) == (("shop",), ("a",))


@pytest.mark.parametrize("name", ["ping", "listCollections", "createUser", "abortTransaction", "endSessions"])
def test_some_are_about_none(name: str) -> None:
    assert named({name: 1}) == (("shop",), (None,))


@pytest.mark.parametrize(
    ("stage", "collections"),
    [
        ({"$out": "b"}, ("a", "b")),
        ({"$out": {"db": "shop", "coll": "b"}}, ("a", "b")),
        ({"$merge": "b"}, ("a", "b")),
        ({"$merge": {"into": "b", "whenMatched": "replace"}}, ("a", "b")),
        ({"$merge": {"into": {"db": "shop", "coll": "b"}}}, ("a", "b")),
        ({"$lookup": {"from": "b", "as": "x"}}, ("a", "b")),
        ({"$lookup": {"from": "b", "pipeline": [{"$unionWith": "c"}], "as": "x"}}, ("a", "b", "c")),
        ({"$lookup": {"pipeline": [{"$documents": []}], "as": "x"}}, ("a",)),
        ({"$graphLookup": {"from": "b", "as": "x"}}, ("a", "b")),
        ({"$unionWith": "b"}, ("a", "b")),
        ({"$unionWith": {"coll": "b", "pipeline": [{"$lookup": {"from": "c"}}]}}, ("a", "b", "c")),
        ({"$unionWith": {"pipeline": [{"$documents": []}]}}, ("a",)),
        ({"$facet": {"x": [{"$unionWith": "b"}]}}, ("a", "b")),
        ({"$project": {"x": "$out"}}, ("a",)),
    ],
)
def test_stages_of_a_pipeline_name_others(stage: bson.Value, collections: tuple[str, ...]) -> None:
    assert named(aggregate(stage)) == (("shop",), collections)
    assert named({"explain": aggregate(stage)}) == (("shop",), collections)


@pytest.mark.parametrize(
    "stage",
    [
        {"$out": {"db": "other", "coll": "b"}},
        {"$merge": {"into": {"db": "other", "coll": "b"}}},
        {"$lookup": {"from": {"db": "other", "coll": "b"}, "as": "x"}},
        {"$unionWith": {"db": "other", "coll": "b"}},
    ],
)
def test_stages_name_other_databases(stage: bson.Value) -> None:
    assert named(aggregate(stage)) == (("shop", "other"), ("a", "b"))


@pytest.mark.parametrize(
    "stage",
    [
        {"$out": 5},
        {"$out": {"s3": "bucket"}},
        {"$merge": {"on": "x"}},
        {"$lookup": "b"},
        {"$lookup": {"from": 5}},
        {"$graphLookup": {"as": "x"}},
        {"$unionWith": {"db": "other"}},
        {"$unionWith": "b", "$match": {str(number): 1 for number in range(5000)}},
    ],
)
def test_a_stage_that_is_not_understood_may_be_about_any(stage: bson.Value) -> None:
    assert named(aggregate(stage)) == ANY


def test_more_collections_than_are_counted_may_be_any() -> None:
    assert named(aggregate(*({"$unionWith": str(number)} for number in range(65)))) == ANY


@pytest.mark.parametrize(
    ("fields", "collections"),
    [
        ({"create": "v"}, ("v",)),
        ({"create": "v", "viewOn": "b", "pipeline": []}, ("v", "b")),
        ({"create": "v", "viewOn": "b", "pipeline": [{"$lookup": {"from": "c", "as": "x"}}]}, ("v", "b", "c")),
        ({"collMod": "v", "viewOn": "b", "pipeline": [{"$unionWith": "c"}]}, ("v", "b", "c")),
    ],
)
def test_a_view_is_about_what_it_shows(fields: dict[str, bson.Value], collections: tuple[str, ...]) -> None:
    assert named(fields) == (("shop",), collections)


def test_a_time_series_has_its_documents_elsewhere() -> None:
    assert named({"find": "system.buckets.a"}) == (("shop",), ("system.buckets.a", "a"))


@pytest.mark.parametrize(
    ("fields", "databases", "collections"),
    [
        ({"moveChunk": "other.a.b"}, ("admin", "other"), ("a.b",)),
        ({"datasize": "other.a"}, ("admin", "other"), ("a",)),
        ({"renameCollection": "shop.a", "to": "other.b"}, ("admin", "shop", "other"), ("a", "b")),
    ],
)
def test_some_name_a_collection_with_its_database(
    fields: dict[str, bson.Value], databases: tuple[str, ...], collections: tuple[str, ...]
) -> None:
    assert named({**fields, "$db": "admin"}) == (databases, collections)


@pytest.mark.parametrize(
    "fields",
    [
        {"renameCollection": "a", "to": "other.b"},
        {"bulkWrite": 1},
        {"applyOps": []},
        {"mapReduce": "a", "out": "b"},
        {"eval": "db.a.find()"},
        {"aCommandOfALaterServer": "a"},
        {"explain": {"aCommandOfALaterServer": "a"}},
    ],
)
def test_what_is_not_known_may_be_about_any(fields: dict[str, bson.Value]) -> None:
    assert named(fields) == ANY
    assert read(fields).values("command") == (next(iter(fields)),)


@pytest.mark.parametrize(
    "fields",
    [{"find": b"a uuid"}, {"aggregate": 1}, {"getMore": 5, "collection": "$cmd.aggregate"}, {"dropDatabase": 1}],
)
def test_some_are_about_any_collection_of_their_database(fields: dict[str, bson.Value]) -> None:
    """By its UUID, by a change stream of all, by all of them."""
    assert named(fields) == (("shop",), ())


def test_what_is_about_all_of_admin_may_be_about_all_there_is() -> None:
    assert named({"aggregate": 1, "$db": "admin"}) == ANY
