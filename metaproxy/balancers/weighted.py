"""
Drawing by weight: what `random` and `least_request` share.

Lives here: one function. Does not: any choice by load.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate


def drawing(weights: Sequence[int], uniform: Callable[[], float]) -> Callable[[], int]:
    """
    A function that draws an index, each in proportion to its weight. uniform: gives numbers of [0, 1), one a draw.

    Raises ValueError when there is no weight, or one that is less than 1.
    """
    if not weights or min(weights) < 1:
        raise ValueError(f"weights {list(weights)}; there must be one, and each must be at least 1")
    count = len(weights)
    if min(weights) == max(weights):
        return lambda: int(uniform() * count)
    bounds = list(accumulate(weights))
    total, last = bounds[-1], count - 1
    return lambda: bisect_right(bounds, uniform() * total, 0, last)
