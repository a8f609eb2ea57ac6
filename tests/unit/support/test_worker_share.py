"""The part of a limit that this process has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metaproxy.support.worker_share import part, set_workers, whole_part


@pytest.fixture(autouse=True)
def alone_again() -> Iterator[None]:
    yield
    set_workers(1)


def test_a_process_alone_has_all_of_it() -> None:
    assert (part(5.0), whole_part(5)) == (5.0, 5)


def test_of_several_each_has_the_same_part_and_whole_things_are_rounded_up() -> None:
    set_workers(4)
    assert (part(5.0), whole_part(5), whole_part(1), whole_part(0)) == (1.25, 2, 1, 0)
