"""
What of a request is refused by itself, as deep as it stands: groups, transactions, topics in them, partitions.

Lives here: requests with these, what is sent on of them, and what their answers say. Does not: topics of one array
(test_kafka_partly.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kafka_words import compact, find_coordinator, framed, int32, int64, packed, produce, request, short, varint

from metaproxy.codecs.kafka import Kafka, schema, wire
from metaproxy.codecs.kafka import metadata as md
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.values import Values, decode, encode
from metaproxy.message import ErrorKind, FinalFrame, Kind, Message, Several, Side
from metaproxy.units import Bytes

MAX = 1 << 22
NO_TOPIC, NO_GROUP, NO_TRANSACTION, NO_LEADER, NOT_TRIED, NO_SESSION = (
    schema.ERRORS[name]
    for name in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
                 "NOT_LEADER_OR_FOLLOWER", "OPERATION_NOT_ATTEMPTED", "FETCH_SESSION_ID_NOT_FOUND")
)  # fmt: skip


def forms(api: str, version: int) -> tuple[Form, Form]:
    asked, answered = (form(schema.KEYS[api], version) for form in (schema.request, schema.response))
    assert asked is not None and answered is not None
    return asked, answered


class Talk:
    """A client's connection and a broker's, and one request."""

    def __init__(self, api: str, version: int, body: Values, codec: Kafka | None = None) -> None:
        self.codec = codec or Kafka()
        self.client, self.server = self.codec.session(Side.CLIENT, MAX), self.codec.session(Side.SERVER, MAX)
        self.asked, self.answered = forms(api, version)
        tags = b"\0" if self.asked.flexible else b""
        (self.message,) = self.client.receive(request(self.asked.key, version, 7, encode(self.asked, body), tags=tags))

    def refused(self, key: str, *names: str, name: str = "") -> Message | bytes | None:
        return self.codec.without(self.message, {key: names}, ErrorKind.DENIED, "no", name)

    def rest(self, key: str, *names: str, name: str = "") -> Any:
        """The body of what is sent on."""
        rest = self.refused(key, *names, name=name)
        assert isinstance(rest, Message)
        self.server.send(rest, 9)
        assert wire.total(rest.frame) == len(rest.frame)
        return decode(rest.frame, wire.request_body(rest.frame, self.asked.flexible), self.asked)

    def said(self, body: Values) -> Any:
        """The body of what the client gets for what the broker answers."""
        tags = b"\0" if md.has_tags(self.answered) else b""
        (heard,) = self.server.receive(framed(int32(9) + tags + encode(self.answered, body)))
        return self.read(self.client.send(heard, 7))

    def read(self, frame: bytes) -> Any:
        assert wire.total(frame) == len(frame) and frame[4:8] == int32(7)
        return decode(frame, wire.answer_body(frame, md.has_tags(self.answered)), self.answered)


def fetched_offsets(version: int, groups: dict[str, dict[str, list[int]]]) -> Values:
    listed = [
        {"GroupId": group.encode(), "Topics": [
            {"Name": topic.encode(), "PartitionIndexes": numbers} for topic, numbers in topics.items()
        ]}
        for group, topics in groups.items()
    ]  # fmt: skip
    return {"Groups": listed}


def offsets(groups: dict[str, dict[str, list[int]]], error: int = 0) -> Values:
    listed = [
        {"GroupId": group.encode(), "ErrorCode": error, "Topics": [
            {"Name": topic.encode(), "Partitions": [
                {"PartitionIndex": number, "CommittedOffset": 5, "CommittedLeaderEpoch": -1, "Metadata": b"m"}
                for number in numbers
            ]}
            for topic, numbers in topics.items()
        ]}
        for group, topics in groups.items()
    ]  # fmt: skip
    return {"Groups": listed}


def shown(answer: Any) -> dict[str, Any]:
    """group -> its error, or topic -> partition -> its error."""
    return {
        group["GroupId"].decode(): group["ErrorCode"]
        or {
            topic["Name"].decode(): {one["PartitionIndex"]: one["ErrorCode"] for one in topic["Partitions"]}
            for topic in group["Topics"]
        }
        for group in answer["Groups"]
    }


@pytest.mark.parametrize("version", [8, 9])
def test_topics_of_groups_are_refused_in_the_groups_that_they_stand_in(version: int) -> None:
    both = {"billing": {"orders": [0, 1], "secret": [0]}, "audit": {"secret": [0, 1]}, "mail": {"orders": [2]}}
    talk = Talk("OffsetFetch", version, fetched_offsets(version, both))
    rest = talk.rest("topics", "secret")
    assert [group["GroupId"] for group in rest["Groups"]] == [b"billing", b"mail"], "nothing is left to ask of audit"
    assert [topic["Name"] for topic in rest["Groups"][0]["Topics"]] == [b"orders"]
    said = talk.said(offsets({"billing": {"orders": [0, 1]}, "mail": {"orders": [2]}}))
    assert shown(said) == {
        "audit": {"secret": {0: NO_TOPIC, 1: NO_TOPIC}},
        "billing": {"secret": {0: NO_TOPIC}, "orders": {0: 0, 1: 0}},
        "mail": {"orders": {2: 0}},
    }


def test_a_group_that_the_broker_refuses_has_its_error_besides() -> None:
    talk = Talk("OffsetFetch", 8, fetched_offsets(8, {"billing": {"orders": [0], "secret": [0]}}))
    talk.rest("topics", "secret")
    assert shown(talk.said(offsets({"billing": {}}, NO_GROUP))) == {"billing": NO_GROUP}


def test_groups_are_refused_one_by_one() -> None:
    both = {"billing": {"orders": [0]}, "secret": {"orders": [0]}}
    talk = Talk("OffsetFetch", 8, fetched_offsets(8, both))
    assert [group["GroupId"] for group in talk.rest("groups", "secret")["Groups"]] == [b"billing"]
    said = talk.said(offsets({"billing": {"orders": [0]}}))
    assert shown(said) == {"secret": NO_GROUP, "billing": {"orders": {0: 0}}}


@pytest.mark.parametrize(
    ("api", "asked", "answered", "name"),
    [
        ("DescribeGroups", "Groups", "Groups", "GroupId"), ("DeleteGroups", "GroupsNames", "Results", "GroupId"),
        ("ConsumerGroupDescribe", "GroupIds", "Groups", "GroupId"),
        ("ShareGroupDescribe", "GroupIds", "Groups", "GroupId"),
        ("DescribeTransactions", "TransactionalIds", "TransactionStates", "TransactionalId"),
    ],
)  # fmt: skip
def test_lists_of_groups_and_transactions_are_served_but_for_those_refused(
    api: str, asked: str, answered: str, name: str
) -> None:
    key, error = ("transactional_ids", NO_TRANSACTION) if "Trans" in api else ("groups", NO_GROUP)
    for version in range(schema.APIS[schema.KEYS[api]].first, schema.APIS[schema.KEYS[api]].last + 1):
        talk = Talk(api, version, {asked: [b"billing", b"secret", b"mail"]})
        assert talk.rest(key, "secret")[asked] == [b"billing", b"mail"]
        said = talk.said({answered: [{name: b"billing"}, {name: b"mail"}]})[answered]
        assert {one[name]: one["ErrorCode"] for one in said} == {b"secret": error, b"billing": 0, b"mail": 0}


@pytest.mark.parametrize(("kind", "key", "error"), [(0, "groups", NO_GROUP), (1, "transactional_ids", NO_TRANSACTION)])
def test_coordinators_are_found_for_the_others(kind: int, key: str, error: int) -> None:
    talk = Talk("FindCoordinator", 4, {"KeyType": kind, "CoordinatorKeys": [b"billing", b"secret"]})
    assert talk.rest(key, "secret")["CoordinatorKeys"] == [b"billing"]
    found = talk.said({"Coordinators": [{"Key": b"billing", "NodeId": 1, "Host": b"h", "Port": 9092}]})["Coordinators"]
    assert [(one["Key"], one["ErrorCode"]) for one in found] == [(b"secret", error), (b"billing", 0)]
    assert talk.refused("groups" if key != "groups" else "transactional_ids", "secret") is None


def test_of_configurations_each_resource_is_what_its_type_says() -> None:
    resources = [{"ResourceType": kind, "ResourceName": b"secret"} for kind in (2, 32, 4)]
    talk = Talk("DescribeConfigs", 4, {"Resources": resources})
    assert [one["ResourceType"] for one in talk.rest("topics", "secret")["Resources"]] == [32, 4]
    results = talk.said({"Results": resources[1:]})["Results"]
    assert [(one["ResourceType"], one["ErrorCode"]) for one in results] == [(2, NO_TOPIC), (32, 0), (4, 0)]


def transaction(topics: dict[str, list[int]], name: str = "V3AndBelowTopics") -> Values:
    listed = [{"Name": topic.encode(), "Partitions": numbers} for topic, numbers in topics.items()]
    return {"V3AndBelowTransactionalId": b"tx", name: listed}


def results(topics: Any) -> dict[str, dict[int, int]]:
    return {
        topic["Name"].decode(): {
            one["PartitionIndex"]: one["PartitionErrorCode"] for one in topic["ResultsByPartition"]
        }
        for topic in topics
    }


@pytest.mark.parametrize("version", [0, 2, 3])
def test_a_transaction_gets_all_of_its_partitions_or_none(version: int) -> None:
    talk = Talk("AddPartitionsToTxn", version, transaction({"orders": [0, 1], "secret": [0]}))
    said = talk.refused("topics", "secret")
    assert isinstance(said, bytes)
    found = talk.read(said)["ResultsByTopicV3AndBelow"]
    assert results(found) == {"secret": {0: NO_TOPIC}, "orders": {0: NOT_TRIED, 1: NOT_TRIED}}
    said = talk.refused("partitions", "orders-1", name="NOT_LEADER_OR_FOLLOWER")
    assert isinstance(said, bytes)
    found = talk.read(said)["ResultsByTopicV3AndBelow"]
    assert results(found) == {"orders": {0: NOT_TRIED, 1: NO_LEADER}, "secret": {0: NOT_TRIED}}


@pytest.mark.parametrize("version", [4, 5])
def test_of_several_transactions_the_others_go_on(version: int) -> None:
    listed = [
        {"TransactionalId": id, "Topics": transaction(topics, "Topics")["Topics"]}
        for id, topics in ((b"a", {"orders": [0], "secret": [0]}), (b"b", {"orders": [1]}), (b"c", {"secret": [1]}))
    ]
    talk = Talk("AddPartitionsToTxn", version, {"Transactions": listed})
    assert [one["TransactionalId"] for one in talk.rest("topics", "secret")["Transactions"]] == [b"b"]
    fine = [{"Name": b"orders", "ResultsByPartition": [{"PartitionIndex": 1, "PartitionErrorCode": 0}]}]
    said = talk.said({"ResultsByTransaction": [{"TransactionalId": b"b", "TopicResults": fine}]})
    assert {one["TransactionalId"]: results(one["TopicResults"]) for one in said["ResultsByTransaction"]} == {
        b"a": {"secret": {0: NO_TOPIC}, "orders": {0: NOT_TRIED}},
        b"b": {"orders": {1: 0}},
        b"c": {"secret": {1: NO_TOPIC}},
    }
    assert [one["TransactionalId"] for one in talk.rest("transactional_ids", "a")["Transactions"]] == [b"b", b"c"]


# -- partitions


PARTITIONED = {
    "Produce": ("TopicData", "PartitionData", "Index"), "Fetch": ("Topics", "Partitions", "Partition"),
    "ListOffsets": ("Topics", "Partitions", "PartitionIndex"),
    "OffsetCommit": ("Topics", "Partitions", "PartitionIndex"),
    "TxnOffsetCommit": ("Topics", "Partitions", "PartitionIndex"), "OffsetFetch": ("Topics", "PartitionIndexes", ""),
    "OffsetForLeaderEpoch": ("Topics", "Partitions", "Partition"),
    "DeleteRecords": ("Topics", "Partitions", "PartitionIndex"),
}  # fmt: skip
"""Requests of some APIs: how their arrays of topics and of partitions are called, and a partition's number."""
NUMBERS = {"orders": [0, 1, 2], "bills": [0], "mail": [7]}


def asked_for(api: str, names: Sequence[str] = ("Name", "Topic")) -> Values:
    topics, partitions, number = PARTITIONED[api]
    listed = [
        {
            **dict.fromkeys(names, topic.encode()),
            partitions: [{number: one, "Records": b"r%d" % one} if number else one for one in numbers],
        }
        for topic, numbers in NUMBERS.items()
    ]
    return {topics: listed, "Acks": -1, "SessionEpoch": -1}


def numbers_in(topics: Any, partitions: str, number: str) -> dict[str, list[int]]:
    return {
        (topic.get("Name") or topic.get("Topic")).decode(): [
            one[number] if number else one for one in topic[partitions]
        ]
        for topic in topics
    }


@pytest.mark.parametrize("api", PARTITIONED)
def test_partitions_have_the_error_by_themselves(api: str) -> None:
    topics, partitions, number = PARTITIONED[api]
    tried = 0
    for version in range(20):
        asked, answered = schema.request(schema.KEYS[api], version), schema.response(schema.KEYS[api], version)
        array = next((field for field in asked.fields if field.name == topics), None) if asked is not None else None
        if answered is None or array is None or not {"Name", "Topic"} & {field.name for field in array.fields}:
            continue  # there is no such version, or topics have ids alone, or are in groups
        talk = Talk(api, version, asked_for(api))
        assert talk.message.get("partitions") == Several("orders-0,orders-1,orders-2,bills-0,mail-7")
        assert talk.message.values("partitions") == ("orders-0", "orders-1", "orders-2", "bills-0", "mail-7")
        rest = talk.rest("partitions", "orders-1", "mail-7", name="NOT_LEADER_OR_FOLLOWER")
        assert numbers_in(rest[topics], partitions, number) == {"orders": [0, 2], "bills": [0]}
        outer = next(field for field in answered.fields if field.repeated and field.fields)
        inner = next(field for field in outer.fields if field.repeated and field.fields)
        index = next(field.name for field in inner.fields if field.name in ("Index", "Partition", "PartitionIndex"))
        fine = [
            {**dict.fromkeys(("Name", "Topic"), topic.encode()), inner.name: [{index: one} for one in numbers]}
            for topic, numbers in {"orders": [0, 2], "bills": [0]}.items()
        ]
        said = talk.said({outer.name: fine})[outer.name]
        assert {
            (topic.get("Name") or topic.get("Topic")).decode(): {
                one[index]: one["ErrorCode"] for one in topic[inner.name]
            }
            for topic in said
        } == {"mail": {7: NO_LEADER}, "orders": {1: NO_LEADER, 0: 0, 2: 0}, "bills": {0: 0}}
        tried += 1
    assert tried


def test_partitions_in_groups_have_the_error_in_their_groups() -> None:
    talk = Talk("OffsetFetch", 8, fetched_offsets(8, {"billing": {"orders": [0, 1]}, "mail": {"orders": [0]}}))
    rest = talk.rest("partitions", "orders-0", name="NOT_COORDINATOR")
    assert [(one["GroupId"], one["Topics"][0]["PartitionIndexes"]) for one in rest["Groups"]] == [(b"billing", [1])]
    code = schema.ERRORS["NOT_COORDINATOR"]
    said = shown(talk.said(offsets({"billing": {"orders": [1]}})))
    assert said == {"mail": {"orders": {0: code}}, "billing": {"orders": {0: code, 1: 0}}}


def test_the_bytes_of_a_produce_without_a_partition() -> None:
    """Version 9, and what its client gets."""
    codec = Kafka()
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(produce(7, {"orders": [b"first", b"second"], "bills": [b"third"]}))
    error = {"partitions": ["orders-1"]}
    rest = codec.without(message, error, ErrorKind.INTERNAL, "", "NOT_LEADER_OR_FOLLOWER")
    assert isinstance(rest, Message)
    assert server.send(rest, 9) == produce(9, {"orders": [b"first"], "bills": [b"third"]})

    def partition(number: int, error: int, offset: int, log_start: int) -> bytes:
        return int32(number) + short(error) + int64(offset) * 2 + int64(log_start) + packed([]) + compact(None) + b"\0"

    def answered(id: int, orders: list[bytes]) -> bytes:
        topics = [
            compact("orders") + packed(orders) + b"\0",
            compact("bills") + packed([partition(0, 0, 9, 0)]) + b"\0",
        ]
        return framed(int32(id) + b"\0" + packed(topics) + int32(0) + b"\0")

    (heard,) = server.receive(answered(9, [partition(0, 0, 5, 0)]))
    refused = int32(1) + short(6) + int64(0) + int64(-1) * 2 + packed([]) + compact(None) + b"\0"
    assert client.send(heard, 7) == answered(7, [refused, partition(0, 0, 5, 0)])


def test_more_partitions_than_anybody_remembers_are_not_named() -> None:
    talk = Talk("ListOffsets", 5, {
        "Topics": [{"Name": b"t", "Partitions": [{"PartitionIndex": one} for one in range(10_001)]}]
    })  # fmt: skip
    assert talk.message.get("partitions") is None and talk.message.values("partitions") == ()
    assert talk.message.get("topics") == "t"


def test_partitions_are_read_when_they_are_asked_for_alone() -> None:
    talk = Talk("ListOffsets", 5, asked_for("ListOffsets"))
    talk.message.read()
    assert "partitions" not in talk.message.known()
    assert talk.message.get("partitions") is not None


# -- what gets no answer


def test_of_a_produce_without_an_answer_the_rest_is_sent_and_nothing_is_said() -> None:
    codec = Kafka()
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(produce(7, {"orders": [b"r"], "secret": [b"s"]}, acks=0))
    rest = codec.without(message, {"topics": ["secret"]}, ErrorKind.DENIED, "no")
    assert isinstance(rest, Message) and rest.kind is Kind.ONEWAY
    assert server.send(rest, 9) == produce(9, {"orders": [b"r"]}, acks=0)
    assert codec.without(rest, {"topics": ["orders"]}, ErrorKind.DENIED, "no") is None
    assert isinstance(codec.reply(rest, ErrorKind.DENIED, "no"), FinalFrame), "as a broker closes the connection"


# -- fetch sessions


def fetch(epoch: int, session: int = 0, version: int = 11) -> Talk:
    body = asked_for("Fetch")
    return Talk("Fetch", version, {**body, "SessionId": session, "SessionEpoch": epoch, "MaxBytes": 1})


@pytest.mark.parametrize("epoch", [0, -1])
def test_a_fetch_of_which_something_is_refused_gets_no_session(epoch: int) -> None:
    """In one its client would not name again what the broker has never heard of."""
    assert fetch(epoch, 5).rest("topics", "bills")["SessionEpoch"] == -1


def test_one_that_goes_on_with_a_session_has_to_begin_again() -> None:
    talk = fetch(3, 5)
    said = talk.refused("topics", "bills")
    assert isinstance(said, bytes)
    answer = talk.read(said)
    assert (answer["ErrorCode"], answer["Responses"]) == (NO_SESSION, [])


def test_a_fetch_without_sessions_is_as_others() -> None:
    talk = Talk("Fetch", 4, asked_for("Fetch"))
    assert len(talk.rest("topics", "bills")["Topics"]) == 2


def test_share_sessions_remember_what_they_were_asked_for() -> None:
    """So that none of their partitions is refused by itself."""
    listed = [{"TopicId": b"t" * 16, "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 1}]}]
    talk = Talk("ShareFetch", 1, {"GroupId": b"g", "MemberId": b"m", "Topics": listed})
    assert talk.codec.without(talk.message, {"partitions": ["t-0"]}, ErrorKind.DENIED, "") is None


# -- answers in pieces


def test_an_answer_in_pieces_has_the_errors_of_its_groups_when_it_is_whole() -> None:
    codec = Kafka(stream_over=Bytes(2048))
    talk = Talk("OffsetFetch", 8, fetched_offsets(8, {"billing": {"orders": [0], "secret": [0]}}), codec)
    talk.rest("topics", "secret")
    many = offsets({"billing": {"orders": list(range(300))}})
    heard = talk.server.receive(framed(int32(9) + b"\0" + encode(talk.answered, many)))
    assert len(heard) > 1 and heard[0].kind is Kind.STREAM_OPEN
    said = shown(talk.read(b"".join(talk.client.send(one, 7) for one in heard)))
    assert list(said["billing"]) == ["secret", "orders"] and len(said["billing"]["orders"]) == 300


def test_a_fetch_in_pieces_has_refused_partitions_in_front() -> None:
    codec = Kafka(stream_over=Bytes(4096))
    talk = Talk("Fetch", 11, asked_for("Fetch"), codec)
    talk.rest("partitions", "orders-1", name="NOT_LEADER_OR_FOLLOWER")
    fine = [{"Topic": b"orders", "Partitions": [{"PartitionIndex": 0, "Records": bytes(9000)}]}]
    heard = talk.server.receive(framed(int32(9) + encode(talk.answered, {"Responses": fine})))
    assert heard[0].kind is Kind.STREAM_OPEN
    said = talk.read(b"".join(talk.client.send(one, 7) for one in heard))["Responses"]
    assert [(one["Topic"], one["Partitions"][0]["ErrorCode"]) for one in said] == [
        (b"orders", NO_LEADER),
        (b"orders", 0),
    ]


def test_the_bytes_of_coordinators_that_are_asked_for() -> None:
    codec = Kafka(prefix="blue.")
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(find_coordinator(7, ["billing", "secret"]))
    rest = codec.without(message, {"groups": ["blue.secret"]}, ErrorKind.DENIED, "no")
    assert isinstance(rest, Message)
    assert server.send(rest, 9) == find_coordinator(9, ["blue.billing"])
    fine = compact("blue.billing") + int32(1) + compact("h") + int32(9092) + short(0) + compact(None) + b"\0"
    (heard,) = server.receive(framed(int32(9) + b"\0" + int32(0) + packed([fine]) + b"\0"))
    refused = compact("secret") + int32(0) + compact("") + int32(0) + short(NO_GROUP) + compact("no") + b"\0"
    first = compact("billing") + int32(1) + compact("h") + int32(9092) + short(0) + compact(None) + b"\0"
    assert client.send(heard, 7) == framed(int32(7) + b"\0" + int32(0) + varint(3) + refused + first + b"\0")


# -- requests in pieces


def test_partitions_that_are_not_there_yet_are_not_left_out() -> None:
    """Of a large Produce a partition is refused at which its head ends, the first of its topic: more follow there."""
    codec = Kafka(stream_over=Bytes(700))
    data = produce(7, {"bills": [bytes(500)], "orders": [bytes(400), bytes(400)]}, acks=0)
    message = codec.session(Side.CLIENT, MAX).receive(data[:700])[0]
    assert (message.kind, message.get("partitions")) == (Kind.STREAM_OPEN, Several("bills-0,orders-0"))
    assert codec.without(message, {"partitions": ["orders-0"]}, ErrorKind.DENIED, "no") is None
