"""The pages that are made from code are as the code is. `make docs` makes them so."""

import json
import re
from pathlib import Path

import pytest
import yaml

from metaproxy.message import ErrorKind
from metaproxy.telemetry.access_log.format import FIELDS, compile_format
from metaproxy.telemetry.access_log.operators import OPERATORS
from metaproxy.telemetry.metrics.families import FAMILIES
from metaproxy.telemetry.reference import TABLES, page

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
PAGES = ["metrics.md", "access-log.md"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    text = (REFERENCE / name).read_text()
    assert page(text) == text


def test_each_table_stands_in_a_page() -> None:
    text = "".join((REFERENCE / name).read_text() for name in PAGES)
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in text] == []


def test_each_metric_and_each_operator_is_documented() -> None:
    text = "".join((REFERENCE / name).read_text() for name in PAGES)
    assert [family.name for family in FAMILIES if f"| `{family.name}` |" not in text] == []
    assert [name for name in OPERATORS if f"| `%{name}" not in text] == []


def test_the_examples_of_the_access_log_are_true() -> None:
    text = (REFERENCE / "access-log.md").read_text()
    ((example,), (shown,)) = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("yaml", "json"))
    for log in yaml.safe_load(example)["listeners"][0]["access_log"]:
        assert compile_format(log["format"]).reads
    assert list(json.loads(shown)) == list(FIELDS)


def test_each_outcome_is_documented() -> None:
    text = (REFERENCE / "metrics.md").read_text()
    assert [kind.value for kind in ErrorKind if f"`{kind.value}`" not in text] == []


def test_a_bar_within_a_cell_is_escaped() -> None:
    assert '{outcome=~"ok\\|error"}' in TABLES["aeraki"]()
