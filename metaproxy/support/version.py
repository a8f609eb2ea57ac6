"""
What this is and what it runs on, in a line.

Lives here: `version_line`, which every `--version` prints. Does not: the version itself (`metaproxy.__version__`).
"""

from __future__ import annotations

import platform

import twisted
from metaproxy import __version__


def version_line() -> str:
    return f"metaproxy {__version__} (Python {platform.python_version()}, Twisted {twisted.__version__})"
