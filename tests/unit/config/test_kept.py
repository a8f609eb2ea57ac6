"""What stays the same object from one configuration to the next."""

from __future__ import annotations

import gc
import weakref

from metaproxy.config.kept import Drafts, Objects, Uses


class Thing:
    """An object that a weak reference can tell of."""


def section(drafts: Drafts, *keys: str) -> tuple[Uses, list[object]]:
    """What a section uses that asks for these filters, and the filters."""
    found = [drafts.filters.get(key, Thing) for key in keys]
    return drafts.take(), found


def test_an_object_stays_while_what_it_is_made_of_stays() -> None:
    objects = Objects()
    first = Drafts(objects)
    uses, (one, again) = section(first, "a", "a")
    assert one is again
    assert first.commit([uses], []) == []
    second = Drafts(objects)
    more, (same, other) = section(second, "a", "b")
    assert same is one and other is not one
    assert second.commit([more], [uses]) == []
    assert list(objects) == [one, other]


def test_an_object_goes_with_the_last_section_that_uses_it() -> None:
    objects = Objects()
    first = Drafts(objects)
    left, (one,) = section(first, "a")
    right, _ = section(first, "a")
    first.commit([left, right], [])
    assert Drafts(objects).commit([], [left]) == []
    assert Drafts(objects).commit([], [right]) == [one]
    assert list(objects) == []


def test_an_object_under_two_keys_goes_once_and_with_the_last_of_them() -> None:
    objects, one = Objects(), Thing()
    first = Drafts(objects)
    sections = []
    for key in ("a", "b"):
        first.filters.get(key, lambda: one)
        sections.append(first.take())
    first.commit(sections, [])
    assert Drafts(objects).commit([], sections[:1]) == []
    assert Drafts(objects).commit([], sections[1:]) == [one]
    second = Drafts(objects)
    for key in ("a", "b"):
        second.filters.get(key, lambda: one)
    both = second.take()
    second.commit([both], [])
    assert Drafts(objects).commit([], [both]) == [one]


def test_what_a_build_makes_that_does_not_come_into_force_is_known_and_not_in_force() -> None:
    objects = Objects()
    first = Drafts(objects)
    uses, (one,) = section(first, "a")
    first.commit([uses], [])
    second = Drafts(objects)
    _, (same, made) = section(second, "a", "b")
    assert second.unused() == [made]
    assert list(objects) == [same] == [one]


def test_nothing_holds_what_is_not_in_force_any_more() -> None:
    objects = Objects()
    drafts = Drafts(objects)
    uses = section(drafts, "a")[0]
    drafts.commit([uses], [])
    gone = weakref.ref(next(iter(objects)))
    del drafts
    Drafts(objects).commit([], [uses])
    gc.collect()
    assert gone() is None
