from __future__ import annotations

from pathlib import Path

from metaproxy.config.plugin_problems import file_problems, try_unused
from metaproxy.plugins import Registry

FILTER = """
from metaproxy.interfaces import IFilter
from metaproxy.plugins import Declaration

class Mute:
    error_names = "LOADING"

    def __init__(self{options}):
        pass

    def on_request(self, exchange):
        return None

mute = Declaration(IFilter, "mute", Mute)
"""


def test_a_file_that_can_not_be_loaded_is_told_with_its_line_and_exception(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("\n\n1 / 0\n")
    (problem,) = file_problems(Registry([tmp_path]).errors)
    assert (problem.file, problem.line) == (str(tmp_path / "one.py"), 3)
    assert problem.text == "the plugin can't be loaded: ZeroDivisionError: division by zero"


def test_a_plugin_that_nobody_names_is_tried_unless_it_needs_options(tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text(FILTER.format(options=""))
    registry = Registry([tmp_path])
    try_unused(registry, {})
    assert "mute" in registry.errors[str(tmp_path / "mute.py")]
    (tmp_path / "mute.py").write_text(FILTER.format(options=", size"))
    registry = Registry([tmp_path])
    try_unused(registry, {})
    assert registry.errors == {}
