"""The page for contributors, docs/explanation/where-things-live.md, is true for the files that there are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from metaproxy.app.application import Application

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "where-things-live.md").read_text()
TOPS = ("metaproxy", "tests", "twisted", "docs", "conf")
PATHS = sorted({path for path in re.findall(r"`([\w.\-]+(?:/[\w.\-]+)*/?)`", PAGE) if path.split("/")[0] in TOPS})
NEW = ("stomp", "headers", "polaris", "database")
"""What the page's questions add; all else must be there."""
QUESTIONS = {
    "a protocol, such as STOMP": "metaproxy/codecs/stomp/",
    "a filter, such as one that changes headers": "metaproxy/filters/headers.py",
    "a discovery, such as Polaris": "metaproxy/discovery/polaris.py",
    "a source of configuration, such as a database": "metaproxy/database/",
}


def test_the_page_names_paths() -> None:
    assert len(PATHS) > 30


def test_each_path_is_there_or_is_what_a_question_adds_to_a_folder_that_is() -> None:
    for path in PATHS:
        place = ROOT / path
        if any(word in path for word in NEW):
            assert not place.exists(), f"{path} is there by now: take it out of NEW"
            assert place.parent.is_dir() or any(word in place.parent.name for word in NEW), path
        else:
            assert place.is_dir() if path.endswith("/") else place.is_file(), path


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_has_one_place(question: str) -> None:
    section = PAGE.partition(f"### ... {question}?")[2].partition("\n### ")[0]
    assert section, "the page asks it"
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    added = {
        path for row in rows for path in re.findall(r"`(metaproxy/[\w./]+)`", row) if any(word in path for word in NEW)
    }
    assert added == {QUESTIONS[question]}


def test_each_room_of_the_package_is_on_the_page() -> None:
    rooms = {path.name for path in (ROOT / "metaproxy").iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    table = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
    assert {room for room in rooms if f"`metaproxy/{room}/`" not in table} == set()


def test_the_entrance_for_sources_is_what_the_page_says() -> None:
    assert "Application.apply(config, " in PAGE
    assert list(inspect.signature(Application.apply).parameters) == ["self", "config", "source"]
