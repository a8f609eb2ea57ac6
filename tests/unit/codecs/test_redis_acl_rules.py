"""Users of the Redis codec: their rules, patterns, passwords; and the answer to a client that may not do something."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from call_count import count_calls
from reachable import reachable
from redis_words import answer, client, command, read, said

from metaproxy.codecs.redis.accounts import Accounts, accounts
from metaproxy.codecs.redis.acl import Glob, Rules
from metaproxy.codecs.redis.acl_table import CATEGORIES, CONTAINERS, NAMES

DENIED = "NOPERM this user has no permissions to run the '{}' command"
KEY = "NOPERM this user has no permissions to access one of the keys used as arguments"
CHANNEL = "NOPERM this user has no permissions to access one of the channels used as arguments"


def refusal(rules: str, text: str) -> str:
    words = [word.encode() for word in text.split()]
    return Rules(rules.split()).refusal(words[0].upper(), lambda: words)


# -- patterns


@pytest.mark.parametrize(
    ("pattern", "same", "other"),
    [
        ("", [""], ["a"]),
        ("*", ["", "a", "\n", "a*b"], []),
        ("app:*", ["app:", "app:1"], ["app", "xapp:1"]),
        ("*:1", [":1", "a:1", ":1:1"], ["1", "a:12"]),
        ("a*b*c", ["abc", "axbxc", "abbcc"], ["ac", "acb", "ab"]),
        ("a**c", ["ac", "abc"], ["a"]),
        ("h?llo", ["hello", "h\nllo"], ["hllo", "heello"]),
        ("h[ae]llo", ["hello", "hallo"], ["hillo", "h[ae]llo"]),
        ("h[^e]llo", ["hallo", "h\nllo"], ["hello"]),
        ("[a-c]*", ["a", "bx", "c"], ["d", ""]),
        ("[c-a]", ["b"], ["d"]),
        ("[a\\]]", ["a", "]"], ["\\"]),
        ("[]a", [], ["a", "]a"]),
        ("[^]a", ["xa"], ["a"]),
        ("[ab", ["a", "b"], ["[ab"]),
        ("\\*", ["*"], ["a", "\\*"]),
        ("\\", ["\\"], [""]),
        ("a.c", ["a.c"], ["abc"]),
        ("*a", ["a", "aa", "ba"], ["ab"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("é*", ["é", "éa"], ["e"]),
    ],
)
def test_a_pattern_matches_as_in_redis(pattern: str, same: list[str], other: list[str]) -> None:
    glob = Glob(pattern.encode())
    assert [text for text in same if not glob.matches(text.encode())] == []
    assert [text for text in other if glob.matches(text.encode())] == []


def matches_as_redis_does(pattern: bytes, text: bytes) -> bool:
    """Redis' stringmatchlen by its description, one step at a time: slow, and plain."""
    if not pattern:
        return not text
    head = pattern[:1]
    if head == b"*":
        return any(matches_as_redis_does(pattern[1:], text[at:]) for at in range(len(text) + 1))
    if not text:
        return False
    if head == b"[":
        at = 2 if pattern[1:2] == b"^" else 1
        found = False
        while at < len(pattern):
            if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
                found |= pattern[at + 1] == text[0]
                at += 2
            elif pattern[at : at + 1] == b"]":
                break
            elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
                low, high = sorted((pattern[at], pattern[at + 2]))
                found |= low <= text[0] <= high
                at += 3
            else:
                found |= pattern[at] == text[0]
                at += 1
        return found != (pattern[1:2] == b"^") and matches_as_redis_does(pattern[at + 1 :], text[1:])
    if head == b"\\" and len(pattern) > 1:
        pattern = pattern[1:]
    elif head == b"?":
        return matches_as_redis_does(pattern[1:], text[1:])
    return pattern[0] == text[0] and matches_as_redis_does(pattern[1:], text[1:])


def test_random_patterns_match_as_redis_does() -> None:
    """5000 pairs over few characters, seeded, of which some 400 match."""
    choose = random.Random(7)
    hits = 0
    for _ in range(5000):
        pattern = bytes(choose.choice(b"ab**?[]^-\\") for _ in range(choose.randrange(8)))
        text = bytes(choose.choice(b"ab]-") for _ in range(choose.randrange(6)))
        expected = matches_as_redis_does(pattern, text)
        hits += expected
        assert Glob(pattern).matches(text) == expected, (pattern, text)
    assert hits > 300


def test_a_pattern_of_many_stars_takes_no_time_with_a_long_key() -> None:
    assert not Glob(b"a*" * 30 + b"b").matches(b"a" * 200_000)


# -- rules


@pytest.mark.parametrize(
    ("rules", "passes", "denied"),
    [
        ("", "", "get ping config|get select"),
        ("+get", "get auth hello quit reset", "set ping"),
        ("+@read ~*", "get mget ttl", "set config|get"),
        ("+@all -@dangerous ~*", "get config|help eval", "config|get keys flushall"),
        ("+@all -@all +get ~*", "get", "set"),
        ("+config|get", "config|get", "config|set config|help"),
        ("+config -config|set", "config|get", "config|set"),
        ("+@write -set +@read ~*", "get del", "set"),
        ("allcommands allkeys", "get config|get", ""),
        ("+@all nocommands", "", "get"),
    ],
)
def test_later_rules_change_what_earlier_ones_said(rules: str, passes: str, denied: str) -> None:
    for name in passes.split():
        assert refusal(rules, name.replace("|", " ")) == "", name
    for name in denied.split():
        assert refusal(rules, name.replace("|", " ")) == DENIED.format(name)


@pytest.mark.parametrize(
    ("rules", "passes", "denied"),
    [
        ("~app:*", ["GET app:1", "MGET app:1 app:2", "PING"], ["GET a", "MGET app:1 a", "SET a 1"]),
        ("%R~a %W~b", ["GET a", "SET b 1", "COPY a b", "EXISTS a b"], ["SET a 1", "GET b", "INCR a", "COPY b a"]),
        ("%R~a %W~a", ["GET a", "SET a 1"], ["INCR a", "SET a 1 GET"]),  # two patterns are not one with both
        ("%RW~a", ["INCR a", "SET a 1 GET"], []),
        ("~a resetkeys ~b", ["GET b"], ["GET a"]),
        ("%r~*", ["GET a", "SORT a BY w*"], ["SET a 1"]),
        ("~a %W~*", ["SET x 1", "GET a"], ["GET x"]),
    ],
)
def test_keys_are_those_of_the_patterns(rules: str, passes: list[str], denied: list[str]) -> None:
    for text in passes:
        assert refusal(f"+@all {rules}", text) == "", text
    for text in denied:
        assert refusal(f"+@all {rules}", text) == KEY, text


def test_channels_are_those_of_the_patterns_and_a_pattern_only_itself() -> None:
    rules = "+@all ~* &news.* &a?"
    for text in ("PUBLISH news.x m", "SUBSCRIBE news.x ab", "SSUBSCRIBE ab", "PSUBSCRIBE news.* a?", "UNSUBSCRIBE z"):
        assert refusal(rules, text) == "", text
    for text in (
        "PUBLISH x m",
        "SUBSCRIBE news.x x",
        "SPUBLISH x m",
        "SSUBSCRIBE x",
        "PSUBSCRIBE news.x*",
        "PSUBSCRIBE *",
    ):
        assert refusal(rules, text) == CHANNEL, text
    assert refusal("+@all ~* &*", "PSUBSCRIBE x*") == ""


def test_a_sort_that_would_look_at_any_key_needs_all_of_them() -> None:
    assert refusal("+@all ~a", "SORT a BY w_*") == "ERR BY option of SORT denied due to insufficient ACL permissions"
    assert refusal("+@all ~a", "SORT a BY nosort") == ""
    assert refusal("+@all ~a", "SORT a GET #") == "ERR GET option of SORT denied due to insufficient ACL permissions"
    assert refusal("+@all ~a", "SORT a LIMIT 0 1") == ""


def test_commands_that_nobody_here_knows_are_allowed_with_all_or_by_their_names() -> None:
    assert refusal("+@all ~*", "JSON.GET k") == ""
    assert refusal("+@all -json.get ~*", "JSON.GET k") == DENIED.format("json.get")
    assert refusal("+@read ~*", "JSON.GET k") == DENIED.format("json.get")
    assert refusal("+json.get ~k", "JSON.GET k") == ""
    assert refusal("+json.get ~k", "JSON.GET other") == KEY
    assert refusal("+@all -config|set ~*", "CONFIG NEW x") == DENIED.format("config")
    assert refusal("+@all ~*", "CONFIG NEW x") == ""


def calls(session: Any) -> int:
    """Functions that are called to read a command of a session that has read one before."""
    session.receive(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
    return count_calls(lambda: session.receive(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"))


@pytest.mark.parametrize("rule", ["+@all ~* &*", "allcommands allkeys allchannels", "-get +@all %R~a ~* &*"])
def test_a_user_who_may_do_everything_costs_nothing(rule: str) -> None:
    assert Rules(rule.split()).everything
    assert calls(client(users=[{"name": "default", "nopass": True, "rules": rule}])) == calls(client())


@pytest.mark.parametrize(
    "rule", ["+@all ~*", "+@all -get ~* &*", "+@all -json.get ~* &*", "+@all %R~* &*", "+@read ~* &*"]
)
def test_a_user_who_may_not_do_everything_does_not_count_as_one(rule: str) -> None:
    assert not Rules(rule.split()).everything


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("+gett", "no command 'gett'; did you mean get?"),
        ("+@reed", "no category @reed; there are @all, @keyspace"),
        ("+config|gett", "config has no subcommand gett"),
        ("+get|x", "get has no subcommand x"),
        ("get", "'get' is no rule"),
        ("%X~a", "'%X~a' is no rule"),
        ("%RR~a", "write ~PATTERN"),
        ("(+get", "selectors"),
        (">hunter2", "passwords are no rules"),
        ("#" + "ab" * 32, "passwords are no rules"),
        ("nopass", "passwords are no rules"),
    ],
)
def test_what_is_no_rule_is_told(rule: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as raised:
        Rules([rule])
    assert "hunter2" not in str(raised.value)


def test_tables_are_consistent() -> None:
    assert all(one <= NAMES for one in CATEGORIES.values())
    assert CATEGORIES["slow"] | CATEGORIES["fast"] == NAMES
    assert {"config", "client", "xgroup"} <= CONTAINERS.keys()


# -- users

ANN = {"name": "ann", "password": "ann-password", "rules": "+@read +set ~app:*"}
ROOT = {"name": "root", "passwords": ["old-password", "new-password"], "rules": "+@all ~* &*"}
OFF = {"name": "off", "password": "off-password", "rules": "off +@all ~* &*"}
GUEST = {"name": "default", "nopass": True, "rules": "+ping"}


def logged_in(*users: dict[str, Any], login: str = "AUTH ann ann-password") -> Any:
    session = client(users=list(users))
    assert answer(session, login).startswith(b"+OK")
    return session


def test_any_of_a_users_passwords_logs_in_and_no_other() -> None:
    named = accounts(None, [ANN, ROOT, OFF])
    assert [named.accept(b"root", password) is not None for password in (b"old-password", b"new-password", b"")] == [
        True, True, False,
    ]  # fmt: skip
    assert named.accept(b"ann", b"old-password") is None
    assert named.accept(b"off", b"off-password") is None
    assert named.accept(b"nobody", b"nobody knows it") is None
    assert named.accept(b"", b"nobody knows it") is None
    assert named.newcomer is None


def test_a_default_user_without_a_password_is_who_just_came() -> None:
    session = client(users=[ANN, GUEST])
    assert read(session, "PING").answer is None
    assert answer(session, "GET app:1") == f"-{DENIED.format('get')}\r\n".encode()
    assert answer(session, "AUTH x").startswith(b"-ERR AUTH <password> called without any password")
    assert answer(session, "AUTH ann ann-password") == b"+OK\r\n"
    assert read(session, "GET app:1").answer is None
    assert answer(session, "PING") == f"-{DENIED.format('ping')}\r\n".encode()
    assert answer(session, "RESET") == b"+RESET\r\n"
    assert read(session, "PING").get("user") == "default"


def test_without_such_a_user_nothing_is_done_before_the_login() -> None:
    session = client(users=[ANN])
    assert answer(session, "GET app:1").startswith(b"-NOAUTH")
    assert answer(session, "AUTH ann wrong").startswith(b"-WRONGPASS")
    assert answer(session, "AUTH off off-password").startswith(b"-WRONGPASS")
    assert answer(session, "HELLO 3 AUTH ann ann-password").startswith(b"%7")
    assert read(session, "GET app:1").get("user") == "ann"


def test_users_and_auth_stand_side_by_side() -> None:
    session = client(users=[ANN], auth={"password": "all-password"})
    assert answer(session, "AUTH all-password") == b"+OK\r\n"
    assert read(session, "FLUSHALL").answer is None
    assert answer(session, "AUTH ann ann-password") == b"+OK\r\n"
    assert answer(session, "FLUSHALL").startswith(b"-NOPERM")


def test_a_refused_command_in_a_transaction_makes_the_server_give_it_up() -> None:
    session = logged_in({**ANN, "rules": "+@transaction +set ~app:*"})
    read(session, "MULTI")
    assert read(session, "SET app:1 x").answer is None
    (refused,) = session.receive(said("SET other x"))
    assert refused.answer is None and b"this user has no permissions" in refused.frame


def test_inline_commands_and_odd_spellings_are_looked_at_too() -> None:
    session = logged_in(ANN)
    for data in (b"gEt other\r\n", command("gEt", "other"), b"*2\r\n$3\r\nGET\r\n$5\r\nother\r\n"):
        (message,) = session.receive(data)
        assert message.answer == f"-{KEY}\r\n".encode()


def test_no_name_breaks_out_of_the_line_of_an_error() -> None:
    session = logged_in(ANN)
    (message,) = session.receive(command(b"x\r\n+OK\r\n", "k"))
    assert message.answer is not None
    assert message.answer.count(b"\r\n") == 1
    (long,) = session.receive(command(b"y" * 100_000))
    assert len(long.answer or b"") < 300


@pytest.mark.parametrize(
    ("users", "told"),
    [
        ({"ann": "hunter2"}, "users is a list"),
        ([], "users is a list"),
        (["hunter2"], "users[0] is no mapping"),
        ([{**ANN, "pasword": "hunter2"}], "users[0] has pasword; its keys are name, password"),
        ([{**ANN, "name": "a b"}], "users[0].name is no text, or has blanks"),
        ([{**ANN, "password": ["hunter2"]}], "the password of users[0] is no text"),
        ([{**ANN, "password": ""}], "write one of password, passwords and nopass"),
        ([{**ANN, "nopass": True}], "write one of password, passwords and nopass"),
        ([{**ANN, "passwords": "hunter2", "password": None}], "users[0].passwords is no list"),
        ([{"name": "ann", "password": "hunter2"}], "users[0].rules must say what it may do"),
        ([{**ANN, "rules": "+gett"}], "users[0].rules: no command 'gett'; did you mean get?"),
        ([ANN, ANN], "there are two users 'ann'"),
        ([{"name": "ann", "nopass": "hunter2", "rules": "+get"}], "users[0].nopass is true or left out"),
    ],
)
def test_what_is_wrong_with_a_user_is_told_without_what_may_be_a_password(users: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as raised:
        accounts(None, users)
    assert "hunter2" not in str(raised.value)


def test_nobody_keeps_a_password() -> None:
    named = accounts({"users": {"bob": "bob-password"}}, [ANN, ROOT])
    assert isinstance(named, Accounts)
    texts = [repr(one) for one in reachable(named) if isinstance(one, (str, bytes))]
    assert any("bob" in text for text in texts)
    assert not [text for text in texts if "-password" in text]
