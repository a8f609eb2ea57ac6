"""
Redis users at the proxy: what redis-py, ioredis and redis-cli see, and the same decisions as a real redis-server's ACL.

Lives here: random rules and commands against ACL DRYRUN; logins and refusals in the same words as the server's; secrets
that show up nowhere. Does not: the rules by themselves (tests/unit/codecs/test_redis_acl_rules.py).
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
import yaml
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import ROOT, answers, free_port

from metaproxy.codecs.redis.acl import Glob, Rules
from metaproxy.codecs.redis.acl_table import CATEGORIES, NAMES, NOTHING, READ, WRITE, accesses

pytestmark = pytest.mark.peer("redis-py", "redis-server")

SEED = 20
USERS = 60
COMMANDS = 150
LATER = {"HEXPIRETIME", "CLIENT|SETINFO"}

ANN, BOB, OPS = "ann-password-0", "bob-password-0", "ops-password-0"
RULES = {
    "ann": "+@read +@connection +@transaction +set -keys ~app:* %R~shared:* &news.*",
    "bob": "+@all -@dangerous ~* resetchannels",
    "ops": "+@all ~* &*",
    "gone": "off +@all ~* &*",
}
PASSWORDS = {"ann": ANN, "bob": BOB, "ops": OPS, "gone": "gone-password"}


class Mesh(NamedTuple):
    """direct: a server with these users; port: of a proxy with the same before a server without."""

    proxy: Proxy
    direct: int
    port: int
    open: int
    secrets: list[str]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    import redis

    directory = tmp_path_factory.mktemp("acl")
    direct, behind, port, everybody = (free_port() for _ in range(4))
    for one in (direct, behind):
        start(catalogue.redis_server(one, directory), lambda one=one: answers(one))
    with redis.Redis(port=direct) as admin:
        for name, rules in RULES.items():
            admin.execute_command("ACL", "SETUSER", name, "on", f">{PASSWORDS[name]}", *rules.split())
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", "off")
    users = [{"name": name, "password": {"secret": f"{name}-secret"}, "rules": rules} for name, rules in RULES.items()]
    config = {
        "secrets": {f"{name}-secret": {"value": password} for name, password in PASSWORDS.items()},
        "listeners": [
            listener("guarded", port, {"name": "redis", "users": users}, [{"cluster": "cache"}]),
            listener("open", everybody, "redis", [{"cluster": "cache"}]),
        ],
        "clusters": [cluster("cache", behind)],
    }
    return Mesh(shared_proxy(config), direct, port, everybody, list(PASSWORDS.values()))


# -- decisions against a real server's


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client of a server of its own."""
    import redis

    port = free_port()
    start(catalogue.redis_server(port, tmp_path_factory.mktemp("dry")), lambda: answers(port))
    with redis.Redis(port=port, protocol=2) as client:
        yield client


def rules_of(choose: random.Random) -> list[str]:
    """Rules at random: some of each kind, in any order."""
    names = sorted(name for name in NAMES if name.upper() not in LATER and "no-touch" not in name)
    made = []
    for _ in range(choose.randrange(1, 7)):
        sign = choose.choice("++-")
        what = choose.choice([f"@{choose.choice(sorted(CATEGORIES))}", "@all", choose.choice(names)])
        made.append(f"{sign}{what}")
    keys = ("*", "app:*", "a*:?", "[a-c]*", "[^a]*", "app:[12]", "\\*", "1", "k?")
    for pattern in choose.sample(keys, choose.randrange(4)):
        made.append(choose.choice(["~", "~", "%R~", "%W~", "%RW~"]) + pattern)
    for pattern in choose.sample(("*", "news.*", "n?", "app:1"), choose.randrange(3)):
        made.append(f"&{pattern}")
    return made


def is_known_here(name: str) -> bool:
    return name in {"hexpire", "hpexpire", "hexpireat", "hpexpireat", "hpersist", "hgetdel", "hgetex", "hsetex"} or (
        name in {"httl", "hpttl", "hexpiretime", "hpexpiretime", "client|setinfo", "client|no-touch"}
    )


def command_of(choose: random.Random, arities: dict[str, int]) -> list[str]:
    """A command at random, with as many arguments as it may have."""
    name = choose.choice(sorted(arities))
    words = name.split("|")
    least = abs(arities[name]) - len(words)
    count = least if arities[name] > 0 else least + choose.randrange(4)
    pool = (
        "app:1",
        "app:2",
        "abc:1",
        "other",
        "k1",
        "1",
        "2",
        "*",
        "news.a",
        "n1",
        "GET",
        "STORE",
        "STREAMS",
        "BY",
        "w*",
    )
    return [*words, *(choose.choice(pool) for _ in range(count))]


def has_keys(server: Any, command: list[str]) -> bool:
    """Whether the server can tell the keys of a command."""
    import redis

    connection = server.connection_pool.get_connection()
    connection.send_command("COMMAND", "GETKEYS", *command)
    try:
        connection.read_response()
    except redis.exceptions.ResponseError:
        return False
    finally:
        server.connection_pool.release(connection)
    return True


def test_random_users_and_commands_are_decided_as_by_a_real_server(server: Any) -> None:
    """
    Each decision by ACL DRYRUN, which executes nothing; 60 users, 150 commands each. Ours may be stricter where the
    server finds no keys in a command that makes no sense; never the other way round.
    """
    choose = random.Random(SEED)
    arities: dict[str, int] = {}
    for row in raw(server, "COMMAND"):
        arities[row[0].decode()] = row[1]
        arities.update({inner[0].decode(): inner[1] for inner in row[9]})
    wrong, counted = [], {"allowed": 0, "denied": 0, "stricter": 0}
    for number in range(USERS):
        name = f"user{number}"
        rules = [rule for rule in rules_of(choose) if not is_known_here(rule[1:])]
        # Redis refuses what changes nothing behind ~* or &*.
        stars = {"~*": "~", "%RW~*": "~", "&*": "&"}
        last = {stars[rule]: rule for rule in rules if rule in stars}
        rules = [rule for rule in rules if not (("~" in rule and "~" in last) or (rule[0] == "&" and "&" in last))]
        rules += last.values()
        server.execute_command("ACL", "SETUSER", name, "reset", "on", "nopass", *rules)
        ours = Rules(rules)
        commands = [command_of(choose, arities) for _ in range(COMMANDS)]
        pipeline = server.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command("ACL", "DRYRUN", name, *command)
        for command, told in zip(commands, pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(told, Exception):  # arguments that make no sense to it
                continue
            words = [word.encode() for word in command]
            refused = ours.refusal(words[0].upper(), partial(list, words))
            allowed = told in (b"OK", "OK", True)
            counted["allowed" if allowed else "denied"] += 1
            if allowed == (not refused or refused.startswith("ERR")):  # SORT BY is no matter of DRYRUN's
                continue
            if allowed and (command[0].startswith(("georadius", "fcall", "eval")) or not has_keys(server, command)):
                counted["stricter"] += 1  # a STORE out of place, or a number of keys that is none: it would fail anyway
                continue
            wrong.append((rules, command, told, refused))
    assert wrong == [], "\n".join(map(str, wrong))
    assert counted["allowed"] > 1000 and counted["denied"] > 1000 and counted["stricter"] < 60, counted


def raw(server: Any, *command: str) -> Any:
    connection = server.connection_pool.get_connection()
    connection.send_command(*command)
    reply = connection.read_response()
    server.connection_pool.release(connection)
    return reply


def test_random_patterns_match_the_same_keys_as_in_a_real_server(server: Any) -> None:
    """400 patterns over 200 keys of few characters, seeded."""
    choose = random.Random(SEED)
    keys = {bytes(choose.choice(b"ab]-*\\") for _ in range(choose.randrange(1, 6))) for _ in range(200)}
    server.flushall()
    server.mset(dict.fromkeys(keys, 1))
    for _ in range(400):
        pattern = bytes(choose.choice(b"ab**?[]^-\\") for _ in range(choose.randrange(1, 8)))
        glob = Glob(pattern)
        assert {key for key in keys if glob.matches(key)} == set(server.keys(pattern)), pattern


def test_categories_are_those_of_a_real_server(server: Any) -> None:
    for name, ours in CATEGORIES.items():
        theirs = {one.decode() for one in raw(server, "ACL", "CAT", name)}
        assert {one for one in ours if not is_known_here(one)} == theirs, name


FLAGS = {b"access": READ, b"insert": WRITE, b"delete": WRITE, b"update": WRITE}
SHOWN = """
GET k|SET k v|SET k v GET|SET k v get|SETEX k 1 v|MSET a 1 b 2|MGET a b|DEL a b|INCR k|APPEND k v|GETDEL k
GETEX k|GETSET k v|BITFIELD k GET u8 0|BITFIELD k SET u8 0 1|BITFIELD k INCRBY u8 0 1
BITFIELD k OVERFLOW SAT GET u8 0|BITFIELD_RO k GET u8 0|BITOP AND d a b|COPY a b|RENAME a b|RENAMENX a b
SMOVE a b m|LMOVE a b LEFT LEFT|RPOPLPUSH a b|BLMOVE a b LEFT LEFT 0|SORT k|SORT k STORE d|SORT_RO k
ZUNIONSTORE d 2 a b|ZRANGESTORE d a 0 1|ZDIFF 2 a b|SUNIONSTORE d a b|SINTERCARD 2 a b
GEORADIUS k 1 1 1 m STORE d|GEORADIUSBYMEMBER k m 1 m STOREDIST d|GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 m
PFMERGE d a b|PFCOUNT a b|PFADD k v|EVAL x 2 a b|EVAL_RO x 1 a|FCALL f 1 a|XREAD STREAMS a b 0 0
XREADGROUP GROUP g c STREAMS a 0|XADD k * f v|XACK k g 1|XINFO STREAM k|XGROUP CREATE k g 0|OBJECT ENCODING k
MEMORY USAGE k|TYPE k|EXISTS a b|TTL k|EXPIRE k 1|BLPOP a b 0|BLMPOP 0 2 a b LEFT|LMPOP 1 a LEFT|ZMPOP 1 a MIN
STRLEN k|HLEN k|HGET k f|HSET k f v|HINCRBY k f 1|SPOP k|WATCH a
"""


@pytest.mark.parametrize("text", SHOWN.strip().replace("\n", "|").split("|"))
def test_what_a_command_does_to_its_keys_is_what_the_server_says(text: str, server: Any) -> None:
    theirs = []
    for key, flags in raw(server, "COMMAND", "GETKEYSANDFLAGS", *text.split()):
        need = NOTHING
        for flag in flags:
            need |= FLAGS.get(flag, NOTHING)
        theirs.append((key, need))
    words = [word.encode() for word in text.split()]
    assert accesses(words[0].decode(), words) == theirs


# -- clients


CONVERSATION = [
    ("SET", "app:1", "x"),
    ("GET", "app:1"),
    ("GET", "shared:1"),
    ("SET", "shared:1", "x"),
    ("GET", "other"),
    ("MGET", "app:1", "other"),
    ("DEL", "app:1"),
    ("KEYS", "*"),
    ("CONFIG", "GET", "maxmemory"),
    ("PUBLISH", "news.a", "x"),
    ("FLUSHALL",),
    ("SORT", "app:l", "BY", "w_*"),
    ("SORT", "app:l", "GET", "w_*"),
    ("OBJECT", "ENCODING", "other"),
    ("SELECT", "1"),
    ("SELECT", "0"),
    ("ECHO", "x"),
    ("EVAL", "return 1", "0"),
    ("CLIENT", "SETNAME", "x"),
    ("CLIENT", "KILL", "ID", "999"),
]


def said(client: Any, *command: str) -> Any:
    import redis

    try:
        return client.execute_command(*command)
    except redis.exceptions.RedisError as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", ["ann", "bob", "ops"])
def test_redis_py_is_told_the_same_as_by_a_server_with_these_users(name: str, resp: int, mesh: Mesh) -> None:
    import redis

    replies = []
    for port in (mesh.direct, mesh.port):
        login = {"username": name, "password": PASSWORDS[name], "protocol": resp, "decode_responses": True}
        with redis.Redis(port=port, **login) as client:
            client.execute_command("PING")
            mine = [command for command in CONVERSATION if command[:2] != ("CLIENT", "KILL")]
            replies.append([said(client, *command) for command in mine])
    assert replies[1] == replies[0]
    if name == "ann":
        denied = [one for one in replies[1] if isinstance(one, tuple) and one[0] == "NoPermissionError"]
        assert len(denied) >= 8, replies[1]


def test_a_wrong_login_is_refused_in_the_servers_words_and_nobody_else_gets_in(mesh: Mesh) -> None:
    import redis

    wrong = [("ann", "x"), ("nobody", ANN), ("gone", "gone-password"), ("default", ANN), ("ann", "")]
    told = []
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # a refused login is tried for seconds else
    for port in (mesh.direct, mesh.port):
        with redis.Redis(port=port, protocol=2, driver_info=None, retry=once) as client:
            lines = [said(client, "AUTH", *login) for login in wrong]
            lines += [
                said(client, "HELLO", "3", "AUTH", "ann", "x"),
                said(client, "AUTH", ANN),
                said(client, "GET", "app:1"),
            ]
            told.append(lines)
    assert told[1] == told[0]
    assert all(isinstance(one, tuple) for one in told[1])


def test_a_transaction_with_a_command_that_is_denied_does_nothing(mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.port, username="ann", password=ANN) as client:
        client.set("app:t", "before")
        pipeline = client.pipeline(transaction=True)
        pipeline.set("app:t", "after").set("other", "x")
        with pytest.raises(redis.exceptions.ResponseError):
            pipeline.execute()
        assert client.get("app:t") == b"before"


def test_channels_are_those_of_the_rules(mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.port, username="ops", password=OPS) as ops:
        for name, channel, heard in (("ops", "news.a", 1), ("bob", "news.a", 0)):
            with redis.Redis(port=mesh.port, username=name, password=PASSWORDS[name]) as client:
                listening = client.pubsub()
                listening.subscribe(channel)
                if heard:
                    assert listening.get_message(timeout=5)["type"] == "subscribe"
                    assert ops.publish(channel, "hi") == 1
                else:
                    with pytest.raises(redis.exceptions.NoPermissionError, match="one of the channels"):
                        listening.get_message(timeout=5)
                listening.close()


@pytest.mark.peer("redis-cli")
def test_redis_cli_logs_in_and_is_refused(mesh: Mesh) -> None:
    def cli(port: int, *words: str) -> str:
        argv = ["redis-cli", "-p", str(port), "--no-auth-warning", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout.strip()

    for words in (("SET", "app:c", "1"), ("GET", "app:c"), ("SET", "other", "1"), ("FLUSHALL",)):
        login = ("--user", "ann", "--pass", ANN, *words)
        assert cli(mesh.port, *login) == cli(mesh.direct, *login)
    assert "NOPERM" in cli(mesh.port, "--user", "ann", "--pass", ANN, "FLUSHALL")
    assert "NOAUTH" in cli(mesh.port, "GET", "app:c")
    assert cli(mesh.open, "FLUSHALL") == "OK"


@pytest.mark.peer("ioredis")
def test_ioredis_logs_in_and_is_refused(clients: Clients, mesh: Mesh) -> None:
    jobs = clients(catalogue.ioredis_client())
    calls = [["set", "app:i", "1"], ["get", "app:i"], ["set", "other", "1"]]
    results = jobs.run(port=mesh.port, username="ann", password=ANN, calls=calls)
    assert results[1].get("value") == "1", results
    assert "NOPERM" in results[2]["error"]["message"], results


def test_a_password_shows_up_nowhere(mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.port, username="ann", password=ANN) as client:
        client.get("app:1")
    for path in ("/config_dump", "/listeners", "/stats", "/plugins", "/server_info", "/metrics"):
        shown = mesh.proxy.ask(path)[1]
        assert not [secret for secret in mesh.secrets if secret in shown], path
    assert not [secret for secret in mesh.secrets if secret in mesh.proxy.log()]


def test_conf_redis_acl_does_what_it_says(start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    import redis

    text = (ROOT / "conf" / "redis-acl.yaml").read_text()
    server, port = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    text = text.replace("127.0.0.1:6400", f"127.0.0.1:{port}").replace("127.0.0.1:6401", f"127.0.0.1:{server}")
    between = proxy(yaml.safe_load(text))
    with redis.Redis(port=port, username="shop", password="shop-password", decode_responses=True) as shop:
        assert shop.set("shop:1", "a") and shop.get("shop:1") == "a"
        with pytest.raises(redis.exceptions.NoPermissionError):
            shop.get("bank:1")
    with redis.Redis(port=port, username="report", password="report-password", decode_responses=True) as report:
        assert report.get("shop:1") == "a"
        with pytest.raises(redis.exceptions.NoPermissionError):
            report.set("shop:1", "b")
    with redis.Redis(port=port) as nobody:
        assert nobody.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            nobody.get("shop:1")
    assert "-password" not in between.ask("/config_dump")[1]
