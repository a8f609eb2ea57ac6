"""No field is dropped silently; docs/reference/envoy.md says of each what it becomes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs"
sys.path.append(str(DOCS))
pages: Any = importlib.import_module("envoy_page")
EXAMPLES: Any = importlib.import_module("envoy_examples").EXAMPLES


def ids() -> Iterator[str]:
    for place, example in enumerate(EXAMPLES):
        yield f"{place}-{example.type.rpartition('.')[2]}"


@pytest.mark.parametrize("example", EXAMPLES, ids=ids())
def test_each_field_becomes_something_or_is_named_or_changes_nothing_on_purpose(example: Any) -> None:
    assert [one.field for one in pages.outcomes(example) if one.silent] == []


def test_the_page_is_up_to_date() -> None:
    page = (DOCS / "reference" / "envoy.md").read_text()
    assert page == pages.page(page), "run docs/generate.py"
