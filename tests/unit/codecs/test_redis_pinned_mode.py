"""Redis with `mode: pinned`: which replies answer which command, what has none, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from redis_words import MAX, answer, command, read, said

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.redis.pinned_client import SPECIAL, Command
from metaproxy.message import ErrorKind, Hold, Kind, Message, Side
from metaproxy.testing import check_codec

REQUEST, ONEWAY, RESPONSE, ERROR, EVENT, SILENCE = (
    Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Kind.EVENT, Kind.SILENCE,
)  # fmt: skip
COMMANDS = [
    "GET a", "set a hi", "PING", "AUTH anna pw", "HELLO 3", "SELECT 5", "BLPOP l 0", "SUBSCRIBE c d", "CLIENT KILL x",
    "CLIENT TRACKING on", "MONITOR", "SHUTDOWN", "CLUSTER SLOTS", "SYNC", "WAIT 1 0",
]  # fmt: skip
REPLIES = [
    b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:5\r\n", b"-ERR x\r\n", b"%1\r\n+a\r\n:1\r\n",
    b"!5\r\nERR x\r\n", b">2\r\n+invalidate\r\n_\r\n", b"$30\r\nhello hello hello hello hello \r\n",
]  # fmt: skip


class Both:
    """A client's session and the server's: what the client says is sent on unless it is refused."""

    def __init__(self, **options: Any) -> None:
        self.codec = Redis(mode="pinned", **options)
        self.client = self.codec.session(Side.CLIENT, MAX)
        self.server = self.codec.session(Side.SERVER, MAX)
        assert self.server.open(None, {}) == b""

    def says(self, *texts: str) -> list[Message]:
        messages = self.client.receive(b"".join(map(said, texts)))
        assert self.client.error is None
        for message in messages:
            if message.answer is None:
                assert self.server.send(message, 0) == message.frame
        return messages

    def hears(self, data: bytes) -> list[tuple[Kind, bytes]]:
        found = [(message.kind, message.frame) for message in self.server.receive(data)]
        assert self.server.error is None
        return found

    def kinds(self, data: bytes) -> list[Kind]:
        return [kind for kind, _ in self.hears(data)]


def pushed(*words: str | int | None, resp: int = 2) -> bytes:
    null = b"$-1\r\n" if resp == 2 else b"_\r\n"
    items = [null if word is None else b":%d\r\n" % word if isinstance(word, int) else b"$%d\r\n%b\r\n" % (
        len(word), word.encode()) for word in words]  # fmt: skip
    return (b"*" if resp == 2 else b">") + b"%d\r\n" % len(items) + b"".join(items)


def resp3() -> Both:
    both = Both()
    both.says("HELLO 3")
    assert both.kinds(b"%1\r\n+proto\r\n:3\r\n") == [RESPONSE]
    return both


def test_it_keeps_the_contract() -> None:
    def prepare(session: Any, side: Side) -> None:
        if side is Side.SERVER:
            for _ in REPLIES:
                session.send(read(Redis(mode="pinned").session(Side.CLIENT, MAX), "PING"), 0)

    frames = [*map(said, COMMANDS), command("SET", "k", b"\r\n" * 3000)]
    check_codec(Redis(mode="pinned"), client=frames, server=REPLIES, prepare=prepare)


def test_each_client_has_a_connection_of_its_own() -> None:
    pinned, shared = Redis(mode="pinned"), Redis()
    assert (pinned.connections, pinned.stateful) == ("pinned", True)
    assert shared.connections == "multiplex"
    assert Redis(mode="shared").connections == "multiplex"
    assert not pinned.session(Side.SERVER, MAX).reusable


def test_an_unknown_mode_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(ValueError, match="'pined'; write shared or pinned"):
        Redis(mode="pined")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"auth": "x"}, {"users": []}, {"databases": 32}])
def test_what_only_the_server_decides_is_no_option(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leave out auth, users and databases"):
        Redis(mode="pinned", **options)


def test_user_and_database_are_no_metadata_as_only_the_server_knows_them() -> None:
    codec = Redis(mode="pinned")
    assert {"user", "database"}.isdisjoint(codec.keys)
    message = read(codec.session(Side.CLIENT, MAX), "MGET a b")
    assert message.get("user") is None
    assert message.known() == {
        "kind": "request", "command": "MGET", "operation": "MGET", "key": "a", "keys": "a b", "tag": "a",
    }  # fmt: skip


@pytest.mark.parametrize("text", COMMANDS)
def test_everything_passes_as_a_request(text: str) -> None:
    (message,) = Redis(mode="pinned").session(Side.CLIENT, MAX).receive(said(text))
    assert (message.kind, message.answer, message.frame) == (REQUEST, None, said(text))


@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_a_command_that_needs_a_look_gets_it_however_it_is_spelled(name: bytes) -> None:
    for spelled in (name, name.lower(), name.title()):
        (message,) = session_of(Side.CLIENT).receive(command(spelled, "x", "y"))
        assert type(message) is Command


@pytest.mark.parametrize("text", ["BLPOP l 0", "WAIT 1 0", "XREAD BLOCK 0 STREAMS s 0", "SYNC", "PSYNC ? -1"])
def test_what_may_take_as_long_as_it_likes_has_no_deadline(text: str) -> None:
    assert read(Redis(mode="pinned").session(Side.CLIENT, MAX), text).hold is Hold.BLOCKING


def test_a_command_is_never_executed_twice_or_cut_in_pieces() -> None:
    codec = Redis(mode="pinned")
    message = read(codec.session(Side.CLIENT, MAX), "MGET a b")
    assert not codec.safe(message)
    assert codec.split(message, lambda key: key) is None


# What answers what


def test_a_subscription_to_several_channels_has_one_answer_of_all_confirmations() -> None:
    both = Both()
    both.says("GET a", "SUBSCRIBE x y", "PING")
    first, second = pushed("subscribe", "x", 1), pushed("subscribe", "y", 2)
    pong = pushed("pong", "")
    assert both.hears(b"$1\r\n1\r\n" + first) == [(RESPONSE, b"$1\r\n1\r\n")]
    assert both.hears(second + pong) == [(RESPONSE, first + second), (RESPONSE, pong)]


@pytest.mark.parametrize("resp", [2, 3])
def test_what_a_subscription_brings_is_an_event_wherever_it_comes(resp: int) -> None:
    both = Both() if resp == 2 else resp3()
    both.says("SUBSCRIBE x", "PSUBSCRIBE p*", "SSUBSCRIBE s")
    confirmed = [
        pushed("subscribe", "x", 1, resp=resp), pushed("psubscribe", "p*", 2, resp=resp),
        pushed("ssubscribe", "s", 1, resp=resp),
    ]  # fmt: skip
    news = pushed("message", "x", "hi", resp=resp)
    assert both.hears(confirmed[0] + news + confirmed[1] + confirmed[2]) == [
        (RESPONSE, confirmed[0]), (EVENT, news), (RESPONSE, confirmed[1]), (RESPONSE, confirmed[2]),
    ]  # fmt: skip
    both.says("PING")
    pattern = pushed("pmessage", "p*", "pa", "hi", resp=resp)
    pong = pushed("pong", "") if resp == 2 else b"+PONG\r\n"
    assert both.hears(news + pattern + pong + pushed("smessage", "s", "hi", resp=resp)) == [
        (EVENT, news), (EVENT, pattern), (RESPONSE, pong), (EVENT, pushed("smessage", "s", "hi", resp=resp)),
    ]  # fmt: skip


@pytest.mark.parametrize("resp", [2, 3])
def test_unsubscribing_from_everything_has_as_many_confirmations_as_there_are_subscriptions(resp: int) -> None:
    both = Both() if resp == 2 else resp3()
    both.says("SUBSCRIBE x y y", "PSUBSCRIBE p*")
    confirmed = [("subscribe", "x", 1), ("subscribe", "y", 2), ("subscribe", "y", 2), ("psubscribe", "p*", 3)]
    assert both.kinds(b"".join(pushed(*each, resp=resp) for each in confirmed)) == [RESPONSE, RESPONSE]
    both.says("UNSUBSCRIBE", "PUNSUBSCRIBE", "UNSUBSCRIBE", "GET a")
    gone = [("unsubscribe", "y", 2), ("unsubscribe", "x", 1), ("punsubscribe", "p*", 0), ("unsubscribe", None, 0)]
    first, second, third, fourth = (pushed(*each, resp=resp) for each in gone)
    assert both.hears(first + second + third + fourth + b"$1\r\n1\r\n") == [
        (RESPONSE, first + second), (RESPONSE, third), (RESPONSE, fourth), (RESPONSE, b"$1\r\n1\r\n"),
    ]  # fmt: skip


def test_a_list_that_looks_like_a_message_is_an_answer_unless_the_client_is_subscribed_in_resp2() -> None:
    looks = pushed("message", "x", "hi")
    both = Both()
    both.says("LRANGE l 0 -1", "SUBSCRIBE x")
    assert both.hears(looks + pushed("subscribe", "x", 1)) == [
        (RESPONSE, looks), (RESPONSE, pushed("subscribe", "x", 1)),
    ]  # fmt: skip
    both = resp3()
    both.says("SUBSCRIBE x", "LRANGE l 0 -1")
    assert both.kinds(pushed("subscribe", "x", 1, resp=3) + looks) == [RESPONSE, RESPONSE]


def test_a_refused_subscription_has_one_answer() -> None:
    both = Both()
    both.says("SUBSCRIBE x y", "GET a")
    assert both.kinds(b"-NOPERM no\r\n$1\r\n1\r\n") == [ERROR, RESPONSE]


def test_confirmations_without_end_are_passed_on_before_the_last() -> None:
    both = Both()
    both.says("SUBSCRIBE " + " ".join(f"{'c' * 1000}{number}" for number in range(200)))
    answers = [pushed("subscribe", f"{'c' * 1000}{number}", number + 1) for number in range(200)]
    found = both.hears(b"".join(answers))
    assert [kind for kind, _ in found] == [EVENT] * (len(found) - 1) + [RESPONSE]
    assert max(len(frame) for _, frame in found) < 70_000
    assert b"".join(frame for _, frame in found) == b"".join(answers)


def test_confirmations_that_are_held_are_not_overtaken() -> None:
    both = Both()
    both.says("SUBSCRIBE x")
    both.hears(pushed("subscribe", "x", 1))
    both.says("PSUBSCRIBE p q")
    first, news, second = pushed("psubscribe", "p", 2), pushed("message", "x", "hi"), pushed("psubscribe", "q", 3)
    assert both.hears(first + news + second) == [(EVENT, first), (EVENT, news), (RESPONSE, second)]


def test_invalidations_are_events_in_resp3_and_in_resp2() -> None:
    both = resp3()
    both.says("CLIENT TRACKING on", "GET a")
    invalid = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    assert both.kinds(b"+OK\r\n" + invalid + b"$1\r\n1\r\n" + invalid) == [RESPONSE, EVENT, RESPONSE, EVENT]
    both = Both()
    both.says("SUBSCRIBE __redis__:invalidate")
    assert both.kinds(pushed("subscribe", "__redis__:invalidate", 1)) == [RESPONSE]
    redirected = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n"
    flushed = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n"
    assert both.kinds(redirected + flushed) == [EVENT, EVENT]


def test_what_monitor_brings_is_an_event_until_reset() -> None:
    both = Both()
    both.says("MONITOR", "PING")
    line = b'+1700000000.123456 [0 127.0.0.1:5] "ping"\r\n'
    assert both.hears(b"+OK\r\n" + line + b"+PONG\r\n" + line) == [
        (RESPONSE, b"+OK\r\n"), (EVENT, line), (RESPONSE, b"+PONG\r\n"), (EVENT, line),
    ]  # fmt: skip
    both.says("RESET", "EVAL x 0")
    assert both.kinds(line + b"+RESET\r\n" + line) == [EVENT, RESPONSE, RESPONSE]


def test_a_second_monitor_has_no_reply() -> None:
    both = Both()
    first, second, ping = both.says("MONITOR", "MONITOR", "PING")
    assert (first.kind, second.kind, ping.kind) == (REQUEST, ONEWAY, REQUEST)
    assert both.kinds(b"+OK\r\n+PONG\r\n") == [RESPONSE, RESPONSE]


def test_reset_ends_subscriptions_and_goes_back_to_resp2() -> None:
    both = resp3()
    both.says("SUBSCRIBE x", "RESET", "LRANGE l 0 -1", "SUBSCRIBE y")
    data = pushed("subscribe", "x", 1, resp=3) + b"+RESET\r\n" + pushed("message", "x", "hi")
    assert both.kinds(data + pushed("subscribe", "y", 1)) == [RESPONSE] * 4
    assert both.kinds(pushed("message", "y", "hi")) == [EVENT]


def test_subscriptions_of_a_transaction_count_from_exec_on() -> None:
    both = Both()
    both.says("MULTI", "SUBSCRIBE x", "EXEC", "PING")
    executed = b"*1\r\n" + pushed("subscribe", "x", 1)
    assert both.kinds(b"+OK\r\n+QUEUED\r\n" + executed) == [RESPONSE] * 3
    assert both.kinds(pushed("message", "x", "hi") + pushed("pong", "")) == [EVENT, RESPONSE]


def test_hello_of_a_transaction_counts_from_exec_on() -> None:
    both = Both()
    both.says("MULTI", "HELLO 3", "EXEC", "SUBSCRIBE x", "LRANGE l 0 -1")
    assert both.kinds(b"+OK\r\n+QUEUED\r\n*1\r\n%1\r\n+proto\r\n:3\r\n") == [RESPONSE] * 3
    assert both.kinds(pushed("subscribe", "x", 1, resp=3) + pushed("message", "x", "hi")) == [RESPONSE, RESPONSE]


def test_what_answers_nothing_reaches_the_client_nevertheless() -> None:
    both = Both()
    assert both.hears(b"-ERR going away\r\n") == [(EVENT, b"-ERR going away\r\n")]
    both.says("PING")
    assert both.kinds(b"+PONG\r\n:1\r\n") == [RESPONSE, EVENT]


def test_the_clusters_credentials_log_in_before_the_client() -> None:
    server = Redis(mode="pinned").session(Side.SERVER, MAX)
    assert server.open(None, {"user": "u", "password": "p"}) == said("AUTH u p")
    assert (server.ready, server.receive(b"+OK\r\n"), server.ready) == (False, [], True)


def test_an_answer_over_the_bound_comes_in_pieces_and_the_next_one_is_right() -> None:
    server = Redis(mode="pinned").session(Side.SERVER, 1000)
    server.open(None, {})
    client = session_of(Side.CLIENT)
    large = b"$3000\r\n" + b"x" * 3000 + b"\r\n"
    for text in ("GET large", "SUBSCRIBE x", "GET large", "PING"):
        server.send(read(client, text), 0)
    data = large + pushed("subscribe", "x", 1) + large + b"+PONG\r\n"
    pieces = [Kind.STREAM_OPEN, Kind.STREAM_CLOSE]
    assert [message.kind for message in server.receive(data)] == [*pieces, RESPONSE, *pieces, RESPONSE]
    assert [message.frame for message in server.receive(pushed("message", "x", "y" * 2000))] == [b""]
    assert server.error is None


# CLIENT REPLY


def test_commands_behind_client_reply_off_have_no_answer() -> None:
    both = Both()
    messages = both.says("GET a", "CLIENT REPLY OFF", "SET a 1", "BLPOP l 0", "client reply on")
    assert [each.kind for each in messages] == [REQUEST, ONEWAY, ONEWAY, ONEWAY, REQUEST]
    both.says("GET a")
    assert both.kinds(b"$1\r\n1\r\n+OK\r\n$1\r\n1\r\n") == [RESPONSE] * 3


def test_client_reply_skip_silences_itself_and_the_next_command() -> None:
    both = Both()
    kinds = [each.kind for each in both.says("CLIENT REPLY SKIP", "SET a 1", "GET a")]
    assert kinds == [ONEWAY, ONEWAY, REQUEST]
    assert both.hears(b"$1\r\n1\r\n") == [(RESPONSE, b"$1\r\n1\r\n")]


@pytest.mark.parametrize("text", ["CLIENT REPLY", "CLIENT REPLY MAYBE", "CLIENT REPLY OFF now", "CLIENT ID"])
def test_a_client_command_of_another_kind_has_an_answer(text: str) -> None:
    assert [each.kind for each in Both().says(text, "GET a")] == [REQUEST, REQUEST]


def test_inside_a_transaction_client_reply_is_queued() -> None:
    both = Both()
    assert [each.kind for each in both.says("MULTI", "CLIENT REPLY OFF", "GET a")] == [REQUEST] * 3
    assert both.kinds(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n") == [RESPONSE] * 3


def test_reset_is_answered_also_behind_client_reply_off() -> None:
    both = Both()
    assert [each.kind for each in both.says("CLIENT REPLY OFF", "RESET", "GET a")] == [ONEWAY, REQUEST, REQUEST]
    assert both.kinds(b"+RESET\r\n$1\r\n1\r\n") == [RESPONSE, RESPONSE]


def test_answers_of_a_server_that_refused_client_reply_off_reach_the_client_in_order() -> None:
    both = Both()
    both.says("CLIENT REPLY OFF", "SET a 1")
    assert both.kinds(b"-NOAUTH no\r\n-NOAUTH no\r\n") == [EVENT, EVENT]
    both.says("GET a")
    assert both.kinds(b"-NOAUTH no\r\n") == [EVENT]
    both.says("CLIENT REPLY ON")
    assert both.kinds(b"-NOAUTH no\r\n") == [ERROR]


def test_a_client_reply_off_that_a_filter_refused_changes_nothing() -> None:
    both = Both()
    (off,) = both.client.receive(said("CLIENT REPLY OFF"))
    assert both.codec.reply(off, ErrorKind.DENIED, "no") == b"-NOPERM no\r\n"
    assert [each.kind for each in both.says("GET a")] == [REQUEST]


def test_a_client_reply_on_that_a_filter_refused_leaves_replies_off() -> None:
    both = Both()
    both.says("CLIENT REPLY OFF")
    on, pipelined = both.client.receive(said("CLIENT REPLY ON") + said("GET a"))
    assert both.codec.reply(on, ErrorKind.LIMITED, "no") == b"-ERR no\r\n"
    both.server.send(pipelined, 0)
    assert [each.kind for each in both.says("GET a", "CLIENT REPLY ON")] == [ONEWAY, REQUEST]
    assert both.kinds(b"+OK\r\n") == [SILENCE, RESPONSE]  # what was taken for a request is known to have no answer


def test_a_skip_whose_command_was_refused_does_not_silence_the_next() -> None:
    both = Both()
    both.says("CLIENT REPLY SKIP")
    (refused,) = both.client.receive(said("SET a 1"))
    assert both.codec.reply(refused, ErrorKind.LIMITED, "no") == b""
    (message,) = both.client.receive(said("GET a"))
    assert both.server.send(message, 0) == said("PING") + said("GET a")
    assert both.kinds(b"$1\r\n1\r\n") == [RESPONSE]


# Replication


def test_what_follows_a_synchronisation_is_passed_on_as_it_comes() -> None:
    both = Both()
    both.says("PING", "REPLCONF listening-port 6380")
    assert both.kinds(b"+PONG\r\n+OK\r\n") == [RESPONSE, RESPONSE]
    both.says("PSYNC ? -1")
    line = b"+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n"
    found = (
        both.hears(b"\n") + both.hears(b"\n" + line[:9]) + both.hears(line[9:] + b"$5\r\nREDIS") + both.hears(b"*1\r")
    )
    assert [kind for kind, _ in found] == [EVENT, EVENT, RESPONSE, EVENT, EVENT]
    assert b"".join(frame for _, frame in found) == b"\n\n" + line + b"$5\r\nREDIS*1\r"
    assert [each.kind for each in both.says("REPLCONF ACK 7")] == [ONEWAY]


def test_sync_is_answered_by_the_data_itself() -> None:
    both = Both()
    both.says("SYNC")
    found = both.hears(b"\n$5\r\nREDIS") + both.hears(b"\x00\xff")
    assert [kind for kind, _ in found] == [EVENT, RESPONSE, EVENT, EVENT]
    assert b"".join(frame for _, frame in found) == b"\n$5\r\nREDIS\x00\xff"


def test_a_refused_synchronisation_is_an_error_and_no_more() -> None:
    both = Both()
    both.says("PSYNC ? -1", "PING")
    assert both.kinds(b"-NOMASTERLINK no\r\n+PONG\r\n") == [ERROR, EVENT]


def test_a_synchronisation_with_too_many_words_is_like_any_other_command() -> None:
    both = Both()
    assert [each.kind for each in both.says("SYNC now", "GET a", "QUIT")] == [REQUEST] * 3
    assert both.kinds(b"-ERR wrong number\r\n$1\r\n1\r\n+OK\r\n") == [ERROR, RESPONSE, RESPONSE]


# Refusals


def test_denied_commands_are_refused_in_any_spelling() -> None:
    session = Redis(mode="pinned", deny=["flushall", "CLIENT"]).session(Side.CLIENT, MAX)
    assert answer(session, "FlushAll") == b"-NOPERM FLUSHALL is not allowed here\r\n"
    assert answer(session, "client reply off") == b"-NOPERM CLIENT is not allowed here\r\n"
    assert read(session, "GET a").kind is REQUEST


@pytest.mark.parametrize("words", [("FLUSHALL\0",), ("FLUSH\0ALL",), ("\0",), ("CLIENT", "REPLY\0x", "OFF")])
def test_a_name_that_redis_would_read_as_another_is_refused(words: tuple[str, ...]) -> None:
    (message,) = Redis(mode="pinned", deny=["FLUSHALL"]).session(Side.CLIENT, MAX).receive(command(*words))
    assert message.answer is not None and message.answer.startswith(b"-ERR unknown ")


def test_what_is_refused_inside_a_transaction_makes_exec_fail() -> None:
    both = Both(deny=["KEYS"])
    _, denied, later = both.client.receive(said("MULTI") + said("KEYS *") + said("SET a 1"))
    assert denied.answer is None and denied.frame == command("KEYS is not allowed here")
    assert denied.get("command") == "KEYS"
    assert later.refused(later, "not now") == command("not now")
    both.client.receive(said("EXEC"))
    assert getattr(read(both.client, "SET a 1"), "refused", None) is None


def test_when_the_servers_connection_ends_the_client_gets_no_words_of_the_proxy() -> None:
    codec = Redis(mode="pinned")
    message = read(codec.session(Side.CLIENT, MAX), "GET a")
    assert codec.reply(message, ErrorKind.RESET, "gone") == b""
    assert codec.reply(message, ErrorKind.CONNECT, "no") == b"-ERR no\r\n"


def test_quit_goes_to_the_server_and_nothing_behind_it_is_read() -> None:
    both = Both()
    assert [each.frame for each in both.says("GET a", "QUIT", "SET a 1")] == [said("GET a"), said("QUIT")]
    assert both.client.closing
    assert both.kinds(b"$1\r\n1\r\n+OK\r\n") == [RESPONSE, RESPONSE]


def session_of(side: Side) -> Session:
    return Redis(mode="pinned").session(side, MAX)


def test_inline_commands_pass_too() -> None:
    (message,) = session_of(Side.CLIENT).receive(b"client id\r\n")
    assert message.frame == said("client id")
