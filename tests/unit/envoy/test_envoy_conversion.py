"""A bootstrap is printed in our own form, and means the same in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy_files import BOOTSTRAP

from metaproxy.app.texts import loader_of
from metaproxy.config.check import check
from metaproxy.config.schema.load import load
from metaproxy.envoy.conversion import as_yaml, convert
from metaproxy.plugins import Registry


def test_what_is_printed_is_the_same_configuration() -> None:
    converted = convert(BOOTSTRAP, "e.yaml")
    assert converted.problems == converted.warnings == []
    assert converted.text is not None
    own, problems = check(converted.text, "own.yaml", Registry())
    assert problems == []
    envoys, problems = check(BOOTSTRAP, "e.yaml", Registry(), loader=loader_of())
    assert problems == []
    assert own == envoys


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "null",
        "7",
        "007",
        "1e5",
        "1.5",
        "~",
        "",
        "${HOME}",
        "$${",
        "a: b",
        "# a",
        "%REQ(x)%",
        "x" * 300,
        "\u00e9\t",
    ],
)
def test_each_text_stays_the_text_that_it_is(text: str) -> None:
    root, problems = load(as_yaml({"text": [text]}), "own.yaml", {})
    assert problems == []
    assert root is not None and isinstance(root.value, dict)
    items = root.value["text"].value
    assert isinstance(items, list)
    assert [item.value for item in items] == [text]


def test_what_can_not_be_honoured_is_a_problem_and_when_lenient_a_warning() -> None:
    text = BOOTSTRAP + "header_prefix: x\n"
    strict = convert(text, "e.yaml")
    assert strict.text is None
    assert [one.path for one in strict.problems] == ["header_prefix"]
    lenient = convert(text, "e.yaml", lenient=True)
    assert lenient.text == convert(BOOTSTRAP, "e.yaml").text
    assert [one.path for one in lenient.warnings] == ["header_prefix"]


def test_another_file_is_no_bootstrap() -> None:
    assert convert("listeners: []", "own.yaml").problems[0].file == "own.yaml"


def test_a_file_that_only_this_process_has_can_not_be_named_elsewhere() -> None:
    metadata = "    metadata: {filter_metadata: {metaproxy: {tls: {ca: /proc/self/fd/7}}}}\n"
    (problem,) = convert(BOOTSTRAP.replace("    type: STATIC\n", f"    type: STATIC\n{metadata}"), "e.yaml").problems
    assert problem.path == "clusters[0].tls.ca"


def test_the_whole_example_is_the_same_in_our_own_form() -> None:
    path = Path(__file__).parents[3] / "conf" / "envoy-bootstrap.yaml"
    converted = convert(path.read_bytes(), str(path))
    assert converted.problems == converted.warnings == []
    own, problems = check(converted.text or "", str(path), Registry())
    assert problems == []
    envoys, problems = check(path.read_text(), str(path), Registry(), loader=loader_of())
    assert problems == []
    assert own == envoys
