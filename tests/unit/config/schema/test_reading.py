"""Names, secrets and plugins, as they are met while a configuration is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from metaproxy.config.schema.nodes import MAX_PROBLEMS, Node
from metaproxy.config.schema.reading import MAX_LISTED, Enough, Reading, Refused, near
from metaproxy.interfaces import ICodec, IFilter
from metaproxy.plugins import Registry
from metaproxy.support.nearest_name import nearest_name
from metaproxy.units import Secret

REGISTRY = Registry([Path(__file__).parents[1] / "dropins"])


def reading() -> Reading:
    return Reading("x.yaml", Path("/etc"), REGISTRY, {}, {"clock": Clock()}, {})


def node(value: str | int = "x", line: int = 1) -> Node:
    return Node(value, line, 1, text=str(value))


def texts(found: Reading) -> list[str]:
    return [problem.text for problem in found.problems]


def try_use(found: Reading, interface: Any, name: str, **options: object) -> None:
    entries = {key: node(str(value)) for key, value in options.items()}
    try:
        found.build(found.use(interface, name, node(name), entries, options))
    except Refused:
        pass


# -- names


def test_the_nearest_name_is_offered_else_all_of_them() -> None:
    assert near("dmeo", ["demo", "other"], "cluster") == "did you mean 'demo'?"
    assert near("x", ["demo", "other"], "cluster") == "there is demo, other"
    assert near("x", [], "cluster") == "no cluster is defined"
    many = [f"name-{i:02}" for i in range(MAX_LISTED + 5)]
    assert near("x", many, "cluster").endswith(f"{many[MAX_LISTED - 1]} and 5 more")


def test_looking_for_the_nearest_name_is_bounded() -> None:
    assert nearest_name("x" * 1_000_000, ["demo"]) is None
    many = [f"a{i}" for i in range(100_000)] + ["demo"]
    assert nearest_name("dmeo", many) == "demo"
    assert nearest_name("emo", many) is None


def test_after_so_many_problems_nothing_more_is_looked_for() -> None:
    found = reading()
    with pytest.raises(Enough):
        for _ in range(MAX_PROBLEMS):
            found.problem(node(), "x")
    assert len(found.problems) == MAX_PROBLEMS


def test_a_name_may_be_referred_to_before_and_after_it_is_defined() -> None:
    found = reading()
    found.refer("cluster", "demo", node("demo"))
    found.define("cluster", "demo", node("demo"))
    found.refer("cluster", "demo", node("demo"))
    found.refer("cluster", "dem", node("dem", 7))
    found.check_references()
    assert [(problem.line, problem.text) for problem in found.problems] == [
        (7, "no cluster 'dem'; did you mean 'demo'?")
    ]


def test_a_name_is_defined_once_in_its_kind() -> None:
    found = reading()
    found.define("cluster", "demo", node("demo", 3))
    found.define("listener", "demo", node("demo", 4))
    assert texts(found) == []
    found.define("cluster", "demo", node("demo", 5))
    assert texts(found) == ["a cluster 'demo' is there already, in line 3"]


# -- secrets


def test_a_secret_is_a_text_that_is_not_shown() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2" and secret.encode() == b"hunter2"
    assert repr(secret) == repr({"a": secret})[6:-1] == "'****'"


def test_what_is_a_secret_is_cut_out_of_every_problem() -> None:
    found = reading()
    found.secrets = {"a": Secret("hunter2"), "b": Secret("x")}
    found.problem(node(), "hunter2 is not a next number")
    found.warn(node(), "nor is 'hunter2'")
    assert texts(found) == ["**** is not a next number"]
    assert [warning.text for warning in found.warnings] == ["nor is '****'"]


# -- plugins


@pytest.mark.parametrize(
    ("interface", "name", "options", "expected"),
    [
        (ICodec, "dubbo", {"depth": 3}, []),
        (ICodec, "dubo", {"depth": 3}, ["no codec 'dubo'; did you mean 'dubbo'?"]),
        (ICodec, "dubbo", {"dept": 3}, ["dubbo: no option 'dept'; did you mean 'depth'?"]),
        (
            ICodec,
            "dubbo",
            {"depth": "x", "passwort": "y"},
            ["dubbo: 'x' is not a whole number", "dubbo: no option 'passwort'; did you mean 'password'?"],
        ),
        (IFilter, "gate", {"wait": "2s"}, []),
        (IFilter, "gate", {}, ["gate: option 'wait' is missing"]),
        (IFilter, "gate", {"wiat": "2s"}, ["gate: no option 'wiat'; did you mean 'wait'?"]),
        (IFilter, "gate", {"wait": 1, "clock": 2}, ["gate: no option 'clock'; there is tags, wait"]),
        (IFilter, "gate", {"wait": 1, "tags": []}, ["gate: its constructor raises LookupError: no tag"]),
        (ICodec, "mute", {"depth": 3}, ["mute: no option 'depth'; no option is defined"]),
        (ICodec, "dubbo", {"depth": 0}, ["dubbo: depth 0 is below 1; the password is"]),
    ],
)
def test_a_plugin_is_built_or_all_that_is_wrong_with_it_is_told(
    interface: object, name: str, options: dict[str, object], expected: list[str]
) -> None:
    found = reading()
    try_use(found, interface, name, **options)
    assert texts(found) == expected


def test_the_plugins_that_are_there_are_listed_when_none_is_near() -> None:
    found = reading()
    try_use(found, IFilter, "dubbo")
    (told,) = texts(found)
    assert told.startswith("no filter 'dubbo'; there is ")
    assert "gate, " in told


@pytest.mark.parametrize(
    ("interface", "name", "begins"),
    [
        (ICodec, "missing", "missing: metaproxy.codecs.nowhere.Nothing can't be imported"),
        (ICodec, "no_codec", "no_codec: The object"),
        (IFilter, "unreadable", "unreadable: NameError: name 'Nowhere' is not defined"),
    ],
)
def test_a_plugin_that_its_author_has_to_mend_is_a_problem_of_one_line(
    interface: object, name: str, begins: str
) -> None:
    found = reading()
    try_use(found, interface, name)
    (text,) = texts(found)
    assert text.startswith(begins)
    assert "\n" not in text


def test_the_password_of_a_plugin_is_not_told_by_its_constructor() -> None:
    found = reading()
    found.secrets = {"a": Secret("hunter2")}
    try_use(found, ICodec, "dubbo", depth=0, password=found.secrets["a"])
    assert texts(found) == ["dubbo: depth 0 is below 1; the password is ****"]
