"""Each way to ask says what this is."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import metaproxy
import twisted
from metaproxy.support.version import version_line

LINE = f"metaproxy {metaproxy.__version__} (Python {platform.python_version()}, Twisted {twisted.__version__})\n"
CLI = "import sys; from metaproxy.cli.main import script; sys.argv[0] = 'metaproxy'; script()"
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"


@pytest.mark.parametrize(
    "command",
    [["-c", CLI, "--version"], ["-m", "metaproxy", "--version"], ["-c", TWISTD, "metaproxy", "--version"]],
    ids=["metaproxy", "python -m metaproxy", "twistd metaproxy"],
)
def test_its_version_is_ours_and_not_a_librarys(command: list[str]) -> None:
    told = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (0, LINE)
    assert version_line() + "\n" == LINE


def test_a_package_is_built_with_the_version_of_the_code() -> None:
    setup = (Path(__file__).parents[3] / "setup.cfg").read_text()
    assert re.search(r"^version = attr: metaproxy.__version__$", setup, re.MULTILINE)
    assert metadata.version("metaproxy") == metaproxy.__version__
