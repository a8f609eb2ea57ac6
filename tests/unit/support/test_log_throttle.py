from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.support.log_throttle import MAX_SUBJECTS, PERIOD, LogThrottle


def test_a_subject_has_one_line_a_minute() -> None:
    clock = Clock()
    throttle = LogThrottle(clock.seconds)
    assert [throttle.allows("a"), throttle.allows("a"), throttle.allows("b")] == [True, False, True]
    clock.advance(PERIOD - 1)
    assert not throttle.allows("a")
    clock.advance(1)
    assert throttle.allows("a")


def test_with_more_lines_a_minute_those_beyond_are_counted_once() -> None:
    clock = Clock()
    throttle = LogThrottle(clock.seconds, most=20)
    assert [throttle.allows() for _ in range(50)] == [True] * 20 + [False] * 30
    clock.advance(PERIOD)
    assert throttle.allows() and throttle.left_out() == 30
    assert throttle.left_out() == 0


def test_subjects_that_a_peer_invents_fill_no_memory_and_a_known_one_goes_on() -> None:
    throttle = LogThrottle(Clock().seconds)
    for number in range(MAX_SUBJECTS):
        assert throttle.allows(number)
    assert not throttle.allows(0)
    assert throttle.allows("one more")
    assert throttle.allows(0)
