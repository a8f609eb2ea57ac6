"""From text to nodes: places, scalars, variables, and the bounds of what is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from metaproxy.config.schema import load as module
from metaproxy.config.schema.load import MAX_NODES, load, load_documents, read
from metaproxy.config.schema.nodes import MAX_PROBLEMS, MAX_TEXT, Node


@pytest.fixture(autouse=True, params=["CSafeLoader", "SafeLoader"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds with libyaml and without."""
    monkeypatch.setattr(module, "_Parser", getattr(yaml, request.param))


def tree(text: str | bytes, **environ: str) -> Node:
    root, problems = load(text, "x.yaml", environ)
    assert problems == []
    assert root is not None
    return root


def data(node: Node) -> object:
    if isinstance(node.value, list):
        return [data(child) for child in node.value]
    if isinstance(node.value, dict):
        return {key: data(child) for key, child in node.value.items()}
    return node.value


def problems(text: str | bytes, **environ: str) -> list[str]:
    return [str(problem) for problem in load(text, "x.yaml", environ)[1]]


def children(node: Node) -> list[Node]:
    if isinstance(node.value, dict):
        return list(node.value.values())
    return node.value if isinstance(node.value, list) else []


def walk(node: Node) -> list[Node]:
    return [node, *(one for child in children(node) for one in walk(child))]


# -- places


def test_each_node_knows_its_path_and_where_it_stands() -> None:
    root = tree("listeners:\n  - name: in\n    routes:\n      - match: {source.address: x, 'a b': y}\n")
    places = {node.path: (node.line, node.column, node.key_line, node.key_column) for node in walk(root)}
    assert places == {
        "": (1, 1, 0, 0),
        "listeners": (2, 3, 1, 1),
        "listeners[0]": (2, 5, 0, 0),
        "listeners[0].name": (2, 11, 2, 5),
        "listeners[0].routes": (4, 7, 3, 5),
        "listeners[0].routes[0]": (4, 9, 0, 0),
        "listeners[0].routes[0].match": (4, 16, 4, 9),
        "listeners[0].routes[0].match['source.address']": (4, 33, 4, 17),
        "listeners[0].routes[0].match['a b']": (4, 43, 4, 36),
    }


def test_columns_count_characters_and_not_bytes() -> None:
    root = tree("äöü: x")
    assert isinstance(root.value, dict)
    assert (root.value["äöü"].line, root.value["äöü"].column) == (1, 6)


# -- scalars


def test_quotes_and_the_tag_str_make_a_text() -> None:
    assert data(tree("['5', \"true\", !!str 7, ! 8, 'null']")) == ["5", "true", "7", "8", "null"]


def test_a_key_is_a_text_whatever_it_looks_like() -> None:
    assert data(tree("{on: 1, 2: 3, null: 4, 'true': 5, ~: 6}")) == {"on": 1, "2": 3, "null": 4, "true": 5, "~": 6}


# -- variables


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "demo"),
        ("a-${NAME}-b-${NAME}", "a-demo-b-demo"),
        ("'${NAME}'", "demo"),
        ("${NONE:-x y}", "x y"),
        ("${NONE:-}", None),
        ("${NAME:-other}", "demo"),
        ("${EMPTY:-other}", None),
        ("${PORT}", 80),
        ("'${PORT}'", "80"),
        ("h:${PORT}", "h:80"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME {x} }", "$NAME {x} }"),
        ("|\n  a ${NAME}\n", "a demo\n"),
    ],
)
def test_variables_are_replaced(text: str, value: object) -> None:
    assert data(tree(f"a: {text}", NAME="demo", PORT="80", EMPTY="")) == {"a": value}


def test_what_a_variable_holds_is_never_looked_at_again() -> None:
    assert data(tree("a: ${ONE}", ONE="${TWO} *x [1, 2]", TWO="no")) == {"a": "${TWO} *x [1, 2]"}


def test_keys_hold_no_variables() -> None:
    assert data(tree("'${NAME}': 1")) == {"${NAME}": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [x, '${NONE}']", "1:8: a[1]: no environment variable NONE; ${NONE:-default} would give it a default"),
        ("a: ${1X}", "1:4: a: ${ begins a variable: write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"),
        ("a: ${X", "1:4: a: ${ begins a variable: write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"),
        ("a: ${X-y}", "1:4: a: ${ begins a variable: write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"),
    ],
)
def test_a_variable_that_cannot_be_replaced_is_a_problem_at_its_place(text: str, problem: str) -> None:
    assert problems(text) == [f"x.yaml:{problem}"]


def test_a_variable_within_braces_wants_quotes_and_the_error_says_so() -> None:
    (problem,) = problems("a: {b: ${NAME}}", NAME="x")
    assert problem.startswith("x.yaml:1:") and problem.endswith('write a variable in quotes: "${NAME}"')


# -- anchors, aliases, merge keys


def test_an_alias_has_the_place_of_its_anchor_and_a_path_of_its_own() -> None:
    root = tree("a: &x\n  b: [1, 2]\nc: *x\n")
    assert data(root) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
    second = [(node.path, node.line, node.column) for node in walk(root) if node.value == 2]
    assert second == [("a.b[1]", 2, 10), ("c.b[1]", 2, 10)]


def test_what_stands_in_a_mapping_goes_before_what_is_merged_and_the_first_merged_before_the_next() -> None:
    root = tree("- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 3}\n- {x: 4, <<: *b}\n- {<<: {q: 5}}\n")
    assert data(root) == [
        {"x": 1, "y": 1},
        {"y": 2, "z": 2},
        {"x": 3, "y": 1, "z": 2},
        {"x": 4, "y": 2, "z": 2},
        {"q": 5},
    ]
    assert [node.path for node in walk(root) if node.value == 5] == ["[4].q"]


def test_a_merged_mapping_with_an_anchor_can_be_used_again() -> None:
    root = tree("a: {<<: &x {b: {c: 1}}}\nd: *x\n")
    assert data(root) == {"a": {"b": {"c": 1}}, "d": {"b": {"c": 1}}}
    assert [node.path for node in walk(root) if node.value == 1] == ["a.b.c", "d.b.c"]


def test_a_quoted_merge_key_is_a_key() -> None:
    assert data(tree("{'<<': 1}")) == {"<<": 1}


def test_an_anchor_may_be_set_again_and_stand_at_a_key() -> None:
    assert data(tree("- &a 1\n- *a\n- &a 2\n- *a\n- {&k k: 3, v: *k}\n- {*k : 4}\n")) == [
        1, 1, 2, 2, {"k": 3, "v": "k"}, {"k": 4},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "3:1: a: the key 'a' is there already, in line 1"),
        ("a: {<<: 5}", "1:9: a['<<']: <<: merges a mapping, or a list of mappings"),
        ("&a [*a]", "1:5: *a stands for a value that it is part of"),
        ("[*a]", "1:2: no anchor &a"),
        ("a: !!python/object/apply:os.system [ls]", "1:4: a: the tag tag:yaml.org,2002:python/object/apply:os.system"
         " has no meaning here; leave it out"),
        ("a: !secret b", "1:4: a: the tag !secret has no meaning here; leave it out"),
        ("a: !!binary b", "1:4: a: the tag tag:yaml.org,2002:binary has no meaning here; leave it out"),
        ("a: !!set {b, c}", "1:4: a: the tag tag:yaml.org,2002:set has no meaning here; leave it out"),
        ("{[a]: b}", "1:2: a list or a mapping can't be a key; write a text"),
        ("- &x [a]\n- {*x : b}", "2:4: a list or a mapping can't be a key; write a text"),
        ("a: 1\n---\nb: 2", "2:1: a second document; a configuration is one"),
        ("", "1:1: the file is empty; write at least listeners: and clusters:"),
        ("# nothing\n", "1:1: the file is empty; write at least listeners: and clusters:"),
        ("a: b\nc: \x07", "2:4: the character '\\x07' is not allowed here"),
        (b"a: b\nc: \xc3\xa4\xff", "2:5: the byte 0xff is not UTF-8"),
        (b"\xff\xfea\x00", "1:1: the byte 0xff is not UTF-8"),
        ("a: \ud800", "1:4: the byte 0xed is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_text_is_told_with_its_place(text: str | bytes, problem: str) -> None:
    assert problems(text) == [f"x.yaml:{problem}"]


def test_a_text_that_is_no_yaml_is_told_with_its_place() -> None:
    (problem,) = problems("a: b\nc: d: e\n")
    assert problem == "x.yaml:2:5: not YAML: mapping values are not allowed " + (
        "in this context" if "in this context" in problem else "here"
    )


def test_a_byte_order_mark_is_ignored() -> None:
    assert data(tree(b"\xef\xbb\xbfa: 1")) == {"a": 1}


def test_all_that_can_be_told_is_told_at_once() -> None:
    assert [line.split(": ")[1] for line in problems("a: ${X}\nb: !t 1\na: 2\nc: ${Y}")] == ["a", "b", "a", "c"]


# -- bounds


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    assert data(tree("a" * (1 << 20))) == "a" * (1 << 20)
    assert problems("a" * ((1 << 20) + 1)) == ["x.yaml:1:1: the file has more than 1 MiB"]


def test_reading_a_file_stops_after_what_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "c.yaml").write_bytes(b"x" * 100)
    assert read(tmp_path / "c.yaml") == b"x" * 11


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 5_000, "? " * 5_000])
def test_values_that_lie_too_deep_are_refused_at_once(text: str) -> None:
    (problem,) = problems(text)  # which of the two bounds says it, ours or the YAML library's, depends on its version
    assert re.match(r"x\.yaml:\d+:\d+: ", problem), problem


def test_depth_counts_what_aliases_bring() -> None:
    chain = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))
    assert problems(chain) == ["x.yaml:63:12: more than 64 levels of values within values"]


def test_aliases_that_multiply_are_refused_before_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 5_000)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 4))
    (problem,) = problems(bomb)
    assert problem.endswith("more than 5000 values, aliases replaced")


def test_merging_that_multiplies_is_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 1_000)
    wide = "a: &a {" + ", ".join(f"k{i}: {i}" for i in range(100)) + "}\n"
    (problem,) = problems(wide + "b:\n" + "".join("  - {<<: *a}\n" for _ in range(100)))
    assert problem.endswith("more than 1000 values, aliases replaced")


def test_the_default_bound_leaves_room_for_a_large_mesh() -> None:
    assert MAX_NODES >= 10_000 * 20


def test_problems_are_bounded_in_number_and_length() -> None:
    assert len(problems("\n".join(f"- ${{X{i}}}" for i in range(MAX_PROBLEMS + 10)))) == MAX_PROBLEMS
    (problem,) = load(f"{'k' * 10_000}: !{'t' * 1_000} x", "x.yaml", {})[1]
    assert len(problem.path) <= MAX_TEXT and len(problem.text) <= MAX_TEXT


# -- problems


def test_a_text_of_several_documents_has_a_tree_for_each_with_its_lines_and_its_own_anchors() -> None:
    trees, problems = load_documents("a: &x 1\n---\n\n---\nb: [2]\n...\n--- \nc: *x\n", "x.yaml")
    assert [data(one) for one in trees] == [{"a": 1}, {"b": [2]}]
    assert [one.line for one in trees] == [1, 5]
    assert [str(one) for one in problems] == ["x.yaml:8:4: no anchor &x"]


def test_documents_before_one_that_is_no_yaml_are_there() -> None:
    trees, problems = load_documents("a: 1\n---\nb: [", "x.yaml")
    assert [data(one) for one in trees] == [{"a": 1}]
    assert [one.line for one in problems] in ([3], [4])  # the two parsers differ


def test_documents_have_no_variables_and_an_empty_text_has_no_documents() -> None:
    trees, problems = load_documents("a: ${HOME}", "x.yaml")
    assert [data(one) for one in trees] == [{"a": "${HOME}"}]
    assert load_documents("", "x.yaml") == ([], [])
    assert problems == []
