"""Which Redis commands bind a client to a connection of its own, and when nothing of it is left there."""

from __future__ import annotations

import pytest
from redis_words import MAX, answer, client, command, read, said, server

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis
from metaproxy.message import Hold, Kind, Message, Side

OWN = (2, 0, "own")
MULTI = command("MULTI")


def frames(messages: list[Message]) -> list[bytes]:
    return [message.frame for message in messages]


def sent(session: Session, upstream: Session, text: str) -> Message:
    """A command of the client's, sent on to its own connection."""
    message = read(session, text)
    assert message.answer is None
    upstream.send(message, 0)
    return message


def came(session: Session, upstream: Session, stream: bytes) -> list[Message]:
    """What the server says, passed on to the client."""
    messages = upstream.receive(stream)
    assert upstream.error is None
    for message in messages:
        assert session.send(message, 0) == message.frame
    return messages


def confirm(word: str, name: str | None, count: int, head: str = "*") -> bytes:
    what = "$-1\r\n" if name is None else f"${len(name)}\r\n{name}\r\n"
    return f"{head}3\r\n${len(word)}\r\n{word}\r\n{what}:{count}\r\n".encode()


def ends(message: Message) -> tuple[Kind, Hold]:
    return message.kind, message.hold


# Transactions


def test_a_transaction_goes_where_its_first_command_goes() -> None:
    session = client()
    assert answer(session, "MULTI") == b"+OK\r\n"
    first = read(session, "SET k v")
    assert (first.hold, first.frame, first.profile) == (Hold.OPEN, MULTI + said("SET k v"), None)
    assert (first.get("command"), first.get("key")) == ("SET", "k")
    assert ends(read(session, "INCR n")) == (Kind.REQUEST, Hold.NONE)
    assert read(session, "EXEC").hold is Hold.CLOSE
    assert read(session, "GET k").profile is None


def test_a_transactions_first_command_tells_all_its_keys() -> None:
    session = client()
    answer(session, "MULTI")
    assert read(session, "MSET a 1 b 2").get("keys") == "a b"


@pytest.mark.parametrize(("text", "expected"), [("EXEC", b"*0\r\n"), ("DISCARD", b"+OK\r\n")])
def test_an_empty_transaction_needs_no_server(text: str, expected: bytes) -> None:
    session = client()
    answer(session, "MULTI")
    assert answer(session, text) == expected
    assert read(session, "GET k").hold is Hold.NONE


def test_the_answer_to_the_multi_that_went_along_reaches_nobody() -> None:
    session, upstream = client(), server()
    answer(session, "MULTI")
    assert sent(session, upstream, "INCR n").hold is Hold.OPEN
    assert not upstream.reusable
    assert frames(came(session, upstream, b"+OK\r\n+QUEUED\r\n")) == [b"+QUEUED\r\n"]
    sent(session, upstream, "EXEC")
    assert frames(came(session, upstream, b"*1\r\n:1\r\n")) == [b"*1\r\n:1\r\n"]
    assert upstream.reusable


def test_a_multi_that_the_server_refuses_is_told_in_place_of_what_it_did_without() -> None:
    session, upstream = client(), server()
    answer(session, "MULTI")
    sent(session, upstream, "INCR n")
    (told,) = came(session, upstream, b"-NOPERM multi\r\n:1\r\n")
    assert told == Message(Kind.ERROR, b"-NOPERM multi\r\n")


def test_while_it_is_not_answered_the_connection_is_nobody_elses() -> None:
    session, upstream = client(), server()
    answer(session, "MULTI")
    sent(session, upstream, "INCR n")
    came(session, upstream, b"+OK\r\n+QUEUED\r\n")
    sent(session, upstream, "EXEC")
    assert not upstream.reusable


@pytest.mark.parametrize(
    ("error", "reusable"),
    [(b"-EXECABORT Transaction discarded because of previous errors.\r\n", True), (b"-NOPERM no\r\n", False)],
)
def test_after_an_error_to_exec_only_an_aborted_transaction_is_known_to_be_over(error: bytes, reusable: bool) -> None:
    session, upstream = client(), server()
    answer(session, "MULTI")
    sent(session, upstream, "INCR n")
    came(session, upstream, b"+OK\r\n+QUEUED\r\n")
    sent(session, upstream, "EXEC")
    came(session, upstream, error)
    assert upstream.reusable is reusable


@pytest.mark.parametrize("text", ["EXEC x", "DISCARD x", "UNWATCH x"])
def test_a_command_that_fails_for_its_arguments_ends_nothing(text: str) -> None:
    session, upstream = client(), server()
    sent(session, upstream, "WATCH k")
    sent(session, upstream, "MULTI")
    assert sent(session, upstream, text).hold is Hold.NONE
    came(session, upstream, b"+OK\r\n+OK\r\n-ERR wrong number of arguments\r\n")
    assert not upstream.reusable
    assert sent(session, upstream, "DISCARD").hold is Hold.CLOSE


def test_a_multi_with_arguments_begins_nothing() -> None:
    session = client()
    assert read(session, "MULTI x").answer is None
    assert read(session, "SET k v").hold is Hold.NONE


def test_a_multi_inside_multi_goes_to_the_server_that_has_the_transaction() -> None:
    session = client()
    answer(session, "MULTI")
    nested = read(session, "MULTI")
    assert (nested.frame, nested.hold) == (MULTI + MULTI, Hold.OPEN)
    assert read(session, "MULTI").profile == OWN


def test_exec_without_multi_ends_nothing() -> None:
    session = client()
    assert ends(read(session, "EXEC")) == (Kind.REQUEST, Hold.NONE)
    read(session, "WATCH k")
    assert read(session, "EXEC").hold is Hold.NONE
    assert read(session, "UNWATCH").hold is Hold.CLOSE


@pytest.mark.parametrize(
    "text",
    [
        "SHUTDOWN",
        "FLUSHALL",
        "SELECT 1",
        "AUTH x",
        "HELLO 3",
        "CLIENT ID",
        "CLIENT REPLY OFF",
        "SUBSCRIBE a",
        "MONITOR",
    ],
)
def test_what_can_not_be_queued_fails_the_transaction_at_its_server(text: str) -> None:
    session = client(deny=["FLUSHALL"])
    answer(session, "MULTI")
    read(session, "SET k v")
    refused = read(session, text)
    name = text.split()[0]
    assert (refused.answer, refused.kind, refused.hold) == (None, Kind.REQUEST, Hold.NONE)
    # One word, which no server knows as a command: it answers with it, and EXEC does nothing.
    assert refused.frame.startswith(b"*1\r\n$") and name.encode() in refused.frame
    assert refused.get("command") == name
    assert read(session, "EXEC").hold is Hold.CLOSE
    assert read(session, "GET k").profile is None


def test_what_can_not_be_queued_fails_a_transaction_that_it_begins() -> None:
    session = client()
    answer(session, "MULTI")
    refused = read(session, "SHUTDOWN")
    assert refused.hold is Hold.OPEN
    assert refused.frame.startswith(MULTI + b"*1\r\n$")
    assert refused.get("command") == "SHUTDOWN"


@pytest.mark.parametrize("text", ["PING", "CLIENT LIST", "PUBLISH c m", "UNWATCH", "WATCH k"])
def test_other_commands_are_queued_as_they_are(text: str) -> None:
    session = client()
    answer(session, "MULTI")
    read(session, "SET k v")
    message = read(session, text)
    assert (message.frame, message.hold, message.answer) == (said(text), Hold.NONE, None)


def test_watch_binds_until_exec() -> None:
    session = client()
    assert (watch := read(session, "WATCH k")).hold is Hold.OPEN
    assert watch.profile is None
    multi = read(session, "MULTI")
    assert (multi.answer, multi.hold) == (None, Hold.OPEN)
    assert read(session, "SET k 1").hold is Hold.NONE
    assert read(session, "EXEC").hold is Hold.CLOSE


def test_unwatch_frees_the_client() -> None:
    session, upstream = client(), server()
    sent(session, upstream, "WATCH k")
    came(session, upstream, b"+OK\r\n")
    assert not upstream.reusable
    assert sent(session, upstream, "UNWATCH").hold is Hold.CLOSE
    came(session, upstream, b"+OK\r\n")
    assert upstream.reusable
    assert ends(read(session, "UNWATCH")) == (Kind.REQUEST, Hold.NONE)


def test_a_bound_clients_commands_can_not_reach_a_shared_connection() -> None:
    session = client()
    read(session, "WATCH k")
    assert [read(session, text).profile for text in ("GET k", "SELECT 3", "MULTI", "SET k v", "EXEC")] == [
        OWN, OWN, (2, 3, "own"), (2, 3, "own"), (2, 3, "own"),
    ]  # fmt: skip
    assert read(session, "GET k").profile == (2, 3)


@pytest.mark.parametrize("text", ["GET k", "SELECT 3", "MULTI", "EXEC"])
def test_a_connection_for_clients_that_got_none_of_their_own_is_asked_only_for_an_error(text: str) -> None:
    upstream = Redis().session(Side.SERVER, MAX)
    assert upstream.open(OWN, {"password": "pw"}) == b""
    assert upstream.ready
    probe = upstream.send(Message(Kind.REQUEST, said(text), profile=OWN), 0)
    assert probe.startswith(b"*1\r\n$") and b"the connection that this command belongs to" in probe
    assert upstream.receive(b"-ERR unknown command\r\n") == [Message(Kind.ERROR, b"-ERR unknown command\r\n")]
    assert not upstream.reusable


def test_there_only_reset_is_what_it_is_and_an_unsubscribe_nothing() -> None:
    upstream = Redis().session(Side.SERVER, MAX)
    upstream.open(OWN, {})
    assert upstream.send(Message(Kind.REQUEST, said("RESET")), 0) == said("RESET")
    assert upstream.send(Message(Kind.ONEWAY, said("UNSUBSCRIBE")), 0) == b""


# Blocking commands


BLOCKING = ["BLPOP l 0", "blmove a b LEFT LEFT 0", "XREAD BLOCK 0 STREAMS s $", "WAIT 1 0", "WAITAOF 1 1 0"]


@pytest.mark.parametrize("text", BLOCKING)
def test_blocking_commands_have_a_connection_of_their_own_until_they_are_answered(text: str) -> None:
    session = client()
    assert ends(read(session, text)) == (Kind.REQUEST, Hold.BLOCKING)
    assert read(session, "GET a").profile is None


@pytest.mark.parametrize("text", BLOCKING)
def test_inside_multi_they_do_not_block(text: str) -> None:
    session = client()
    answer(session, "MULTI")
    assert read(session, text).hold is Hold.OPEN
    assert read(session, text).hold is Hold.NONE


def test_on_a_bound_connection_they_still_take_as_long_as_they_take() -> None:
    session, upstream = client(), server()
    sent(session, upstream, "WATCH k")
    assert sent(session, upstream, "BLPOP l 0").hold is Hold.BLOCKING


def test_a_connection_is_clean_after_a_blocking_command() -> None:
    upstream = server()
    upstream.send(read(client(), "BLPOP l 0"), 0)
    assert upstream.receive(b"*-1\r\n") == [Message(Kind.RESPONSE, b"*-1\r\n")]
    assert upstream.reusable


def test_xread_without_block_is_an_ordinary_command() -> None:
    assert read(client(), "XREAD STREAMS s 0").hold is Hold.NONE


# Subscriptions

both = pytest.mark.parametrize("head", ["*", ">"], ids=["resp2", "resp3"])


def subscribed(head: str, text: str = "SUBSCRIBE a") -> tuple[Session, Session]:
    """A client with a subscription, confirmed, and its connection."""
    session, upstream = client(), server((3, 0) if head == ">" else None)
    if head == ">":
        answer(session, "HELLO 3")
    message = sent(session, upstream, text)
    assert ends(message) == (Kind.ONEWAY, Hold.OPEN)
    word, *names = text.split()
    stream = b"".join(confirm(word.lower(), name, i, head) for i, name in enumerate(names, 1))
    assert [ends(each) for each in came(session, upstream, stream)] == [(Kind.EVENT, Hold.NONE)] * len(names)
    return session, upstream


@both
def test_what_a_subscription_brings_are_events(head: str) -> None:
    session, upstream = subscribed(head)
    message = f"{head}3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    of_pattern = f"{head}4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert [ends(each) for each in came(session, upstream, (message + of_pattern).encode())] == [
        (Kind.EVENT, Hold.NONE)
    ] * 2
    assert not upstream.reusable


@both
@pytest.mark.parametrize("kind", ["", "P", "S"])
def test_the_end_of_the_last_subscription_frees_the_connection(head: str, kind: str) -> None:
    session, upstream = subscribed(head, f"{kind}SUBSCRIBE a b")
    word = f"{kind}unsubscribe".lower()
    assert ends(sent(session, upstream, f"{kind}UNSUBSCRIBE")) == (Kind.ONEWAY, Hold.NONE)
    first, last = came(session, upstream, confirm(word, "a", 1, head) + confirm(word, "b", 0, head))
    assert (ends(first), ends(last)) == ((Kind.EVENT, Hold.NONE), (Kind.EVENT, Hold.CLOSE))
    assert upstream.reusable
    assert answer(session, "UNSUBSCRIBE")
    assert read(session, "GET a").profile == ((3, 0) if head == ">" else None)


@both
def test_channels_and_patterns_are_one_subscription_and_shards_another(head: str) -> None:
    session, upstream = subscribed(head)
    sent(session, upstream, "PSUBSCRIBE p")
    sent(session, upstream, "SSUBSCRIBE s")
    came(session, upstream, confirm("psubscribe", "p", 2, head) + confirm("ssubscribe", "s", 1, head))
    for text in ("UNSUBSCRIBE a", "PUNSUBSCRIBE", "SUNSUBSCRIBE s"):
        sent(session, upstream, text)
    stream = [
        confirm("unsubscribe", "a", 1, head),
        confirm("punsubscribe", "p", 0, head),
        confirm("sunsubscribe", "s", 0, head),
    ]
    assert [ends(each)[1] for each in came(session, upstream, b"".join(stream))] == [Hold.NONE, Hold.NONE, Hold.CLOSE]


@both
@pytest.mark.parametrize("error", ["MOVED 2572 10.0.0.7:6379", "ASK 2572 10.0.0.7:6379"])
def test_a_channel_of_another_node_is_refused_without_that_nodes_address(head: str, error: str) -> None:
    session, upstream = subscribed(head, "SSUBSCRIBE a")
    sent(session, upstream, "SSUBSCRIBE b")
    assert frames(came(session, upstream, f"-{error}\r\n".encode())) == [f"-{error}\r\n".encode()]
    session, upstream = client(), server((3, 0) if head == ">" else None)
    upstream.facts = {"endpoint.shard": "1"}
    sent(session, upstream, "SSUBSCRIBE b")
    (refused,) = came(session, upstream, f"-{error}\r\n".encode())
    assert refused.frame.startswith(b"-CROSSSLOT The channel is at another server")
    assert ends(refused) == (Kind.EVENT, Hold.CLOSE)


@both
def test_a_subscription_that_is_on_its_way_keeps_the_connection(head: str) -> None:
    session, upstream = subscribed(head)
    sent(session, upstream, "UNSUBSCRIBE a")
    sent(session, upstream, "SUBSCRIBE b")
    over, again = came(session, upstream, confirm("unsubscribe", "a", 0, head) + confirm("subscribe", "b", 1, head))
    assert (over.hold, again.hold) == (Hold.NONE, Hold.NONE)
    assert not upstream.reusable
    assert read(session, "UNSUBSCRIBE").kind is Kind.ONEWAY


@both
def test_confirmations_still_to_come_keep_the_connection_so_that_nobody_else_gets_them(head: str) -> None:
    session, upstream = subscribed(head)
    sent(session, upstream, "UNSUBSCRIBE a")
    sent(session, upstream, "UNSUBSCRIBE")
    (first,) = came(session, upstream, confirm("unsubscribe", "a", 0, head))
    assert (first.hold, upstream.reusable) == (Hold.NONE, False)
    (last,) = came(session, upstream, confirm("unsubscribe", None, 0, head))
    assert (last.hold, upstream.reusable) == (Hold.CLOSE, True)


@both
def test_with_a_request_still_to_be_answered_the_next_command_frees_the_connection(head: str) -> None:
    session, upstream = subscribed(head)
    sent(session, upstream, "UNSUBSCRIBE")
    assert sent(session, upstream, "GET a").kind is Kind.REQUEST
    (over,) = came(session, upstream, confirm("unsubscribe", "a", 0, head))
    assert (over.hold, upstream.reusable) == (Hold.NONE, False)
    came(session, upstream, b"$1\r\nv\r\n")
    assert upstream.reusable
    assert answer(session, "UNSUBSCRIBE")
    assert answer(session, "CLIENT GETNAME")
    assert read(session, "GET a").hold is Hold.CLOSE
    assert ends(read(session, "GET a")) == (Kind.REQUEST, Hold.NONE)


@both
def test_the_answer_to_an_earlier_request_may_let_others_go_so_no_event_frees_the_connection_behind_it(
    head: str,
) -> None:
    session, upstream = subscribed(head)
    sent(session, upstream, "PING")
    sent(session, upstream, "UNSUBSCRIBE")
    found = came(session, upstream, b"+PONG\r\n" + confirm("unsubscribe", "a", 0, head))
    assert [ends(each) for each in found] == [(Kind.RESPONSE, Hold.NONE), (Kind.EVENT, Hold.NONE)]
    assert read(session, "GET a").hold is Hold.CLOSE


def test_a_client_that_lingers_may_do_everything() -> None:
    session, upstream = subscribed("*")
    sent(session, upstream, "UNSUBSCRIBE")
    sent(session, upstream, "PING")
    came(session, upstream, confirm("unsubscribe", "a", 0) + b"+PONG\r\n")
    assert read(session, "MULTI").hold is Hold.OPEN
    assert read(session, "SET k v").hold is Hold.NONE
    assert read(session, "EXEC").hold is Hold.CLOSE


@pytest.mark.parametrize(("text", "reusable"), [("GET a", True), ("SELECT 3", False)])
def test_what_a_client_that_lingers_does_to_its_connection_is_seen(text: str, reusable: bool) -> None:
    session, upstream = subscribed("*")
    sent(session, upstream, "UNSUBSCRIBE")
    sent(session, upstream, "PING")
    came(session, upstream, confirm("unsubscribe", "a", 0) + b"+PONG\r\n")
    assert upstream.reusable
    assert sent(session, upstream, text).hold is Hold.CLOSE
    came(session, upstream, b"+OK\r\n")
    assert upstream.reusable is reusable


def test_a_connection_that_is_handed_on_serves_the_next_client_alike() -> None:
    session, upstream = client(), server()
    for _ in range(2):
        sent(session, upstream, "WATCH k")
        sent(session, upstream, "UNWATCH")
        assert not upstream.reusable
        came(session, upstream, b"+OK\r\n+OK\r\n")
        assert upstream.reusable
    upstream.send(read(client(), "BLPOP l 0"), 0)
    assert not upstream.reusable
    assert [each.kind for each in came(session, upstream, b"*-1\r\n")] == [Kind.RESPONSE]
    assert upstream.reusable


def test_a_client_that_lingers_may_subscribe_again() -> None:
    session, upstream = subscribed("*")
    sent(session, upstream, "UNSUBSCRIBE")
    sent(session, upstream, "PING")
    came(session, upstream, confirm("unsubscribe", "a", 0) + b"+PONG\r\n")
    sent(session, upstream, "SUBSCRIBE b")
    came(session, upstream, confirm("subscribe", "b", 1))
    assert read(session, "PING").hold is Hold.NONE
    assert not upstream.reusable


@both
def test_a_refused_subscription_is_an_event_that_frees_the_connection(head: str) -> None:
    session, upstream = client(), server((3, 0) if head == ">" else None)
    sent(session, upstream, "SUBSCRIBE a")
    (refused,) = came(session, upstream, b"-NOPERM this user has no permissions\r\n")
    assert ends(refused) == (Kind.EVENT, Hold.CLOSE)
    assert upstream.reusable
    assert answer(session, "UNSUBSCRIBE")


@both
def test_what_was_sent_before_a_subscription_is_answered_before_it(head: str) -> None:
    session, upstream = client(), server((3, 0) if head == ">" else None)
    for text in ("WATCH k", "GET k", "SUBSCRIBE a"):
        sent(session, upstream, text)
    found = came(session, upstream, b"+OK\r\n$1\r\nv\r\n" + confirm("subscribe", "a", 1, head))
    assert [each.kind for each in found] == [Kind.RESPONSE, Kind.RESPONSE, Kind.EVENT]


def test_requests_of_a_pinned_connection_before_its_first_subscription_are_counted() -> None:
    # With `connections: pinned` a client has its own connection from the first command on, and no hold tells.
    session, upstream = client(), server()
    sent(session, upstream, "LRANGE l 0 -1")
    sent(session, upstream, "SUBSCRIBE a")
    looks = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"
    found = came(session, upstream, looks + confirm("subscribe", "a", 1) + looks)
    assert [each.kind for each in found] == [Kind.RESPONSE, Kind.EVENT, Kind.EVENT]


def test_a_ping_of_a_subscriber_is_answered_although_it_looks_like_a_message() -> None:
    session, upstream = subscribed("*")
    assert sent(session, upstream, "PING").kind is Kind.REQUEST
    (pong,) = came(session, upstream, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert pong.kind is Kind.RESPONSE


@pytest.mark.parametrize("text", ["SELECT 1", "MULTI", "WATCH k", "HELLO 3", "CLIENT ID", "EXEC", "AUTH x"])
def test_a_subscriber_in_resp2_may_not_touch_the_connection(text: str) -> None:
    session, _ = subscribed("*")
    name = text.split()[0].lower().encode()
    assert answer(session, text).startswith(b"-ERR Can't execute '%b': only (P|S)SUBSCRIBE" % name)
    assert read(session, "UNSUBSCRIBE").kind is Kind.ONEWAY


def test_a_subscriber_in_resp3_may_do_everything() -> None:
    session, _ = subscribed(">")
    assert read(session, "SELECT 1").answer is None
    assert answer(session, "CLIENT ID")
    assert answer(session, "HELLO 2").startswith(b"-ERR HELLO can't change the protocol")
    assert read(session, "MULTI").hold is Hold.OPEN
    assert read(session, "EXEC").hold is Hold.NONE, "the subscription is still there"


def test_a_subscription_that_ends_inside_a_transaction_frees_nothing() -> None:
    session, upstream = subscribed(">")
    sent(session, upstream, "UNSUBSCRIBE")
    sent(session, upstream, "MULTI")
    over, started = came(session, upstream, confirm("unsubscribe", "a", 0, ">") + b"+OK\r\n")
    assert (over.hold, started.hold) == (Hold.NONE, Hold.NONE)
    assert sent(session, upstream, "EXEC").hold is Hold.CLOSE
    came(session, upstream, b"*0\r\n")
    assert upstream.reusable


def test_a_subscription_that_waits_behind_a_blocking_command_is_not_given_up() -> None:
    session, upstream = subscribed(">")
    sent(session, upstream, "UNSUBSCRIBE")
    sent(session, upstream, "BLPOP l 0")
    waiting = read(session, "SUBSCRIBE b")
    found = came(session, upstream, confirm("unsubscribe", "a", 0, ">") + b"*-1\r\n")
    assert [ends(each) for each in found] == [(Kind.EVENT, Hold.NONE), (Kind.RESPONSE, Hold.NONE)]
    upstream.send(waiting, 0)
    came(session, upstream, confirm("subscribe", "b", 1, ">"))
    assert read(session, "GET a").hold is Hold.NONE
    sent(session, upstream, "UNSUBSCRIBE")
    (last,) = came(session, upstream, confirm("unsubscribe", "b", 0, ">"))
    assert last.hold is Hold.CLOSE
    assert read(session, "GET a").profile == (3, 0)


def test_a_client_that_is_not_subscribed_stays_free_whatever_events_come() -> None:
    session = client()
    session.send(Message(Kind.EVENT, confirm("sunsubscribe", "a", 0), metadata={"subscriptions": "0"}), 0)
    assert read(session, "GET a").profile is None


def test_a_blocking_command_before_a_subscription_does_not_keep_it_alive() -> None:
    session, upstream = client(), server()
    for text in ("WATCH k", "BLPOP l 0"):
        sent(session, upstream, text)
    came(session, upstream, b"+OK\r\n*-1\r\n")
    for text in ("SUBSCRIBE a", "UNSUBSCRIBE"):
        sent(session, upstream, text)
    came(session, upstream, confirm("subscribe", "a", 1) + confirm("unsubscribe", "a", 0))
    assert read(session, "UNWATCH").hold is Hold.CLOSE


def test_a_blocking_command_of_a_subscriber_in_resp2_is_left_to_the_server_that_refuses_it() -> None:
    session, _ = subscribed("*")
    assert read(session, "BLPOP l 0").hold is Hold.NONE


# MONITOR, SELECT and RESET on a bound connection


def test_a_monitor_gets_its_answer_and_then_events() -> None:
    session, upstream = client(), server()
    assert ends(sent(session, upstream, "MONITOR")) == (Kind.REQUEST, Hold.OPEN)
    sent(session, upstream, "SET k v")
    line = b'+1700000000.123456 [0 127.0.0.1:5] "get" "a"\r\n'
    found = came(session, upstream, b"+OK\r\n" + line + b"+OK\r\n" + line)
    assert [each.kind for each in found] == [Kind.RESPONSE, Kind.EVENT, Kind.RESPONSE, Kind.EVENT]
    assert not upstream.reusable


def test_a_refused_monitor_leaves_nothing() -> None:
    session, upstream = client(), server()
    sent(session, upstream, "MONITOR")
    assert [each.kind for each in came(session, upstream, b"-NOPERM x\r\n")] == [Kind.ERROR]
    assert upstream.reusable


def test_a_connection_in_another_database_is_nobody_elses() -> None:
    session, upstream = client(), server()
    sent(session, upstream, "WATCH k")
    sent(session, upstream, "SELECT 3")
    sent(session, upstream, "UNWATCH")
    came(session, upstream, b"+OK\r\n" * 3)
    assert not upstream.reusable
    assert read(session, "GET k").profile == (2, 3)


def test_a_database_that_is_not_there_is_refused_here_too() -> None:
    session = client()
    read(session, "WATCH k")
    assert answer(session, "SELECT 99") == b"-ERR DB index is out of range\r\n"


@pytest.mark.parametrize("begin", ["WATCH k", "SUBSCRIBE a", "MONITOR"])
def test_reset_goes_to_the_clients_own_connection_and_that_is_closed(begin: str) -> None:
    session, upstream = client(), server()
    sent(session, upstream, begin)
    assert ends(sent(session, upstream, "RESET")) == (Kind.REQUEST, Hold.CLOSE)
    assert not upstream.reusable
    assert read(session, "GET a").profile is None


@pytest.mark.parametrize("after", [[], ["SUBSCRIBE b"]])
def test_what_comes_of_the_time_before_a_reset_changes_nothing_behind_it(after: list[str]) -> None:
    session, upstream = subscribed("*")
    for text in ("PING", "UNSUBSCRIBE", "RESET"):
        sent(session, upstream, text)
    for text in after:
        read(session, text)
    came(session, upstream, b"+PONG\r\n" + confirm("unsubscribe", "a", 0) + b"+RESET\r\n")
    message = read(session, "PING")
    assert (message.profile, message.hold) == (OWN if after else None, Hold.NONE)


def test_a_subscription_after_a_reset_ends_like_any_other() -> None:
    session, upstream = subscribed("*")
    sent(session, upstream, "RESET")
    came(session, upstream, b"+RESET\r\n")
    fresh = server()
    sent(session, fresh, "SUBSCRIBE b")
    sent(session, fresh, "UNSUBSCRIBE")
    came(session, fresh, confirm("subscribe", "b", 1) + confirm("unsubscribe", "b", 0))
    assert read(session, "PING").profile is None


def test_reset_forgets_a_transaction_that_no_server_knows_of() -> None:
    session = client()
    answer(session, "MULTI")
    assert answer(session, "RESET") == b"+RESET\r\n"
    assert read(session, "SET k v").frame == said("SET k v")


def test_a_subscriber_that_quits_is_answered_by_its_server_behind_the_confirmations() -> None:
    session, upstream = client(), server()
    for text in ("SUBSCRIBE a", "QUIT"):
        message = sent(session, upstream, text)
    assert (message.answer, message.kind, message.hold) == (None, Kind.REQUEST, Hold.NONE)
    assert session.closing
    confirmed, quit = came(session, upstream, confirm("subscribe", "a", 1) + b"+OK\r\n")
    assert (confirmed.kind, quit.kind, quit.frame) == (Kind.EVENT, Kind.RESPONSE, b"+OK\r\n")


@pytest.mark.parametrize("texts", [[], ["MULTI"], ["WATCH a", "UNWATCH"]])
def test_of_other_clients_the_proxy_says_goodbye(texts: list[str]) -> None:
    session = client()
    for text in [*texts, "QUIT"]:
        message = read(session, text)
    assert message.answer == b"+OK\r\n"
