"""How many documents MongoDB's answers have, also those that pass in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mongodb_words import MORE, answer

from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Kind, Message, Side
from metaproxy.units import Bytes

WHOLE = 1 << 16
SIZES = {
    "none": [],
    "one that is whole": [WHOLE - 1000],
    "many small ones": [10] * 6000,
    "very many small ones": [10] * 9000,
    "few large ones": [70_000] * 3,
    "large ones first": [70_000] * 3 + [20] * 500,
    "small ones first": [20] * 100 + [70_000] * 3,
    "a large one last": [700] * 150 + [50_000],
}


def cursor(sizes: list[int], name: str = "firstBatch", id: int = 0) -> dict[str, bson.Value]:
    batch: list[bson.Value] = [{"a": "\3" + "1" * size} for size in sizes]
    return {"cursor": {name: batch, "id": id, "ns": "shop.orders"}, "ok": 1.0}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def heard(data: bytes, cut: int, **options: object) -> list[Message]:
    codec = MongoDB(stream_over=Bytes(WHOLE), **options)  # type: ignore[arg-type]
    session = codec.session(Side.SERVER, 1 << 22)
    session.open(None, {})
    messages = [message for piece in pieces(data, cut) for message in session.receive(piece)]
    assert session.error is None
    return messages


@pytest.mark.parametrize("mode", ["pinned", "shared"])
@pytest.mark.parametrize("cut", [1 << 16, 1000, 1021])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_however_an_answer_is_cut_its_documents_are_counted(sizes: list[int], cut: int, mode: str) -> None:
    data = answer(1, cursor(sizes))
    first, *_ = heard(data, cut, mode=mode)
    assert (first.kind is Kind.STREAM_OPEN) == (len(data) > WHOLE)
    assert first.get("rows") == str(len(sizes))


def test_an_answer_in_pieces_without_documents_has_no_rows() -> None:
    first, *_ = heard(answer(1, {"values": ["x" * WHOLE], "ok": 1.0}), 5000)
    assert (first.kind, first.get("rows")) == (Kind.STREAM_OPEN, None)


def test_of_answers_one_after_the_other_all_documents_count() -> None:
    chain = [
        answer(1, cursor([10] * 5, id=7), id=900, flags=MORE),
        answer(900, cursor([10_000] * 8, "nextBatch", id=7), id=901, flags=MORE),
        answer(901, cursor([], "nextBatch", id=7), id=902, flags=MORE),
        answer(902, cursor([10] * 2, "nextBatch"), id=903),
    ]
    messages = heard(b"".join(chain), 5000)
    assert (messages[0].kind, messages[-1].kind) == (Kind.STREAM_OPEN, Kind.STREAM_CLOSE)
    assert messages[0].get("rows") == "15"
