"""
What to write where a feature needs packages that are not installed.

Lives here: `install`, for errors. Does not: which packages an extra has (setup.cfg).
"""

from __future__ import annotations


def install(extra: str) -> str:
    """The command for an extra of setup.cfg. metaproxy is on no package index: it is installed from its source."""
    return f"pip install '.[{extra}]' in the folder of metaproxy's source"
