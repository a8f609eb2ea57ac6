"""The path that `bench.replay` counts is the proxy's own: each row's requests are answered, round after round."""

import pytest

from bench.replay import PROTOCOLS, ROWS, Replay


def test_every_row_is_of_a_protocol_that_can_be_replayed() -> None:
    assert {row.split()[0] for row in ROWS} == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_request_of_a_round_is_answered_and_counting_brackets_what_the_proxy_does(protocol: str) -> None:
    replay = Replay(protocol, connections=2, depth=3)
    marks: list[None] = []
    for _ in range(3):
        replay.cycle(lambda: marks.append(None))
    assert replay.size == 6
    assert marks
    assert len(marks) % 2 == 0
