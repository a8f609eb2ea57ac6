"""Drawing by weight."""

from __future__ import annotations

import pytest

from metaproxy.balancers.weighted import drawing


def drawn(weights: list[int], numbers: list[float]) -> list[int]:
    draw = drawing(weights, iter(numbers).__next__)
    return [draw() for _ in numbers]


def test_equal_weights_divide_the_draws_evenly() -> None:
    assert drawn([3, 3], [0.0, 0.49, 0.5, 1 - 2**-53]) == [0, 0, 1, 1]


def test_a_draw_falls_to_a_weight_in_proportion() -> None:
    assert drawn([1, 2, 1], [0.0, 0.24, 0.25, 0.74, 0.75, 1 - 2**-53]) == [0, 0, 1, 1, 2, 2]


def test_a_single_weight_takes_all() -> None:
    assert drawn([5], [0.0, 0.9]) == [0, 0]


@pytest.mark.parametrize("weights", [[], [0], [1, -1]])
def test_weights_below_1_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        drawing(weights, lambda: 0.5)
