"""What MySQL's commands say of their SQL beyond its first word, what may be kept, and what routes may rewrite."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_words import BASE, MAX, Pair, command, error, ok, prepared, query

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, IN_TRANSACTION, packet, payload_of
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, proof
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.message import FrameError, Hold, Kind, Message, Side
from metaproxy.routing.pattern import compile_rewrite

CHANGE = compile_rewrite(r"(?i)from old\b", "from new")
CHALLENGE = b"abcdefghijklmnopqrst"
WARNED = packet(b"\0\0\0\2\0\1\0", 1)


class Both:
    """A client that has logged in at the proxy, and the server that answers it. role: that the server had at first."""

    def __init__(self, role: str = "") -> None:
        self.codec = MySQL(users={"ann": "pw"})
        self.session: Any = self.codec.session(Side.CLIENT, MAX)
        greeted = Greeting.read(payload_of(self.session.open(None, {})))
        answer = proof(SHA2, b"pw", greeted.challenge)
        (message,) = self.session.receive(packet(Login(BASE, 1 << 24, 45, b"ann", answer, b"d", SHA2, b"").write(), 1))
        self.server = self.connect(message.profile, role)
        self.session.send(self.server.welcome, 0)

    def connect(self, profile: object, role: str = "") -> Any:
        made: Any = self.codec.session(Side.SERVER, MAX)
        made.facts = {"endpoint.role": role} if role else {}
        made.open(profile, {"user": "app", "password": "secret"})
        made.receive(packet(Greeting(b"8.0.42", 7, CHALLENGE, BASE, 45, AUTOCOMMIT, NATIVE).write(), 0))
        made.owed()
        made.receive(ok(2))
        while not made.ready:
            made.owed()
            made.receive(ok())
        return made

    def asks(self, data: bytes) -> Message:
        message: Message
        (message,) = self.session.receive(data)
        return message

    def does(self, data: bytes, answer: bytes = b"") -> Hold:
        """What a command and its answer leave."""
        return self.finds(data, answer or ok())[0].hold

    def finds(self, data: bytes, answer: bytes) -> tuple[Message, bytes]:
        """The server's answer, and what the client gets."""
        self.server.send(self.asks(data), 0)
        message: Message
        (message,) = self.server.receive(answer)
        return message, self.session.send(message, message.id)

    def reads(self, data: bytes) -> str | None:
        """What a command says, which is then answered well."""
        message = self.asks(data)
        found = message.get("read_only")
        if message.answer is None:
            self.server.send(message, 0)
            for answer in self.server.receive(ok()):
                self.session.send(answer, answer.id)
        return found

    def prepares(self, text: str) -> bytes:
        """The id of a statement."""
        return self.finds(command(0x16, text), prepared(77, 0, 1))[1][5:9]


def execution(id: bytes, flags: bytes = b"\0") -> bytes:
    return command(0x17, id + flags + b"\1\0\0\0")


# -- reads


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (query("select * from t"), "true"),
        (query("SELECT 1; DELETE FROM t"), "false"),
        (query("select * from t for update"), "false"),
        (query("select * from t lock in share mode"), "false"),
        (query("select last_insert_id()"), "false"),
        (query("select sql_calc_found_rows * from t"), "false"),
        (query("select @a"), "false"),
        (query("select get_lock('a', 1)"), "false"),
        (query("begin"), "false"),
        (command(0x16, "select ?"), "true"),
        (command(0x16, "update t set a = ?"), "false"),
        (command(2, "other"), None),
    ],
)
def test_a_command_says_whether_it_only_reads(data: bytes, found: str | None) -> None:
    assert Both().asks(data).get("read_only") == found


def test_where_the_login_passes_it_is_the_same() -> None:
    (message,) = Pair().says(query("select a from t join s.u using (b)"))
    assert (message.get("read_only"), message.get("tables")) == ("true", "t,s.u")


def test_an_execution_reads_as_its_statement_does() -> None:
    both = Both()
    id = both.prepares("select * from t")
    message = both.asks(execution(id))
    assert (message.get("read_only"), message.get("tables")) == ("true", "t")


def test_a_cursor_stays_where_all_else_may_follow_it() -> None:
    both = Both()
    assert both.asks(execution(both.prepares("select * from t"), b"\1")).get("read_only") == "false"


def test_a_value_that_is_sent_ahead_goes_where_all_else_may_follow_it() -> None:
    both = Both()
    id = both.prepares("select ?")
    assert both.asks(command(0x18, id + b"\0\0abc")).get("read_only") == "false"


@pytest.mark.parametrize("off", ["set autocommit = 0", "set @@session.autocommit=OFF", "set autocommit='off'"])
def test_a_read_that_begins_a_transaction_goes_where_that_can_go_on(off: str) -> None:
    both = Both()
    assert both.reads(query("select 1")) == "true"
    both.reads(query(off))
    assert both.reads(query("select 1")) == "false"
    both.reads(query("set autocommit = 1"))
    assert both.reads(query("select 1")) == "true"


def test_a_replica_keeps_nobody_for_the_sake_of_a_warning() -> None:
    assert Both().does(query("select 1/0"), WARNED) is Hold.OPEN
    assert Both("replica").does(query("select 1/0"), WARNED) is Hold.CLOSE


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (query("set autocommit = 1"), False),
        (query("select 1"), False),
        (query("update t set a = 1"), True),
        (query("call p()"), True),
    ],
)
def test_reads_wait_for_what_may_have_changed_something(data: bytes, changes: bool) -> None:
    both = Both()
    assert both.codec.changes(both.asks(data)) is changes


# -- what is safe, and what may be kept


def test_only_reads_outside_of_transactions_are_safe() -> None:
    both = Both()
    assert both.codec.safe(both.asks(query("select 1")))
    assert not both.codec.safe(both.asks(query("insert into t values (1)")))
    both.does(query("begin"), ok(1, AUTOCOMMIT | IN_TRANSACTION))
    assert not both.codec.safe(both.asks(query("select 1")))
    (passing,) = Pair().says(query("select 1"))
    assert not MySQL().safe(passing)


def test_the_same_question_has_the_same_key() -> None:
    one, other = Both(), Both()
    keys = [both.codec.cache_key(both.asks(query(text))) for both in (one, other) for text in ("select 1", "select 2")]
    assert keys[0] == keys[2] is not None
    assert keys[0] != keys[1]


def test_values_belong_to_the_key_and_ids_do_not() -> None:
    one, other = Both(), Both()
    other.prepares("select 0")
    first, second = (both.codec.cache_key(both.asks(execution(both.prepares("select ?")))) for both in (one, other))
    assert first == second is not None
    values = other.codec.cache_key(other.asks(execution((2).to_bytes(4, "little"), b"\0")[:-1] + b"\1"))
    assert values != second


@pytest.mark.parametrize("text", ["select rand()", "select uuid()", "set a = 1", "select last_insert_id()"])
def test_what_is_answered_otherwise_each_time_has_no_key(text: str) -> None:
    both = Both()
    assert both.codec.cache_key(both.asks(query(text))) is None
    assert both.codec.cache_key(both.asks(command(0x16, "select 1"))) is None, "a server's id is in the answer"


# -- roles


def test_servers_are_asked_for_their_role_where_the_proxy_can_log_in() -> None:
    codec = MySQL(users={"ann": "pw"})
    assert codec.topologies == ("primary_replica",)
    assert MySQL().topologies == ()
    question = codec.inquiry("primary_replica")
    assert question is not None
    server = Both().connect(question.profile)
    assert b"SHOW REPLICA STATUS" in server.send(question, 0)
    refused = Message(Kind.ERROR, error())
    with pytest.raises(FrameError):
        codec.traits(refused)


# -- other SQL


def test_a_query_is_rewritten() -> None:
    both = Both()
    changed = both.codec.reword(both.asks(query("select 'ö' from OLD where a = 1")), CHANGE)
    assert changed is not None
    assert changed.frame == query("select 'ö' from new where a = 1")
    assert both.server.send(changed, 0) == changed.frame
    assert both.codec.reword(both.asks(query("select 1")), CHANGE) is None
    assert both.codec.reword(both.asks(command(2, "from old")), CHANGE) is None


def test_a_statement_that_was_prepared_so_stays_so() -> None:
    both = Both()
    changed = both.codec.reword(both.asks(command(0x16, "select 1 from old")), CHANGE)
    assert changed is not None
    assert both.server.send(changed, 0) == command(0x16, "select 1 from new")
    (answer,) = both.server.receive(prepared(77, 0, 1))
    both.session.send(answer, 0)
    other = both.connect(Profile())
    run = both.asks(execution(b"\1\0\0\0"))
    assert both.codec.reword(run, CHANGE) is None
    assert other.send(run, 0) == command(0x16, "select 1 from new")


def test_where_the_login_passes_statements_are_rewritten_too() -> None:
    pair = Pair()
    (message,) = pair.says(query("select 1 from old"))
    changed = pair.codec.reword(message, CHANGE)
    assert changed is not None
    assert changed.frame == query("select 1 from new")


def test_what_would_do_something_else_to_the_session_is_refused() -> None:
    both = Both()
    with pytest.raises(FrameError, match="session"):
        both.codec.reword(both.asks(query("select 1")), compile_rewrite("select 1", "set wait_timeout = 1"))


def test_what_is_not_all_there_is_refused() -> None:
    pair = Pair(MySQL(stream_over=65536))  # type: ignore[arg-type]
    head, *_ = pair.client.receive(query("select 1 from old where a = '" + "x" * 100_000 + "'")[:80_000])
    assert head.kind is Kind.STREAM_OPEN
    with pytest.raises(FrameError, match="stream_over"):
        pair.codec.reword(head, CHANGE)
