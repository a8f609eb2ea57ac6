"""docs/reference/control.md is true."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from control_plane import AdminDesk, Planted

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "reference" / "control.md"


def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_tables_are_those_of_the_code() -> None:
    module = generate()
    assert PAGE.read_text() == module.page(PAGE.read_text(), *module.CONTROL), "run docs/generate.py"


def test_each_endpoint_is_on_the_page() -> None:
    text = PAGE.read_text()
    desk = AdminDesk(Planted())
    paths = {one.path.replace("{id}", "ID") for one in desk.endpoints if not one.path.startswith("/static")}
    assert {path for path in paths if f"`{path}" not in text and f" {path}`" not in text} == set()


def test_each_metric_is_on_the_page() -> None:
    planted = Planted()
    planted.start()
    text, page = AdminDesk(planted).ask("GET", "/metrics").text, PAGE.read_text()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE metaproxy_control_")}
    assert {name for name in names if name.removeprefix("metaproxy_control") not in page} == set()
    planted.plane.stopService()
