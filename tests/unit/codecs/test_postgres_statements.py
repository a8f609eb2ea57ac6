"""Batches that a client sends again and again: each means what it would mean if it was the first."""

import pytest

from metaproxy.codecs.postgres.statements import ClientStatements
from metaproxy.codecs.postgres.wire import message
from metaproxy.message import FrameError

ONE, OTHER = b"select 1\0\0\0", b"select 2\0\0\0"
SYNC = message(b"S")
RUN = message(b"D", b"P\0") + message(b"E", bytes(5)) + SYNC


def parse(name: bytes, body: bytes) -> bytes:
    return message(b"P", name + b"\0" + body)


def bind(name: bytes, values: bytes = b"", portal: bytes = b"") -> bytes:
    return message(b"B", portal + b"\0" + name + b"\0" + values)


def client(*frames: bytes) -> ClientStatements:
    statements = ClientStatements()
    for frame in frames:
        statements.rewrite(frame)
    return statements


BATCHES = {
    "the same": bind(b"s") + RUN,
    "other values": bind(b"s", b"value s\0 and more") + RUN,
    "another portal": bind(b"s", portal=b"p") + RUN,
    "another end": bind(b"s") + SYNC,
    "a longer end": bind(b"s") + RUN + RUN,
    "two runs": bind(b"s") + message(b"E", bytes(5)) + bind(b"s") + RUN,
    "a description of the statement": bind(b"s") + message(b"D", b"Ss\0") + SYNC,
    "it closes the statement": bind(b"s") + message(b"C", b"Ss\0") + SYNC,
    "cut within the values": (bind(b"s", bytes(20)) + RUN)[:20],
    "a statement that is not known": bind(b"t") + RUN,
    "a statement without a name": bind(b"") + RUN,
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_a_batch_means_the_same_whatever_was_sent_before(batch: bytes) -> None:
    prepared = parse(b"s", ONE) + parse(b"", OTHER) + SYNC
    for before in BATCHES.values():
        if before != BATCHES["it closes the statement"]:
            assert client(prepared, before, before, batch).rewrite(batch) == client(prepared, batch).rewrite(batch)


def test_a_name_that_is_prepared_with_something_else_is_another_statement() -> None:
    batch = bind(b"s") + RUN
    again = client(parse(b"s", ONE) + SYNC, batch, message(b"C", b"Ss\0") + SYNC, parse(b"s", OTHER) + SYNC)
    assert again.rewrite(batch) == client(parse(b"s", OTHER) + SYNC).rewrite(batch)
    closed = client(parse(b"s", ONE) + SYNC, batch, message(b"C", b"Ss\0") + SYNC)
    assert closed.rewrite(batch) == ClientStatements().rewrite(batch)
    replaced = client(parse(b"", ONE) + SYNC, bind(b"") + RUN, parse(b"", OTHER) + SYNC)
    assert list(replaced.rewrite(bind(b"") + RUN).texts) == [b"select 2"]


def test_a_bind_without_its_names_is_an_error_each_time() -> None:
    statements = client(parse(b"s", ONE) + SYNC, bind(b"s") + RUN)
    for _ in range(2):
        with pytest.raises(FrameError, match="zero byte"):
            statements.rewrite(message(b"B", b"s") + RUN)
