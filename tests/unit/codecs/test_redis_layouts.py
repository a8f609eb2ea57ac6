"""Redis Cluster and Sentinel: what redis-server and redis-sentinel 7.0 say of their servers, and what follows."""

from __future__ import annotations

import pytest

from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.layouts import ASKING, layout, questions, redirect, slot
from metaproxy.message import FrameError, Hold, Kind, Message, Side

A, B, C = (
    "74c0de2702d9ff10f487a240ffd48a38e4b3723e",
    "9636bdcffc71148cc304832c3a4b773dd47fbf1d",
    "c58048c551e1" + "0" * 28,
)
NODES = f"""\
d7a834722599df590b20a454589dd71579bbbd69 127.0.0.1:17004@27004 slave {C} 0 1795950485897 3 connected
8de52717049fc409caaa81fbf540db9dd8ea6872 127.0.0.1:17005@27005,five.example slave,fail {A} 0 1795950485000 1 connected
{B} 127.0.0.1:17002@27002 master - 0 1795950485092 2 connected 5461-10922 [93-<-{A}]
{A} :17001@27001 myself,master - 0 1795950485000 1 connected 0-5459 [77->-{B}]
bfae8a232afbf2ec67bfc5a0f38769f389cfc8c8 ::1:17006@27006 slave {B} 0 1795950485092 2 connected
{C} 127.0.0.1:17003@27003 master,fail - 0 1795950485092 3 disconnected 10923-16382 16383
0123456789012345678901234567890123456789 127.0.0.1:17007@27007 master - 0 0 0 connected
1123456789012345678901234567890123456789 :0@0 master,noaddr - 1 1 0 disconnected
2123456789012345678901234567890123456789 127.0.0.1:17008@27008 handshake - 1 1 0 connected
"""


def bulk(text: str) -> Message:
    return Message(Kind.RESPONSE, resp.bulk(text.encode()))


def listed(*words: str) -> bytes:
    return resp.encode([word.encode() for word in words])


def told(nodes: str = NODES, state: str = "ok", epoch: int = 6):  # type: ignore[no-untyped-def]
    info = f"cluster_state:{state}\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:{epoch}\r\n"
    return layout("cluster", [bulk(info), bulk(nodes)], "10.1.1.1:17001")


def test_nodes_are_what_they_say() -> None:
    found = told()
    a, b, c = A[:12], B[:12], C[:12]
    assert found.endpoints == {
        "10.1.1.1:17001": {"role": "primary", "shard": a},
        "127.0.0.1:17002": {"role": "primary", "shard": b},
        "127.0.0.1:17003": {"role": "failed", "shard": c},
        "127.0.0.1:17004": {"role": "replica", "shard": c},
        "127.0.0.1:17005": {"role": "failed", "shard": a},
        "[::1]:17006": {"role": "replica", "shard": b},
        "127.0.0.1:17007": {"role": "spare"},
    }
    assert found.aliases == {"five.example:17005": "127.0.0.1:17005"}
    assert (found.epoch, found.doubtful, found.shards) == (6, False, 3)


@pytest.mark.parametrize(("tag", "number"), [("123456789", 12739), ("foo", 12182), ("", 0), ("user1000", 3443)])
def test_slots_are_those_of_the_specification(tag: str, number: int) -> None:
    assert slot(tag) == number


def test_a_key_belongs_to_who_has_its_slot() -> None:
    found = told()
    assert (found.shard("foo"), found.shard("user1000"), found.shard("bar")) == (C[:12], A[:12], A[:12])
    assert told(NODES.replace("10923-16382 16383", "12183")).shard("foo") == ""
    assert found.group("foo") == 12182


def test_a_node_that_is_cut_off_says_that_it_may_be_wrong() -> None:
    cut_off = NODES.replace(" master - 0 1795950485092 2", " master,fail? - 0 1795950485092 2")
    assert told(cut_off, state="fail").doubtful
    whole = NODES.replace("master,fail -", "master -").replace("0-5459", "0-5460").replace("10923-16382 ", "10923-")
    assert told(whole.replace(" 16383", "16383"), state="fail").doubtful, "nothing that it says explains it"


@pytest.mark.parametrize("nodes", [NODES, NODES.replace("master,fail -", "master -")])
def test_one_that_reaches_most_masters_knows_that_some_slots_have_none(nodes: str) -> None:
    assert not told(nodes, state="fail").doubtful


@pytest.mark.parametrize(
    "nodes",
    [
        "x",
        f"{A} 127.0.0.1:1@2 master - 0 0 1 connected 0-16384\n",
        f"{A} 127.0.0.1:1@2 master - 0 0 1 connected 5-4\n",
        f"{A} 127.0.0.1:1@2 master - 0 0 1 connected a\n",
    ],
)
def test_what_can_t_be_an_answer_is_an_error(nodes: str) -> None:
    with pytest.raises(FrameError):
        told(nodes)


def test_a_server_that_is_in_no_cluster_says_so() -> None:
    error = Message(Kind.ERROR, b"-ERR This instance has cluster support disabled\r\n")
    with pytest.raises(FrameError, match="cluster support disabled"):
        layout("cluster", [error, error], "h:1")


# -- Sentinel


def watched(where: tuple[str, ...] = ("127.0.0.1", "17011"), flags: str = "master", status: str = "ok"):  # type: ignore[no-untyped-def]
    of_master = listed("name", "mymaster", "ip", "127.0.0.1", "port", "17011", "flags", flags, "config-epoch", "4")
    replicas = [
        listed("name", "x", "ip", "127.0.0.1", "port", port, "flags", marks, "master-link-status", status)
        for port, marks in (("17012", "slave"), ("17013", "s_down,slave,disconnected"))
    ]
    frames = [listed(*where) if where else b"*-1\r\n", of_master, b"*2\r\n" + b"".join(replicas)]
    return layout("sentinel", [Message(Kind.RESPONSE, frame) for frame in frames], "127.0.0.1:26379")


def test_a_sentinel_tells_the_master_and_its_replicas() -> None:
    found = watched()
    assert found.endpoints == {
        "127.0.0.1:17011": {"role": "primary"},
        "127.0.0.1:17012": {"role": "replica"},
        "127.0.0.1:17013": {"role": "failed"},
    }
    assert (found.epoch, found.shards) == (4, 0)


def test_a_replica_that_is_cut_off_from_its_master_is_not_read_from() -> None:
    assert watched(status="err").endpoints["127.0.0.1:17012"] == {"role": "failed"}


def test_a_master_that_all_sentinels_miss_is_none_until_another_is_chosen() -> None:
    assert watched(flags="s_down,o_down,master").endpoints["127.0.0.1:17011"] == {"role": "failed"}
    chosen = watched(("127.0.0.1", "17012"), flags="s_down,o_down,master").endpoints
    assert chosen["127.0.0.1:17012"] == {"role": "primary"}


def test_a_name_that_no_sentinel_knows_is_an_error() -> None:
    with pytest.raises(FrameError, match="watches no master of that name"):
        watched(())


def test_the_questions_are_commands() -> None:
    asked = [resp.arguments(one.frame) for one in questions("sentinel", "mymaster")]
    assert [words[1] for words in asked] == [b"GET-MASTER-ADDR-BY-NAME", b"MASTER", b"REPLICAS"]
    assert {words[2] for words in asked} == {b"mymaster"}
    assert [resp.arguments(one.frame) for one in questions("cluster", "")] == [
        [b"CLUSTER", b"INFO"],
        [b"CLUSTER", b"NODES"],
    ]


# -- errors that name another server

GET = Message(Kind.REQUEST, resp.encode([b"GET", b"foo"]))


def error(text: bytes) -> Message:
    return Message(Kind.ERROR, text)


def test_moved_is_for_good_and_ask_is_for_once() -> None:
    moved = redirect(GET, error(b"-MOVED 12182 127.0.0.1:6381\r\n"))
    assert moved is not None
    assert (moved.address, moved.message, moved.lasting) == ("127.0.0.1:6381", GET, True)
    asked = redirect(GET, error(b"-ASK 12182 ::1:6381\r\n"))
    assert asked is not None
    assert (asked.address, asked.lasting, asked.message.hold) == ("[::1]:6381", False, Hold.WAIT)
    assert asked.message.frame == ASKING + GET.frame
    again = redirect(asked.message, error(b"-ASK 12182 10.0.0.1:6381\r\n"))
    assert again is not None
    assert again.message.frame == ASKING + GET.frame, "once in front of it is enough"


def test_a_node_without_an_address_of_its_own_is_on_the_same_host() -> None:
    moved = redirect(GET, error(b"-MOVED 12182 :6381\r\n"))
    assert moved is not None
    assert moved.address == ":6381"


@pytest.mark.parametrize("text", [b"-CLUSTERDOWN The cluster is down\r\n", b"-READONLY You can't write\r\n"])
def test_other_errors_only_say_that_something_has_changed(text: bytes) -> None:
    found = redirect(GET, error(text))
    assert found is not None
    assert (found.address, found.lasting) == ("", True)


@pytest.mark.parametrize(
    "text", [b"-ERR no\r\n", b"-TRYAGAIN Multiple keys\r\n", b"-MOVED 1\r\n", b"-ASK 1 host:x\r\n"]
)
def test_an_error_that_names_nobody_is_the_client_s(text: bytes) -> None:
    assert redirect(GET, error(text)) is None


# -- connections to nodes


def test_connections_to_replicas_of_a_cluster_say_that_they_read() -> None:
    session = Redis().session(Side.SERVER, 1 << 20)
    session.facts = {"endpoint.role": "replica", "endpoint.shard": "x"}
    assert session.open(None, {}) == resp.encode([b"READONLY"])
    of_sentinel = Redis().session(Side.SERVER, 1 << 20)
    of_sentinel.facts = {"endpoint.role": "replica"}
    assert of_sentinel.open(None, {}) == b""


def test_the_answer_to_asking_is_nobody_s_wherever_it_comes() -> None:
    for cut in range(1, 30):
        session = Redis().session(Side.SERVER, 1 << 20)
        session.open(None, {})
        asked = redirect(GET, error(b"-ASK 12182 127.0.0.1:6381\r\n"))
        assert asked is not None
        sent = session.send(GET, 0) + session.send(asked.message, 0) + session.send(GET, 0)
        assert sent == GET.frame + ASKING + GET.frame + GET.frame
        answers = b"$1\r\na\r\n" + b"+OK\r\n" + b"$1\r\nb\r\n" + b"$1\r\nc\r\n"
        heard = session.receive(answers[:cut]) + session.receive(answers[cut:])
        assert [one.frame for one in heard] == [b"$1\r\na\r\n", b"$1\r\nb\r\n", b"$1\r\nc\r\n"], cut
        session.send(GET, 0)
        assert [one.frame for one in session.receive(b"$1\r\nd\r\n")] == [b"$1\r\nd\r\n"]
        assert session.reusable


def test_an_asking_that_is_refused_is_the_answer() -> None:
    session = Redis().session(Side.SERVER, 1 << 20)
    session.open(None, {})
    asked = redirect(GET, error(b"-ASK 12182 127.0.0.1:6381\r\n"))
    assert asked is not None
    session.send(asked.message, 0)
    (answer,) = session.receive(b"-ERR cluster support disabled\r\n$1\r\nb\r\n")
    assert (answer.kind, answer.frame) == (Kind.ERROR, b"-ERR cluster support disabled\r\n")
