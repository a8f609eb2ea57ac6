"""
Streams in any interleaving, with ends of all kinds in between: each exchange ends once, each half's bytes are those
that its sender sent, in their order, and nothing is left behind.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stream_plays import STREAM_STEPS, OrderedStreamPlay, StreamPlay


@given(STREAM_STEPS, st.sampled_from([0, 40]), st.sampled_from([0, 2]))
def test_streams_on_shared_connections(steps: list[tuple[str, int]], window: int, capacity: int) -> None:
    play = StreamPlay("stream", window, capacity)
    play.run(steps)
    play.check()


@given(STREAM_STEPS, st.sampled_from([0, 1]))
def test_streams_that_have_their_connections_alone(steps: list[tuple[str, int]], capacity: int) -> None:
    play = StreamPlay("connection", 0, capacity)
    play.run(steps)
    play.check()


WAITS = st.lists(st.booleans(), max_size=5)


@given(STREAM_STEPS, st.sampled_from([0, 40]), st.sampled_from([0, 2]), WAITS, st.sampled_from([0, 1, 2]))
def test_streams_that_filters_keep_and_that_are_tried_again(
    steps: list[tuple[str, int]], window: int, capacity: int, waits: list[bool], attempts: int
) -> None:
    play = StreamPlay("stream", window, capacity, waits, attempts)
    play.run(steps)
    play.check()


@given(STREAM_STEPS, st.sampled_from([0, 1]), WAITS, st.sampled_from([0, 2]))
def test_streams_with_a_connection_of_their_own_that_filters_keep_and_that_are_tried_again(
    steps: list[tuple[str, int]], capacity: int, waits: list[bool], attempts: int
) -> None:
    play = StreamPlay("connection", 0, capacity, waits, attempts)
    play.run(steps)
    play.check()


@given(STREAM_STEPS, WAITS, st.sampled_from([0, 1]))
def test_streams_whose_answers_come_in_order(steps: list[tuple[str, int]], waits: list[bool], attempts: int) -> None:
    play = OrderedStreamPlay(waits, attempts)
    play.run(steps)
    play.check()
