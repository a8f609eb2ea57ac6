"""What stays the same object from one configuration to the next."""

from __future__ import annotations

import gc
import weakref

from metaproxy.config.kept import Kept, Objects


class Thing:
    """An object that a weak reference can tell of."""


def test_an_object_stays_while_what_it_is_made_of_stays() -> None:
    first: Kept[Thing] = Kept({})
    one = first.get("a", Thing)
    assert first.get("a", Thing) is one
    second: Kept[Thing] = Kept(first.made)
    assert second.get("a", Thing) is one
    assert second.get("b", Thing) is not one


def test_what_a_configuration_does_not_ask_for_is_not_in_the_next_one() -> None:
    first: Kept[Thing] = Kept({})
    one = first.get("a", Thing)
    second: Kept[Thing] = Kept(first.made)
    second.get("b", Thing)
    assert Kept(second.made).get("a", Thing) is not one


def test_nothing_holds_what_only_the_configuration_before_used() -> None:
    first = Objects()
    gone = weakref.ref(first.filters.get("a", Thing))
    second = Objects(first)
    kept = second.filters.get("b", Thing)
    second.forget()
    del first
    gc.collect()
    assert gone() is None
    assert list(second) == [kept]
