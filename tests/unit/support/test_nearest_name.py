from __future__ import annotations

from metaproxy.support.nearest_name import MAX_COMPARED, did_you_mean, nearest_name


def test_the_nearest_name_is_found_and_none_where_none_is_near() -> None:
    assert nearest_name("clustr", ["route", "cluster"]) == "cluster"
    assert nearest_name("xyz", ["route", "cluster"]) is None
    assert nearest_name("route", []) is None


def test_how_near_a_name_must_be_can_be_said() -> None:
    assert nearest_name("rote", ["route"]) == "route"
    assert nearest_name("rote", ["route"], 0.99) is None


def test_the_end_of_an_error_names_it_or_says_something_else() -> None:
    assert did_you_mean("clustr", ["cluster"]) == "did you mean 'cluster'?"
    assert did_you_mean("xyz", ["cluster"], "there is cluster") == "there is cluster"


def test_many_and_long_names_are_not_all_compared() -> None:
    many = [f"a{number}" for number in range(3 * MAX_COMPARED)]
    assert nearest_name("b1", [*many, "b11"]) == "b11"
    assert nearest_name("x" * 10_000_000, many) is None
