"""Faults on what comes in pieces: each piece waits, is corrupted, or is where the stream ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from reel import Reel, frame, frames
from twisted.internet.task import Clock

from metaproxy.filters.fault.filter import AnswerFaults, Faults, StreamFaults, fault
from metaproxy.plugins import HOOKS
from metaproxy.testing import Stage, Wire, check_filter

HEAD = 9 + 4
"""Bytes of the answer's head."""
RESET = ("R", b"answer cut off")


class Shared(Clock):
    """The stage's clock comes with the stage, and the filter must have it before."""

    stage: Any = None

    def seconds(self) -> float:
        return float(self.stage.clock.seconds()) if self.stage is not None else 0.0

    def callLater(self, delay: float, call: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self.stage.clock.callLater(delay, call, *args, **kwargs)


class Path:
    """A stage with one fault that hits everything, and a client that has asked. The answer's head came."""

    def __init__(self, reel: Reel | None = None, **entry: object) -> None:
        clock = Shared()
        self.filter = fault([{"percentage": 100, **entry}], clock, seed=1)
        hooks = {name: (getattr(self.filter, name),) for name in HOOKS if hasattr(self.filter, name)}
        clock.stage = self.stage = Stage(reel or Reel(), hooks=hooks)
        self.client: Wire = self.stage.client()

    def asks(self) -> None:
        self.stage.say(self.client, frame("W", 7, b"ask"))
        self.stage.server.take()

    def opens(self) -> None:
        self.asks()
        assert self.answers(frame("O", 1, b"head")) == [("O", b"head")]

    def answers(self, *sent: bytes) -> list[tuple[str, bytes]]:
        """What the client gets when the server says that."""
        for data in sent:
            self.stage.say(self.stage.server, data)
        return self.gets()

    def gets(self) -> list[tuple[str, bytes]]:
        return [(kind, payload) for kind, _, payload in frames(self.client.take())]

    def after(self, seconds: float) -> list[tuple[str, bytes]]:
        self.stage.clock.advance(seconds)
        self.stage.say(self.client, b"")
        return self.gets()

    @property
    def outcomes(self) -> Mapping[str, int]:
        return self.stage.route.targets[0].counts.outcomes


def data(payload: bytes) -> bytes:
    return frame("D", 1, payload)


def test_it_keeps_the_contract() -> None:
    for entry in ({"abort": {"chunks": 1}}, {"rate": "1KiB"}, {"corrupt": 1}):
        check_filter(fault([{"percentage": 100, **entry}], Clock()))


def test_only_what_hits_chunks_looks_at_them() -> None:
    def kind(**entry: object) -> type[Faults]:
        return type(fault([{"percentage": 100, **entry}], Clock()))

    assert [kind(delay="1s"), kind(delay_answer="1s"), kind(reset="answer")] == [Faults, AnswerFaults, AnswerFaults]
    assert {kind(rate=1), kind(truncate=1), kind(corrupt=1), kind(abort={"chunks": 1})} == {StreamFaults}
    assert not hasattr(AnswerFaults, "on_chunk")


# -- rate


def test_each_chunk_comes_when_its_last_byte_would_have_come() -> None:
    path = Path(rate=100)
    path.asks()
    assert path.answers(frame("O", 1, b"head"), data(bytes(50)), data(bytes(100)), frame("C", 1)) == []
    assert path.after(HEAD / 100) == [("O", b"head")]
    assert path.after(0.4) == []
    assert path.after(0.1) == [("D", bytes(50))]
    assert path.after(0.9) == []
    assert path.after(0.1) == [("D", bytes(100)), ("C", b"")]
    assert path.filter.counters["throttles"] == 1
    assert path.outcomes == {"ok": 1}


def test_a_server_that_is_slower_than_the_rate_waits_for_its_own_bytes_only() -> None:
    path = Path(rate=100)
    path.asks()
    path.answers(frame("O", 1, b"head"))
    assert path.after(HEAD / 100) == [("O", b"head")]
    path.after(10)
    assert path.answers(data(bytes(100))) == []
    assert path.after(1.0) == [("D", bytes(100))]


def test_a_client_that_leaves_meanwhile_leaves_nothing_behind() -> None:
    path = Path(rate=100)
    path.asks()
    path.answers(frame("O", 1, b"head"))
    path.after(1)
    path.answers(data(bytes(1000)))
    path.stage.finish(path.client)
    path.client.end()
    assert path.filter.gauges == {"active": 0}
    assert path.outcomes == {"downstream_gone": 1}


# -- truncate


@pytest.mark.parametrize(
    ("truncate", "passed"),
    [
        (0, []),
        (HEAD, []),
        (HEAD + 3, [("D", b"one")]),
        (HEAD + 4, [("D", b"one"), ("D", b"t")]),
        (HEAD + 6, [("D", b"one"), ("D", b"two")]),
        (1000, [("D", b"one"), ("D", b"two"), ("D", b"en")]),
    ],
)
def test_a_truncated_answer_ends_with_a_reset_behind_so_many_bytes(
    truncate: int, passed: list[tuple[str, bytes]]
) -> None:
    path = Path(truncate=truncate)
    path.opens()
    assert path.answers(data(b"one"), data(b"two"), frame("C", 1, b"end")) == [*passed, RESET]
    assert path.outcomes == {"reset": 1}
    assert path.filter.counters["truncations"] == 1
    assert not path.client.closed


def test_an_end_without_bytes_is_what_a_truncated_answer_lacks() -> None:
    path = Path(truncate=1000)
    path.opens()
    assert path.answers(data(b"one"), frame("C", 1)) == [("D", b"one"), RESET]


def test_where_the_protocol_has_no_reset_the_clients_connection_ends() -> None:
    path = Path(Reel(resets=False), truncate=HEAD + 2)
    path.opens()
    assert path.answers(data(b"one")) == [("D", b"on")]
    assert path.client.closed


def test_a_whole_answer_is_truncated_as_ever() -> None:
    path = Path(truncate=5)
    path.asks()
    path.stage.say(path.stage.server, frame("W", 1, b"answer"))
    assert path.client.take() == frame("W", 7, b"answer")[:5]
    assert path.client.closed


# -- corrupt


def flipped(payload: bytes, *places: int) -> bytes:
    return bytes(byte ^ 0xFF if place in places else byte for place, byte in enumerate(payload))


def test_bytes_are_corrupted_from_where_on_the_fault_says_and_across_chunks() -> None:
    path = Path(corrupt={"bytes": 4, "from": HEAD + 2})
    path.opens()
    assert path.answers(data(b"abc"), data(b""), data(b"de"), data(b"fgh"), frame("C", 1, b"ijk")) == [
        ("D", flipped(b"abc", 2)), ("D", b""), ("D", flipped(b"de", 0, 1)), ("D", flipped(b"fgh", 0)), ("C", b"ijk"),
    ]  # fmt: skip
    assert path.filter.counters["corruptions"] == 1
    assert path.outcomes == {"ok": 1}


def test_those_in_the_head_are_left_as_they_are() -> None:
    path = Path(corrupt={"bytes": 2, "from": HEAD - 1})
    path.opens()
    assert path.answers(data(b"abc"), frame("C", 1)) == [("D", flipped(b"abc", 0)), ("C", b"")]


def test_from_below_0_they_are_those_of_the_last_chunk() -> None:
    path = Path(corrupt={"bytes": 1, "from": -2})
    path.opens()
    assert path.answers(data(b"abc"), frame("C", 1, b"def")) == [("D", b"abc"), ("C", flipped(b"def", 1))]


def test_without_a_place_as_many_as_are_asked_for_are_drawn_in_what_comes_first() -> None:
    path = Path(corrupt=5)
    path.opens()
    (first, second, third) = (got for _, got in path.answers(data(b"abc"), data(b"defg"), frame("C", 1, b"hij")))
    assert first == flipped(b"abc", 0, 1, 2)
    assert sum(a != b for a, b in zip(second, b"defg", strict=True)) == 2
    assert third == b"hij"


# -- abort


@pytest.mark.parametrize(
    ("abort", "passed"),
    [
        ({"bytes": HEAD + 4}, [("D", b"one"), ("D", b"t")]),
        ({"bytes": 0}, []),
        ({"chunks": 1}, [("D", b"one")]),
        ({"chunks": 2}, [("D", b"one"), ("D", b"two")]),
    ],
)
def test_an_aborted_answer_ends_with_a_reset(abort: dict[str, int], passed: list[tuple[str, bytes]]) -> None:
    path = Path(abort=abort)
    path.opens()
    assert path.answers(data(b"one"), data(b"two"), frame("C", 1, b"end")) == [*passed, RESET]
    assert path.filter.counters["aborts"] == 1
    assert path.outcomes == {"reset": 1}


@pytest.mark.parametrize("abort", [{"bytes": HEAD + 9}, {"chunks": 3}, {"bytes": 1, "of": "request"}])
def test_what_ends_before_is_not_hit(abort: dict[str, object]) -> None:
    path = Path(abort=abort)
    path.opens()
    assert len(path.answers(data(b"one"), data(b"two"), frame("C", 1, b"end"))) == 3
    assert path.filter.counters["aborts"] == 0


def test_the_earlier_one_of_two_ends_it() -> None:
    path = Path(abort={"chunks": 1}, truncate=HEAD + 1)
    path.opens()
    assert path.answers(data(b"one")) == [("D", b"o"), RESET]
    assert (path.filter.counters["truncations"], path.filter.counters["aborts"]) == (1, 0)


@pytest.mark.parametrize("abort", [{"bytes": 4, "of": "request"}, {"chunks": 1, "of": "request"}])
def test_an_aborted_request_is_answered_with_an_error_and_given_up(abort: dict[str, object]) -> None:
    path = Path(abort=abort)
    path.stage.say(path.client, frame("O", 7, b"ask") + frame("D", 7, b"one"))
    assert [one[0] for one in frames(path.stage.server.take())] == ["O", "D"]
    path.stage.say(path.client, frame("D", 7, b"two"))
    assert [kind for kind, _ in path.gets()] == ["E"]
    assert [one[0] for one in frames(path.stage.server.take())] == ["R"]
    assert path.outcomes == {"reset": 1}
    path.stage.say(path.client, frame("C", 7))
    assert path.stage.endpoints[0].active == 0


def test_a_request_that_is_not_hit_passes_with_its_chunks() -> None:
    path = Path(abort={"bytes": 100, "of": "request"})
    path.stage.say(path.client, frame("O", 7, b"ask") + frame("D", 7, b"one") + frame("C", 7, b"two"))
    assert [one[2] for one in frames(path.stage.server.take())] == [b"ask", b"one", b"two"]


# -- what acts on the head


def test_a_delay_and_an_error_act_on_the_head() -> None:
    path = Path(delay_answer="2s", abort={"chunks": 9})
    path.asks()
    assert path.answers(frame("O", 1, b"head"), data(b"one")) == []
    assert path.after(2) == [("O", b"head"), ("D", b"one")]
    path = Path(error="overload")
    path.stage.say(path.client, frame("O", 7, b"ask") + frame("D", 7, b"one"))
    assert [kind for kind, _ in path.gets()] == ["E"]


def test_an_answer_that_is_reset_sends_nothing() -> None:
    path = Path(reset="answer")
    path.asks()
    assert path.answers(frame("O", 1, b"head"), data(b"one")) == []
    assert path.client.was_reset
