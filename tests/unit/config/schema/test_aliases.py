from __future__ import annotations

import pytest
import yaml

from metaproxy.config.schema.aliases import MAX_ALIASED, too_many
from metaproxy.config.schema.load import load


def bomb(levels: int, width: int, leaf: str) -> str:
    lines = [f"a0: &a0 {leaf}"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        bomb(8, 10, "[x, x, x]"),
        bomb(30, 2, "{k: 1, l: 2}"),
        bomb(100, 9, "x"),
        "a: &a [" + "x, " * 1000 + "]\nb: [" + "*a, " * 1000 + "]\n",
        "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb: {<<: [" + "*a, " * 1000 + "]}\n",
    ],
    ids=["lists", "mappings", "deep", "one wide list", "merges"],
)
def test_a_text_that_grows_by_its_aliases_is_refused_before_any_is_replaced(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaproxy.config.schema.load._Tree.copy", lambda *_: pytest.fail("an alias was replaced"))
    root, problems = load(text, "x.yaml")
    assert root is None
    assert str(MAX_ALIASED) in str(problems[0])
    assert problems[0].line > 1


def test_what_aliases_stand_for_is_counted_with_what_these_stand_for() -> None:
    events = list(yaml.parse("a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b]\n"))
    assert too_many(iter(events), 13) is None  # 3 + 3, and 1 + 6
    alias = too_many(iter(events), 12)
    assert alias is not None and alias.anchor == "b"


def test_an_alias_within_itself_or_of_nothing_is_left_to_the_reader() -> None:
    assert too_many(yaml.parse("a: &a [*a, *b]\n")) is None


def test_ordinary_aliases_pass() -> None:
    root, problems = load("a: &a {x: 1}\nb: *a\nc: [*a, *a]\n", "x.yaml")
    assert root is not None and not problems
