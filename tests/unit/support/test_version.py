"""Each way to ask says what this is."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from runpy import run_module

import pytest
from twisted.scripts.twistd import run

import metaproxy
import twisted
from metaproxy.cli.main import script
from metaproxy.support.compiled import running
from metaproxy.support.version import version_line

RUNS = f"{running()}, Python {platform.python_version()}, Twisted {twisted.__version__}"
LINE = f"metaproxy {metaproxy.__version__} ({RUNS})\n"


def twistd() -> None:
    sys.argv[1:1] = ["metaproxy"]
    run()


@pytest.mark.parametrize(
    "asked",
    [script, partial(run_module, "metaproxy", run_name="__main__"), twistd],
    ids=["metaproxy", "python -m metaproxy", "twistd metaproxy"],
)
def test_its_version_is_ours_and_not_a_librarys(
    asked: Callable[[], object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["metaproxy", "--version"])
    with pytest.raises(SystemExit) as ended:
        asked()
    assert (ended.value.code, capsys.readouterr().out) == (0, LINE)
    assert version_line() + "\n" == LINE


def test_a_package_is_built_with_the_version_of_the_code() -> None:
    setup = (Path(__file__).parents[3] / "setup.cfg").read_text()
    assert re.search(r"^version = attr: metaproxy.__version__$", setup, re.MULTILINE)
    assert metadata.version("metaproxy") == metaproxy.__version__
