"""How many exchanges fit the bytes that a client may have waiting."""

from __future__ import annotations

import pytest

from metaproxy.proxy.client_budget import OVERFULL, WINDOW, ClientBudget


def test_a_client_whose_answers_were_not_seen_begins_with_a_few() -> None:
    assert ClientBudget(1024, 16 << 20).window == WINDOW
    assert ClientBudget(4, 16 << 20).window == 4


def test_the_window_grows_to_all_while_answers_are_small() -> None:
    budget = ClientBudget(1024, 16 << 20)
    assert [budget.seen(100) for _ in range(6)] == [64, 128, 256, 512, 1024, 1024]


@pytest.mark.parametrize(("size", "window"), [(1 << 20, 16), (8 << 20, 2), (64 << 20, 1), (0, 64)])
def test_the_window_is_what_fits_at_the_last_size(size: int, window: int) -> None:
    assert ClientBudget(1024, 16 << 20).seen(size) == window


def test_a_client_is_overfull_far_above_its_budget() -> None:
    budget = ClientBudget(1024, 1000)
    assert not budget.overfull(OVERFULL * 1000)
    assert budget.overfull(OVERFULL * 1000 + 1)
