from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.routing.expression import MAX_DEPTH, FirstMatch, any_of, compile_expression


def holds(spec: object, **metadata: str) -> bool:
    return compile_expression(spec).holds(metadata.get)


def test_every_entry_of_a_mapping_must_hold() -> None:
    both = {"service": "Demo", "method": {"prefix": "say"}}
    assert holds(both, service="Demo", method="sayHello")
    assert not holds(both, service="Demo", method="add")
    assert not holds(both, method="sayHello")


def test_and_or_and_not_stand_within_each_other() -> None:
    spec = {"or": [{"method": "a"}, {"and": [{"method": "b"}, {"not": {"user": {"prefix": "x"}}}]}]}
    assert holds(spec, method="a", user="xy")
    assert holds(spec, method="b", user="y")
    assert holds(spec, method="b")
    assert not holds(spec, method="b", user="xy")


def test_not_holds_where_a_key_is_missing_and_a_conditions_own_not_does_not() -> None:
    assert holds({"not": {"user": "ann"}})
    assert not holds({"user": {"exact": "ann", "not": True}})


def test_any_is_always_true_and_an_empty_list_never() -> None:
    assert holds({"any": True})
    assert not holds({"not": {"any": True}})
    assert not holds({"or": []})
    assert holds({"and": [{"any": True}]})


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "{} is not a mapping of conditions; write {method: sayHello} or {any: true}"),
        ("sayHello", "'sayHello' is not a mapping of conditions"),
        ({"or": {"method": "a"}}, "or: {'method': 'a'} is not a list; write [{method: sayHello}, ...]"),
        ({"and": [{"method": {"prefx": "a"}}]}, "and: method: no matcher 'prefx'; did you mean 'prefix'?"),
        ({"not": {"source.address": {"cidr": "10.0.0.1/8"}}}, "not: source.address: cidr: 10.0.0.1/8 is a host"),
        ({"any": False}, "any: False is not true"),
    ],
)
def test_what_is_wrong_is_told_with_its_way(spec: object, told: str) -> None:
    with pytest.raises(ValueError) as raised:
        compile_expression(spec)
    assert str(raised.value).startswith(told)


def test_depth_is_bounded() -> None:
    spec: dict[str, Any] = {"any": True}
    for _ in range(MAX_DEPTH + 1):
        spec = {"not": spec}
    with pytest.raises(ValueError, match="more than 16 expressions within each other"):
        compile_expression(spec)


def test_alternatives_of_one_key_are_one_list_of_values() -> None:
    found = any_of([{"method": "a"}, {"method": {"in": ["b", "c"]}}])
    assert (found.needs, found.exact) == ({"method": frozenset("abc")}, True)


def test_alternatives_with_several_keys_belong_together() -> None:
    found = any_of([{"method": "a", "user": "x"}, {"method": "b", "user": "y"}])
    assert not found.exact
    assert found.needs == {"method": {"a", "b"}, "user": {"x", "y"}}
    assert FirstMatch([found]).find({"method": "a", "user": "y"}.get) == -1


def test_the_first_of_many_is_found_whatever_it_asks() -> None:
    table = FirstMatch(
        [
            compile_expression({"user": {"prefix": "root"}}),
            compile_expression({"method": "a", "user": "ann"}),
            compile_expression({"method": "a"}),
            compile_expression({"any": True}),
        ]
    )
    asked: list[Mapping[str, str]] = [
        {"method": "a", "user": "rooty"}, {"method": "a", "user": "ann"}, {"method": "a"}, {},
    ]  # fmt: skip
    assert [table.find(metadata.get) for metadata in asked] == [0, 1, 2, 3]


def test_exact_values_are_looked_up_and_not_compared_one_by_one() -> None:
    asked: list[str] = []

    def get(key: str) -> str:
        asked.append(key)
        return "v77"

    table = FirstMatch([compile_expression({"user": f"v{number}", "method": "v77"}) for number in range(100)])
    assert table.find(get) == 77
    assert sorted(asked) == ["method", "user"]


def test_lists_that_multiply_beyond_the_bound_are_tested_instead() -> None:
    lists = {key: {"in": [f"{key}{number}" for number in range(100)]} for key in ("a", "b", "c")}
    table = FirstMatch([compile_expression(lists)])
    assert table.find({"a": "a1", "b": "b99", "c": "c5"}.get) == 0
    assert table.find({"a": "a1", "b": "b99", "c": "c100"}.get) == -1


VALUES = st.sampled_from(["x", "y", "z"])
KEYS = st.sampled_from(["a", "b", "c"])
CONDITIONS = st.one_of(
    VALUES, VALUES.map(lambda v: {"prefix": v}), st.lists(VALUES, min_size=1).map(lambda found: {"in": found})
)
SPECS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(KEYS, CONDITIONS, min_size=1),
    lambda inner: st.one_of(
        inner.map(lambda spec: {"not": spec}),
        st.lists(inner, max_size=3).map(lambda found: {"or": found}),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"and": found}),
    ),
    max_leaves=6,
)


def truth(spec: Mapping[str, Any], metadata: Mapping[str, str]) -> bool:
    """What an expression means, in the fewest words."""

    def entry(key: str, value: Any) -> bool:
        if key == "not":
            return not truth(value, metadata)
        if key in ("and", "or"):
            return (any if key == "or" else all)(truth(one, metadata) for one in value)
        if key not in metadata:
            return False
        if isinstance(value, str):
            return metadata[key] == value
        return metadata[key] in value["in"] if "in" in value else metadata[key].startswith(value["prefix"])

    return all(entry(key, value) for key, value in spec.items())


@given(st.lists(SPECS, max_size=6), st.lists(st.dictionaries(KEYS, VALUES), min_size=1, max_size=5))
def test_look_ups_find_what_asking_one_by_one_finds(specs: list[dict[str, Any]], asked: list[dict[str, str]]) -> None:
    table = FirstMatch([compile_expression(spec) for spec in specs])
    for metadata in asked:
        wanted = next((place for place, spec in enumerate(specs) if truth(spec, metadata)), -1)
        assert table.find(metadata.get) == wanted
