"""Sections, lists and mappings, on a small model of their own."""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from twisted.internet.task import Clock

from metaproxy.config.schema.load import load
from metaproxy.config.schema.names import Hidden, Name, Reference
from metaproxy.config.schema.numbers import Duration, Whole
from metaproxy.config.schema.reading import BROKEN, Broken, Reading
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, Tree, about, option, options
from metaproxy.config.schema.texts import Text
from metaproxy.plugins import Registry
from metaproxy.units import Seconds, Secret

REGISTRY = Registry([Path(__file__).parents[1] / "dropins"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel(Section):
    """
    A wheel,
    round.

    And more of it.
    """

    SHORT: ClassVar = "size"
    LATER: ClassVar = ("spokes",)

    size: int = option(Whole(1, 30), "Inches.")
    brand: str = option(Text(), "Who made it.", "acme")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bike(Section):
    """A bike."""

    ONE_OF: ClassVar = ("price", "lent")
    LATER: ClassVar = ("engine",)

    secrets: Mapping[str, Secret] = option(MapOf(Hidden(by_name=False), defines="secret"), "Hidden.", {})
    name: str = option(Name("bike"), "Unique.")
    price: int | None = option(Whole(), "Cents.", None)
    lent: Seconds | None = option(Duration(), "How long.", None, "not at all")
    wheels: tuple[Wheel, ...] = option(ListOf(Nested(Wheel), 1), "Front first.", ())
    spare: Wheel = option(Nested(Wheel), "Another.", {"size": 20})
    colours: tuple[str, ...] = option(ListOf(Text(), alone=True), "Of the frame.", ())
    towed: Mapping[str, int] = option(MapOf(Whole(), "BIKE", 1, refers="bike"), "Bike to distance.", {})


def outcome(text: str) -> tuple[Bike | Broken, list[str]]:
    root, problems = load(text, "x.yaml", {})
    assert problems == [] and root is not None
    reading = Reading("x.yaml", Path("/etc"), REGISTRY, {}, {"clock": Clock()}, {})
    reading.secrets["a"] = Secret("hunter2")  # a rule reads them in earnest
    bike = reading.read(Nested(Bike), root)
    reading.check_references()
    problems = sorted(reading.problems)
    return bike, [f"{one.line}:{one.column}: {one.path}: {one.text}" for one in problems]


def bike(text: str) -> Bike:
    made, problems = outcome(f"{{name: b, price: 1, {text}}}")
    assert problems == [] and made is not BROKEN
    return made


def errors(text: str) -> list[str]:
    """What is wrong, without the places."""
    return [problem.split(": ", 1)[1] for problem in outcome(f"{{name: b, price: 1, {text}}}")[1]]


# -- sections


def test_a_section_has_the_defaults_of_the_model_and_never_changes() -> None:
    made = bike("")
    assert made == Bike(name="b", price=1)
    assert (made.spare, made.colours, made.towed, made.lent) == (Wheel(size=20), (), {}, None)
    with pytest.raises(FrozenInstanceError):
        made.price = 2  # type: ignore[misc]


def test_a_required_key_is_missed_at_the_section() -> None:
    assert outcome("price: 1") == (BROKEN, ["1:1: : name is missing"])
    assert errors("wheels: [{brand: x}]") == ["wheels[0]: size is missing"]


def test_a_section_must_be_a_mapping() -> None:
    bike, problems = outcome("[1]")
    assert bike is BROKEN
    assert problems[0].startswith("1:1: : a list is not a mapping with secrets, name, price")


def test_an_unknown_key_is_told_at_the_key_with_the_nearest() -> None:
    assert outcome("name: b\nprice: 1\n  \ncolors: red")[1] == [
        "4:1: colors: unknown key 'colors'; did you mean 'colours'?"
    ]
    assert errors("zzz: 1")[0].startswith("zzz: unknown key 'zzz'; there is colours, engine, ")


def test_a_misspelt_key_counts_as_what_was_meant() -> None:
    assert outcome("nane: b\nprize: 1")[1] == [
        "1:1: nane: unknown key 'nane'; did you mean 'name'?",
        "2:1: prize: unknown key 'prize'; did you mean 'price'?",
    ]
    assert errors("wheel: [{sice: 99}]") == [
        "wheel: unknown key 'wheel'; did you mean 'wheels'?",
        "wheel[0].sice: unknown key 'sice'; did you mean 'size'?",
        "wheel[0].sice: 99 is out of bounds; allowed are 1 to 30",
    ]


def test_a_misspelt_key_does_not_replace_the_right_one() -> None:
    made, problems = outcome("{name: b, nam: c, price: 1}")
    assert made.name == "b"
    assert problems == ["1:11: nam: unknown key 'nam'; did you mean 'name'?"]


def test_a_key_of_later_is_known_and_refused() -> None:
    assert errors("engine: {any: [thing]}") == ["engine: not supported yet in this version"]
    assert errors("engin: 1") == ["engin: unknown key 'engin'; did you mean 'engine'?"]


def test_exactly_one_of_some_keys_must_be_given() -> None:
    assert outcome("name: b")[1] == ["1:1: : one of price, lent is missing"]
    assert outcome("{name: b, lent: 1h, price: 5}")[1] == [
        "1:21: price: lent and price exclude each other; write one of them"
    ]
    assert outcome("{name: b, price: x}") == (BROKEN, ["1:18: price: 'x' is not a whole number"])


def test_the_short_form_of_a_section_is_one_of_its_values() -> None:
    assert bike("wheels: [20, {size: 21, brand: x}]").wheels == (Wheel(size=20), Wheel(size=21, brand="x"))
    assert errors("wheels: [99]") == ["wheels[0]: 99 is out of bounds; allowed are 1 to 30"]


def test_every_fault_is_told_wherever_it_is() -> None:
    assert len(errors("wheels: [{size: a}, {size: b, brand: 3}], spare: {spokes: 3, size: 1}, colours: [1, 2]")) == 6


def test_a_default_is_what_its_kind_reads_and_another_is_refused_at_once() -> None:
    assert ListOf(Duration()).default(["5s", "1m"]) == (5.0, 60.0)
    for kind, written in ((ListOf(Text()), "a"), (MapOf(Text()), {"a": "b"}), (Nested(Wheel), 5), (Tree(), "a")):
        with pytest.raises(ValueError, match=re.escape(repr(written))):
            kind.default(written)


# -- lists and mappings


def test_a_list_may_stand_for_one_value_where_the_model_says_so() -> None:
    assert bike("colours: red").colours == ("red",)
    assert bike("colours: [red, blue]").colours == ("red", "blue")
    assert errors("wheels: 20") == ["wheels: 20 is not a list"]
    assert errors("colours: {a: b}") == ["colours: a mapping is not a text"]
    assert errors("colours: ") == ["colours: nothing is not a list"]


def test_a_list_or_mapping_may_not_be_empty_where_the_model_says_so() -> None:
    assert errors("wheels: []") == ["wheels: an empty list; write at least 1"]
    assert errors("towed: {}") == ["towed: an empty mapping"]


def test_the_keys_of_a_mapping_are_names_that_may_refer_to_something() -> None:
    assert bike("towed: {b: 5}").towed == {"b": 5}
    assert errors("towed: {c: 5}") == ["towed.c: no bike 'c'; there is b"]
    assert errors("secrets: {'': x}") == ["secrets['']: '' is not a name; write 1 to 256 printable characters"]
    assert errors("towed: [b]") == ["towed: a list is not a mapping such as {BIKE: ...}"]


# -- the docs


def test_options_tell_what_the_docs_show() -> None:
    shown = {name: one.default for name, one in options(Bike).items()}
    assert shown["lent"] == "not at all"
    assert shown["spare"] == "see there"
    assert options(Wheel)["brand"].default == "`acme`"
    assert options(Wheel)["size"].required
    assert about(Wheel) == "A wheel, round."


def test_a_reference_may_stand_before_what_it_refers_to() -> None:
    root, _ = load("[b, a]", "x.yaml", {})
    assert root is not None
    reading = Reading("x.yaml", Path("/etc"), REGISTRY, {}, {}, {})
    assert reading.read(ListOf(Reference("bike")), root) == ("b", "a")
    reading.define("bike", "a", root)
    reading.define("bike", "b", root)
    reading.check_references()
    assert reading.problems == []
