"""What answers of MongoDB's servers are compared by, for mirrors and recordings that are sent again."""

import pytest
from mongodb_words import answer, op_reply

from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.comparison import compare
from metaproxy.message import Kind, Message

MAX = 1 << 20
FOUND: dict[str, bson.Value] = {
    "cursor": {"firstBatch": [{"_id": 1}], "id": 0, "ns": "shop.orders"},
    "ok": 1.0,
    "operationTime": b"1",
    "$clusterTime": {"clusterTime": b"1"},
}


def differ(one: bytes, other: bytes, kind: Kind = Kind.RESPONSE) -> bool:
    return compare(MongoDB(), Message(kind, one, 7), Message(kind, other, 9), MAX) is not None


def test_ids_times_and_cursors_of_servers_make_no_difference() -> None:
    cursor: bson.Value = {"firstBatch": [{"_id": 1}], "id": 1 << 40, "ns": "shop.orders"}
    other: bson.Value = {"firstBatch": [{"_id": 1}], "id": 1 << 50, "ns": "shop.orders"}
    later: dict[str, bson.Value] = {"operationTime": b"2", "$clusterTime": {"clusterTime": b"2"}}
    assert not differ(answer(7, {**FOUND, "cursor": cursor}), answer(9, {**FOUND, **later, "cursor": other}, id=901))
    assert not differ(op_reply(7, {"ok": 1.0}), op_reply(9, {"ok": 1.0, "connectionId": 7}, id=901))


@pytest.mark.parametrize(
    "cursor",
    [
        {"firstBatch": [{"_id": 2}], "id": 0, "ns": "shop.orders"},
        {"firstBatch": [{"_id": 1}], "id": 1, "ns": "shop.orders"},
        {"firstBatch": [{"_id": 1}], "id": 0, "ns": "shop.others"},
    ],
)
def test_what_was_found_and_whether_there_is_more_does(cursor: bson.Value) -> None:
    assert differ(answer(7, FOUND), answer(9, {**FOUND, "cursor": cursor}))


def test_errors_differ_by_all_that_they_say() -> None:
    error: dict[str, bson.Value] = {"ok": 0.0, "code": 11000, "errmsg": "E11000"}
    assert not differ(answer(7, error), answer(9, {**error, "operationTime": b"2"}, id=901), Kind.ERROR)
    assert differ(answer(7, error), answer(9, {**error, "code": 112}), Kind.ERROR)


def test_an_answer_that_is_no_bson_is_compared_as_it_came() -> None:
    broken = answer(7)[:-1] + b"\1"
    assert differ(broken, answer(7))
    assert not differ(broken, broken)
