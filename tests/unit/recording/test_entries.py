from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present

from metaproxy.message import Chunk, Hold, Kind
from metaproxy.recording.entries import BadRecording, Entry, Frame, Piece, foot, head, read


def entry(number: int = 0, start: float = 0.0, **more: Any) -> Any:
    request = Frame(Kind.REQUEST, b"\x00ask\xff", 7, Hold.OPEN, (3, 1, "own"), {"key": "k"})
    response = Frame(Kind.ERROR, b"no", 9)
    return Entry(**{
        "number": number, "start": start, "duration": 0.25, "connection": "front/1", "request": request,
        "response": response, "endpoint": "127.0.0.1:1", "redacted": ("token",), **more,
    })  # fmt: skip


def lines(*entries: Any) -> Any:
    return [head("2026-01-31T09:00:00.000Z"), *(one.line() for one in entries), foot(exchanges=len(entries))]


def test_what_is_written_is_read_again() -> None:
    found = read(lines(entry()))
    one = found.entries[0]
    assert (one.request.data, one.request.id, one.request.hold) == (b"\x00ask\xff", 7, Hold.OPEN)
    assert one.request.profile == (3, 1, "own")
    assert present(one.response).kind is Kind.ERROR
    assert one == Entry(**{name: getattr(entry(), name) for name in Entry.__slots__ if name != "response"},
                        response=Frame(Kind.ERROR, b"no", 9, metadata={}))  # fmt: skip
    assert (found.head["version"], found.end, found.broken) == (2, {"exchanges": 1}, "")


@given(st.binary(max_size=200), st.text(max_size=50))
def test_any_bytes_and_texts_pass(data: Any, text: Any) -> None:
    one = entry(request=Frame(Kind.ONEWAY, data, 0, metadata={"x": text}), response=None, operation=text)
    line = one.line()
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert read(lines(one)).entries[0].request.data == data


def test_exchanges_come_in_the_order_in_which_they_were_read_whatever_ended_first() -> None:
    found = read(lines(entry(2, 1.0), entry(1, 1.0), entry(0, 0.5), entry(3, 0.7)))
    assert [one.number for one in found.entries] == [0, 3, 1, 2]


def test_a_profile_that_would_not_come_back_the_same_is_left_out() -> None:
    frame = Frame(Kind.REQUEST, b"", profile=(1, object()))
    assert "profile" not in frame.json()


def test_a_file_that_a_crash_cut_is_read_up_to_there() -> None:
    whole = lines(entry(0), entry(1))
    found = read([*whole[:2], whole[2][:40]])
    assert len(found.entries) == 1
    assert found.broken.startswith("line 3")
    assert found.end is None


def test_only_what_a_server_had_counts_as_answered() -> None:
    assert entry().answered
    assert entry(response=None).answered
    assert not entry(response=None, endpoint="-").answered


def stream() -> Any:
    """A request in two pieces, and the beginning of its answer."""
    last = Piece(0.5, b"wo\xff", Kind.STREAM_CLOSE, True, False, b"a: b\r\n", {"a": "b"})
    request = Frame(Kind.STREAM_OPEN, b"ask", 7, metadata={}, chunks=[Piece(0.25, b"one"), last])
    response = Frame(Kind.STREAM_OPEN, b"head", 7, metadata={}, chunks=[Piece(0.75, b"x")], cut=True, failed=True)
    return entry(request=request, response=response)


def test_a_stream_is_read_again_as_it_was_written() -> None:
    (one,) = read(lines(stream())).entries
    assert (one.request, one.response) == (stream().request, stream().response)
    assert (one.request.payload, one.whole, one.streamed) == (b"onewo\xff", True, True)
    assert present(one.response).reports_failure


def test_a_piece_is_the_chunk_that_it_was() -> None:
    last = Chunk(Kind.STREAM_CLOSE, b"wo", 7, {"a": "b"}, b"a: b\r\n", failed=True, final=False)
    again = Piece.of(last, 0.5, {"a": "b"}).chunk()
    last.id = 0
    assert again == last
    assert again.metadata == {"a": "b"}


def test_files_of_version_1_are_read_and_have_no_streams() -> None:
    first = json.dumps({"format": "metaproxy-recording", "version": 1, "started": "x"})
    line = (
        '{"number": 0, "start": 0.125, "duration": 0.0031, "connection": "in/1", "source": "-", "listener": "in", '
        '"protocol": "quill", "operation": "-", "route": "-", "cluster": "-", "endpoint": "a:1", "outcome": "ok", '
        '"details": "", "redacted": [], "request": {"kind": "request", "id": 7, "metadata": {}, "frame": "YXNr"}, '
        '"response": {"kind": "response", "id": 7, "metadata": {}, "frame": "b2s="}}'
    )
    (one,) = read([first, line]).entries
    assert (one.request.data, one.request.chunks, one.request.cut, one.streamed) == (b"ask", None, False, False)


BAD = [
    ([], "empty"),
    (["{}"], "line 1: not the head"),
    (["hello"], "line 1: not the head"),
    (["[]"], "line 1: not the head"),
    ([json.dumps({"format": "metaproxy-recording", "version": 3})], "version 3; this metaproxy reads versions 1 and 2"),
    ([head("x"), '{"number": 1}', foot()], "line 2: no exchange"),
    ([head("x"), entry().line().replace('"request"', '"ask"', 1), foot()], "line 2"),
    ([head("x"), entry().line().replace('"kind": "request"', '"kind": "wish"'), foot()], "line 2"),
    ([head("x"), stream().line().replace('"kind": "stream_close"', '"kind": "request"'), foot()], "a chunk of kind"),
    ([head("x"), stream().line().replace('"at": 0.5', '"at": "soon"'), foot()], "line 2"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_recording_is_refused_with_its_line(text: list[str], why: str) -> None:
    with pytest.raises(BadRecording, match=why):
        read(text)
