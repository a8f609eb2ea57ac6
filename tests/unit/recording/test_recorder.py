from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import LineCodec, answer, call
from reachable import reachable
from reel import Reel, frame
from running_proxy import Running, watch_first
from twisted.internet.defer import succeed

from metaproxy.codecs.framing import Codec
from metaproxy.message import Chunk, Kind, Side
from metaproxy.proxy.exchange import Exchange
from metaproxy.recording import recorder as module
from metaproxy.recording.entries import read
from metaproxy.recording.recorder import Recorder
from metaproxy.telemetry.access_log.files import LogFiles
from metaproxy.telemetry.inspect.exchange_match import compile_match


class Studio:
    """A proxy that is recorded to `file`."""

    def __init__(
        self,
        folder: Path,
        match: str = "",
        max_bytes: int = 1 << 20,
        max_seconds: float = 60.0,
        codec: Codec | None = None,
    ) -> None:
        self.running = Running(codec=codec)
        self.clock = self.running.network.clock
        logs = LogFiles(self.clock, lambda write: succeed(write()))
        self.path = folder / "tape.jsonl"
        self.ended = 0
        file = logs.single(str(self.path))
        self.recorder = Recorder(file, compile_match(match), max_bytes, max_seconds, self._end, listener="front")
        self.running.proxy.watch(self.recorder.on_complete, on_chunk=self.recorder.on_chunk)

    def _end(self) -> None:
        self.ended += 1

    def read(self) -> Any:
        self.clock.advance(1)
        return read(self.path.read_text().splitlines())


def test_exchanges_are_written_with_both_frames_and_times(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    client = studio.running.client()
    studio.clock.advance(2)
    studio.running.exchange(client, "echo")
    studio.recorder.stop("request")
    found = studio.read()
    (one,) = found.entries
    assert (one.start, round(one.duration, 6), one.connection) == (2.0, 0.003, "front/1")
    assert one.request.data == call(1)
    assert one.response.data[12:] == answer(1)[12:]
    assert (one.outcome, one.route, one.protocol) == ("ok", "main", "quill")
    assert found.head["listener"] == "front"
    assert (found.end["exchanges"], found.end["ended_by"]) == (1, "request")
    assert studio.ended == 1


def test_requests_are_numbered_as_they_were_read_although_others_end_first(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    client = studio.running.client()
    studio.running.say(client, call(1, body=b"1") + call(2, body=b"2") + call(3, body=b"3"))
    wires = studio.running.network.upstreams
    sent = [(wire, frame[4:12], frame[-1:]) for wire in wires for frame in _frames(wire.take())]
    for wire, id, _ in sorted(sent, key=lambda one: one[2], reverse=True):
        studio.running.say(wire, answer(int.from_bytes(id, "big")), 0.001)
    studio.running.exchange(client, "echo")
    studio.recorder.stop("request")
    found = studio.read()
    assert [(one.number, one.request.data[-1:]) for one in found.entries] == [
        (0, b"1"), (1, b"2"), (2, b"3"), (3, b"i"),
    ]  # fmt: skip
    ends = [one.end for one in found.entries[:3]]
    assert ends == sorted(ends, reverse=True)
    assert not [one for one in reachable(studio.recorder) if isinstance(one, Exchange)]


def _frames(data: bytes) -> Iterator[bytes]:
    while data:
        size = 4 + int.from_bytes(data[:4], "big")
        yield data[:size]
        data = data[size:]


def test_a_match_chooses(tmp_path: Path) -> None:
    studio = Studio(tmp_path, "outcome=denied")
    client = studio.running.client()
    for service in ("echo", "gone", "echo"):
        studio.running.exchange(client, service)
    studio.recorder.stop("request")
    assert [one.outcome for one in studio.read().entries] == ["denied"]


def test_it_ends_by_size_and_the_file_is_no_larger(tmp_path: Path) -> None:
    studio = Studio(tmp_path, max_bytes=8000)
    client = studio.running.client()
    for _ in range(100):
        studio.running.exchange(client)
    found = studio.read()
    assert studio.recorder.why == "max_bytes"
    assert 5000 < studio.path.stat().st_size <= 8000
    assert found.end["exchanges"] == len(found.entries) == studio.recorder.exchanges
    assert studio.ended == 1


def test_it_ends_by_time(tmp_path: Path) -> None:
    studio = Studio(tmp_path, max_seconds=5)
    studio.clock.advance(5)
    assert (studio.recorder.why, studio.ended) == ("max_seconds", 1)
    studio.recorder.stop("request")
    assert studio.read().end["ended_by"] == "max_seconds"


def test_large_frames_and_secrets_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAME", 100)
    studio = Studio(tmp_path)
    client = studio.running.client()
    studio.running.say(client, call(1, "gone", bytes(200)))

    def spy(exchange: Any) -> None:
        exchange.message.metadata["password"] = "hunter2"

    watch_first(studio.running.proxy, spy)
    studio.running.apply(2)
    studio.running.exchange(client)
    studio.recorder.stop("request")
    found = studio.read()
    assert found.entries == []
    assert found.end["left_out"] == {"secret": 1, "large": 1, "undecodable": 0, "begun": 0, "lost": 0}
    assert "hunter2" not in studio.path.read_text()


def test_what_the_disk_does_not_take_is_lost_and_told(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.recorder.file.path = str(tmp_path / "no" / "such" / "folder")
    studio.running.exchange(studio.running.client())
    studio.clock.advance(1)
    assert studio.recorder.lost == 2
    assert json.loads(json.dumps(studio.recorder.figures()))["left_out"]["lost"] == 2


# -- streams


class StreamStudio(Studio):
    """The same with Reel, and a client whose request of id 7 went to the server under 1."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, codec=Reel(), **options)
        self.client = self.running.client()

    def up(self, *frames: tuple[str, bytes], after: float = 0.0) -> None:
        self.running.say(self.client, b"".join(frame(kind, 7, payload) for kind, payload in frames), after)

    def down(self, *frames: tuple[str, bytes], after: float = 0.0) -> None:
        (server,) = self.running.network.upstreams
        self.running.say(server, b"".join(frame(kind, 1, payload) for kind, payload in frames), after)

    def entries(self) -> Any:
        self.recorder.stop("request")
        found = self.read()
        return found.entries, found.end["left_out"]


def test_a_stream_is_written_when_it_ends_with_the_chunks_of_both_halves_and_their_times(tmp_path: Path) -> None:
    studio = StreamStudio(tmp_path)
    studio.up(("O", b"ask"), ("D", b"one"))
    studio.down(("O", b"head"), after=0.5)
    studio.up(("C", b"two"), after=0.25)
    studio.down(("D", b"three"), ("X", b"four"), after=0.25)
    (entry,), _ = studio.entries()
    assert (entry.request.kind, entry.request.data) == (Kind.STREAM_OPEN, frame("O", 7, b"ask"))
    assert [(one.at, one.kind, one.data) for one in entry.request.chunks] == [
        (0.0, Kind.STREAM_DATA, b"one"),
        (0.75, Kind.STREAM_CLOSE, b"two"),
    ]
    assert [(one.at, one.data, one.failed) for one in entry.response.chunks] == [
        (1.0, b"three", False),
        (1.0, b"four", True),
    ]
    assert (entry.outcome, entry.duration, entry.request.cut, entry.response.cut) == ("error", 1.0, False, False)
    assert entry.streamed and entry.whole


def test_a_whole_answer_to_a_stream_has_no_chunks(tmp_path: Path) -> None:
    studio = StreamStudio(tmp_path)
    studio.up(("O", b"ask"), ("C", b"one"))
    studio.down(("W", b"whole"))
    (entry,), _ = studio.entries()
    assert (len(entry.request.chunks), entry.response.kind, entry.response.chunks) == (1, Kind.RESPONSE, None)


def test_of_a_long_stream_the_beginning_is_written_and_that_it_was_cut(tmp_path: Path) -> None:
    studio = StreamStudio(tmp_path, max_bytes=4 << 20)
    studio.up(("O", b"ask"), ("C", b"one"))
    studio.down(("O", b""))
    for _ in range(40):
        studio.down(("D", bytes(60000)))
    studio.down(("C", b"end"))
    (entry,), _ = studio.entries()
    assert (entry.request.cut, entry.response.cut, entry.whole) == (False, True, True)
    assert 900_000 < len(entry.response.payload) <= 1 << 20
    assert len(entry.request.payload) == 3


def test_a_stream_that_had_begun_before_the_recording_is_left_out_and_counted(tmp_path: Path) -> None:
    studio = StreamStudio(tmp_path)
    studio.recorder.stop("request")
    studio.up(("O", b"ask"), ("D", b"one"))
    studio.clock.advance(1)
    file = LogFiles(studio.clock, lambda write: succeed(write())).single(str(tmp_path / "later.jsonl"))
    later = Recorder(file, compile_match(""), 1 << 20, 60.0, lambda: None)
    studio.running.proxy.watch(later.on_complete, on_chunk=later.on_chunk)
    studio.up(("C", b"two"))
    studio.down(("W", b""))
    assert (later.exchanges, later.left_out["begun"]) == (0, 1)


def test_a_stream_whose_trailers_hold_a_secret_is_left_out(tmp_path: Path) -> None:
    studio = StreamStudio(tmp_path)
    studio.up(("O", b"ask"))
    (exchange,) = studio.running.proxy.open_streams()
    last = Chunk(Kind.STREAM_CLOSE, b"", 7, {"x-api-key": "hunter2"}, b"x-api-key: hunter2\r\n")
    studio.recorder.on_chunk(exchange, last, Side.SERVER)
    studio.down(("W", b""))
    entries, left_out = studio.entries()
    assert (entries, left_out["secret"]) == ([], 1)
    assert "hunter2" not in studio.path.read_text()


@pytest.mark.parametrize("first", ["the stream", "the recording"])
def test_nothing_of_streams_is_kept_once_they_or_the_recording_have_ended(tmp_path: Path, first: str) -> None:
    studio = StreamStudio(tmp_path)
    studio.up(("O", b"ask"), ("D", b"one"))
    if first == "the recording":
        studio.recorder.stop("request")
    studio.up(("D", b"two"))
    studio.down(("W", b""))
    assert not [one for one in reachable(studio.recorder) if isinstance(one, Exchange)]


def test_a_servers_push_is_nothing_that_could_be_sent_again(tmp_path: Path) -> None:
    studio = Studio(tmp_path, codec=LineCodec())
    client = studio.running.client()
    studio.running.say(client, b"subscribe news\n")
    studio.running.say(studio.running.network.upstreams[0], b"event one\n")
    studio.recorder.stop("request")
    assert [one.outcome for one in studio.read().entries] == ["oneway"]
    assert studio.running.proxy.listeners["front"].counts.filter_errors == 0
