"""Cursors and transactions go on at the server that has them: what a request needs, and what a server tells it has."""

from collections.abc import Hashable

import pytest
from mongodb_words import EXHAUST, MORE, answer, command, sequence

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Message, Side

MAX = 1 << 22
LARGE = 1 << 16
SESSION: dict[str, bson.Value] = {"id": b"\x01" * 16}
IN_TRANSACTION: dict[str, bson.Value] = {"lsid": SESSION, "txnNumber": 3, "autocommit": False}
CURSOR = 8657914141431120022


def read(data: bytes) -> Message:
    session = MongoDB(mode="shared", stream_over=LARGE).session(Side.CLIENT, MAX)  # type: ignore[arg-type]
    message, *_ = session.receive(data)
    assert session.error is None
    return message


def key(data: bytes) -> Hashable:
    return getattr(read(data), "override_key", None)


class Server:
    """A server's session, and what it has said that it keeps. stream_over: bytes of an answer that is read whole."""

    def __init__(self, stream_over: int = LARGE) -> None:
        self.session: Session = MongoDB(mode="shared", stream_over=stream_over).session(Side.SERVER, MAX)  # type: ignore[arg-type]
        self.kept: set[Hashable] = set()
        self.session.keep = self._keep  # type: ignore[method-assign]
        self.session.open(None, {})
        self._last = 0

    def _keep(self, key: Hashable, live: bool) -> None:
        (self.kept.add if live else self.kept.discard)(key)

    def asks(self, fields: dict[str, bson.Value], answers: dict[str, bson.Value]) -> None:
        """A request, and its answer."""
        self._last += 1
        self.session.send(read(command(7, fields)), self._last)
        assert self.session.receive(answer(self._last, answers))
        assert self.session.error is None


def batch(cursor: int, **more: bson.Value) -> dict[str, bson.Value]:
    return {"cursor": {"firstBatch": [], **more, "id": cursor, "ns": "shop.orders"}, "ok": 1.0}


def test_what_goes_on_with_the_same_cursor_has_the_same_key() -> None:
    asked = key(command(7, {"getMore": CURSOR, "collection": "orders"}))
    assert asked is not None
    assert key(command(7, {"killCursors": "orders", "cursors": [CURSOR]})) == asked
    assert key(command(7, {"getMore": 5, "collection": "orders"})) != asked


def test_commands_of_one_transaction_have_the_same_key() -> None:
    asked = key(command(7, {"insert": "orders", **IN_TRANSACTION}, sequence("documents", {"a": 1})))
    assert asked is not None
    assert key(command(8, {"commitTransaction": 1, **IN_TRANSACTION})) == asked
    assert key(command(8, {"find": "orders", **IN_TRANSACTION, "txnNumber": 4})) != asked
    assert key(command(9, {"insert": "a", **IN_TRANSACTION}, sequence("documents", {"a": "x" * 2 * LARGE}))) == asked


@pytest.mark.parametrize(
    "fields",
    [
        {"find": "orders"},
        {"insert": "orders", "lsid": SESSION, "txnNumber": 3},
        {"find": "orders", "filter": {"autocommit": False}},
    ],
)
def test_other_commands_have_none(fields: dict[str, bson.Value]) -> None:
    assert key(command(7, fields)) is None


def test_a_cursor_is_kept_until_its_end() -> None:
    server = Server()
    server.asks({"find": "orders"}, batch(CURSOR))
    assert server.kept == {key(command(7, {"getMore": CURSOR}))}
    server.asks({"getMore": CURSOR, "collection": "orders"}, batch(CURSOR))
    assert server.kept
    server.asks({"getMore": CURSOR, "collection": "orders"}, batch(0))
    assert not server.kept


@pytest.mark.parametrize("answers", [{"ok": 0.0, "code": 43}, {"ok": 1.0}])
def test_a_cursor_that_is_gone_or_killed_is_kept_no_more(answers: dict[str, bson.Value]) -> None:
    server = Server()
    server.asks({"find": "orders"}, batch(CURSOR))
    if answers["ok"]:
        server.asks({"killCursors": "orders", "cursors": [CURSOR]}, answers)
    else:
        server.asks({"getMore": CURSOR, "collection": "orders"}, answers)
    assert not server.kept


def test_a_cursor_stays_where_a_getmore_failed_otherwise() -> None:
    server = Server()
    server.asks({"find": "orders"}, batch(CURSOR))
    server.asks({"getMore": CURSOR, "collection": "orders"}, {"ok": 0.0, "code": 50})
    assert server.kept


def test_a_transaction_is_kept_until_it_ended() -> None:
    server = Server()
    server.asks({"insert": "orders", **IN_TRANSACTION, "startTransaction": True}, {"n": 1, "ok": 1.0})
    assert server.kept == {key(command(7, {"commitTransaction": 1, **IN_TRANSACTION}))}
    server.asks({"insert": "orders", **IN_TRANSACTION}, {"ok": 0.0, "code": 112})
    assert server.kept
    server.asks({"commitTransaction": 1, **IN_TRANSACTION}, {"ok": 0.0, "code": 91})
    assert server.kept, "the commit may be sent again"
    server.asks({"commitTransaction": 1, **IN_TRANSACTION}, {"ok": 1.0})
    assert not server.kept


@pytest.mark.parametrize("size", [1, LARGE, 5 * LARGE])
def test_the_cursor_of_a_whole_answer_is_kept_however_large_that_is(size: int) -> None:
    server = Server(stream_over=1 << 20)
    server.asks({"find": "orders"}, batch(CURSOR, firstBatch=[{"item": "x" * size}]))
    assert server.kept == {key(command(7, {"getMore": CURSOR}))}
    server.asks({"getMore": CURSOR, "collection": "orders"}, batch(0, firstBatch=[{"item": "x" * size}]))
    assert not server.kept


@pytest.mark.parametrize("more", [{}, {"postBatchResumeToken": {"_data": "x" * 100}}])
@pytest.mark.parametrize("cut", [1, 7, 1000, 65536, 1 << 22])
def test_the_cursor_of_a_large_answer_is_found_however_it_is_cut(cut: int, more: dict[str, bson.Value]) -> None:
    server = Server()
    server.session.send(read(command(7, {"find": "orders"})), 1)
    rows: list[bson.Value] = ["x" * LARGE] * 3
    data = answer(1, {"cursor": {"firstBatch": rows, **more, "id": CURSOR, "ns": "shop.orders"}, "ok": 1.0})
    start = max(0, len(data) - 400) if cut < 1000 else 0
    server.session.receive(data[:start])
    for at in range(start, len(data), cut):
        server.session.receive(data[at : at + cut])
    assert server.kept == {key(command(7, {"getMore": CURSOR}))}


def test_a_large_answer_at_its_cursors_end_forgets_it() -> None:
    server = Server()
    server.asks({"find": "orders"}, batch(CURSOR))
    server.asks({"getMore": CURSOR, "collection": "orders"}, {**batch(0), "x": "y" * 3 * LARGE})
    rows: list[bson.Value] = ["x" * LARGE] * 3
    server.asks({"find": "orders"}, batch(CURSOR))
    server.asks(
        {"getMore": CURSOR, "collection": "orders"}, {"cursor": {"nextBatch": rows, "id": 0, "ns": "a.b"}, "ok": 1.0}
    )
    assert not server.kept


def test_the_cursor_of_an_answer_that_is_large_behind_it_is_found() -> None:
    server = Server()
    server.asks({"find": "orders"}, {**batch(CURSOR), "x": "y" * 3 * LARGE})
    assert server.kept


def test_a_large_answer_without_a_cursor_keeps_nothing() -> None:
    server = Server()
    server.asks({"find": "orders"}, {"values": ["x" * 3 * LARGE], "ok": 1.0})
    assert not server.kept


def test_a_cursor_that_a_server_empties_by_itself_is_kept_and_forgotten() -> None:
    server = Server()
    server.session.send(read(command(7, {"getMore": CURSOR, "collection": "a"}, flags=EXHAUST)), 1)
    server.session.receive(answer(1, batch(CURSOR), id=50, flags=MORE))
    assert server.kept
    server.session.receive(answer(50, batch(0), id=51))
    assert not server.kept


def test_where_each_client_has_a_connection_nothing_is_kept() -> None:
    assert not MongoDB().keeps_keys
    assert MongoDB(mode="shared").keeps_keys
    session = MongoDB().session(Side.CLIENT, MAX)
    (message,) = session.receive(command(7, {"getMore": CURSOR}))
    assert getattr(message, "override_key", None) is None
