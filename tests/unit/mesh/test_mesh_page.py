"""The reference of the objects is made of the objects."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_objects_is_up_to_date() -> None:
    page = run_path(str(DOCS / "mesh_pages.py"))["page"]
    text = (DOCS / "reference" / "mesh.md").read_text()
    assert page(text) == text, "run `make docs`"
    assert "| `consecutive5xxErrors` |" in text
    assert "Without effect, and warned of: `caseInsensitive`" in text
