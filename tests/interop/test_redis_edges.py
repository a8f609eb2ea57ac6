"""
Where Redis connections end, and where servers share keys: the same bytes to a redis-server and through metaproxy.

Lives here: what is no RESP, names with a NUL, values over the bounds, clients that go while they block, commands that
concern all servers of a ring, transactions whose keys are elsewhere. Does not: ordinary traffic (test_redis.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from redis_line import Line, heard, said
from redis_words import command
from running import answers, eventually, free_port

pytestmark = pytest.mark.peer("redis-server")
MEBI = 1 << 20


class Mesh(NamedTuple):
    """
    Listeners: `plain` leads to the server `one`, `small` to it with a bound of 1 MiB on commands and answers, `guarded`
    asks for the password that the server `locked` has, `ring` leads to three servers by hash, `routed` by key to two of
    these.
    """

    proxy: Proxy
    plain: int
    small: int
    guarded: int
    ring: int
    routed: int
    one: int
    locked: int
    three: list[int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    directory = tmp_path_factory.mktemp("edges")
    one, locked, *three = ports = [free_port() for _ in range(5)]
    for port in ports:
        (directory / str(port)).mkdir()
        password = ["--requirepass", "secret"] if port == locked else []
        start(catalogue.redis_server(port, directory / str(port), *password), lambda port=port: answers(port))
    plain, small, guarded, ring, routed = (free_port() for _ in range(5))
    rules = [
        {"match": {"key": {"prefix": "b:"}}, "cluster": "b"},
        {"cluster": "a"},
    ]
    listeners = [
        listener("plain", plain, "redis", [{"cluster": "one"}], max_frame="64MiB"),
        listener("small", small, "redis", [{"cluster": "small"}], max_frame="1MiB"),
        listener("guarded", guarded, {"name": "redis", "auth": "secret"}, [{"cluster": "locked"}]),
        listener("ring", ring, "redis", [{"cluster": "ring"}]),
        listener("routed", routed, "redis", rules),
    ]
    clusters = [
        cluster("one", one),
        cluster("small", one),
        cluster("locked", locked, credentials={"password": "secret"}),
        cluster("ring", *three, balancer={"name": "ring_hash", "key": ["key"]}),
        cluster("a", three[0]),
        cluster("b", three[1]),
    ]
    proxy = shared_proxy({"listeners": listeners, "clusters": clusters})
    return Mesh(proxy, plain, small, guarded, ring, routed, one, locked, three)


# What is no RESP


HOSTILE = {
    "no number of arguments": b"*abc\r\n",
    "an empty number": b"*\r\n",
    "too many arguments": b"*3000000000\r\n",
    "a number with a zero in front": b"*01\r\n",
    "a number with a plus": b"*+1\r\n",
    "a number with a blank": b"*1 \r\n",
    "minus nothing": b"*-0\r\n",
    "an endless number": b"*" + b"1" * 70000,
    "a negative length": b"*1\r\n$-1\r\n",
    "no length": b"*1\r\n$abc\r\n",
    "an empty length": b"*1\r\n$\r\n",
    "a length with a zero in front": b"*1\r\n$04\r\nPING\r\n",
    "a length with a plus": b"*1\r\n$+4\r\nPING\r\n",
    "a length over 512 MB": b"*1\r\n$600000000\r\n",
    "a length over 64 bits": b"*1\r\n$99999999999999999999\r\n",
    "an endless length": b"*1\r\n$" + b"1" * 70000,
    "a status in the place of a value": b"*1\r\n+a\r\n",
    "a list in the place of a value": b"*1\r\n*1\r\n",
    "nothing in the place of a value": b"*1\r\n\r\n",
    "a byte that is no text": b"*1\r\n\xff\r\n",
    "a quote without end": b"set 'a\r\n",
    "a quote with something behind it": b"set 'a'b\r\n",
    "an endless line": b"x" * 70000,
    "what is broken behind a command": b"PING\r\n*x\r\n",
    "what is broken behind an array": command("SET", "a", "1")
    + command("GET", "a")
    + b"*1\r\n$x\r\n"
    + command("PING"),
    "HTTP": b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_resp_gets_the_last_words_that_a_server_has_for_it(what: str, mesh: Mesh) -> None:
    assert heard(mesh.plain, HOSTILE[what]) == heard(mesh.one, HOSTILE[what])
    assert said(mesh.plain, "PING") == b"+PONG\r\n"


@pytest.mark.parametrize("data", [b"*11\r\n", b"*1\r\n$16385\r\n", command("PING") + b"*20\r\n"])
def test_who_is_not_logged_in_may_say_as_little_as_to_a_server(data: bytes, mesh: Mesh) -> None:
    assert heard(mesh.guarded, data) == heard(mesh.locked, data)


LENIENT = {
    "other bytes behind a value": b"*1\r\n$4\r\nPINGxx",
    "other bytes behind each \\r": b"*1\rx$4\rxPINGxx",
    "nothing": b"*0\r\n*-5\r\n\r\n" + command("PING"),
    "an inline command behind blanks": b"\v\f PING\r\n",
    "an inline command with escapes": rb'"\x50ING" "a\tb"' + b"\r\n",
    "an empty name": command(""),
    "a name with a NUL": command("PI\0NG", "a", "b\0c"),
    "a name with other bytes": command(b"PI\xff\nNG", b"\xfe"),
    "a long name with a NUL": command(b"x" * 200 + b"\0", b"y" * 200),
    "a subcommand with other bytes": command("CONFIG", b"\xff\n"),
}


@pytest.mark.parametrize("what", LENIENT)
def test_what_a_server_takes_is_taken_and_answered_alike(what: str, mesh: Mesh) -> None:
    for port in (mesh.plain, mesh.one):
        with Line(port) as line:
            line.say(LENIENT[what] + command("ECHO", "behind"))
            reply = line.reply()
            assert line.reply() == b"$6\r\nbehind\r\n"
        if port == mesh.plain:
            proxied = reply
    assert proxied == reply


def test_a_nul_moves_no_shared_connection_to_another_database(mesh: Mesh) -> None:
    said(mesh.one, "SET", "where", "0")
    for tail in range(64):  # a server compares such names where their hashes meet
        said(mesh.plain, f"SELECT\0{tail}", "5")
    assert said(mesh.plain, "GET", "where") == b"$1\r\n0\r\n"


# Bounds


def test_a_value_of_40_mebibytes_passes_where_max_frame_has_room_for_it(mesh: Mesh) -> None:
    value = b"v" * (40 * MEBI)
    assert said(mesh.plain, "SET", "large", value) == b"+OK\r\n"
    assert said(mesh.plain, "STRLEN", "large") == b":%d\r\n" % len(value)
    assert len(said(mesh.plain, "GET", "large")) > len(value)
    said(mesh.plain, "DEL", "large")


def test_a_value_over_what_servers_take_gets_their_error_first(mesh: Mesh) -> None:
    data = command("PING") + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$600000000\r\n" + b"x" * 100
    assert heard(mesh.small, data) == b"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"


def test_more_than_a_million_arguments_pass(mesh: Mesh) -> None:
    assert said(mesh.plain, "EXISTS", *["none"] * 1_100_000) == b":0\r\n"


def test_deep_answers_and_long_errors_pass(mesh: Mesh) -> None:
    deep = "local t = {} for i = 1, 60 do t = {t} end return t"
    long = "return redis.error_reply('X ' .. string.rep('y', 100000))"
    for script in (deep, long):
        assert said(mesh.plain, "EVAL", script, "0") == said(mesh.one, "EVAL", script, "0")


def test_an_answer_over_max_frame_comes_in_pieces_in_its_place_and_neighbours_get_theirs(mesh: Mesh) -> None:
    said(mesh.one, "SET", "huge", b"h" * (3 * MEBI))
    said(mesh.one, "SET", "tiny", "t")
    neighbours = [Line(mesh.small) for _ in range(5)]
    with Line(mesh.small) as asking:
        assert asking.ask("PING") == b"+PONG\r\n"
        for round_ in range(3):
            asking.say(command("GET", "tiny") + command("GET", "huge") + command("GET", "tiny"))
            for line in neighbours:
                line.say(command("GET", "tiny") * 20 + command("ECHO", str(round_)))
            assert asking.reply() == b"$1\r\nt\r\n"
            assert asking.reply() == b"$%d\r\n%s\r\n" % (3 * MEBI, b"h" * (3 * MEBI))
            assert asking.reply() == b"$1\r\nt\r\n"
            for line in neighbours:
                assert [line.reply() for _ in range(20)] == [b"$1\r\nt\r\n"] * 20
                assert line.reply() == b"$1\r\n%d\r\n" % round_
    for line in neighbours:
        line.__exit__()
    said(mesh.one, "DEL", "huge")


# Clients that go while they block


def blocked(port: int) -> int:
    info = said(port, "INFO", "clients")
    return int(info.partition(b"blocked_clients:")[2].split(b"\r\n")[0])


@pytest.mark.parametrize("blocking", [("BLPOP", "q", "0"), ("XREAD", "BLOCK", "0", "STREAMS", "s", "$")])
def test_who_ends_behind_a_blocking_command_gets_no_answer_and_nothing_behind_it_is_run(
    blocking: tuple[str, ...], mesh: Mesh
) -> None:
    for port in (mesh.one, mesh.plain):
        said(mesh.one, "DEL", "q", "s", "behind")
        with Line(port) as line:
            line.say(command("ECHO", "first"))
            assert line.reply() == b"$5\r\nfirst\r\n"
            line.say(command(*blocking) + command("SET", "behind", "1") + command("GET", "before"))
            assert eventually(lambda: blocked(mesh.one) == 1)
            line.end()
            assert line.rest() == b""
        assert eventually(lambda: blocked(mesh.one) == 0)
        assert said(mesh.one, "EXISTS", "behind") == b":0\r\n"


def test_who_ends_behind_an_ordinary_command_gets_its_answer(mesh: Mesh) -> None:
    with Line(mesh.plain) as line:
        line.say(command("SET", "behind", "1") + command("GET", "behind"))
        line.end()
        assert line.rest() == b"+OK\r\n$1\r\n1\r\n"


# Several servers


def fill(mesh: Mesh, count: int) -> list[str]:
    for port in mesh.three:
        said(port, "FLUSHALL")
    keys = [f"k{n}" for n in range(count)]
    for key in keys:
        assert said(mesh.ring, "SET", key, "v") == b"+OK\r\n"
    sizes = [said(port, "DBSIZE") for port in mesh.three]
    assert b":0\r\n" not in sizes
    return keys


@pytest.mark.peer("redis-py")
@pytest.mark.parametrize("resp", [2, 3])
def test_scan_keys_and_dbsize_cover_all_servers(resp: int, mesh: Mesh) -> None:
    import redis

    keys = fill(mesh, 200)
    with redis.Redis(port=mesh.ring, protocol=resp, decode_responses=True) as client:
        assert sorted(client.scan_iter(count=7)) == sorted(keys)
        assert sorted(client.scan_iter(match="k1*")) == sorted(key for key in keys if key.startswith("k1"))
        assert sorted(client.keys("*")) == sorted(keys)
        assert client.dbsize() == 200
        assert {client.randomkey() for _ in range(50)} <= set(keys)


@pytest.mark.peer("redis-py")
def test_a_script_is_known_at_all_servers_once_it_was_loaded(mesh: Mesh) -> None:
    import redis

    keys = fill(mesh, 30)
    with redis.Redis(port=mesh.ring, decode_responses=True) as client:
        client.script_flush()
        digest = client.script_load("return redis.call('get', KEYS[1])")
        assert client.script_exists(digest, "0" * 40) == [True, False]
        assert [client.evalsha(digest, 1, key) for key in keys] == ["v"] * 30


@pytest.mark.parametrize(
    ("words", "left"),
    [(("FLUSHALL",), 0), (("FLUSHDB",), 0), (("FUNCTION", "FLUSH"), 50), (("CONFIG", "RESETSTAT"), 50)],
)
def test_what_is_for_all_servers_is_done_by_all(words: tuple[str, ...], left: int, mesh: Mesh) -> None:
    fill(mesh, 50)
    assert said(mesh.ring, *words) == b"+OK\r\n"
    assert said(mesh.ring, "DBSIZE") == b":%d\r\n" % left


def test_what_could_be_half_done_is_refused_and_done_nowhere(mesh: Mesh) -> None:
    fill(mesh, 50)
    assert b" does not work over several servers: " in said(mesh.ring, "SWAPDB", "0", "1")
    assert said(mesh.ring, "DBSIZE") == b":50\r\n"


def test_with_one_of_three_down_ping_is_answered_and_nothing_is_silently_incomplete(
    mesh: Mesh, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    port = free_port()
    ports = [mesh.three[0], mesh.three[1], free_port()]
    proxy(
        {
            "listeners": [listener("ring", port, "redis", [{"cluster": "ring"}])],
            "clusters": [cluster("ring", *ports, balancer={"name": "ring_hash", "key": ["key"]})],
        }
    )
    assert {said(port, "PING") for _ in range(30)} == {b"+PONG\r\n"}
    for words in (("DBSIZE",), ("KEYS", "*"), ("SCRIPT", "EXISTS", "a")):
        assert said(port, *words).startswith(b"-ERR ")
    with Line(port) as line:
        cursor, answer = b"0", b""
        for _ in range(10000):
            answer = line.ask("SCAN", cursor)
            cursor = answer.split(b"\r\n")[2] if answer[:1] == b"*" else b"0"
            if cursor == b"0":
                break
        assert answer.startswith(b"-ERR "), "it ended as if all had been seen"


def keys_of(mesh: Mesh) -> tuple[str, str]:
    """Two keys of different servers of the ring."""
    fill(mesh, 50)
    at = {
        key: port
        for port in mesh.three
        for key in (f"k{n}" for n in range(50))
        if said(port, "EXISTS", key) == b":1\r\n"
    }
    return "k0", next(key for key, port in at.items() if port != at["k0"])


@pytest.mark.parametrize("later", [("SET", "{}", "2"), ("MGET", "k0", "{}"), ("GET", "{}"), ("FLUSHALL",)])
def test_a_key_of_another_server_fails_the_transaction(later: tuple[str, ...], mesh: Mesh) -> None:
    here, there = keys_of(mesh)
    with Line(mesh.ring) as line:
        assert line.ask("MULTI") == b"+OK\r\n"
        assert line.ask("SET", here, "1") == b"+QUEUED\r\n"
        assert line.ask(*(word.format(there) for word in later)).startswith((b"-CROSSSLOT ", b"-ERR "))
        assert line.ask("EXEC").startswith(b"-EXECABORT ")
        assert line.ask("MGET", here, there) == b"*2\r\n$1\r\nv\r\n$1\r\nv\r\n"
    for port in mesh.three:
        assert int(said(port, "DBSIZE")[1:]) > 0


def test_a_key_of_another_server_is_not_read_behind_watch(mesh: Mesh) -> None:
    here, there = keys_of(mesh)
    with Line(mesh.ring) as line:
        assert line.ask("WATCH", here) == b"+OK\r\n"
        assert line.ask("GET", there).startswith(b"-CROSSSLOT ")
        assert line.ask("GET", here) == b"$1\r\nv\r\n"
        assert line.ask("UNWATCH") == b"+OK\r\n"
        assert line.ask("GET", there) == b"$1\r\nv\r\n"


def test_a_key_of_another_route_fails_the_transaction(mesh: Mesh) -> None:
    with Line(mesh.routed) as line:
        assert line.ask("MULTI") == b"+OK\r\n"
        assert line.ask("SET", "a:k", "1") == b"+QUEUED\r\n"
        assert line.ask("SET", "b:k", "1").startswith(b"-CROSSSLOT ")
        assert line.ask("EXEC").startswith(b"-EXECABORT ")
        assert line.ask("MULTI") == b"+OK\r\n"
        assert line.ask("SET", "a:k", "1") == b"+QUEUED\r\n"
        assert line.ask("EXEC") == b"*1\r\n+OK\r\n"
    for port in mesh.three:
        assert said(port, "EXISTS", "b:k") == b":0\r\n"


# Pub/sub


def test_behind_the_confirmation_of_a_subscription_no_message_is_missed(mesh: Mesh) -> None:
    with Line(mesh.plain) as publisher:
        for turn in range(30):
            with Line(mesh.plain) as subscriber:
                assert subscriber.ask("SUBSCRIBE", "news") == b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
                assert publisher.ask("PUBLISH", "news", str(turn)) == b":1\r\n"
                assert subscriber.reply().endswith(b"\r\n%d\r\n" % turn)
            assert eventually(lambda: said(mesh.one, "PUBSUB", "NUMSUB", "news") == b"*2\r\n$4\r\nnews\r\n:0\r\n")


REFUSED = {"error": "denied", "message": "not here"}


@pytest.mark.parametrize("words", [("WATCH", "k"), ("SUBSCRIBE", "c"), ("MONITOR",)])
def test_a_state_that_a_route_refuses_is_answered_with_the_error_and_the_connection_closes(
    words: tuple[str, ...], mesh: Mesh, proxy: Callable[..., Proxy]
) -> None:
    port = free_port()
    rules: list[dict[str, Any]] = [{"match": {"command": words[0]}, "reply": REFUSED}, {"cluster": "one"}]
    proxy({"listeners": [listener("in", port, "redis", rules)], "clusters": [cluster("one", mesh.one)]})
    data = command("ECHO", "a") + command(*words) + command("ECHO", "behind")
    assert heard(port, data) == b"$1\r\na\r\n-NOPERM not here\r\n"


@pytest.mark.parametrize("words", [("WATCH", "k"), ("SUBSCRIBE", "c"), ("MONITOR",)])
def test_a_command_that_is_denied_is_answered_with_the_error_and_the_connection_goes_on(
    words: tuple[str, ...], mesh: Mesh, proxy: Callable[..., Proxy]
) -> None:
    port = free_port()
    denying = {"name": "redis", "deny": [words[0]]}
    proxy({"listeners": [listener("in", port, denying, [{"cluster": "one"}])], "clusters": [cluster("one", mesh.one)]})
    with Line(port) as line:
        assert line.ask(*words).startswith(b"-NOPERM ")
        assert line.ask("ECHO", "behind") == b"$6\r\nbehind\r\n"


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_many_subscriptions_at_once_are_confirmed_in_their_order_also_before_a_goodbye(count: int, mesh: Mesh) -> None:
    data = b"".join(command("SUBSCRIBE", f"c{number}") for number in range(count)) + command("QUIT")
    assert heard(mesh.plain, data) == heard(mesh.one, data)
