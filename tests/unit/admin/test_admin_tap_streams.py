"""A tap shows streams as they begin, while they last, and as they end."""

from __future__ import annotations

from typing import Any

from browser import Desk
from reel import Reel, frame
from tap_reader import Reader

from metaproxy.admin.live import MAX_WAITING
from metaproxy.message import Message
from metaproxy.telemetry.inspect.first_bytes import FIRST
from metaproxy.testing import Wire


class Secretive(Reel):
    """What it is asked does not matter here."""

    def confidential(self, request: Message) -> bool:
        return True


class Scene:
    """A proxy of Reel, a tap, a client with a stream under way: `ask` up, nothing down yet."""

    def __init__(self, query: str = "", codec: Reel | None = None) -> None:
        self.desk = Desk(codec=codec or Reel())
        self.reader = Reader(self.desk, query)
        self.client: Wire = self.desk.running.client()
        self.from_client("O", b"ask")

    def from_client(self, kind: str, payload: bytes = b"", after: float = 0.0) -> None:
        self.desk.running.say(self.client, frame(kind, 7, payload), after)

    def from_server(self, kind: str, payload: bytes = b"", after: float = 0.0) -> None:
        (server,) = self.desk.running.network.upstreams
        self.desk.running.say(server, frame(kind, 1, payload), after)

    def line(self) -> dict[str, Any]:
        (line,) = self.reader.lines()
        return line


def test_a_stream_is_shown_when_each_of_its_heads_went_on_and_when_it_ends() -> None:
    scene = Scene()
    line = scene.line()
    assert (line["event"], line["outcome"], line["cluster"], line["response"]) == ("request_head", "", "demo", None)
    scene.from_server("O", b"head", after=0.25)
    line = scene.line()
    assert (line["event"], line["duration_ms"], line["stream"]["first_byte_ms"]) == ("response_head", 250.0, 250.0)
    assert line["response"]["metadata"] == {"say": "head"}
    scene.from_client("C", b"up")
    scene.from_server("D", b"do", after=0.25)
    assert scene.reader.lines() == []
    scene.from_server("C", b"wn", after=0.5)
    line = scene.line()
    assert (line["event"], line["outcome"], line["duration_ms"]) == ("end", "ok", 1000.0)
    assert line["stream"] == {
        "id": 7,
        "first_byte_ms": 250.0,
        "request": {"chunks": 1, "first": {"text": "up"}},
        "response": {"chunks": 2, "first": {"text": "down"}},
    }
    assert line["request"]["bytes"] == len(frame("O", 7, b"ask")) + 2
    assert line["response"]["bytes"] == line["response_bytes"] == 27 + 8


def test_of_each_half_only_the_first_bytes_are_shown() -> None:
    scene = Scene()
    for _ in range(3):
        scene.from_client("D", b"x" * (FIRST - 1))
    scene.from_server("W")
    (_, end) = scene.reader.lines()
    assert end["stream"]["request"] == {"chunks": 3, "first": {"text": "x" * FIRST}}
    assert end["stream"]["response"] == {"chunks": 0}


def test_bytes_that_are_no_text_are_shown_in_base64() -> None:
    scene = Scene()
    scene.from_client("D", b"\x00\xff")
    scene.from_server("W")
    assert scene.reader.lines()[-1]["stream"]["request"]["first"] == {"base64": "AP8="}


def test_with_chunks_each_piece_is_a_line_as_it_passes() -> None:
    scene = Scene("chunks=1")
    scene.reader.lines()
    scene.from_client("D", "pié".encode()[:-1])
    line = scene.line()
    assert (line["event"], line["half"], line["kind"], line["id"]) == ("chunk", "request", "stream_data", 7)
    assert (line["bytes"], line["first"]) == (3, {"text": "pi"})
    scene.from_server("O")
    scene.from_server("X", b"no")
    head, chunk, end = scene.reader.lines()
    assert (head["event"], chunk["half"], chunk["kind"]) == ("response_head", "response", "stream_close")
    assert (end["event"], end["outcome"]) == ("end", "error")


def test_nothing_of_what_a_codec_calls_confidential_is_shown() -> None:
    scene = Scene("chunks=1", Secretive())
    scene.from_client("D", b"hunter2")
    scene.from_server("W")
    head, chunk, end = scene.reader.lines()
    assert "first" not in chunk
    assert end["stream"]["request"] == {"chunks": 1}
    assert "hunter2" not in str((head, chunk, end))


def test_a_match_and_a_limit_hold_for_heads_and_pieces_too() -> None:
    scene = Scene("chunks=1&match=say=other")
    scene.from_client("D", b"x")
    assert scene.reader.lines() == []
    scene = Scene("chunks=1&limit=2")
    scene.from_client("D", b"x")
    scene.from_client("D", b"y")
    assert [one["event"] for one in scene.reader.lines()] == ["request_head", "chunk"]


def test_a_slow_reader_loses_pieces_and_no_stream_waits_for_it() -> None:
    scene = Scene("chunks=1&rate=10000")
    scene.reader.connection.pause()
    for _ in range(MAX_WAITING // FIRST + 100):
        scene.from_client("D", b"x" * FIRST)
    scene.from_server("W")
    assert scene.client.take() == frame("W", 7)
    scene.reader.connection.resume()
    assert MAX_WAITING <= len(scene.reader.raw()) < 2 * MAX_WAITING


def test_nothing_looks_at_streams_once_the_reader_is_gone() -> None:
    scene = Scene()
    route = scene.desk.proxy.listeners["front"].snapshot.routes.routes[0]
    assert (len(route.on_head), len(route.on_chunk)) == (1, 1)
    scene.reader.connection.gone()
    assert (route.on_head, route.on_chunk, route.on_complete) == ((), (), ())
    scene.from_client("C", b"x")
    scene.from_server("W")
    assert scene.client.take() == frame("W", 7)


def test_a_stream_that_began_before_the_tap_is_shown_as_it_ends_with_what_came_since() -> None:
    scene = Scene("limit=1")
    late = Reader(scene.desk)
    scene.from_client("D", b"late")
    scene.from_server("W")
    (line,) = late.lines()
    assert (line["event"], line["stream"]["request"]["first"]) == ("end", {"text": "late"})
