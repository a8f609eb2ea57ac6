"""
What this is and what it runs on, in a line.

Lives here: `version_line`, which every `--version` prints. Does not: the version itself (`metaproxy.__version__`).
"""

from __future__ import annotations

import platform

import twisted
from metaproxy import __version__
from metaproxy.support import compiled


def version_line() -> str:
    """Such as `metaproxy 1.0.0 (compiled, Python 3.11.7, Twisted 24.7.0)`."""
    running = compiled.running()
    return f"metaproxy {__version__} ({running}, Python {platform.python_version()}, Twisted {twisted.__version__})"
