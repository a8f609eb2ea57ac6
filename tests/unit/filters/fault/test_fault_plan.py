from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from reachable import reachable

from metaproxy.filters.fault.plan import MAX_DELAY, Plan, Turns, corrupted, delay
from metaproxy.message import ErrorKind


def plan(**written: object) -> Plan:
    return Plan(written, "faults[0]", 100)


def drawn(written: object, count: int = 4000) -> list[float]:
    """So many delays, of a generator with a fixed seed."""
    draw, shape = random.Random(42), delay(written)
    return [shape(draw) for _ in range(count)]


# -- delays


@pytest.mark.parametrize("written", ["250ms", 0.25, {"fixed": "250ms"}])
def test_a_fixed_delay_is_always_the_same(written: object) -> None:
    assert set(drawn(written, 10)) == {0.25}


@pytest.mark.parametrize("written", ["100ms..300ms", {"uniform": "100ms..300ms"}])
def test_a_uniform_delay_is_anywhere_between(written: object) -> None:
    found = drawn(written)
    assert min(found) >= 0.1 and max(found) <= 0.3
    # The mean of 4000 has a deviation of 0.2/sqrt(12)/sqrt(4000) = 0.9 ms: within four of them.
    assert abs(statistics.fmean(found) - 0.2) < 4 * 0.2 / math.sqrt(12 * 4000)


def test_an_exponential_delay_has_its_mean_and_stays_in_its_bounds() -> None:
    found = drawn({"exponential": "200ms", "max": "2s"})
    assert max(found) <= 2.0
    # Of 4000 the mean has a deviation of 0.2/sqrt(4000) = 3.2 ms; the bound at ten means takes 0.01 ms off.
    assert abs(statistics.fmean(found) - 0.2) < 4 * 0.2 / math.sqrt(4000)
    # A third and a bit, e**-1 = 0.368, are above the mean: deviation 0.0076.
    assert abs(sum(each > 0.2 for each in found) / 4000 - math.exp(-1)) < 4 * 0.0076


def test_a_normal_delay_has_its_mean_its_deviation_and_its_bounds() -> None:
    found = drawn({"normal": "1s", "deviation": "100ms"})
    assert abs(statistics.fmean(found) - 1.0) < 4 * 0.1 / math.sqrt(4000)
    assert abs(statistics.stdev(found) - 0.1) < 4 * 0.1 / math.sqrt(2 * 4000)
    clipped = drawn({"normal": "1s", "deviation": "1s", "min": "500ms", "max": "1500ms"})
    assert (min(clipped), max(clipped)) == (0.5, 1.5)


def test_a_distribution_without_bounds_ends_at_ten_means_and_is_never_below_zero() -> None:
    found = drawn({"normal": "10ms", "deviation": "1s"})
    assert (min(found), max(found)) == (0.0, 0.1)


def test_an_abort_says_behind_how_much_of_what() -> None:
    assert plan(abort={"bytes": "64KiB"}).abort == ("answer", 65536, None)
    assert plan(abort={"chunks": 3, "of": "request"}).abort == ("request", None, 3)
    assert plan(abort={"chunks": 3}).hits_chunks
    assert not plan(abort={"chunks": 3}).hits_answers
    assert not plan(delay_answer="1s").hits_chunks


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("soon", "'soon' is not a duration"),
        ({"fixd": "1s"}, "{'fixd': '1s'} is not a delay; write 200ms, or one of fixed, uniform, exponential, normal"),
        ({"fixed": "1s", "uniform": "1s..2s"}, "is not a delay"),
        ({"fixed": "1s", "max": "2s"}, "unknown key 'max'"),
        ("3s..1s", "3s..1s: the first is the lesser one"),
        ({"uniform": "3s"}, "'3s' is not a span of time; write 100ms..300ms"),
        ({"normal": "1s"}, "deviation is missing"),
        ({"exponential": 0}, "exponential: a mean of 0 is no distribution"),
        ({"exponential": "1s", "min": "3s", "max": "2s"}, "min 3 s is above max 2 s"),
        ("2h", "2h is more than 3600 s, the longest delay"),
    ],
)
def test_what_is_no_delay_is_told(written: object, told: str) -> None:
    with pytest.raises(ValueError) as raised:
        delay(written)
    assert told in str(raised.value)


def test_no_delay_is_longer_than_the_bound() -> None:
    assert max(drawn({"exponential": MAX_DELAY})) == MAX_DELAY


# -- turns


def test_the_first_the_nth_and_every_nth_request_of_a_caller_are_due() -> None:
    def due(kind: str) -> list[bool]:
        turns = Turns(kind, 3, 10)
        return [turns.due("ann") for _ in range(7)]

    assert due("first") == [True, True, True, False, False, False, False]
    assert due("nth") == [False, False, True, False, False, False, False]
    assert due("every") == [False, False, True, False, False, True, False]


def test_callers_are_counted_apart() -> None:
    turns = Turns("first", 1, 10)
    assert [turns.due(caller) for caller in ("ann", "bob", "ann", "bob", "")] == [True, True, False, False, True]


def test_no_more_callers_are_remembered_than_allowed_and_the_quietest_goes_first() -> None:
    turns = Turns("first", 1, 2)
    for caller in ("ann", "bob", "ann", "cid"):  # bob is forgotten
        turns.due(caller)
    assert [turns.due("ann"), turns.due("bob")] == [False, True]
    for number in range(1000):
        turns.due(str(number))
    assert sorted(one for one in reachable(turns) if isinstance(one, str) and one.isdigit()) == ["998", "999"]


def test_a_callers_name_is_remembered_up_to_a_bound() -> None:
    turns = Turns("first", 1, 2)
    turns.due("x" * 100_000)
    assert max(len(one) for one in reachable(turns) if isinstance(one, str)) == 256
    assert not turns.due("x" * 100_001)


# -- bytes


def test_a_corrupted_answer_has_as_many_other_bytes_as_asked_for() -> None:
    data = bytes(range(100))
    found = corrupted(data, 5, None, random.Random(1))
    assert len(found) == 100
    assert sum(one != other for one, other in zip(data, found, strict=True)) == 5
    assert corrupted(data, 5, None, random.Random(1)) == found


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0, b"\xff\xfe\x02\x03"),
        (3, b"\x00\x01\x02\xfc"),
        (-2, b"\x00\x01\xfd\xfc"),
        (-9, b"\xff\xfe\x02\x03"),
        (9, b"\x00\x01\x02\x03"),
    ],
)
def test_corruption_begins_where_it_is_told_to(start: int, expected: bytes) -> None:
    assert corrupted(bytes(range(4)), 2, start, random.Random(1)) == expected


def test_a_short_answer_is_corrupted_as_far_as_it_goes() -> None:
    assert corrupted(b"\x00", 5, None, random.Random(1)) == b"\xff"
    assert corrupted(b"", 5, None, random.Random(1)) == b""


def test_a_truncated_answer_is_never_whole() -> None:
    def cut(length: int, data: bytes) -> bytes:
        change = plan(truncate=length).change(random.Random(1))
        assert change is not None
        return change(data)

    assert (cut(3, b"answer"), cut(6, b"answer"), cut(0, b"answer"), cut(5, b"")) == (b"ans", b"answe", b"", b"")


# -- an entry


def test_without_a_percentage_nothing_is_hit() -> None:
    assert plan(delay="1s").percentage == 0.0


def test_an_error_has_a_kind_a_text_and_a_name() -> None:
    assert plan(error="timeout").error == (ErrorKind.TIMEOUT, "fault injected", "")
    written = {"name": "LOADING", "message": "busy"}
    assert plan(error=written).error == (ErrorKind.INTERNAL, "busy", "LOADING")


def test_what_hits_answers_says_so() -> None:
    hits: list[dict[str, Any]] = [
        {"delay_answer": "1s"}, {"rate": "1KiB"}, {"truncate": 3}, {"corrupt": 1}, {"reset": "answer"},
    ]  # fmt: skip
    assert all(plan(**each).hits_answers for each in hits)
    assert not any(plan(**each).hits_answers for each in ({"delay": "1s"}, {"error": "timeout"}, {"reset": True}))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({}, "it does nothing; write one of delay, delay_answer, error, reset, rate, truncate, corrupt, abort"),
        ({"abort": 3}, "abort: 3 is not where it ends; write {bytes: 64KiB} or {chunks: 3}"),
        ({"abort": {"bytes": 1, "chunks": 1}}, "write {bytes: 64KiB} or {chunks: 3}"),
        ({"abort": {"chunks": 0}}, "abort: chunks: 0 is not a whole number of 1 or more"),
        ({"abort": {"bytes": "x"}}, "abort: bytes: 'x' is not a size"),
        ({"abort": {"chunks": 1, "at": 1}}, "abort: unknown key 'at'"),
        ({"abort": {"chunks": 1, "of": "both"}}, "abort: of: 'both' is neither request nor answer"),
        ({"error": "timeout", "abort": {"chunks": 1}}, "error and abort exclude each other"),
        ({"reset": "answer", "abort": {"chunks": 1}}, "reset and abort exclude each other"),
        ({"dely": "1s"}, "unknown key 'dely'; did you mean 'delay'?"),
        ({"delay": "1s", "percentage": 101}, "101 is not a percentage"),
        ({"delay": "1s", "match": {"method": {"prefx": "a"}}}, "method: no matcher 'prefx'"),
        ({"delay": "1s", "first": 1, "every": 2}, "first and every exclude each other"),
        ({"delay": "1s", "nth": 0}, "nth: 0 is not a whole number of 1 or more"),
        ({"delay": "1s", "each": "topics"}, "each has an error stand for some of what a request names; write `error`"),
        ({"error": "timeout", "each": "method"}, "each: 'method' is no metadata key of several names; there is groups"),
        ({"error": "broken"}, "error: 'broken' is no kind of error; there is not_found"),
        ({"error": {"message": "x"}}, "error: write its kind, or its name in the protocol"),
        ({"error": {"kind": "timeout", "message": "x" * 1025}}, "is not a text of 1024 bytes at most"),
        ({"error": "timeout", "truncate": 3}, "error and truncate exclude each other"),
        ({"reset": True, "rate": 1}, "reset and rate exclude each other"),
        ({"reset": "answer", "corrupt": 1}, "reset leaves no byte to truncate or corrupt"),
        ({"reset": "later"}, "reset: 'later' is neither request nor answer"),
        ({"rate": 0}, "rate: 0 bytes a second would hold the answer for ever"),
        ({"truncate": "x"}, "truncate: 'x' is not a size"),
        ({"corrupt": {"bytes": 1, "at": 2}}, "corrupt: unknown key 'at'"),
        ({"corrupt": {"from": "end"}}, "corrupt: from: 'end' is not a whole number"),
        ({"delay": "1s", "name": ""}, "name: '' is no name"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told(written: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError) as raised:
        plan(**written)
    assert told in str(raised.value)
