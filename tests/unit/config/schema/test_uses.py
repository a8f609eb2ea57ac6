"""Plugins in a configuration, each with its options."""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.task import Clock

from metaproxy.config.schema.load import load
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.reading import BROKEN, Broken, Reading, Use
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.uses import Filter, Named, Override
from metaproxy.interfaces import ICodec
from metaproxy.plugins import Registry
from metaproxy.units import Secret

REGISTRY = Registry([Path(__file__).parents[1] / "dropins"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Door(Section):
    """A place with plugins."""

    secrets: Mapping[str, Secret] = option(MapOf(Hidden(by_name=False), defines="secret"), "Hidden.", {})
    codec: Use | None = option(Named(ICodec), "What it speaks.", None)
    filters: tuple[Use, ...] = option(ListOf(Filter()), "In order.", ())
    overrides: Mapping[str, Use | None] = option(MapOf(Override()), "By name.", {})


def outcome(text: str) -> tuple[Door | Broken, list[str]]:
    """What is read, and what is wrong, without the places."""
    root, problems = load(f"{{{text}}}", "x.yaml", {})
    assert problems == [] and root is not None
    reading = Reading("x.yaml", Path("/etc"), REGISTRY, {}, {"clock": Clock()}, {})
    reading.secrets["a"] = Secret("hunter2")  # a rule reads them in earnest
    read = reading.read(Nested(Door), root)
    return read, [f"{one.path}: {one.text}" for one in sorted(reading.problems)]


def door(text: str) -> Door:
    made, problems = outcome(text)
    assert problems == [] and made is not BROKEN
    return made


def errors(text: str) -> list[str]:
    return outcome(text)[1]


def test_a_plugin_is_a_name_or_a_mapping_with_its_options() -> None:
    assert door("codec: dubbo").codec == Use("dubbo")
    assert door("codec: {name: dubbo, depth: 3}").codec == Use("dubbo", {"depth": 3})
    assert errors("codec: {depth: 3}") == ["codec: name is missing; write the name of a codec"]
    assert errors("codec: {nme: dubbo, depth: 3}") == ["codec.nme: unknown key 'nme'; did you mean 'name'?"]
    assert errors("codec: {name: dubbo, depht: 3}") == ["codec.depht: dubbo: no option 'depht'; did you mean 'depth'?"]
    assert errors("codec: {name: dubo}") == ["codec.name: no codec 'dubo'; did you mean 'dubbo'?"]
    assert errors("codec: {name: dubbo, depth: 0}")[0].startswith("codec.name: dubbo: depth 0 is below 1")
    assert errors("codec: {name: held, size: 3}") == ["codec.size: held: 3 is odd"]
    assert errors("codec: []") == ["codec: a list is not a text"]


def test_a_filter_is_a_name_or_a_name_with_options() -> None:
    assert door("filters: [{gate: {wait: 2s}}]").filters == (Use("gate", {"wait": "2s"}),)
    assert errors("filters: [gate]") == ["filters[0]: gate: option 'wait' is missing"]
    assert errors("filters: [{gate: }]") == ["filters[0].gate: gate: option 'wait' is missing"]
    assert errors("filters: [{gate: {wait: 2 s}}]")[0].startswith("filters[0].gate.wait: gate: '2 s' is not a duration")
    assert errors("filters: [{gaet: {}}]") == ["filters[0].gaet: no filter 'gaet'; did you mean 'gate'?"]
    assert errors("filters: [{gate: 5}]") == ["filters[0].gate: 5 is not a mapping with the options of gate"]
    assert errors("filters: [{a: {}, b: {}}]") == [
        "filters[0]: a filter is written `name` or `name: {options}`, each in its own item of the list"
    ]


def test_an_override_has_options_or_is_off() -> None:
    made = door("overrides: {gate: off, local_rate_limit: {limit: 5}}").overrides
    assert made == {"gate": None, "local_rate_limit": Use("local_rate_limit", {"limit": 5})}
    assert door("overrides: {gate: false}").overrides == {"gate": None}
    assert errors("overrides: {gate: on}") == ["overrides.gate: 'on' is not a mapping with the options of gate, or off"]


def test_secrets_may_stand_anywhere_in_options() -> None:
    made = door("secrets: {a: hunter2}, codec: {name: dubbo, password: {secret: a}}")
    assert made.codec is not None
    password = made.codec.options["password"]
    assert password == "hunter2" and isinstance(password, Secret)
    inner = door("secrets: {a: hunter2}, filters: [{gate: {wait: 1, tags: [x, {secret: a}]}}]").filters[0]
    assert repr(inner.options) == "{'wait': 1, 'tags': ['x', '****']}"
    assert errors("codec: {name: dubbo, password: {secret: b}}") == [
        "codec.password: no secret 'b'; no secret is defined"
    ]
