"""Fixtures of what checks and builds configurations."""

from works import works

__all__ = ["works"]
