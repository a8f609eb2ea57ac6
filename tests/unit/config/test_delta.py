"""Which sections of a list are other objects than before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metaproxy.config import model
from metaproxy.config.delta import delta

A, B, C, D = (model.Cluster(name=name) for name in "abcd")
B2 = model.Cluster(name="b")


def test_what_is_the_same_object_does_not_differ() -> None:
    assert delta((A, B, C), (A, B, C)) == ([], [], False, True)


def test_an_equal_section_that_is_another_object_has_changed() -> None:
    changes = delta((A, B, C), (A, B2, C))
    assert changes.changed[0] is B2
    assert changes == ([B2], [], False, True)


def test_sections_come_and_go() -> None:
    assert delta((A, B), (A, B, C, D)) == ([C, D], [], False, True)
    assert delta((A, B, C), (A, C)) == ([], ["b"], False, True)
    assert delta((A, C), (A, B, C)) == ([B], [], False, False)
    assert delta((A, B), ()) == ([], ["a", "b"], False, True)


def test_another_order_is_told_though_nothing_has_changed() -> None:
    assert delta((A, B, C), (C, B, A)) == ([], [], True, False)


@given(
    st.lists(st.sampled_from([A, B, C, D]), unique_by=lambda one: one.name),
    st.lists(st.sampled_from([A, B, B2, C, D]), unique_by=lambda one: one.name),
)
def test_it_is_the_difference_of_the_lists_whatever_they_have_in_common(
    before: list[model.Cluster], now: list[model.Cluster]
) -> None:
    changes = delta(before, now)
    assert [*map(id, changes.changed)] == [id(one) for one in now if id(one) not in map(id, before)]
    names = [one.name for one in now]
    assert sorted(changes.gone) == sorted(one.name for one in before if one.name not in names)
    both = [one.name for one in before if one.name in names]
    assert changes.reordered == ([name for name in names if name in both] != both)
    assert changes.appended == (names == [*both, *(name for name in names if name not in both)])
