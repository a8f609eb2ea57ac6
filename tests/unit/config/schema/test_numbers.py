"""Flags, counts, durations, sizes and percentages in a configuration: what is taken, and what is said of the rest."""

from __future__ import annotations

import os

import pytest
from single_values import is_read, is_refused, outcome

from metaproxy.config.schema.numbers import Decimal, Duration, Flag, Share, Size, Span, Whole, WorkerCount
from metaproxy.config.schema.reading import BROKEN, Kind


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Flag(), "true", True),
        (Flag(), "no", False),
        (Flag(), "'on'", True),
        (Whole(), "0", 0),
        (Whole(1, 5), "5", 5),
        (Whole(), "${N}", 7),
        (Whole(), "'${N}'", 7),
        (Duration(), "250ms", 0.25),
        (Duration(), "5m", 300.0),
        (Duration(), "2", 2.0),
        (Duration(), "'${T}'", 5.0),
        (Duration(), "${N}", 7.0),
        (Size("1B", "1GiB"), "64KiB", 65536),
        (Size("1B", "1GiB"), "100", 100),
        (Share(), "0.5", 0.5),
        (Share(), "100", 100.0),
        (WorkerCount(), "1", 1),
        (WorkerCount(), "256", 256),
        (WorkerCount(), "auto", len(os.sched_getaffinity(0))),
        (Span(), "25ms..250ms", (0.025, 0.25)),
        (Span(), "1s", (1.0, 1.0)),
        (Decimal(), "1.9", 1.9),
        (Decimal(), "2", 2.0),
    ],
)
def test_a_number_that_is_right_is_read(kind: Kind[object], text: str, value: object) -> None:
    is_read(kind, text, value)


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Flag(), "1", "1 is neither true nor false"),
        (Flag(), "yess", "'yess' is neither true nor false"),
        (Flag(), "", "nothing is neither true nor false"),
        (Whole(), "1.5", "1.5 is not a whole number"),
        (Whole(), "true", "true is not a whole number"),
        (Whole(), "'5'", "'5' is not a whole number"),
        (Whole(), "[5]", "a list where a single value belongs"),
        (Whole(1, 5), "6", "6 is out of bounds; allowed are 1 to 5"),
        (Whole(), "-1", "-1 is out of bounds; allowed are 0 to 2147483647"),
        (Duration(), "15 s", "'15 s' is not a duration; write 15s, 500ms, 5m or a number of seconds"),
        (Duration(), "-1", "-1 is not a duration; write 15s, 500ms, 5m or a number of seconds"),
        (Duration(), "366d", "366d is out of bounds; allowed are 0s to 365d"),
        (Duration("1ms"), "0", "0 is out of bounds; allowed are 1ms to 365d"),
        (Duration(), f"{'9' * 400}s", f"{'9' * 400}s is out of bounds; allowed are 0s to 365d"),
        (Size("1B", "1GiB"), "2GiB", "2GiB is out of bounds; allowed are 1B to 1GiB"),
        (Size("1B", "1GiB"), "16 MB", "'16 MB' is not a size; write 64KiB, 16MiB or a number of bytes"),
        (Size("1B", "1GiB"), "1.5", "1.5 is not a size; write 64KiB, 16MiB or a number of bytes"),
        (Share(), "101", "101 is not a percentage; write a number from 0 to 100, such as 25 or 0.5"),
        (Share(), "50%", "'50%' is not a percentage; write a number from 0 to 100, such as 25 or 0.5"),
        (Span(), "1s..25ms", "'1s..25ms' is no range of durations; write 25ms..250ms"),
        (Span(), "soon", "'soon' is no range of durations; write 25ms..250ms"),
        (WorkerCount(), "0", "0 is no number of processes; write 1 to 256, or auto"),
        (WorkerCount(), "257", "257 is no number of processes; write 1 to 256, or auto"),
        (WorkerCount(), "many", "'many' is no number of processes; write 1 to 256, or auto"),
        (WorkerCount(), "true", "true is no number of processes; write 1 to 256, or auto"),
        (WorkerCount(), "2.0", "2.0 is no number of processes; write 1 to 256, or auto"),
        (Decimal(), "-1", "-1 is not a number from 0, such as 1.9"),
    ],
)
def test_a_number_that_is_wrong_says_what_to_write(kind: Kind[object], text: str, problem: str) -> None:
    is_refused(kind, text, problem)


def test_a_size_that_no_number_holds_is_a_problem_and_no_crash() -> None:
    value, problems = outcome(Size("1B", "1GiB"), f"{'9' * 400}GiB")
    assert value is BROKEN and len(problems) == 1
