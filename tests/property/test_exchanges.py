"""
Whatever happens in whatever order: every exchange completes exactly once, every client gets its own answers under its
own ids, and nothing is left behind.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plays import STEPS, FifoPlay, Play

from metaproxy.cluster.breaker import Breaker

MODES = st.sampled_from(["multiplex", "pool", "pinned"])


@given(STEPS, MODES, st.sampled_from([Breaker(), Breaker(2, 2, 3)]))
def test_every_exchange_ends_once_and_each_client_gets_its_own_answers(
    steps: list[tuple[str, int]], mode: str, breaker: Breaker
) -> None:
    play = Play(mode, Breaker(breaker.max_connections, breaker.max_pending, breaker.max_requests))
    play.run(steps)
    play.check()


@given(STEPS, st.sampled_from(["multiplex", "pool"]), st.sampled_from([Breaker(), Breaker(2, 2, 3)]))
def test_answers_without_ids_keep_the_order_of_each_client(
    steps: list[tuple[str, int]], mode: str, breaker: Breaker
) -> None:
    play = FifoPlay(mode, Breaker(breaker.max_connections, breaker.max_pending, breaker.max_requests))
    play.run(steps)
    play.check()
