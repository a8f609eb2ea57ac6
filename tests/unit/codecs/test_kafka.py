"""The Kafka codec: requests and what they name, answers, brokers' addresses, versions, large messages."""

from __future__ import annotations

import struct
from collections.abc import Hashable

import pytest
from kafka_words import (
    METADATA,
    ORDERS,
    PRODUCE,
    SASL_HANDSHAKE,
    answer,
    api_versions,
    array,
    batch,
    cluster,
    compact,
    coordinators,
    fetch,
    fetched,
    find_coordinator,
    int32,
    join_group,
    joined,
    metadata,
    offered,
    packed,
    produce,
    produce_by_id,
    produced,
    record,
    request,
    short,
    text,
    varint,
)  # fmt: skip
from zope.interface import implementer

from metaproxy.codecs.framing import Session
from metaproxy.codecs.kafka import Kafka
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.filters.rbac import Rbac
from metaproxy.interfaces import IDoors, ISession
from metaproxy.message import Chunk, ErrorKind, FinalFrame, FrameError, Hold, Kind, Message, Mutation, Side
from metaproxy.testing import FakeExchange, check_codec, check_relay
from metaproxy.units import Bytes

MAX = 1 << 22
LARGE = Bytes(1 << 16)
BROKERS = [(1, "10.0.0.1", 9092), (2, "10.0.0.2", 9092)]


@implementer(IDoors)
class Doors:
    """The proxy has a door for each of the nodes 0 to 9."""

    def address(self, node: str) -> tuple[str, int] | None:
        return ("proxy.example", 9100 + int(node)) if int(node) < 10 else None


def sessions(codec: Kafka | None = None) -> tuple[Session, Session]:
    """A client's and a server's."""
    codec = codec or Kafka(stream_over=LARGE)
    return codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)


def read(data: bytes) -> Message:
    client, _ = sessions()
    (message,) = client.receive(data)
    assert (client.error, client.buffered) == (None, 0)
    return message


def known(data: bytes, *keys: str) -> dict[str, str | None]:
    message = read(data)
    return {key: message.get(key) for key in keys}


def passed(asked: bytes, answered: bytes, doors: Doors | None = None) -> bytes:
    """What a client gets for what a broker answers, under the id of the proxy, 9."""
    client, server = sessions()
    if doors is not None:
        client.doors = doors
    (message,) = client.receive(asked)
    server.send(message, 9)
    return b"".join(client.send(one, message.id) for one in server.receive(answered))


def heard(asked: bytes, answered: bytes) -> Message:
    client, server = sessions()
    (message,) = client.receive(asked)
    server.send(message, 9)
    (found,) = server.receive(answered)
    return found


def prepare(session: ISession, side: Side) -> None:
    if side is Side.SERVER:
        client, _ = sessions()
        for one in (fetch(11), produce(12, {"orders": [b"r"]}), metadata(13), join_group(14)):
            (message,) = client.receive(one)
            session.send(message, message.id)


def test_the_contract_of_a_codec_is_kept() -> None:
    check_codec(
        Kafka(),
        [
            api_versions(7), metadata(8, ["orders"]), produce(9, {"orders": [b"r", b"s"]}), fetch(10), join_group(11),
            produce(12, {"orders": [b"r"]}, acks=0), find_coordinator(13, ["billing"]), api_versions(14, 99),
            request(SASL_HANDSHAKE, 0, 15, text("PLAIN")),
        ],
        [fetched(11, b"records"), produced(12, {"orders": [0]}), cluster(13, BROKERS), joined(14)],
        prepare=prepare,
        own=("api", "version", "operation"),  # an answer under another id is one to another request
    )  # fmt: skip


def test_a_conversation_passes_however_it_is_cut() -> None:
    check_relay(
        Kafka(stream_over=LARGE),
        [
            (Side.CLIENT, api_versions(0)), (Side.SERVER, offered(1, [(0, 0, 13), (1, 4, 18)])),
            (Side.CLIENT, metadata(1)), (Side.SERVER, cluster(2, BROKERS)),
            (Side.CLIENT, produce(2, {"orders": [b"r"]}) + produce(3, {"orders": [b"r"]}, acks=0) + fetch(4)),
            (Side.SERVER, produced(3, {"orders": [0]}) + fetched(5, b"records")),
        ],
    )  # fmt: skip


def test_large_batches_pass_in_pieces_both_ways() -> None:
    batch = bytes(200_000)
    check_relay(
        Kafka(stream_over=LARGE),
        [
            (Side.CLIENT, produce(7, {"orders": [batch]})), (Side.SERVER, produced(1, {"orders": [0]})),
            (Side.CLIENT, fetch(8)), (Side.SERVER, fetched(2, batch)),
        ],
        client_gets=produced(7, {"orders": [0]}) + fetched(8, batch),
    )  # fmt: skip


# -- metadata


def test_a_request_says_which_api_it_is_and_who_asks() -> None:
    found = known(fetch(7), "api", "version", "client_id", "operation", "kind")
    assert found == {"api": "Fetch", "version": "11", "client_id": "app", "operation": "Fetch", "kind": "request"}


def test_a_client_without_a_name_has_none() -> None:
    assert known(request(METADATA, 1, 7, array([]), client=None), "client_id") == {"client_id": None}


def test_what_a_client_says_of_its_library_holds_for_all_that_follows() -> None:
    client, _ = sessions()
    _, message = client.receive(api_versions(1) + fetch(2))
    assert message.get("software") == "apache-kafka-java/4.4.0"


@pytest.mark.parametrize(
    ("data", "key", "value"),
    [
        (produce(7, {"orders": [b"r"]}), "topics", "orders"),
        (fetch(7, [b"orders", b"bills"]), "topics", "orders,bills"),
        (metadata(7, ["orders"]), "topics", "orders"),
        (metadata(7, None), "topics", None),
        (join_group(7, "billing"), "groups", "billing"),
        (find_coordinator(7, ["billing", "mail"]), "groups", "billing,mail"),
        (request(10, 1, 7, text("t1") + b"\1"), "transactional_ids", "t1"),
        (request(10, 1, 7, text("t1") + b"\1"), "groups", None),
        (produce(7, {"orders": [b"r"]}, transaction=b"t1"), "transactional_ids", "t1"),
        (produce(7, {"orders": [b"r"]}, acks=0), "acks", "0"),
        (request(32, 1, 7, array([b"\2" + text("orders") + int32(-1)]) + b"\0"), "topics", "orders"),
        (request(32, 1, 7, array([b"\4" + text("1") + int32(-1)]) + b"\0"), "topics", None),
    ],
)
def test_a_request_names_what_its_schema_says(data: bytes, key: str, value: str | None) -> None:
    assert read(data).get(key) == value


def test_one_topic_in_a_text_with_a_comma_is_no_other_topic() -> None:
    message = read(fetch(7, [b"orders,bills", b"mail"]))
    assert message.values("topics") == ("orders,bills", "mail")


def test_a_topic_named_by_its_id_has_the_name_that_answers_have_told() -> None:
    client, server = sessions()
    (message,) = client.receive(metadata(7, ["orders"]))
    server.send(message, 9)
    (told,) = server.receive(cluster(9, BROKERS, [("orders", ORDERS)]))
    client.send(told, 7)
    (message,) = client.receive(produce_by_id(8, ORDERS))
    assert message.get("topics") == "orders"


def test_listeners_of_one_codec_know_topics_by_what_their_own_brokers_tell() -> None:
    codec = Kafka()
    memories: list[dict[Hashable, object]] = [{}, {}]
    named = []
    for memory, name in zip((memories[0], memories[1], memories[0]), ("orders", "public", None), strict=True):
        client, server = sessions(codec)
        client.memory = memory
        if name is not None:
            (message,) = client.receive(metadata(7, [name]))
            server.send(message, 9)
            (told,) = server.receive(cluster(9, BROKERS, [(name, ORDERS)]))
            client.send(told, 7)
        (message,) = client.receive(produce_by_id(8, ORDERS))
        named.append(message.get("topics"))
    assert named == ["orders", "public", "orders"]


def test_a_client_that_names_a_topic_by_an_unknown_id_is_told_to_ask_for_metadata() -> None:
    message = read(produce_by_id(8, b"never told of it"))
    with pytest.raises(FrameError):
        message.get("topics")
    said = Kafka().reply(message, ErrorKind.BAD_REQUEST, "")
    assert said[4:8] == int32(8) and short(100) in said


def test_an_answer_says_its_first_error_and_for_how_long_its_client_is_to_wait() -> None:
    found = heard(produce(7, {"orders": [b"r"] * 2}), produced(9, {"orders": [0, 6]}, throttle=250))
    assert (found.kind, found.get("error"), found.get("throttle_time_ms")) == (
        Kind.ERROR, "NOT_LEADER_OR_FOLLOWER", "250",
    )  # fmt: skip


# -- what requests are


def test_a_produce_that_wants_no_answer_is_one_way() -> None:
    assert read(produce(7, {"orders": [b"r"]}, acks=0)).kind is Kind.ONEWAY
    assert read(produce(7, {"orders": [b"r"]}, acks=1)).kind is Kind.REQUEST


def test_a_group_forms_without_a_time_limit_of_the_proxy() -> None:
    assert read(join_group(7)).hold is Hold.BLOCKING


def test_a_large_produce_without_answer_is_one_way_too() -> None:
    client, server = sessions()
    head, *chunks = client.receive(produce(7, {"orders": [bytes(200_000)]}, acks=0))
    assert (head.kind, head.oneway, head.get("topics"), head.get("acks")) == (Kind.STREAM_OPEN, True, "orders", "0")
    assert chunks[-1].kind is Kind.STREAM_CLOSE
    sent = b"".join(server.send(one, 3) for one in (head, *chunks))
    assert sent == produce(3, {"orders": [bytes(200_000)]}, acks=0)


def test_a_large_produce_names_its_topics_once_its_head_has_them_all() -> None:
    client, _ = sessions()
    head, *_ = client.receive(produce(7, {"orders": [bytes(30_000)], "bills": [bytes(200_000)]}))
    assert head.values("topics") == ("orders", "bills")


def test_topics_that_come_behind_the_head_may_be_any() -> None:
    client, _ = sessions()
    head, *_ = client.receive(produce(7, {"orders": [bytes(200_000)], "bills": [b"r"]}))
    assert head.get("topics") == "orders"
    assert head.values("topics") == ()


# -- brokers' addresses


def test_a_broker_is_where_its_door_is() -> None:
    said = passed(metadata(7), cluster(9, BROKERS, [("orders", ORDERS)]), Doors())
    expected = cluster(7, [(1, "proxy.example", 9101), (2, "proxy.example", 9102)], [("orders", ORDERS)])
    assert said == expected


def test_without_doors_addresses_pass_as_they_are() -> None:
    assert passed(metadata(7), cluster(9, BROKERS)) == cluster(7, BROKERS)


def test_a_broker_without_a_door_is_left_out() -> None:
    said = passed(metadata(7), cluster(9, [*BROKERS, (12, "10.0.0.12", 9092)]), Doors())
    assert said == cluster(7, [(1, "proxy.example", 9101), (2, "proxy.example", 9102)])


def test_a_coordinator_is_where_its_door_is_and_one_without_is_not_available() -> None:
    said = passed(
        find_coordinator(7, ["billing", "mail"]),
        coordinators(9, [("billing", 2, "10.0.0.2", 9092), ("mail", 12, "10.0.0.12", 9092)]),
        Doors(),
    )
    billing = compact("billing") + int32(2) + compact("proxy.example") + int32(9102) + short(0) + b"\0\0"
    mail = compact("mail") + int32(-1) + compact("") + int32(-1) + short(15) + b"\0\0"
    assert said == answer(7, int32(0) + packed([billing, mail]) + b"\0", tags=b"\0")


def test_a_coordinator_of_old_versions_is_rewritten_too() -> None:
    said = passed(
        request(10, 0, 7, text("billing")), answer(9, short(0) + int32(2) + text("10.0.0.2") + int32(9092)), Doors()
    )
    assert said == answer(7, short(0) + int32(2) + text("proxy.example") + int32(9102))


def test_new_leaders_in_the_tags_of_an_answer_are_rewritten() -> None:
    def tagged(host: str, port: int) -> bytes:
        leader = int32(2) + compact(host) + int32(port) + b"\0" + b"\0"
        return b"\1" + b"\0" + varint(len(packed([leader]))) + packed([leader])

    asked = produce(7, {"orders": [b"r"]})
    asked = asked[:6] + short(10) + asked[8:]
    said = passed(asked, produced(9, {"orders": [6]}, tagged("10.0.0.2", 9092)), Doors())
    assert said == produced(7, {"orders": [6]}, tagged("proxy.example", 9102))


# -- versions


def test_a_client_learns_of_no_version_that_the_proxy_does_not_know() -> None:
    said = passed(api_versions(7), offered(9, [(0, 0, 99), (1, 4, 17), (17, 0, 1), (99, 0, 1)]))
    assert said == offered(7, [(0, 0, 13), (1, 4, 17), (17, 1, 1)])


def test_a_broker_that_does_not_know_the_version_of_the_question_answers_in_the_first() -> None:
    old = answer(9, short(35) + array([short(18) + short(0) + short(2)]))
    assert passed(api_versions(7), old) == answer(7, short(35) + array([short(18) + short(0) + short(2)]))


def test_one_that_says_so_in_no_version_at_all_makes_its_client_ask_in_the_first() -> None:
    mocked = answer(9, short(35) + b"\1" + short(18) + short(0) + short(2) + int32(0))  # librdkafka's mock cluster
    assert passed(api_versions(7), mocked) == answer(7, short(35) + array([]))


def test_a_question_for_versions_that_is_too_new_is_answered_as_brokers_do() -> None:
    message = read(api_versions(7, 99))
    assert message.answer == answer(7, short(35) + array([short(18) + short(0) + short(5)]))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (request(999, 0, 7, b""), "API key 999 is not known"),
        (request(METADATA, 99, 7, b""), "Metadata in version 99; known are 0 to 13"),
        (request(METADATA, -1, 7, b""), "Metadata in version -1; known are 0 to 13"),
        (struct.pack(">i", 5) + b"12345", "a message of 9 bytes; the least are 14"),
        (request(PRODUCE, 9, 7, b"\xff\xff\xff\xff\xff", tags=b"\0"), "a varint without end"),
    ],
)
def test_what_is_not_known_ends_the_connection(data: bytes, text: str) -> None:
    client, _ = sessions()
    assert client.receive(data) == []
    assert str(client.error) == text


def test_a_request_of_old_passes_and_may_name_anything() -> None:
    message = read(request(PRODUCE, 2, 7, b"whatever"))
    assert message.answer is None
    assert message.get("api") == "Produce"


# -- errors


def test_a_request_that_may_not_be_sent_again_ends_with_its_connection() -> None:
    said = Kafka().reply(read(fetch(7)), ErrorKind.RESET, "")
    assert isinstance(said, FinalFrame) and said == b""


def test_an_error_stands_where_the_answer_has_its_place_for_it() -> None:
    said = Kafka().reply(read(produce(7, {"orders": [b"r", b"s"], "bills": [b"t"]})), ErrorKind.DENIED, "no")

    def partition(index: int) -> bytes:
        return int32(index) + short(29) + int64s(0, -1, -1) + packed([]) + compact("no") + b"\0"

    topics = [
        compact("orders") + packed([partition(0), partition(1)]) + b"\0",
        compact("bills") + packed([partition(0)]) + b"\0",
    ]
    assert said == answer(7, packed(topics) + int32(0) + b"\0", tags=b"\0")


def int64s(*values: int) -> bytes:
    return struct.pack(f">{len(values)}q", *values)


def test_what_is_denied_depends_on_what_is_named() -> None:
    codec = Kafka()
    assert codec.reply(read(join_group(7)), ErrorKind.DENIED, "")[8:10] == short(30)
    assert codec.reply(read(request(22, 0, 7, text("t1") + int32(1))), ErrorKind.DENIED, "")[12:14] == short(53)
    assert codec.reply(read(api_versions(7)), ErrorKind.DENIED, "")[8:10] == short(31)


def test_a_filter_may_name_any_error_of_the_protocol() -> None:
    codec = Kafka()
    assert codec.knows("NOT_LEADER_OR_FOLLOWER") and not codec.knows("NO_SUCH_ERROR")
    said = codec.reply(read(join_group(7)), ErrorKind.INTERNAL, "", "REBALANCE_IN_PROGRESS")
    assert said[8:10] == short(27)


# -- which brokers there are


def test_a_broker_tells_which_brokers_there_are() -> None:
    codec = Kafka()
    (question,) = codec.layout_questions("brokers", "")
    server = codec.session(Side.SERVER, MAX)
    server.send(question, 1)
    brokers = [int32(n) + text(f"10.0.0.{n}") + int32(9092) + (text("r1") if n == 1 else short(-1)) for n in (1, 2)]
    (said,) = server.receive(answer(1, array(brokers) + int32(2) + array([])))
    assert codec.layout("brokers", [said], "10.0.0.1:9092").endpoints == {
        "10.0.0.1:9092": {"node": "1", "controller": "false", "rack": "r1"},
        "10.0.0.2:9092": {"node": "2", "controller": "true"},
    }


def test_a_chunk_is_no_message_of_its_own() -> None:
    client, _ = sessions()
    assert client.send(Chunk(Kind.STREAM_DATA, b"data", 7), 7) == b"data"


@pytest.mark.parametrize("step", [613, 70_000])
def test_new_leaders_behind_records_that_pass_in_pieces_are_left_to_metadata(step: int) -> None:
    def fetched_by_id(records: bytes, tags: bytes) -> bytes:
        partition = int32(0) + short(6) + int64s(9, 9, 0) + b"\0" + int32(-1) + compact(records) + b"\0"
        topic = ORDERS + packed([partition]) + b"\0"
        return answer(9, int32(0) + short(0) + int32(0) + packed([topic]) + tags, tags=b"\0")

    leader = int32(2) + compact("10.0.0.2") + int32(9092) + compact(None) + b"\0"
    tag = varint(len(packed([leader]))) + packed([leader])
    said = fetched_by_id(bytes(100_000), b"\1\0" + tag)
    client, server = sessions()
    client.doors = Doors()
    (message,) = client.receive(request(1, 16, 9, b"", tags=b"\0"))
    server.send(message, 9)
    found = [one for at in range(0, len(said), step) for one in server.receive(said[at : at + step])]
    assert b"".join(client.send(one, 9) for one in found) == fetched_by_id(bytes(100_000), b"\1\x7f" + tag)


def test_a_large_produce_that_is_refused_gets_its_error_where_its_head_names_all_of_it() -> None:
    client, _ = sessions()
    head, *_ = client.receive(produce(7, {"orders": [bytes(200_000)]}))
    small = read(produce(7, {"orders": [b"r"]}))
    assert Kafka().reply(head, ErrorKind.DENIED, "") == Kafka().reply(small, ErrorKind.DENIED, "")
    client, _ = sessions()
    head, *_ = client.receive(produce(7, {"orders": [bytes(200_000), b"r"]}))
    assert isinstance(Kafka().reply(head, ErrorKind.DENIED, ""), FinalFrame)


@pytest.mark.parametrize(("broker", "asked", "told"), [(0, "250", 250), (500, "250", 500), (100, "250", 250)])
def test_an_answer_can_be_given_a_time_for_which_its_client_is_to_wait(broker: int, asked: str, told: int) -> None:
    found = heard(produce(7, {"orders": [b"r"]}), produced(9, {"orders": [0]}, throttle=broker))
    said = Kafka().mutate(found, Mutation({"throttle_time_ms": asked}))
    assert said == produced(9, {"orders": [0]}, throttle=told)


def test_so_can_the_head_of_a_large_answer() -> None:
    client, server = sessions()
    (message,) = client.receive(fetch(7))
    server.send(message, 9)
    head, *_ = server.receive(fetched(9, bytes(100_000)))
    assert Kafka().mutate(head, Mutation({"throttle_time_ms": "7"})) == fetched(9, bytes(100_000), throttle=7)[:1024]


# -- records

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_headers_of_the_first_record_can_be_asked_for() -> None:
    records = batch(record(b"v", {"tenant": b"blue", "traceparent": TRACE, "none": None}, key=b"k"))
    found = known(
        produce(7, {"orders": [records]}), "headers.tenant", "traceparent", "headers.none", "records", "compression"
    )
    assert found == {
        "headers.tenant": "blue", "traceparent": TRACE.decode(), "headers.none": None, "records": "1",
        "compression": "none",
    }  # fmt: skip


def test_a_packed_batch_is_not_unpacked_so_that_it_may_have_any_header() -> None:
    message = read(produce(7, {"orders": [batch(b"packed", b"packed", compression=4)]}))
    assert (message.get("compression"), message.get("records"), message.get("headers.tenant")) == ("zstd", "2", None)
    assert message.values("headers.tenant") == ()


@pytest.mark.parametrize(
    ("records", "values"),
    [
        ([batch(record(b"v", {"tenant": b"blue"}))], ("blue",)),
        ([batch(record(b"v", {"tenant": b"blue"}), record(b"w", {"tenant": b"red"}))], ()),
        ([batch(record(b"v", {"tenant": b"blue"}))] * 2, ()),
    ],
)
def test_only_the_header_of_a_single_record_is_what_all_have(records: list[bytes], values: tuple[str, ...]) -> None:
    assert read(produce(7, {"orders": records})).values("headers.tenant") == values


def test_a_rule_on_topics_does_not_look_into_records() -> None:
    message = read(produce(7, {"orders": [batch(record(b"v"))]}))
    assert message.values("topics") == ("orders",)
    assert "records" not in (message.metadata or {})


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_records_that_end_too_early_have_no_headers_to_be_read(cut: int) -> None:
    message = read(produce(7, {"orders": [batch(record(b"v" * 30, {"tenant": b"blue"}))[:cut]]}))
    assert message.get("headers.tenant") is None
    assert message.values("headers.tenant") == ()


# -- versions of old


def test_what_a_request_of_old_names_may_be_anything() -> None:
    message = read(request(PRODUCE, 2, 7, short(1) + b"whatever"))
    assert (message.get("topics"), message.values("topics"), message.values("api")) == (None, (), ("Produce",))


def test_a_produce_of_old_that_wants_no_answer_is_one_way() -> None:
    assert read(request(PRODUCE, 2, 7, short(0) + b"whatever")).kind is Kind.ONEWAY


# -- detection


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (api_versions(1), True),
        (api_versions(1, 0), True),
        (api_versions(1)[:6], None),
        (b"\0", None),
        (fetch(1), False),
        (b"\0\0\0\x29\0\3\0\0user\0ann\0database\0shop\0\0", False),  # PostgreSQL
        (b"GET / HTTP/1.1\r\n", False),
        (b"\0\0\0\x1a\x80\1\0\1\0\0\0\4echo", False),  # Thrift
    ],
)
def test_a_client_that_begins_with_a_question_for_versions_speaks_kafka(data: bytes, found: bool | None) -> None:
    assert Kafka().detect(data) is found


def test_a_produce_without_answer_that_is_refused_ends_its_connection_as_with_a_broker() -> None:
    said = Kafka().reply(read(produce(7, {"orders": [b"r"]}, acks=0)), ErrorKind.DENIED, "")
    assert isinstance(said, FinalFrame) and said == b""


# -- rules


@pytest.mark.parametrize(
    ("data", "passes"),
    [
        (fetch(7, [b"billing.a"]), True),
        (fetch(7, [b"billing.a", b"secret.a"]), False),
        (fetch(7, [b"secret.a"]), False),
        (find_coordinator(7, ["billing-a"]), True),
        (find_coordinator(7, ["billing-a", "mail"]), False),
        (metadata(7), True),
    ],
)
def test_a_rule_judges_each_topic_and_group_that_a_request_names(data: bytes, passes: bool) -> None:
    allowed = {"topics": {"prefix": "billing."}}, {"groups": {"prefix": "billing-"}}
    others = [{key: {**condition, "not": True} for key, condition in one.items()} for one in allowed]
    none = {"and": [{"topics": {"present": False}}, {"groups": {"present": False}}]}
    rules: list[dict[str, object]] = [
        {"others": {"action": "deny", "permissions": others}},
        {"own": {"permissions": [*allowed, none]}},
    ]
    for policies in rules:
        reply = Rbac(policies=policies).on_request(FakeExchange(message=read(data)))
        assert (reply is None) is passes, policies


def test_of_too_many_topics_the_one_that_was_learnt_first_is_forgotten() -> None:
    topics = TopicIds(most=2)
    for number in (1, 2, 1, 3):
        topics.learn(bytes([number]) * 16, b"t%d" % number)
    topics.learn(bytes(16), b"none")
    found = [topics.name(bytes([number]) * 16) for number in range(4)]
    assert found == [None, None, b"t2", b"t3"]
