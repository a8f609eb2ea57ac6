"""The MongoDB codec where logins pass: commands, metadata, answers, exhaust, large messages, our errors."""

import struct
from collections.abc import Mapping

import pytest
from mongodb_words import (
    EXHAUST,
    MORE,
    answer,
    command,
    document,
    framed,
    op_msg,
    op_query,
    op_reply,
    section,
    sequence,
)  # fmt: skip

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson, wire
from metaproxy.message import Chunk, ErrorKind, FinalFrame, FrameError, Hold, Kind, Message, Side
from metaproxy.testing import check_codec, check_relay

MAX = 1 << 22
LARGE = 1 << 16
FIND = command(7, {"find": "orders", "filter": {}})


def sessions(**options: object) -> tuple[Session, Session]:
    """A client's and a server's."""
    codec = MongoDB(stream_over=LARGE, **options)  # type: ignore[arg-type]
    return codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)


def read(data: bytes) -> Message:
    client, _ = sessions()
    (message,) = client.receive(data)
    assert (client.error, client.buffered) == (None, 0)
    return message


def heard(data: bytes, **options: object) -> list[Message]:
    _, server = sessions(**options)
    messages = server.receive(data)
    assert (server.error, server.buffered) == (None, 0)
    return messages


def refusal(codec: MongoDB, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
    """What a client is answered in the place of its server."""
    reply = codec.reply(request, kind, text, name)
    assert isinstance(reply, bytes)
    return reply


def metadata(fields: Mapping[str, bson.Value], *sequences: bytes) -> Mapping[str, str]:
    return read(command(7, fields, *sequences)).known()


def test_the_contract_of_a_codec_is_kept() -> None:
    check_codec(
        MongoDB(),
        [
            FIND,
            command(8, {"insert": "orders"}, sequence("documents", {"a": 1})),
            command(9, {"insert": "orders"}, sequence("documents", {"a": 1}), flags=MORE),
            command(10, {"getMore": 1 << 40, "collection": "orders"}, flags=EXHAUST),
            op_query(11, {"isMaster": 1}),
        ],
        [answer(1), answer(2, {"ok": 0.0, "code": 59}), op_reply(3, {"ok": 1.0}), answer(4, flags=MORE)],
    )


# -- metadata


def test_a_command_says_what_it_is() -> None:
    session: dict[str, bson.Value] = {"id": b"\x01" * 16}
    found = metadata({"find": "orders", "comment": "why", "lsid": session, "$readPreference": {"mode": "nearest"}})
    assert {key: value for key, value in found.items() if key not in ("fingerprint", "normalized")} == {
        "kind": "request", "command": "find", "database": "shop", "collection": "orders", "comment": "why",
        "read_preference": "nearest", "session": "01" * 16, "operation": "find shop.orders",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "name", "collection"),
    [
        ({"find": "a"}, "find", "a"),
        ({"findandmodify": "a"}, "findAndModify", "a"),
        ({"deleteIndexes": "a"}, "dropIndexes", "a"),
        ({"clusterInsert": "a"}, "insert", "a"),
        ({"clusterGetMore": 5, "collection": "a"}, "getMore", "a"),
        ({"getMore": 5, "collection": "a"}, "getMore", "a"),
        ({"explain": {"count": "a"}}, "explain", "a"),
        ({"explain": {"ping": "a"}}, "explain", None),
        ({"aggregate": 1}, "aggregate", None),
        ({"createUser": "anna"}, "createUser", None),
        ({"ping": 1}, "ping", None),
    ],
)
def test_the_collection_is_that_of_commands_that_have_one(
    fields: dict[str, bson.Value], name: str, collection: str | None
) -> None:
    found = metadata(fields)
    assert (found["command"], found.get("collection")) == (name, collection)


@pytest.mark.parametrize(
    "comment",
    [
        {"traceparent": "00-aa-bb-01", "tracestate": "a=b"},
        "why /*traceparent='00-aa-bb-01',tracestate='a%3Db'*/",
        "traceparent='00-aa-bb-01',tracestate='a%3Db'",
    ],
)
def test_a_comment_may_name_a_trace(comment: bson.Value) -> None:
    found = metadata({"find": "a", "comment": comment})
    assert (found["traceparent"], found["tracestate"]) == ("00-aa-bb-01", "a=b")


def test_a_read_preference_that_is_not_there_is_primary() -> None:
    assert metadata({"find": "a"})["read_preference"] == "primary"


@pytest.mark.parametrize(
    ("sets", "tags"),
    [
        ([{"dc": "east", "use": "reports"}, {"dc": "west"}], "dc:east,use:reports"),
        ([{"dc": "east"}, {}], "dc:east"),
        ([{}, {"dc": "east"}], None),
        ([], None),
        ("dc:east", None),
    ],
)
def test_of_tag_sets_the_first_is_told(sets: bson.Value, tags: str | None) -> None:
    found = metadata({"find": "a", "$readPreference": {"mode": "secondary", "tags": sets}})
    assert (found["read_preference"], found.get("read_preference_tags")) == ("secondary", tags)


@pytest.mark.parametrize("tags", [{"dc": 1}, {f"t{number}": "a" for number in range(17)}])
def test_tags_that_are_no_texts_or_too_many_are_not_clear(tags: bson.Value) -> None:
    message = read(command(7, {"find": "a", "$readPreference": {"mode": "secondary", "tags": [tags]}}))
    with pytest.raises(FrameError):
        message.read()


@pytest.mark.parametrize("outside", [False, True])
def test_a_transaction_is_known_by_its_autocommit(outside: bool) -> None:
    fields: dict[str, bson.Value] = {"insert": "a"} if outside else {"insert": "a", "autocommit": False}
    assert metadata(fields).get("transaction") == (None if outside else "true")


@pytest.mark.parametrize(
    "fields",
    [
        b"\x02find\0\2\0\0\0a\0\x02$db\0\2\0\0\0a\0\x02$db\0\2\0\0\0b\0",
        b"\x02find\0\2\0\0\0a\0\x02comment\0\2\0\0\0a\0\x02comment\0\2\0\0\0b\0",
        b"\x02find\0\2\0\0\0\xff\0",
        b"\x02find\0\2\0\0\0a\0\x03$readPreference\0\5\0\0\0\0",
        b"\x02\xff\0\2\0\0\0a\0",
        b"",
    ],
)
def test_what_a_server_may_read_otherwise_is_refused(fields: bytes) -> None:
    message = read(op_msg(7, b"\0" + struct.pack("<i", len(fields) + 5) + fields + b"\0"))
    with pytest.raises(FrameError):
        message.read()


# -- commands


def test_a_command_without_an_answer_is_one_way() -> None:
    assert read(command(7, {"insert": "a"}, sequence("documents", {"a": 1}), flags=MORE)).kind is Kind.ONEWAY


def test_an_id_is_changed_and_nothing_else() -> None:
    client, server = sessions()
    (message,) = client.receive(FIND)
    assert server.send(message, 1) == FIND[:4] + struct.pack("<i", 1) + FIND[8:]
    (answered,) = server.receive(answer(1))
    assert client.send(answered, 7) == answer(7)


def test_a_checksum_stays_right() -> None:
    def checked(frame: bytes) -> bytes:
        frame = struct.pack("<i", len(frame) + 4) + frame[4:16] + b"\1" + frame[17:]
        return frame + struct.pack("<I", wire.crc32c(frame))

    client, server = sessions()
    (message,) = client.receive(checked(FIND))
    assert message.get("collection") == "orders"
    assert server.send(message, 1) == checked(FIND[:4] + struct.pack("<i", 1) + FIND[8:])
    (answered,) = server.receive(checked(answer(1)))
    assert client.send(answered, 7) == checked(answer(7))


def test_a_checksum_in_the_place_of_a_section_is_refused() -> None:
    client, _ = sessions()
    assert client.receive(framed(7, 0, 2013, struct.pack("<I", wire.CHECKSUM | MORE) + b"\0")) == []
    assert "checksum" in str(client.error)


def test_a_large_messages_checksum_is_corrected_at_its_end() -> None:
    rest = command(7, {"insert": "a"}, sequence("documents", {"a": "x" * 2 * LARGE}), flags=1)
    frame = struct.pack("<i", len(rest) + 4) + rest[4:]
    frame += struct.pack("<I", wire.crc32c(frame))
    expected = frame[:4] + struct.pack("<i", 1) + frame[8:-4]
    expected += struct.pack("<I", wire.crc32c(expected))
    for cut in (1, 2, 3, 4, 5):
        client, server = sessions()
        messages = client.receive(frame[:-cut]) + client.receive(frame[-cut:])
        assert b"".join(server.send(message, 1) for message in messages) == expected


@pytest.mark.parametrize("fields", [{"find": "a"}, {"isMaster": 1}])
def test_only_a_hello_may_come_in_the_old_way(fields: dict[str, bson.Value]) -> None:
    message = read(op_query(7, fields))
    if "find" in fields:
        assert message.answer is not None
        assert document(message.answer)["codeName"] == "UnsupportedOpQueryCommand"
    else:
        assert (message.answer, message.get("command"), message.get("database")) == (None, "isMaster", "admin")


@pytest.mark.parametrize(
    "data",
    [
        framed(1, 0, 2012, bytes(40)),
        framed(1, 0, 2002, bytes(40)),
        framed(1, 0, 1, bytes(40)),
        struct.pack("<iiii", 20, 1, 0, 2013),
        struct.pack("<iiii", 48_000_001, 1, 0, 2013),
        struct.pack("<iiii", -1, 1, 0, 2013),
        b"GET / HTTP/1.1\r\n\r\n",
        op_query(1, {"isMaster": "x" * 2 * LARGE}),
        command(1, {"hello": "x" * 2 * LARGE}),
    ],
)
def test_what_is_no_message_of_a_client_ends_its_connection(data: bytes) -> None:
    client, _ = sessions()
    assert client.receive(data) == []
    assert client.error is not None


def test_a_hello_and_a_command_that_wait_at_the_server_have_no_time_limit() -> None:
    assert read(command(7, {"hello": 1, "maxAwaitTimeMS": 10000, "$db": "admin"})).hold is Hold.BLOCKING
    assert read(command(7, {"getMore": 5, "collection": "a", "maxTimeMS": 500})).hold is Hold.BLOCKING
    assert read(command(7, {"getMore": 5, "collection": "a"})).hold is Hold.NONE


# -- large messages


def insert(size: int, flags: int = 0) -> bytes:
    return command(7, {"insert": "orders"}, sequence("documents", {"a": "x" * size}), flags=flags)


def test_a_large_command_passes_as_it_comes_and_is_routed_by_its_head() -> None:
    client, server = sessions()
    data = insert(3 * LARGE)
    head, *chunks = client.receive(data)
    assert (head.kind, head.get("operation")) == (Kind.STREAM_OPEN, "insert shop.orders")
    assert {type(chunk) for chunk in chunks} == {Chunk}
    assert chunks[-1].kind is Kind.STREAM_CLOSE
    assert max(len(chunk.frame) for chunk in chunks) <= 65536
    sent = b"".join(server.send(message, 1) for message in (head, *chunks))
    assert sent == data[:4] + struct.pack("<i", 1) + data[8:]


def test_a_large_write_without_an_answer_gets_none() -> None:
    client, _ = sessions()
    head, *_ = client.receive(insert(3 * LARGE, MORE))
    assert head.oneway
    assert refusal(MongoDB(), head, ErrorKind.DENIED, "no") == b""


def test_a_large_commands_document_must_fit() -> None:
    client, _ = sessions()
    client.receive(command(7, {"insert": "orders", "documents": ["x" * MAX]})[:4096])
    assert "max_frame" in str(client.error)


def test_a_large_answer_passes_as_it_comes() -> None:
    data = answer(7, {"cursor": {"firstBatch": ["x" * 3 * LARGE]}, "ok": 1.0})
    head, *chunks = heard(data)
    assert (head.kind, head.id) == (Kind.STREAM_OPEN, 7)
    assert chunks[-1].kind is Kind.STREAM_CLOSE
    assert head.frame + b"".join(chunk.frame for chunk in chunks) == data


@pytest.mark.parametrize("size", [10, 3 * LARGE])
def test_a_command_may_have_any_number_of_answers(size: int) -> None:
    """Each has the id of the one before it, as servers do it."""
    fields: dict[str, bson.Value] = {"cursor": {"nextBatch": ["x" * size]}, "ok": 1.0}
    first = answer(1, fields, id=50, flags=MORE)
    more, last = answer(50, fields, id=51, flags=MORE), answer(51, fields, id=52)
    messages = heard(first + more + last + answer(2))
    opened = [message for message in messages if message.kind is Kind.STREAM_OPEN]
    closed = [message for message in messages if message.kind is Kind.STREAM_CLOSE]
    assert [one.id for one in (*opened, *closed)] == [1, 1]
    assert messages[-1].kind is Kind.RESPONSE
    assert b"".join(message.frame for message in messages[:-1]) == first + more + last
    check_relay(
        MongoDB(), [(Side.CLIENT, command(7, {"getMore": 5}, flags=EXHAUST)), (Side.SERVER, first + more + last)]
    )


def test_an_error_behind_answers_is_a_failure() -> None:
    *_, last = heard(answer(1, id=50, flags=MORE) + answer(50, {"ok": 0.0, "code": 43}))
    assert isinstance(last, Chunk)
    assert last.failed


# -- answers


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"ok": 1.0}, Kind.RESPONSE), ({"ok": 1}, Kind.RESPONSE), ({"ok": 0.0}, Kind.ERROR), ({"n": 1}, Kind.RESPONSE)],
)
def test_an_answer_is_an_error_when_it_is_not_ok(fields: dict[str, bson.Value], kind: Kind) -> None:
    (message,) = heard(answer(1, fields))
    assert message.kind is kind


def test_an_error_says_its_code() -> None:
    (message,) = heard(answer(1, {"ok": 0.0, "errmsg": "x", "code": 59, "codeName": "CommandNotFound"}))
    assert (message.get("code"), message.get("code_name")) == ("59", "CommandNotFound")


PRIMARY: dict[str, bson.Value] = {"isWritablePrimary": True, "ok": 1.0}
SECONDARY: dict[str, bson.Value] = {"isWritablePrimary": False, "secondary": True, "ok": 1.0}


def greeted(fields: dict[str, bson.Value], **options: object) -> Session:
    """A server's session behind a hello and its answer."""
    client, server = sessions(**options)
    (message,) = client.receive(command(7, {"hello": 1, "$db": "admin"}))
    server.send(message, 1)
    assert len(server.receive(answer(1, fields))) == 1
    assert server.error is None
    return server


def test_a_server_that_says_it_is_no_primary_is_asked_and_its_connection_ends_if_that_is_so() -> None:
    server = greeted(PRIMARY)
    (message,) = server.receive(answer(2, {"ok": 0.0, "code": 10107}))
    assert (message.id, server.error) == (2, None)
    assert document(server.owed()) == {"hello": 1, "$db": "admin"}
    assert server.receive(answer(0, SECONDARY)) == []
    assert server.error is not None


def test_a_server_that_only_refused_one_command_keeps_its_connection() -> None:
    server = greeted(PRIMARY)
    assert len(server.receive(answer(2, {"ok": 0.0, "code": 10107}))) == 1
    assert server.owed()
    assert server.receive(answer(0, PRIMARY)) == []
    assert len(server.receive(answer(3))) == 1
    assert server.error is None


def test_a_connection_ends_when_its_server_was_believed_to_be_a_primary() -> None:
    client, server = sessions()
    server.facts = {"endpoint.role": "primary"}
    server.open(None, {})
    (message,) = client.receive(command(7, {"hello": 1, "$db": "admin"}))
    server.send(message, 1)
    assert len(server.receive(answer(1, SECONDARY))) == 1
    assert server.error is not None


def test_a_connection_to_a_secondary_stays() -> None:
    server = greeted(SECONDARY)
    assert len(server.receive(answer(2, {"ok": 0.0, "code": 10107}) + answer(3))) == 2
    assert server.error is None


def test_a_driver_that_knows_all_members_keeps_its_connections() -> None:
    server = greeted(PRIMARY, hosts={"a:1": "b:1"})
    server.receive(answer(2, {"ok": 0.0, "code": 10107}))
    assert server.error is None


def test_a_connection_ends_when_its_server_says_so_in_a_hello_that_it_repeats() -> None:
    client, server = sessions()
    (message,) = client.receive(command(7, {"hello": 1, "maxAwaitTimeMS": 9, "$db": "admin"}, flags=EXHAUST))
    server.send(message, 1)
    assert len(server.receive(answer(1, PRIMARY, id=50, flags=MORE))) == 1
    assert server.error is None
    assert len(server.receive(answer(50, SECONDARY, id=51, flags=MORE))) == 1
    assert server.error is not None


# -- the proxy's own


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_has_a_code_and_its_name(kind: ErrorKind) -> None:
    reply = refusal(MongoDB(mode="shared"), read(FIND), kind, "a text")
    (message,) = heard(reply)
    assert (message.kind, message.id) == (Kind.ERROR, 7)
    found = document(reply)
    assert (found["ok"], found["errmsg"]) == (0.0, "a text")
    assert MongoDB().knows(str(found["codeName"]))


def test_a_client_whose_own_connection_is_gone_loses_its_own() -> None:
    reply = refusal(MongoDB(), read(FIND), ErrorKind.RESET, "gone")
    assert (type(reply), reply) == (FinalFrame, b"")


def test_an_error_may_be_named() -> None:
    found = document(refusal(MongoDB(), read(FIND), ErrorKind.DENIED, "", "WriteConflict"))
    assert (found["code"], found["codeName"]) == (112, "WriteConflict")


def test_a_hello_in_the_old_way_has_an_error_in_the_old_way() -> None:
    reply = refusal(MongoDB(), read(op_query(7, {"isMaster": 1})), ErrorKind.DENIED, "no")
    assert struct.unpack_from("<ii", reply, 8) == (7, 1)
    assert document(reply)["codeName"] == "Unauthorized"


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"insert": "a", "txnNumber": 1}, ["RetryableWriteError"]),
        ({"insert": "a", "txnNumber": 1, "autocommit": False}, ["TransientTransactionError"]),
        ({"commitTransaction": 1, "txnNumber": 1, "autocommit": False}, ["RetryableWriteError"]),
        ({"getMore": 5, "collection": "a"}, ["ResumableChangeStreamError"]),
        ({"insert": "a"}, None),
    ],
)
def test_drivers_know_what_they_may_try_again(fields: dict[str, bson.Value], labels: list[str] | None) -> None:
    reply = refusal(MongoDB(mode="shared"), read(command(7, fields)), ErrorKind.RESET, "gone")
    assert document(reply).get("errorLabels") == labels
    assert "errorLabels" not in document(refusal(MongoDB(), read(command(7, fields)), ErrorKind.DENIED, "no"))


@pytest.mark.parametrize("kind", [ErrorKind.LIMITED, ErrorKind.OVERLOAD])
def test_drivers_know_that_they_may_try_again_later(kind: ErrorKind) -> None:
    found = document(refusal(MongoDB(), read(FIND), kind, "too many"))
    assert found["errorLabels"] == ["SystemOverloadedError", "RetryableError"]


def test_a_cursor_whose_server_is_gone_is_not_found() -> None:
    reply = refusal(MongoDB(), read(command(7, {"getMore": 5, "collection": "a"})), ErrorKind.NO_ENDPOINT, "gone")
    assert document(reply)["codeName"] == "CursorNotFound"


def test_logins_are_confidential() -> None:
    codec = MongoDB()
    assert codec.confidential(read(command(7, {"saslStart": 1, "payload": b"n,,n=a,r=b"})))
    assert codec.confidential(read(command(7, {"createUser": "a", "pwd": "b"})))
    assert codec.confidential(read(command(7, {"hello": 1, "speculativeAuthenticate": {"saslStart": 1}})))
    assert codec.confidential(read(command(7, {"usersInfo": "a", "showCredentials": True})))
    assert not codec.confidential(read(command(7, {"usersInfo": "a"})))
    assert not codec.confidential(read(FIND))


@pytest.mark.parametrize(("fields", "alive"), [({"ok": 1.0}, True), ({"ok": 0.0}, False)])
def test_a_server_is_healthy_when_it_answers_hello(fields: dict[str, bson.Value], alive: bool) -> None:
    (message,) = heard(answer(1, fields))
    assert MongoDB().alive(message) is alive


def hello(primary: bool, term: int, now: int, written: int) -> Message:
    """A member's answer; times in milliseconds."""

    def date(name: bytes, value: int) -> bytes:
        return b"\x09" + name + b"\0" + struct.pack("<q", value)

    place = b"\x11ts\0" + struct.pack("<II", 1, 5)
    fields = [
        bson.field("setName", "rs0"),
        bson.field("isWritablePrimary", primary),
        bson.field("secondary", not primary),
        date(b"localTime", now),
        b"\x03lastWrite\0" + bson.join([b"\x03opTime\0" + bson.join([place]), date(b"lastWriteDate", written)]),
        *([b"\x07electionId\0\x7f\xff\xff\xff" + struct.pack(">q", term)] if primary else []),
        bson.field("ok", 1.0),
    ]
    document = bson.join(fields)
    (message,) = heard(framed(9, 1, 2013, struct.pack("<I", 0) + b"\0" + document))
    return message


def test_members_say_what_they_are() -> None:
    codec = MongoDB()
    assert codec.topologies == ("replica_set",)
    assert codec.inquiry("replica_set") == codec.probe()
    position = {"position": str(5 << 32 | 1)}
    assert codec.traits(hello(True, 7, 50_000, 48_000)) == {"role": "primary", "term": "7", **position}
    assert codec.traits(hello(False, 0, 50_000, 48_000)) == {"role": "replica", "lag": "0.000", **position}
    assert codec.traits(hello(False, 0, 50_000, 44_500)) == {"role": "replica", "lag": "3.500", **position}


def test_a_replicas_lag_is_not_known_before_a_primary_is() -> None:
    assert "lag" not in MongoDB().traits(hello(False, 0, 50_000, 48_000))


@pytest.mark.parametrize(
    ("fields", "role"),
    [({"ismaster": True, "ok": 1.0}, "primary"), ({"isWritablePrimary": False, "ok": 1.0}, "other")],
)
def test_what_is_no_member_has_a_role_too(fields: dict[str, bson.Value], role: str) -> None:
    (message,) = heard(answer(1, fields))
    assert MongoDB().traits(message) == {"role": role}


def test_a_server_that_refuses_hello_has_no_role() -> None:
    (message,) = heard(answer(1, {"ok": 0.0, "code": 13}))
    with pytest.raises(FrameError):
        MongoDB().traits(message)


@pytest.mark.parametrize(
    ("data", "found"),
    [(FIND, True), (op_query(1, {"isMaster": 1}), True), (b"GET / HTTP/1.1\r\n", False), (FIND[:10], None)],
)
def test_clients_are_known_by_their_first_bytes(data: bytes, found: bool | None) -> None:
    assert MongoDB().detect(data) is found


@pytest.mark.parametrize(
    "options",
    [
        {"advertise": "db.example"},
        {"hosts": {"a:1": "b"}},
        {"hosts": {"a": "b:1"}},
        {"mode": "pool"},
        {"present": "both"},
        {"users": {}},
        {"users": {"a": ""}},
        {"users": {"a": "\a"}},
        {"users": {"a": "b"}, "mode": "pinned"},
        {"users": {"a": "b"}, "hosts": {"a:1": "b:1"}},
        {"hosts": {"a:1": "b:1"}, "present": "mongos"},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"write|used"):
        MongoDB(**options)  # type: ignore[arg-type]


def test_a_conversation_passes() -> None:
    check_relay(
        MongoDB(),
        [
            (Side.CLIENT, op_query(3, {"isMaster": 1})),
            (Side.SERVER, op_reply(1, {"ismaster": True, "ok": 1.0})),
            (Side.CLIENT, FIND),
            (Side.SERVER, answer(2, {"cursor": {"firstBatch": ["x" * 3 * LARGE]}, "ok": 1.0})),
            (Side.CLIENT, insert(20 * LARGE)),
            (Side.SERVER, answer(3)),
            (Side.CLIENT, command(8, {"insert": "a"}, sequence("documents", {"a": 1}), flags=MORE)),
        ],
    )


def test_sections_may_come_in_any_order() -> None:
    found = read(op_msg(7, sequence("documents", {"a": 1}), section({"insert": "orders", "$db": "shop"}))).known()
    assert found["operation"] == "insert shop.orders"
