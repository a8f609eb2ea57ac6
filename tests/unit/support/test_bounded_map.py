from __future__ import annotations

from metaproxy.support.bounded_map import BoundedMap


def filled(most: int, *keys: str) -> BoundedMap[str, int]:
    made: BoundedMap[str, int] = BoundedMap(most)
    for place, key in enumerate(keys):
        made.keep(key, place)
    return made


def test_beyond_the_bound_the_oldest_entry_goes() -> None:
    assert list(filled(2, "a", "b", "c")) == ["b", "c"]


def test_an_entry_that_is_kept_again_is_the_newest() -> None:
    assert dict(filled(2, "a", "b", "a", "c")) == {"a": 2, "c": 3}


def test_an_entry_that_is_moved_to_the_end_with_each_use_stays() -> None:
    found = filled(2, "a", "b")
    found.move_to_end("a")
    found.keep("c", 3)
    assert list(found) == ["a", "c"]


def test_a_smaller_bound_removes_the_oldest_and_holds_from_then_on() -> None:
    found = filled(3, "a", "b", "c")
    found.limit(1)
    assert list(found) == ["c"]
    found.keep("d", 4)
    assert list(found) == ["d"]


def test_a_bound_of_none_keeps_nothing() -> None:
    assert not filled(0, "a")
